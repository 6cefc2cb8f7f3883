"""A small survey of simulated galaxies with made-up positions, and a server of the page."""

import io

import numpy as np
import PIL.Image
import pytest

pytest.importorskip("gradio")
pytest.importorskip("filelock")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

NUMBER = 60


@pytest.fixture(scope="session")
def survey(tiny_checkpoint, tmp_path_factory):
    """Simulated galaxies, encoded by a tiny checkpoint of random weights, with `label`, `ra` and `dec`."""
    from galvm_hf.data.simulate.files import write_stamp_shards
    from galvm_hf.hitl import build_collection
    from galvm_hf.interfaces.embed import embed_files, load_encoder

    folder = tmp_path_factory.mktemp("space")
    write_stamp_shards("galaxies", NUMBER, 1, 64, folder / "stamps")
    encoder = load_encoder(str(tiny_checkpoint), "cpu", features="stage_statistics")
    embed_files([folder / "stamps"], folder / "features.parquet", encoder, str(tiny_checkpoint))
    table = pq.read_table(folder / "features.parquet")
    shard = next((folder / "stamps").rglob("*.parquet"))
    table = table.set_column(table.schema.get_field_index("source"), "source", pa.array([str(shard)] * NUMBER))
    for name, values in (("ra", np.linspace(10, 20, NUMBER)), ("dec", np.linspace(-5, 5, NUMBER))):
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, folder / "survey.parquet")
    return build_collection([folder / "survey.parquet"], folder / "survey")


@pytest.fixture(scope="session")
def spirals(survey):
    return [
        name
        for name, label in zip(survey.ids.to_pylist(), survey.column("label").to_pylist(), strict=True)
        if label == "spiral"
    ]


@pytest.fixture(scope="session")
def galaxy_png():
    """A blob on a dark sky."""
    random = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64] - 32
    blob = 200 * np.exp(-(x**2 + y**2) / 60)[..., None] + random.uniform(0, 20, (64, 64, 3))
    buffer = io.BytesIO()
    PIL.Image.fromarray(blob.astype(np.uint8)).save(buffer, format="PNG")
    return buffer.getvalue()


@pytest.fixture
def desk(survey, tmp_path):
    from galvm_hf.interfaces.space import Desk

    with Desk(survey, tmp_path / "desk") as desk:
        yield desk


@pytest.fixture(scope="session")
def server(survey, tmp_path_factory):
    """`galvm label` as a process of its own; whoever stops it starts it again."""
    from hitl_load import Server

    folder = tmp_path_factory.mktemp("server")
    server = Server([str(survey.folder), "--sessions", str(folder / "sessions")], folder / "server.log")
    server.sessions = folder / "sessions" / "sessions"
    server.start()
    yield server
    server.stop()
