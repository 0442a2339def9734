"""A training run: schedule, loop, checkpoints, log, validation and report."""
