"""The controls that need slices or networks: their rows, made once and kept."""
