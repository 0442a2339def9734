"""Errors that a user can cause and correct; the command line prints each as one line.

A message names the thing at fault with its value and says the way out.
"""


def printable(text: str) -> str:
    """A name from a file as one may show it: in one line, with nothing that a terminal obeys."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class MindSSDError(Exception):
    """The base of all of them."""

    def __str__(self) -> str:
        return "\n".join(map(printable, super().__str__().split("\n")))


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


class VersionError(MindSSDError):
    """A file in a form that only a newer mindssd reads."""


class EngineError(MindSSDError):
    """A framework or device that is missing or refuses."""


class TrainingError(MindSSDError):
    """A run that cannot go on."""


class DivergedError(TrainingError):
    """A training came to nothing: its loss exploded, or was not finite time and again."""
