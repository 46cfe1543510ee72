"""What git may hold of a run, and the texts that are written from it: README, card, page."""
