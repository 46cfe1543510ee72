"""A run of the study: its stages, their files and records, notebooks executed and resumed."""
