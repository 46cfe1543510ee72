"""How fast the study's parts are, each beside the obvious way to do the same.

``python -m benchmarks`` runs them all; see ``python -m benchmarks --help``.
"""
