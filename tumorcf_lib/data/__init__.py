"""The slices: where they come from, what is checked, patient IDs, what a network sees."""
