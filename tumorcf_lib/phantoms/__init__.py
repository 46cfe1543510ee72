"""Synthetic heads with exact masks, and cohorts in which we decide what gives the label away."""
