"""The search for settings that suit a data set, by cross-validation on its training images."""
