"""Labels looked at through a model that has not seen them: mistakes, and what to label next."""
