"""The typed configuration, its recipes, and how a user overrides them."""
