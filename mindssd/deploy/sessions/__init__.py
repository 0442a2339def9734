"""Deployed files, opened: a module for each runtime."""
