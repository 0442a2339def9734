"""What computes networks: `base` says what that takes, a package for each framework does it."""
