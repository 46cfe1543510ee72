"""Helper library of the tumorcf paper companion: see the numbered notebooks."""

__version__ = "0.1.0"
