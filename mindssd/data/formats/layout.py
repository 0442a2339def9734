"""How a data set lies in its folder: its format, and how each of its parts is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mindssd.data.formats.parsed import Parsed

Read = Callable[[], Parsed]


@dataclass(frozen=True)
class Layout:
    """A format found in a folder.

    `title` is its name in messages, `place` the file or folder that shows it. `parts` says how
    "train", "val" and "test" are read, as far as there are such, or "" the whole that is in no
    parts.
    """

    format: str
    title: str
    place: str
    parts: Mapping[str, Read]

    @property
    def training(self) -> str | None:
        """The part to train on, None where there is none."""
        return next((part for part in ("train", "") if part in self.parts), None)

    @property
    def validation(self) -> str | None:
        """The part to evaluate on; None where the training part has to be split for it."""
        return next((part for part in ("val", "test") if part in self.parts), None)

    @property
    def is_unsplit(self) -> bool:
        """Whether there is a training part, to be split for validation."""
        return self.training is not None and self.validation is None
