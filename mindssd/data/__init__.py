"""Training data: read, checked, augmented, matched with default boxes, put in batches."""
