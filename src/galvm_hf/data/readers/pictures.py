"""JPEG and PNG pictures."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..stamp import Stamp, UnreadableStampError
from .checks import MAX_BYTES, check_shape, check_start, damage

# Between this mark and the end of the file some programs leave a few bytes.
_JPEG_END, _JPEG_TAIL = b"\xff\xd9", 1024
# Markers of the segment that states the size: SOF0 to SOF15, but for three that mean other things.
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def iter_picture(path: Path, name: str, report: Callable[[UnreadableStampError], None]) -> Iterator[Stamp]:
    """The one stamp of a picture file."""
    with damage(path, "picture"):
        if path.stat().st_size > MAX_BYTES:
            raise UnreadableStampError(path, "is larger than any stamp", "Cut stamps from it")
        content = path.read_bytes()
    yield Stamp(decode_picture(content, path), None, None, name, str(path), encoded=content)


def decode_picture(encoded: bytes, place: str | Path) -> np.ndarray:
    """Colours uint8 [H, W, 3], red first, of an encoded JPEG or PNG.

    OpenCV decodes whole JPEGs of 8 bits, to the same values as Pillow and in half its time; Pillow decodes the rest.

    Raises:
        UnreadableStampError: If it is damaged or cut short, larger than a stamp, or has more than 8 bits a channel.
    """
    check_start(encoded[:256], place)
    frame = _jpeg_frame(encoded)
    if frame is not None:
        check_shape(frame, place)
        import cv2

        content = np.frombuffer(encoded, dtype=np.uint8)
        with damage(place, "picture"):
            pixels = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is not None:
            return pixels
    return _decode_with_pillow(encoded, place)


def _jpeg_frame(encoded: bytes) -> tuple[int, int, int] | None:
    """Height, width and channels of a whole JPEG of 8 bits, grey or in colour; `None` of anything else.

    Pillow tells them too, in more time than OpenCV takes to decode a small stamp.
    """
    # Of a JPEG without its end OpenCV shows what there is, and says so nowhere.
    if not encoded.startswith(b"\xff\xd8") or _JPEG_END not in encoded[-_JPEG_TAIL:]:
        return None
    segment = 2
    while encoded[segment : segment + 1] == b"\xff" and segment + 10 <= len(encoded):
        marker, length = encoded[segment + 1], int.from_bytes(encoded[segment + 2 : segment + 4])
        if marker in _JPEG_FRAMES:
            height, width = (int.from_bytes(encoded[segment + at : segment + at + 2]) for at in (5, 7))
            bits, channels = encoded[segment + 4], encoded[segment + 9]
            return (height, width, channels) if bits == 8 and channels in (1, 3) else None
        segment += 2 + length
    return None


def _decode_with_pillow(encoded: bytes, place: str | Path) -> np.ndarray:
    from PIL import Image

    with damage(place, "picture"), Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG")) as picture:
        check_shape((picture.height, picture.width, 3), place)
        if picture.mode.startswith(("I", "F")):
            raise UnreadableStampError(
                place, f"has more than 8 bits a channel (mode {picture.mode})", "Save it as a FITS cube"
            )
        if picture.has_transparency_data:
            sky = Image.new("RGBA", picture.size, (0, 0, 0, 255))  # what is transparent lies on black sky
            picture = Image.alpha_composite(sky, picture.convert("RGBA"))
        return np.array(picture.convert("RGB"))
