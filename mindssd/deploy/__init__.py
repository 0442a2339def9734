"""Files that run without a training framework: made, described, opened and measured."""
