"""Checks of machine, installation and data."""
