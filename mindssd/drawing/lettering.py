"""Lines of text as masks, in any script.

ASCII is written in OpenCV's letters. Where a text has others, all texts that belong to it are
written in fonts of the machine that have them; what no font has is written in ASCII letters.
"""

import math
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from anyascii import anyascii

from mindssd.drawing.fonts import characters_of, font_files
from mindssd.types import Array

OVERSAMPLING = 4  # OpenCV's own small letters are ragged

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL = 21  # pixels of a capital letter of that font at scale 1
_DESCENDER = 7
_STROKE = 0.135  # of a capital's height

_CAPITAL_OF_EM = 0.72
"""A capital's height in most fonts, as a share of their size."""

_PILLOWS = ""
"""The font that Pillow brings, which has ASCII: for what the chosen ones lack of that."""

_SPACES = ("Cc", "Zl", "Zp", "Zs")
_INVISIBLE = ("Cf", "Mn")
"""Joiners, variants and accents: without a font that has them they are left out."""


@dataclass(frozen=True)
class Lettering:
    """How texts that belong together are written: in these font files, else in OpenCV's letters."""

    files: tuple[str, ...] = ()

    @classmethod
    def of(cls, texts: Iterable[str], files: Sequence[str] | None = None) -> "Lettering":
        """Choose fonts for texts, out of `files` (the machine's, where that is None)."""
        texts = tuple(texts)
        if all(text.isascii() for text in texts):
            return cls()
        return cls(_chosen(texts, font_files() if files is None else tuple(files)))

    def mask(self, text: str, capital: int) -> Array:
        """Write a line: its coverage (h, w) float32 in 0..1, capitals `capital` pixels high."""
        return _mask(self, text, capital)

    def shortened(self, text: str, capital: int, width: int) -> str:
        """Cut a text to a width in pixels, marked with two dots; its first letter stays."""
        if self.mask(text, capital).shape[1] <= width:
            return text
        while len(text) > 1 and self.mask(text + "..", capital).shape[1] > width:
            text = text[:-1]
        return text.rstrip() + ".."

    def written(self, text: str) -> str:
        """A text as it is written: what no font has in ASCII letters, or as `U+732B`."""
        if text.isascii() and text.isprintable():
            return text
        pieces = (
            character if self._font_of(character) is not None else _in_ascii(character)
            for character in _composed(text)
        )
        return " ".join("".join(pieces).split())

    def runs(self, text: str) -> list[tuple[str, str]]:
        """Pieces of a written text, each with its font's file; a font goes on as far as it can."""
        runs: list[tuple[str, str]] = []
        for character in text:
            so_far, file = runs[-1] if runs else ("", None)
            if file is not None and _has(file, character):
                runs[-1] = (so_far + character, file)
            else:
                runs.append((character, self._font_of(character) or _PILLOWS))
        return runs

    def _font_of(self, character: str) -> str | None:
        """The first font that has a character, Pillow's own last."""
        return next((file for file in (*self.files, _PILLOWS) if _has(file, character)), None)


def _has(file: str, character: str) -> bool:
    return character.isascii() if file == _PILLOWS else character in characters_of(file)


@lru_cache(maxsize=256)
def _chosen(texts: tuple[str, ...], candidates: tuple[str, ...]) -> tuple[str, ...]:
    """Font files that have all the characters beyond ASCII that any file has."""
    chosen: list[str] = []
    wanted = sorted(
        character
        for character in set(_composed("".join(texts)))
        if not character.isascii() and unicodedata.category(character) not in _INVISIBLE
    )
    while wanted:
        file = next((file for file in candidates if _draws(file, wanted[0])), None)
        if file is None:
            wanted = wanted[1:]
        else:
            chosen.append(file)
            wanted = [character for character in wanted if not _has(file, character)]
    return tuple(chosen)


def _draws(file: str, character: str) -> bool:
    """Whether a font has a character and Pillow draws it, as not from every font of emoji."""
    if not _has(file, character):
        return False
    try:
        return _font(file, 20).getmask(character).getbbox() is not None
    except (OSError, ImportError):  # or a Pillow without FreeType
        return False


@lru_cache(maxsize=64)
def _font(file: str, size: int) -> Any:
    from PIL import ImageFont  # 40 ms, and most texts are ASCII

    return ImageFont.truetype(file, size) if file else ImageFont.load_default(size)


def _composed(text: str) -> str:
    """A text with its accents joined to their letters, and with spaces for what is no character."""
    return "".join(
        " " if unicodedata.category(character) in _SPACES else character
        for character in unicodedata.normalize("NFC", text)
    )


def _in_ascii(character: str) -> str:
    """The closest letters of ASCII, or the code point where there are none."""
    if unicodedata.category(character) in _INVISIBLE:
        return ""
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or anyascii(character) or f" U+{ord(character):04X} "


@lru_cache(maxsize=4096)
def _mask(lettering: Lettering, text: str, capital: int) -> Array:
    text = lettering.written(text)
    return (
        _in_fonts(lettering.runs(text), capital) if lettering.files else _in_opencv(text, capital)
    )


def _in_opencv(text: str, capital: int) -> Array:
    scale = OVERSAMPLING * capital / _CAPITAL
    stroke = max(1, round(OVERSAMPLING * capital * _STROKE))
    (width, _), _ = cv2.getTextSize(text, _FONT, scale, stroke)
    edge = stroke // 2 + 1
    height = round(scale * (_CAPITAL + 2 * _DESCENDER)) + 2 * edge
    rows = math.ceil(height / OVERSAMPLING)
    columns = math.ceil((width + 2 * edge) / OVERSAMPLING)
    large: Array = np.zeros((rows * OVERSAMPLING, columns * OVERSAMPLING), np.uint8)
    baseline = round(scale * (_CAPITAL + _DESCENDER)) + edge
    cv2.putText(large, text, (edge, baseline), _FONT, scale, (255,), stroke, cv2.LINE_AA)
    return shrunk(large)


def _in_fonts(runs: Sequence[tuple[str, str]], capital: int) -> Array:
    """Runs side by side on one baseline; high enough for what they draw, and for OpenCV's text."""
    from PIL import Image, ImageDraw  # as above

    size = round(capital / _CAPITAL_OF_EM)
    fonts = [_font(file, size) for _, file in runs]
    boxes = [font.getbbox(text, anchor="ls") for font, (text, _) in zip(fonts, runs, strict=True)]
    lengths = [font.getlength(text) for font, (text, _) in zip(fonts, runs, strict=True)]
    margin = capital * _DESCENDER / _CAPITAL
    above = math.ceil(max([capital + margin, *(-box[1] for box in boxes)]))
    below = math.ceil(max([margin, *(box[3] for box in boxes)]))
    left = math.ceil(max([1.0, *(-box[0] for box in boxes[:1])]))
    image = Image.new("L", (math.ceil(sum(lengths)) + 2 * left, above + below))
    drawing, at = ImageDraw.Draw(image), float(left)
    for font, (text, _), length in zip(fonts, runs, lengths, strict=True):
        drawing.text((at, above), text, fill=255, font=font, anchor="ls")
        at += length
    return np.asarray(image, np.float32) / 255


def shrunk(large: Array) -> Array:
    """A mask drawn OVERSAMPLING times too large, (h, w) float32 in 0..1."""
    size = (large.shape[1] // OVERSAMPLING, large.shape[0] // OVERSAMPLING)
    small = cv2.resize(large, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32) / 255
