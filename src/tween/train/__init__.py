"""Training: one readable loop for every network."""
