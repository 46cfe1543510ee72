"""Every edit of a slice, where shams may lie, and the audit that puts them to a classifier."""
