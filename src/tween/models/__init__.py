"""Networks, classic methods, and the weights that are known for them."""
