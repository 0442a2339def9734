"""What a model is exported as, a module for each."""
