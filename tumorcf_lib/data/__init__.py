"""The slices: where they come from, what is checked, whose they are, what a network sees."""
