"""Image files to arrays as they are stored: a module for each container that needs its own care."""
