"""Damaged files for the readers: valid files of every kind, seeded mutations of them, and a process that reads them.

As a program it is that process: it reads the file of each line of its input, and answers with one line of JSON. A crash
or a hang of a C library then ends or stops a child, and not the test.
"""

import io
import json
import os
import queue
import resource
import subprocess
import sys
import tarfile
import tempfile
import threading
from pathlib import Path

import numpy as np

TIME_LIMIT = 10.0  # seconds a file
START_LIMIT = 300.0  # seconds to import the libraries
MEMORY_LIMIT = 2 * 2**30  # bytes, of the whole process
WCS_CARDS = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CD1_1": -0.262 / 3600, "CD2_2": 0.262 / 3600}


def write_valid_files(folder: Path) -> list[Path]:
    """One small file of every kind and way of storing, simulated noise in g, r, z."""
    import h5py
    import pyarrow as pa
    import pyarrow.parquet as pq
    from astropy.io import fits
    from PIL import Image

    random = np.random.default_rng(7)
    flux = random.normal(size=(3, 24, 20)).astype("f4")
    stack = random.normal(size=(6, 3, 16, 16)).astype("f4")
    cards = {**WCS_CARDS, "BUNIT": "nanomaggy"}

    def bands(kind, **options):
        hdus = [kind(plane, **options) for plane in flux]
        for hdu, band in zip(hdus, "grz", strict=True):
            hdu.header.update({**cards, "EXTNAME": f"IMAGE_{band}", "MAGZERO": 22.5})
        return fits.HDUList([fits.PrimaryHDU(), *hdus])

    def cube(array, **header):
        hdu = fits.PrimaryHDU(array)
        hdu.header.update({**cards, **header})
        return hdu

    cube(flux, BANDS="grz").writeto(folder / "cube.fits")
    cube(flux, BANDS="grz").writeto(folder / "checksum.fits", checksum=True)
    cube((flux * 100).astype("i2"), BSCALE=0.01).writeto(folder / "integer.fits")
    cube(flux.astype("f8")).writeto(folder / "packed.fits.gz")
    bands(fits.ImageHDU).writeto(folder / "bands.fits", checksum=True)
    for kind in ("RICE_1", "GZIP_2", "HCOMPRESS_1"):
        packed = bands(fits.CompImageHDU, compression_type=kind)
        packed.writeto(folder / f"{kind.lower()}.fits.fz", checksum=kind == "HCOMPRESS_1")

    chunked = {"chunks": (2, 3, 16, 16), "compression": "gzip", "shuffle": True}
    for name, options in {"plain": {}, "chunked": chunked}.items():
        with h5py.File(folder / f"{name}.h5", "w") as file:
            file.create_dataset("images", data=stack, **options)
            file["ra"], file["inds"] = random.uniform(0, 360, 6), np.arange(6)
            file.create_dataset("source_type", data=np.array([b"DEV", b"EXP", b"PSF"] * 2))
            file.create_dataset("comment", data=["text"] * 6, dtype=h5py.string_dtype())

    def encode(form, mode="RGB"):
        buffer = io.BytesIO()
        picture = Image.fromarray(random.integers(0, 255, (40, 36, 3), dtype=np.uint8)).convert(mode)
        picture.save(buffer, format=form)
        return buffer.getvalue()

    jpeg, png = encode("JPEG"), encode("PNG")
    (folder / "picture.jpg").write_bytes(jpeg)
    (folder / "grey.jpeg").write_bytes(encode("JPEG", "L"))
    (folder / "picture.png").write_bytes(png)
    (folder / "palette.png").write_bytes(encode("PNG", "P"))

    features = {"image": {"_type": "Image"}, "label": {"names": ["disc", "bulge"], "_type": "ClassLabel"}}
    metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    images = pa.array([{"bytes": jpeg, "path": None}] * 5, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    table = pa.table({"image": images, "label": [0, 1, 0, 1, 1], "objid": list("abcde")}, metadata=None)
    pq.write_table(table.replace_schema_metadata(metadata), folder / "images.parquet", row_group_size=3)
    shard = pa.table(
        {
            "id": list("abcdef"),
            "source": ["x.h5"] * 6,
            "flux": pa.array([stamp.tobytes() for stamp in stack], pa.binary()),
            "shape": pa.array([stack.shape[1:]] * 6, pa.list_(pa.int32())),
            "bands": ["g,r,z"] * 6,
            "pixel_scale": [0.262] * 6,
            "units": ["nanomaggy"] * 6,
            "wcs": [fits.Header(WCS_CARDS).tostring()] * 6,
            "ra": random.uniform(0, 360, 6),
        }
    )
    pq.write_table(shard, folder / "flux.parquet", row_group_size=3, compression="none", write_page_checksum=True)
    pq.write_table(shard, folder / "packed.parquet", row_group_size=4, compression="zstd")

    np.save(folder / "flux.npy", flux)
    np.save(folder / "stack.npy", stack)
    np.savez(folder / "stack.npz", images=stack, ra=np.arange(6.0), kind=np.array(["disc"] * 6))
    np.savez_compressed(folder / "packed.npz", flux=flux)

    saved = io.BytesIO()
    np.save(saved, flux)
    members = {"0.jpg": jpeg, "0.json": b'{"ra": 1.5, "label": "disc"}', "1.png": png, "1.cls": b"3"}
    members |= {"2.npy": saved.getvalue(), "3.fits": (folder / "cube.fits").read_bytes(), "3.json": b'{"ra": 2}'}
    for form in (tarfile.USTAR_FORMAT, tarfile.PAX_FORMAT):
        with tarfile.open(folder / f"samples-{form}.tar", "w", format=form) as archive:
            for name, content in members.items():
                member = tarfile.TarInfo(f"folder/{name}")
                member.size = len(content)
                if form == tarfile.PAX_FORMAT:
                    member.pax_headers = {"comment": "simulated"}
                archive.addfile(member, io.BytesIO(content))
    return sorted(folder.iterdir())


def mutate(content: bytes, others: list[bytes], random: np.random.Generator) -> bytes:
    """One to three damages of a file, of the kinds that disks, networks and people do to it, and worse.

    Args:
        content: The valid file.
        others: Other files, which it may be swapped with or get parts of.
        random: Decides everything.
    """
    result = bytearray(content)
    # A light damage, a few bits or digits of a header, lets a reader come far.
    light = random.random() < 0.4
    for _ in range(random.integers(1, 4)):
        # Headers are where damage is read as meaning: half of it goes to the first and the last kilobytes.
        size = max(1, len(result))
        place = int(random.integers(size))
        if random.random() < 0.5:
            place = min(size - 1, int(random.integers(4096)))
            place = place if random.random() < 0.6 else size - 1 - place
        length = int(2 ** random.uniform(0, 11))
        kind = random.choice([1, 6]) if light else random.integers(9)
        if kind == 0:
            for position in random.integers(max(0, place - 64), min(size, place + 64), random.integers(1, 16)):
                result[position : position + 1] = random.bytes(1)
        elif kind == 1:
            result[place : place + 1] = bytes([(result[place] if result else 0) ^ (1 << random.integers(8))])
        elif kind == 2:
            del result[place:]
        elif kind == 3:
            result[place:place] = random.bytes(length)
        elif kind == 4:
            result[place : place + length] = bytes(len(result[place : place + length]))
        elif kind == 5:
            result[place : place + length] = b"\xff" * len(result[place : place + length])
        elif kind == 6:
            digits = [index for index, byte in enumerate(result[:8192]) if chr(byte).isdigit()]
            for index in random.choice(digits, min(len(digits), 3)) if digits else []:
                result[index] = ord("0") + int(random.integers(10))
        elif kind == 7:
            target = int(random.integers(size))
            result[target:target] = result[place : place + length]
        else:
            other = others[random.integers(len(others))]
            start = int(random.integers(len(other)))
            result = bytearray(other) if random.random() < 0.3 else result[:place] + other[start : start + length]
    return bytes(result)


def fuzz(folder: Path, number: int, seed: int) -> tuple[dict[str, int], list[str]]:
    """Mutate files and read them in a child process.

    Args:
        folder: An empty folder to work in. The files that fail stay there.
        number: How many to read.
        seed: Of the mutations.

    Returns:
        How many files ended in stamps, and how many in nothing but errors, and one line for each other end.
    """
    originals = folder / "valid"
    originals.mkdir()
    valid = write_valid_files(originals)
    contents = [path.read_bytes() for path in valid]
    ends, failures = {"stamps": 0, "errors": 0}, []
    child = Child()
    try:
        for index in range(number):
            random = np.random.default_rng([seed, index])
            path = folder / f"{seed}-{index}-{valid[index % len(valid)].name}"
            path.write_bytes(mutate(contents[index % len(valid)], contents, random))
            answer = child.read(path)
            if "failure" in answer:
                failures.append(f"{path.name}: {answer['failure']}")
                child.stop()
                child = Child()
                continue
            ends["stamps" if answer["stamps"] else "errors"] += 1
            path.unlink()
    finally:
        child.stop()
    return ends, failures


class Child:
    """A process that reads files, one after another, within limits of time and memory."""

    def __init__(self):
        # Libraries may write on the standard error whatever they like; a crash is told by the exit code.
        self.process = subprocess.Popen(
            [sys.executable, "-X", "faulthandler", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self._answers = queue.Queue()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        answer = self._next(START_LIMIT)
        if "ready" not in answer:
            raise RuntimeError(f"The process that reads files did not start: {answer}")

    def read(self, path: Path) -> dict:
        """What reading a file came to: `stamps` and `errors`, or `failure`."""
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        return self._next(TIME_LIMIT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self._listener.join()
        self.process.stdin.close()
        self.process.stdout.close()

    def _listen(self) -> None:
        for line in self.process.stdout:
            self._answers.put(json.loads(line))
        self._answers.put({"failure": "crashed"})

    def _next(self, limit: float) -> dict:
        try:
            answer = self._answers.get(timeout=limit)
        except queue.Empty:
            return {"failure": f"took longer than {limit} s"}
        if answer.get("failure") == "crashed":
            answer["failure"] = f"crashed with exit code {self.process.wait()}"
        if answer.get("memory", 0) > MEMORY_LIMIT:
            return {"failure": f"took {answer['memory'] / 2**20:.0f} MiB"}
        return answer


def read_file(path: Path) -> dict:
    """Read a file as a bulk run does, check what comes, and say what it came to."""
    from galvm_hf.data.readers import iter_stamps, summarise_sources
    from galvm_hf.data.stamp import UnreadableStampError

    errors, number = [], 0
    try:
        summarise_sources([path])
        for stamp in iter_stamps([path], errors.append):
            number += 1
            if stamp.bands is None:
                assert stamp.pixels.dtype == np.uint8 and stamp.pixels.shape[2:] == (3,)
            else:
                assert stamp.pixels.dtype == np.float32 and stamp.pixels.dtype.isnative
                assert len(stamp.pixels) == len(stamp.bands) >= 3
                assert np.isfinite(stamp.pixels).all(axis=0).any()
        assert number or errors, "neither stamps nor errors"
        assert all(isinstance(error, UnreadableStampError) for error in errors)
    except Exception as error:
        import traceback

        return {"failure": f"{type(error).__name__}: {error} {traceback.format_exc(limit=-6)}"}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"stamps": number, "errors": len(errors), "first": str(errors[0]) if errors else None, "memory": memory}


def main() -> None:
    import warnings

    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        for path in write_valid_files(Path(folder)):
            read_file(path)  # imports what it needs: that is not the time of the first damaged file
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(read_file(Path(line.rstrip("\n")))), flush=True)


if __name__ == "__main__":
    main()
