"""Errors that a user can cause and mend; the command line prints each as one line.

A message names the thing at fault with its value and says the way out.
"""


class MindSSDError(Exception):
    """The base of all of them."""


class ConfigError(MindSSDError):
    """A key, value or file of the configuration."""


class DatasetError(MindSSDError):
    """A data set's layout or annotations."""


class ImageError(MindSSDError):
    """An image file that cannot be read."""


class OutputError(MindSSDError):
    """A file that cannot be written, though others in its folder can."""


class WeightsError(MindSSDError):
    """A checkpoint: unreadable, or of another network."""


class EngineError(MindSSDError):
    """A framework or device that is missing or refuses."""


class TrainingError(MindSSDError):
    """A run that cannot go on."""
