"""How a data set lies in its folder: its format, and how each of its parts is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mindssd.data.formats.parsed import Parsed

Read = Callable[[], Parsed]

IN_NO_PART = "images in no part that is annotated: passed over"
"""Beside parts they are neither background, for they may show anything, nor to be evaluated on."""


@dataclass(frozen=True)
class Layout:
    """A format found in a folder.

    `title` is its name in messages, `place` the file or folder that shows it. `parts` says how
    "train", "val" and "test" are read, as far as there are such, or "" the whole that is in no
    parts. `root` is the folder that was asked for, or that its archive is unpacked to.
    """

    format: str
    title: str
    place: str
    parts: Mapping[str, Read]
    root: Path = Path()

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
