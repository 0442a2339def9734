"""Image files of many kinds, drawn and then damaged: a function of the seed and the case alone."""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Kind:
    """How Pillow writes a picture."""

    image_format: str
    mode: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        options = "".join(f" {name}={value!r:.20}" for name, value in self.options)
        return f"{self.image_format} {self.mode}{options}"


def _kinds() -> list[Kind]:
    def of(image_format: str, modes: str, **options: Any) -> list[Kind]:
        return [Kind(image_format, mode, tuple(options.items())) for mode in modes.split()]

    turned = Image.Exif()
    turned[0x0112] = 6
    exif = turned.tobytes()
    kinds = of("JPEG", "L RGB CMYK") + of("JPEG", "L RGB CMYK", progressive=True)
    for subsampling in ("4:4:4", "4:2:2", "4:1:1"):
        kinds += of("JPEG", "RGB", subsampling=subsampling)
    kinds += of("JPEG", "RGB", restart_marker_blocks=3) + of("JPEG", "RGB", keep_rgb=True)
    kinds += of("JPEG", "RGB", exif=exif) + of("JPEG", "RGB", icc_profile=b"p" * 999)
    kinds += of("PNG", "1 L LA P RGB RGBA I;16") + of("PNG", "RGB", exif=exif)
    kinds += of("PNG", "P", transparency=3) + of("PNG", "L", transparency=3)
    kinds += of("BMP", "1 L P RGB RGBA")
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        kinds += of("TIFF", "1 L P RGB RGBA CMYK I;16 LA", compression=compression)
    kinds += of("TIFF", "1", compression="group4") + of("TIFF", "L RGB", compression="jpeg")
    kinds += of("TIFF", "YCbCr", compression="raw") + of("TIFF", "RGB", exif=exif)
    kinds += of("TIFF", "RGB", compression="tiff_lzw", rows=5)
    kinds += of("WEBP", "RGB RGBA") + of("WEBP", "RGB RGBA", lossless=True)
    kinds += of("WEBP", "RGB", exif=exif)
    return kinds + of("GIF", "L P") + of("PPM", "1 L RGB I;16") + of("JPEG2000", "L RGB RGBA")


KINDS = _kinds()


@cache
def _written(kind: Kind, drawing: int) -> bytes:
    rng = np.random.default_rng((1, drawing))
    height, width = (int(side) for side in rng.integers(1, 90, 2))
    coarse = rng.integers(0, 256, (height // 8 + 2, width // 8 + 2, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    if drawing % 2:
        noise = rng.integers(0, 40, (height, width, 3), dtype=np.uint8)
        image = Image.fromarray(np.asarray(image) // 2 + noise)
    if kind.mode == "I;16":
        image = Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257)
    elif kind.mode in ("LA", "RGBA"):
        alpha = image.convert("L")
        image = image.convert(kind.mode)
        image.putalpha(alpha)
    else:
        image = image.convert(kind.mode)
    options = dict(kind.options)
    if "rows" in options:
        options["tiffinfo"] = {278: options.pop("rows")}
    buffer = io.BytesIO()
    image.save(buffer, kind.image_format, **options)
    return buffer.getvalue()


def case(seed: int, number: int) -> tuple[str, bytes]:
    """What the case is, and its file."""
    rng = np.random.default_rng((seed, number))
    kind = KINDS[int(rng.integers(len(KINDS)))]
    data = _written(kind, int(rng.integers(6)))
    names = []
    for _ in range(1 + int(rng.integers(2))):
        damage = DAMAGES[int(rng.integers(len(DAMAGES)))]
        names.append(damage.__name__.removeprefix("_"))
        data = damage(data, rng)
    if kind.image_format == "PNG" and rng.integers(2):
        names.append("checksums right")
        data = _with_right_checksums(data)
    return f"{kind}: {', '.join(names)}", data


def _cut(data: bytes, rng: np.random.Generator) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def _cut_but_ended(data: bytes, rng: np.random.Generator) -> bytes:
    end = next((end for start, end in _ENDS.items() if data.startswith(start)), b"")
    return data[: int(rng.integers(len(data) + 1))] + end


_ENDS = {b"\xff\xd8": b"\xff\xd9", _PNG_SIGNATURE: struct.pack(">I4sI", 0, b"IEND", 0xAE426082)}
_ENDS |= {b"GIF8": b";", b"\xff\x4f": b"\xff\xd9", b"\0\0\0\x0cjP": b"\xff\xd9"}


def _flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    return _flipped(data, rng, len(data))


def _flip_bits_of_header(data: bytes, rng: np.random.Generator) -> bytes:
    return _flipped(data, rng, min(len(data), 300))


def _flip_bits_of_end(data: bytes, rng: np.random.Generator) -> bytes:
    tail = min(len(data), 300)
    return data[: len(data) - tail] + _flipped(data[len(data) - tail :], rng, tail)


def _flipped(data: bytes, rng: np.random.Generator, reach: int) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(reach, size=int(rng.integers(1, 6))) if reach else ():
        changed[int(place)] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _overwrite(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + rng.bytes(end - start) + data[end:]


def _blank(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + bytes([int(rng.choice([0, 255]))]) * (end - start) + data[end:]


def _leave_out(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _repeat(data: bytes, rng: np.random.Generator) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:]


def _odd_number(data: bytes, rng: np.random.Generator) -> bytes:
    """One number of the header or the end at the limit of what it can be."""
    size = int(rng.choice([1, 2, 4]))
    value = int(rng.choice([0, 1, 2, 2 ** (8 * size - 1), 2 ** (8 * size) - 1]))
    reach = min(len(data), 300)
    start = int(rng.integers(reach + 1))
    start = start if rng.integers(2) else len(data) - start
    content = value.to_bytes(size, "big" if rng.integers(2) else "little")
    return data[:start] + content + data[start + size :]


def _more(data: bytes, rng: np.random.Generator) -> bytes:
    return data + rng.bytes(int(rng.integers(1, 300)))


def _span(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(len(data) + 1))
    return start, min(len(data), start + int(rng.integers(1, 40)))


DAMAGES: list[Callable[[bytes, np.random.Generator], bytes]] = [
    *(_cut, _cut_but_ended, _flip_bits, _flip_bits_of_header, _flip_bits_of_end),
    *(_overwrite, _blank, _leave_out, _repeat, _odd_number, _more),
]


def _with_right_checksums(data: bytes) -> bytes:
    """A PNG whose damage no checksum tells of."""
    pieces, position = [data[: len(_PNG_SIGNATURE)]], len(_PNG_SIGNATURE)
    while position + 12 <= len(data):
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if end > len(data):
            break
        content = data[position + 4 : end - 4]
        pieces += [data[position : position + 4], content, struct.pack(">I", zlib.crc32(content))]
        position = end
    return b"".join([*pieces, data[position:]])
