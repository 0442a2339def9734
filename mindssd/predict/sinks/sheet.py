"""`contact_sheet.jpg`: the first images in one picture."""

from pathlib import Path

from mindssd.drawing.contact_sheet import contact_sheet, fit_cell
from mindssd.predict.sinks.base import Seen, Sink, Writers, drawn, write_image
from mindssd.types import Array

SHEET_IMAGES = 24
"""It shows at most so many."""


class ContactSheet(Sink):
    """Draws images as small as the sheet shows them."""

    def __init__(self, path: Path, writers: Writers) -> None:
        self._path = path
        self._writers = writers
        self._cells: list[Array | None] = []

    def put(self, seen: Seen) -> None:
        if len(self._cells) < SHEET_IMAGES:
            self._cells.append(None)
            self._writers.write(self._draw, len(self._cells) - 1, seen)

    def _draw(self, index: int, seen: Seen) -> None:
        picture = drawn(self._path, seen, enlarge=True)
        self._cells[index] = fit_cell(picture)

    def close(self, keep: bool) -> None:
        cells = [cell for cell in self._cells if cell is not None]
        if keep and cells:
            write_image(self._path, contact_sheet(cells))
