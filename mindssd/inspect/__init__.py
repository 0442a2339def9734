"""What a data set is like, and whether a recipe fits it."""
