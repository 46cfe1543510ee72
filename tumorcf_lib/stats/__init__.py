"""Scores become estimates over patients, intervals, tests and verdicts, on plain arrays."""
