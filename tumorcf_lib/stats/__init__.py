"""Scores become estimates over persons, intervals, tests and verdicts, on plain arrays."""
