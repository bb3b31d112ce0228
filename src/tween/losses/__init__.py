"""Pure loss terms: tensors in, one number out."""
