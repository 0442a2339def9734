"""TIFF: its directory checked, then decoded by Pillow.

Pillow warns of a damaged directory and goes on, leaves black what a directory forgets, and hears
nothing of what libjpeg says of damage.
"""

import io
import math
import struct
from dataclasses import replace
from functools import cache, partial
from typing import Any

import simplejpeg

from mindssd.decoders import pillow
from mindssd.decoders.decoded import SEVERAL, UNCHECKED, Decoded
from mindssd.decoders.exif import ORIENTATION, Directory, Structure
from mindssd.errors import ImageError

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES, _PLANES = 256, 257, 258, 259, 277, 284
_STRIPS, _ROWS_PER_STRIP, _STRIP_SIZES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_SIZES = 322, 323, 324, 325
_SUBFILE, _PHOTOMETRIC, _JPEG_TABLES = 254, 262, 347
_SINGLE = {_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION, _PHOTOMETRIC, 266, ORIENTATION, _SAMPLES}
_SINGLE |= {_ROWS_PER_STRIP, 282, 283, _PLANES, 296, _TILE_WIDTH, _TILE_HEIGHT}

_RAW, _JPEG = 1, 7
_FAXES = {2, 3, 4}
_YCBCR = 6
_SEPARATE = 2
_REDUCED_OR_MASK = 1 | 4


def decode_tiff(data: bytes) -> Decoded:
    """Decode a TIFF file's first page; ImageError where it is damaged or of a rare layout."""
    if data.startswith(b"MM\0+"):
        raise ImageError("is a BigTIFF in big-endian order, which Pillow misreads: convert it")
    try:
        structure = Structure(data)
        directory = structure.directory(structure.first)
        _require_whole(structure, directory)
        remarks = _remarks(structure, directory)
    except struct.error as error:
        raise ImageError("truncated or damaged: the TIFF file ends in its directory") from error
    try:
        decoded = pillow.load(lambda: _reader()(io.BytesIO(data)))
    except ImageError as error:
        raise ImageError(f"{error} ({_described(structure, directory)})") from error
    return replace(
        decoded,
        orientation=structure.orientation(),
        # Pillow's own word on pages counts overviews and masks.
        remarks=remarks + tuple(remark for remark in decoded.remarks if remark != SEVERAL),
    )


@cache
def _reader() -> Any:
    from PIL import Image, ImageFile, TiffImagePlugin  # 70 ms, and for TIFF alone

    core: Any = vars(Image)["core"]  # which its types leave out

    class TiffFile(TiffImagePlugin.TiffImageFile):
        """Pillow's, of any size, and not turned: `expected_size` may want it as stored."""

        def load_prepare(self) -> None:
            width, height = self.tag_v2[_WIDTH], self.tag_v2[_HEIGHT]
            self._size = width, height
            self.im = core.new(self.mode, self._size)
            ImageFile.ImageFile.load_prepare(self)

        def load_end(self) -> None:
            pass

    return TiffFile


def _one(structure: Structure, directory: Directory, tag: int, default: int) -> int:
    return (*structure.integers(directory, tag), default)[0]


def _require_whole(structure: Structure, directory: Directory) -> None:
    """Refuse a directory of which a part, or the pixels, lie outside the file or are missing."""
    length = len(structure.data)
    for tag, field in directory.fields.items():
        if field.position + field.size > length:
            raise ImageError(f"truncated or damaged: tag {tag} lies outside the file")
        if field.count != 1 and tag in _SINGLE:
            raise ImageError(f"damaged: tag {tag} has {field.count} values; expected 1")
    if sum(field.size for field in directory.fields.values() if field.size > 4) > length:
        raise ImageError("damaged: the directory is larger than the file")
    one = partial(_one, structure, directory)
    num_planes = one(_SAMPLES, 1) if one(_PLANES, 1) == _SEPARATE else 1
    compression, bits = one(_COMPRESSION, _RAW), one(_BITS, 1)
    if compression == _RAW and num_planes > 1 and bits > 8:
        raise ImageError("has planes of 16 bits, uncompressed, which Pillow misreads: convert it")
    pieces = _pieces(structure, directory, num_planes)
    if any(start + size > length for start, size in pieces):
        raise ImageError("truncated: pixels of the TIFF file lie beyond its end")
    if compression == _JPEG and bits == 8:
        _require_sound_jpegs(structure, directory, pieces)


def _pieces(structure: Structure, directory: Directory, num_planes: int) -> list[tuple[int, int]]:
    """Where each strip or tile starts, and its size: as many as the picture needs."""
    one = partial(_one, structure, directory)
    height, width = one(_HEIGHT, 0), one(_WIDTH, 0)
    starts_tag, sizes_tag = _STRIPS, _STRIP_SIZES
    piece_height, piece_width = one(_ROWS_PER_STRIP, height), width
    if _TILES in directory.fields:
        starts_tag, sizes_tag = _TILES, _TILE_SIZES
        piece_height, piece_width = one(_TILE_HEIGHT, 0), one(_TILE_WIDTH, 0)
    if min(height, width, piece_height, piece_width) < 1:
        raise ImageError(f"damaged: the TIFF file has {width} x {height} pixels in pieces of none")
    starts = structure.integers(directory, starts_tag)
    sizes = structure.integers(directory, sizes_tag)
    expected = math.ceil(height / piece_height) * math.ceil(width / piece_width) * num_planes
    if len(starts) < expected:
        raise ImageError(f"truncated or damaged: has {len(starts)} of {expected} pieces")
    return list(zip(starts, sizes, strict=False))  # without sizes, what is there is not known


def _described(structure: Structure, directory: Directory) -> str:
    """The file's layout in words, for an error: TIFF has many."""
    bits = structure.integers(directory, _BITS) or (1,)
    names = {_SAMPLES: "samples", _PHOTOMETRIC: "photometric", _COMPRESSION: "compression"}
    numbers = [f"{name} {_one(structure, directory, tag, 1)}" for tag, name in names.items()]
    return f"TIFF, bits {'+'.join(map(str, bits))}, {', '.join(numbers)}"


def _require_sound_jpegs(
    structure: Structure, directory: Directory, pieces: list[tuple[int, int]]
) -> None:
    """Decode each piece as the JPEG that it is: libtiff tells nobody what libjpeg warns of."""
    tables, field = b"", directory.fields.get(_JPEG_TABLES)
    if field is not None:
        tables = structure.data[field.position : field.position + field.size].removesuffix(
            b"\xff\xd9"
        )
    for start, size in pieces:
        piece = structure.data[start : start + size]
        if tables:
            piece = tables + piece.removeprefix(b"\xff\xd8")
        try:
            _, _, colours, _ = simplejpeg.decode_jpeg_header(piece)
            simplejpeg.decode_jpeg(piece, "CMYK" if colours in ("CMYK", "YCCK") else "RGB")
        except ValueError as error:
            raise ImageError(f"truncated or damaged: {error}") from error


def _remarks(structure: Structure, directory: Directory) -> tuple[str, ...]:
    remarks = [SEVERAL] if _has_more_pages(structure, directory) else []
    compression = _one(structure, directory, _COMPRESSION, _RAW)
    is_ycbcr = _YCBCR in structure.integers(directory, _PHOTOMETRIC)
    # There libtiff goes on after what it calls an error, and Pillow does not hear of it.
    if compression in _FAXES or (is_ycbcr and compression not in (_RAW, _JPEG)):
        remarks.append(UNCHECKED)
    return tuple(remarks)


def _has_more_pages(structure: Structure, directory: Directory) -> bool:
    """Whether another directory holds a page of its own, neither overview nor mask."""
    seen: set[int] = set()
    while directory.next and directory.next not in seen:
        seen.add(directory.next)
        try:
            directory = structure.directory(directory.next)
        except struct.error:  # damaged: Pillow does not go there
            return False
        if not _one(structure, directory, _SUBFILE, 0) & _REDUCED_OR_MASK:
            return True
    return False
