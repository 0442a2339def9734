"""Damaged image files, with Pillow as the judge: what it refuses we refuse, what it reads is equal.

Each case runs in a child process, for a decoder in C may crash or hang. What such a decoder prints
is a warning, and those are errors: nothing that is read may make one print.
"""

import contextlib
import io
import multiprocessing
import os
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import IO, Any

import numpy as np

from mindssd.decoders.decoded import UNCHECKED
from mindssd.errors import ImageError
from mindssd.images import counted_remarks, decode_image
from tests.decoders.damaged import case

_HANGS_AFTER = 60.0  # seconds, for one case of 90 pixels
_MEMORY = 6 * 2**30
_MOST_PIXELS = 2**24
"""A header that was made to claim more is tried by us, and not by the judge."""


_HARMLESS = ("TIFFFetchNormalTag", "_TIFFVSetField", "libpng")
"""libtiff's words on tags that no pixel needs, and libpng's on sums that were made to be right."""


_EXTRA_SAMPLES = 338


def run(seed: int, seconds: float, say: Callable[[str], None]) -> list[str]:
    """Try cases for a time, or where that is negative so many of them; a line for each finding."""
    outcomes: Counter[str] = Counter()
    findings: dict[str, str] = {}
    number, most = 0, -int(seconds) if seconds < 0 else 10**12
    end = time.monotonic() + seconds if seconds > 0 else float("inf")
    said = time.monotonic()
    while number < most and time.monotonic() < end:
        with _Child(seed, number) as child:
            while number < most and time.monotonic() < end:
                outcome, finding = child.next()
                outcomes[outcome] += 1
                if finding:
                    findings.setdefault(finding, f"{finding}; seed {seed}, case {number}")
                number += 1
                if time.monotonic() - said > 60:
                    said = time.monotonic()
                    say(f"{number} files, {len(findings)} findings: {_counts(outcomes)}")
                if outcome in ("crashed", "hung"):
                    break
    say(f"{number} files: {_counts(outcomes)}")
    return list(findings.values())


def _counts(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common())


class _Child:
    """A process that goes through the cases from one on."""

    def __init__(self, seed: int, first: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe(duplex=False)
        self._seed, self._number = seed, first
        self._process = context.Process(target=_work, args=(theirs, seed, first), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> "_Child":
        return self

    def __exit__(self, *details: object) -> None:
        self._process.kill()
        self._process.join()

    def next(self) -> tuple[str, str]:
        """The outcome of the next case, and a finding, or ""."""
        name = case(self._seed, self._number)[0]
        self._number += 1
        if not self._ours.poll(_HANGS_AFTER):
            return "hung", f"hangs: {name}"
        try:
            outcome, finding = self._ours.recv()
        except EOFError:
            self._process.join()
            return "crashed", f"ends the process with {self._process.exitcode}: {name}"
        return outcome, f"{finding}: {name}" if finding else ""


def _work(answers: Connection, seed: int, number: int) -> None:
    _limit_memory()
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # of this process, for the judge
    with tempfile.TemporaryFile() as printed:
        os.dup2(printed.fileno(), 2)
        while True:
            answers.send(judged(case(seed, number)[1], printed))
            number += 1


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:
        return  # Windows
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))


def judged(data: bytes, printed: IO[bytes]) -> tuple[str, str]:
    """What became of a file, and what is wrong with that, or ""; `printed` is this stderr."""
    ours: Any = None
    printed.seek(0)
    printed.truncate()
    with counted_remarks() as remarks:
        try:
            ours = decode_image(data, "fuzz")
        except ImageError as error:
            if not str(error).startswith("fuzz: ") or "\n" in str(error):
                return "refused", f"has no line that names the file: {error}"
        except Exception as error:
            return "failed", f"{type(error).__name__} ({error})"
    printed.seek(0)
    said = printed.read().decode(errors="replace")
    theirs, reason = _by_pillow(data)
    unchecked = any(UNCHECKED in line for line in remarks.lines())
    if ours is not None and said and not unchecked and not said.startswith(_HARMLESS):
        return "read", f"is read, though a decoder says {said[:100]!r}"
    if theirs is None:
        if ours is not None and reason:
            return "read", f"is read, though Pillow refuses it ({reason})"
        return "refused" if ours is None else "read alone", ""
    if ours is None:
        return "refused alone", ""
    if any("stored in 16" in line for line in remarks.lines()):
        return "few bits", ""
    if ours.shape != theirs.shape:
        return "read", f"is {ours.shape}, for Pillow {theirs.shape}"
    difference = int(np.abs(ours.astype(int) - theirs).max())
    return "read", f"differs from Pillow by {difference}" if difference > 1 else ""


def _by_pillow(data: bytes) -> tuple[Any, str]:
    """Pillow's picture on white, or None and why; without a reason it is not the judge."""
    from PIL import Image, ImageOps

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image: Any = Image.open(io.BytesIO(data))
            if image.width * image.height > _MOST_PIXELS:
                return None, ""
            image.load()
        except Exception as error:
            return None, f"{type(error).__name__}: {error}"
        has_alpha = image.format != "TIFF" or _EXTRA_SAMPLES in image.tag_v2
        with contextlib.suppress(Exception):  # of EXIF that is damaged
            image = ImageOps.exif_transpose(image)
        return _on_white(image, has_alpha)


def _on_white(image: Any, has_alpha: bool) -> tuple[Any, str]:
    from PIL import Image

    if image.mode in ("F", "I", "LAB"):
        return None, ""
    if image.mode.startswith("I;16"):
        if "transparency" in image.info:
            return None, ""
        return np.repeat((np.asarray(image) >> 8).astype(int)[:, :, None], 3, axis=2), ""
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data and has_alpha:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(ground, image)
    return np.asarray(image.convert("RGB")).astype(int), ""
