"""Pictures of the same galaxy, found by their looks: sets of stamps overlap, and their files do not say where.

Round galaxies look alike when averaged to a few pixels; what tells one from another is fine structure. So a
fingerprint is the square root of the grey levels of the middle of a picture, 20 x 20 px, less its own smooth part. It
is taken at several zooms, because sets cut the same galaxy at scales of their own.

The threshold is from 18,378 real pictures of the SDSS in four sets, looked at one by one where they are alike by more
than 0.9. The 27 that show a galaxy of another set, cut 1.1 times as large and compressed anew, correlate by 0.932 to
0.996 with it; different galaxies by 0.922 at most, but for 0.936 of one pair of smooth bulges that fill the frame. To
take two galaxies for one costs a row; to miss a copy leaks it from one split into another.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from tqdm import tqdm

SIDE = 20  # px
SHARE = 0.75  # of the shorter side of the picture
SMOOTH = 2.0  # px, standard deviation
ZOOM_STEP, ZOOMS = 1.045, 9  # up to 1.42 times as large
THRESHOLD = 0.93
# A picture with less structure is empty; the noise of one grey level of 255 in the dark has a thousand times as much.
FAINTEST = 1e-3

_BLOCK = 1024


def fingerprint(display: np.ndarray) -> np.ndarray:
    """What a picture looks like, at every zoom.

    Args:
        display: `[H, W, 3]` float32 in [0, 1].

    Returns:
        `[ZOOMS, SIDE * SIDE]` float32, of mean 0 and length 1; almost 0 in an empty picture.
    """
    grey = display.mean(axis=2)
    height, width = grey.shape
    found = np.empty((ZOOMS, SIDE * SIDE), dtype=np.float32)
    for row, share in zip(found, SHARE / ZOOM_STEP ** np.arange(ZOOMS), strict=True):
        side = max(1, round(share * min(height, width)))
        top, left = (height - side) // 2, (width - side) // 2
        middle = np.ascontiguousarray(grey[top : top + side, left : left + side])
        small = np.sqrt(cv2.resize(middle, (SIDE, SIDE), interpolation=cv2.INTER_AREA))
        fine = (small - cv2.GaussianBlur(small, (0, 0), SMOOTH)).ravel()
        fine -= fine.mean()
        row[:] = fine / max(float(np.linalg.norm(fine)), FAINTEST)
    return found


def same_galaxies(
    first: np.ndarray, second: np.ndarray, threshold: float = THRESHOLD, title: str | None = None
) -> Iterator[tuple[int, int, float]]:
    """Pairs of pictures of the same galaxy.

    Args:
        first: Fingerprints, `[N, ZOOMS, SIDE * SIDE]`.
        second: Others, `[M, ZOOMS, SIDE * SIDE]`; or `first` itself, for the pairs within it.
        threshold: Correlation above which two pictures are of the same galaxy.
        title: Of the progress bar; None for no bar.

    Yields:
        Row of the first, row of the second, correlation at the zoom where it is highest.
    """
    within = first is second
    for begin in tqdm(range(0, len(first), _BLOCK), desc=title, unit=" blocks", disable=title is None):
        ones = first[begin : begin + _BLOCK]
        others = second[begin:] if within else second
        alike = np.full((len(ones), len(others)), -1, dtype=np.float32)
        for zoom in range(ZOOMS):
            np.maximum(alike, ones[:, 0] @ others[:, zoom].T, out=alike)
            np.maximum(alike, ones[:, zoom] @ others[:, 0].T, out=alike)
        for row, column in np.argwhere(alike > threshold).tolist():
            if not within or row < column:
                yield begin + row, column + (begin if within else 0), float(alike[row, column])
