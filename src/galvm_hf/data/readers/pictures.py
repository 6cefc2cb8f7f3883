"""JPEG and PNG pictures."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from ..stamp import Stamp, UnreadableStampError
from .checks import MAX_BYTES, check_shape, check_start, damage

# Between this mark and the end of the file some programs leave a few bytes.
_JPEG_END, _JPEG_TAIL = b"\xff\xd9", 1024


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
    from PIL import Image

    check_start(encoded[:256], place)
    with damage(place, "picture"), Image.open(io.BytesIO(encoded), formats=("JPEG", "PNG")) as picture:
        check_shape((picture.height, picture.width, 3), place)
        if picture.mode.startswith(("I", "F")):
            raise UnreadableStampError(
                place, f"has more than 8 bits a channel (mode {picture.mode})", "Save it as a FITS cube"
            )
        # Of a JPEG without its end OpenCV shows what there is, and says so nowhere.
        if picture.format == "JPEG" and picture.mode in ("RGB", "L") and _JPEG_END in encoded[-_JPEG_TAIL:]:
            import cv2

            content = np.frombuffer(encoded, dtype=np.uint8)
            pixels = cv2.imdecode(content, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION)
            if pixels is not None:
                return pixels
        if picture.has_transparency_data:
            sky = Image.new("RGBA", picture.size, (0, 0, 0, 255))  # what is transparent lies on black sky
            picture = Image.alpha_composite(sky, picture.convert("RGBA"))
        return np.array(picture.convert("RGB"))
