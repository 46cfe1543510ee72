"""The audit of a reader's own classifier on a reader's own slices, and its report."""


class InputError(ValueError):
    """What a user can mend: says what was expected, what came, where, and what to do."""
