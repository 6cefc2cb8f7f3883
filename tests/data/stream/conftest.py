"""Small files of every kind that streams, with the same rows."""

import io
import json
import tarfile

import cv2
import numpy as np
import pytest

ROWS = 211  # a prime: it divides evenly into nothing
SIDE = 40


@pytest.fixture(scope="session")
def pictures() -> list[bytes]:
    """PNG pictures of one elongated blob each."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    encoded = []
    for _ in range(ROWS):
        angle, brightness = random.uniform(0, np.pi), random.uniform(120, 250)
        along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        blob = brightness * np.exp(-((along / 8) ** 2) - (across / 3) ** 2)
        picture = np.stack([blob * 0.6, blob * 0.8, blob], axis=-1) + random.uniform(0, 4, (SIDE, SIDE, 3))
        encoded.append(cv2.imencode(".png", picture.astype(np.uint8))[1].tobytes())
    return encoded


@pytest.fixture(scope="session")
def parquet_folder(pictures, tmp_path_factory):
    """Shards of unequal length, in row groups of unequal length."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = tmp_path_factory.mktemp("parquet")
    for shard, (start, stop, group) in enumerate([(0, 97, 10), (97, 100, 10), (100, ROWS, 13)]):
        rows = range(start, stop)
        columns = {
            "id": [f"galaxy-{row}" for row in rows],
            "image": [{"bytes": pictures[row], "path": None} for row in rows],
            "label": [row % 3 for row in rows],
        }
        pq.write_table(pa.table(columns), folder / f"{shard}.parquet", row_group_size=group)
    return folder


@pytest.fixture(scope="session")
def tar_file(pictures, tmp_path_factory):
    path = tmp_path_factory.mktemp("tar") / "galaxies.tar"
    with tarfile.open(path, "w") as archive:
        for row, picture in enumerate(pictures):
            columns = json.dumps({"label": row % 3}).encode()
            for name, content in ((f"galaxy-{row}.png", picture), (f"galaxy-{row}.json", columns)):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture(scope="session")
def flux():
    """Flux of blobs, `[N, 3, H, W]`."""
    random = np.random.default_rng(1)
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    blob = np.exp(-(x**2 + y**2) / 30)
    strength = random.uniform(0.5, 2, (ROWS, 3, 1, 1))
    return (strength * blob + random.normal(0, 0.002, (ROWS, 3, SIDE, SIDE))).astype(np.float32)


@pytest.fixture(scope="session")
def hdf5_file(flux, tmp_path_factory):
    h5py = pytest.importorskip("h5py")
    path = tmp_path_factory.mktemp("hdf5") / "images.h5"
    with h5py.File(path, "w") as file:
        file["images"] = flux
        file["label"] = np.arange(ROWS) % 3
        file["id"] = np.array([f"galaxy-{row}" for row in range(ROWS)], dtype="S")
    return path
