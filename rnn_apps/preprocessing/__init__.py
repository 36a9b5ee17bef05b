"""From raw requests to tensors, as graph operations: one code for training and for serving."""
