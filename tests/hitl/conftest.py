"""Small collections of simulated features: two kinds of galaxies that a few directions tell apart."""

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
pytest.importorskip("sklearn")

WIDTH = 32
FACTS = {"model": "tiny", "weights": "0123", "features": "stage_statistics", "adaptive_crop": "true"}


def draw_galaxies(number, share=0.1, seed=0):
    """Features [N, WIDTH] with a large common part, and which of them are of the kind."""
    random = np.random.default_rng(seed)
    members = random.random(number) < share
    features = random.normal(size=(number, WIDTH)) + np.outer(members, np.repeat([1.2, 0.0], [4, WIDTH - 4]))
    return (0.3 * features + np.linspace(-20, 20, WIDTH)).astype(np.float32), members


def write_table(path, features, members, /, facts=FACTS, **columns):
    number, width = features.shape
    random = np.random.default_rng(1)
    table = pa.table(
        {
            "id": [f"galaxy-{row}" for row in range(number)],
            "source": [f"{row}.jpg" for row in range(number)],
            "features": pa.FixedSizeListArray.from_arrays(pa.array(features.ravel()), width),
            "kind": np.where(members, "spiral", "other"),
            "ra": random.uniform(0, 360, number),
            "dec": random.uniform(-80, 80, number),
            "magnitude": pa.array([None if row == 3 else 17 + row / 100 for row in range(number)], pa.float32()),
            **columns,
        }
    )
    pq.write_table(table.replace_schema_metadata(facts), path, row_group_size=100)
    return path


@pytest.fixture(scope="session")
def galaxies():
    return draw_galaxies(900)


@pytest.fixture(scope="session")
def collection(galaxies, tmp_path_factory):
    from galvm_hf.hitl import build_collection

    folder = tmp_path_factory.mktemp("collections")
    return build_collection([write_table(folder / "features.parquet", *galaxies)], folder / "simulated")


@pytest.fixture(scope="session")
def members(galaxies):
    """Names of the galaxies that are of the kind."""
    return [f"galaxy-{row}" for row in np.flatnonzero(galaxies[1])]


@pytest.fixture(scope="session")
def others(galaxies):
    return [f"galaxy-{row}" for row in np.flatnonzero(~galaxies[1])]


@pytest.fixture
def session(collection, members, others, tmp_path):
    from galvm_hf.hitl import Session

    with Session.start(tmp_path / "session", collection, "spirals", "ada", members[:5], others[:5]) as session:
        yield session
