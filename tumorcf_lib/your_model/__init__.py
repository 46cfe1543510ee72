"""The audit of a reader's own classifier on a reader's own slices, and its report."""
