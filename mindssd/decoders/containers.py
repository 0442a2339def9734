"""Which container a file is, by its first bytes, and its decoder."""

from mindssd.decoders import jpeg, jpeg2000, pillow, png, tiff
from mindssd.decoders.decoded import Decoded
from mindssd.decoders.exif import TIFF_SIGNATURES
from mindssd.errors import ImageError

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"mif1", b"msf1", b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"}
_PPM_SIGNATURES = (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6")


def decode(data: bytes) -> Decoded:
    """Decode a file's content as stored; ImageError, without a name, where it cannot be."""
    if data.startswith(jpeg.SIGNATURE):
        return jpeg.decode_jpeg(data)
    if data.startswith(png.SIGNATURE):
        return png.decode_png(data)
    if data.startswith(TIFF_SIGNATURES):
        return tiff.decode_tiff(data)
    if data.startswith(jpeg2000.SIGNATURES):
        return jpeg2000.decode_jpeg2000(data)
    return pillow.decode(container_of(data), data)


def container_of(data: bytes) -> str:
    """The name of a container that needs no care but Pillow's."""
    if data.startswith(b"BM"):
        return "BMP"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WebP"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(_PPM_SIGNATURES) and data[2:3].isspace():
        return "PPM"
    if data[4:8] == b"ftyp":
        size = int.from_bytes(data[:4], "big")
        brands = {data[8:12], *(data[at : at + 4] for at in range(16, min(size, 256), 4))}
        if brands & _AVIF_BRANDS:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
    raise ImageError(
        "truncated, damaged or not an image; expected JPEG, PNG, WebP, BMP, TIFF, GIF, PPM, "
        "JPEG 2000, AVIF or HEIF"
    )
