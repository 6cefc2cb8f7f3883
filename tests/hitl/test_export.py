"""What leaves a session: tables of every kind, and a model that says the same."""

import csv

import numpy as np
import pytest
import torch

from galvm_hf.data.stamp import Stamp
from galvm_hf.hitl import Session, build_collection
from galvm_hf.hitl.encoder import digest_encoder
from galvm_hf.hitl.export import export_model, export_table
from galvm_hf.hitl.scoring import score_rows

from .conftest import FACTS, draw_galaxies, pq, write_table

Table = pytest.importorskip("astropy.table").Table


@pytest.mark.parametrize("name", ["a.parquet", "a.csv", "a.fits", "a.vot"])
def test_tables_hold_labels_and_scores_of_all(name, session, collection, tmp_path):
    session.answer("ada", "galaxy-411", True)
    session.answer("ada", "galaxy-412", False)
    stamp = Stamp(np.zeros((8, 8, 3), np.uint8), None, None, "mine.jpg", "mine.jpg")
    session.answer_image("ada", stamp, lambda stamps: collection.mean[None])
    path = tmp_path / "out" / name
    assert export_table(session, path) == 901
    if name.endswith("csv"):
        with path.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
    elif name.endswith("parquet"):
        rows = pq.read_table(path).to_pylist()
        assert pq.read_schema(path).metadata[b"TARGET"] == b"spirals"
    else:
        table = Table.read(path)
        assert name.endswith("vot") or table.meta["TARGET"] == "spirals"
        rows = [dict(zip(table.colnames, row, strict=True)) for row in table.iterrows()]
    assert [str(rows[row]["id"]) for row in (0, 411, 900)] == ["galaxy-0", "galaxy-411", "upload 1: mine.jpg"]
    assert [str(rows[row]["label"]) for row in (411, 412, 413, 900)] == ["yes", "no", "unseen", "yes"]
    assert [int(rows[row]["yes"]) for row in (411, 412)] == [1, 0]
    assert float(rows[5]["ra"]) == pytest.approx(collection.describe(5)["ra"])
    expected = score_rows(collection, session.learner, np.arange(900))
    np.testing.assert_allclose([float(row["probability"]) for row in rows[:900]], expected.probability, atol=1e-6)
    np.testing.assert_allclose([float(row["spread"]) for row in rows[:900]], expected.spread, atol=1e-6)


def test_disputed_galaxies_are_called_so(collection, members, others, tmp_path):
    clock = iter(range(0, 10**6, 601)).__next__
    with Session.start(tmp_path / "s", collection, "spirals", "ada", members[:3], others[:3], clock=clock) as session:
        session.answer("grace", members[0], False)
        export_table(session, tmp_path / "a.parquet")
    rows = {row["id"]: row for row in pq.read_table(tmp_path / "a.parquet").to_pylist()}
    assert (rows[members[0]]["label"], rows[members[0]]["yes"], rows[members[0]]["no"]) == ("disputed", 1, 1)


def test_an_unknown_kind_of_table_is_refused(session, tmp_path):
    with pytest.raises(ValueError, match=r"ends in \.parquet, \.csv, \.fits"):
        export_table(session, tmp_path / "a.xlsx")


@pytest.fixture(scope="module")
def encoder(tiny_checkpoint):
    from transformers import AutoModel

    return AutoModel.from_pretrained(tiny_checkpoint).eval()


@pytest.fixture(scope="module")
def pictures():
    return torch.rand(24, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def of_pictures(encoder, pictures, tmp_path):
    """A session on pictures whose features are those of the checkpoint."""
    from galvm_hf.head_galvm import stage_statistics

    with torch.inference_mode():
        features = stage_statistics(encoder(pictures)).numpy()
    facts = FACTS | {"weights": digest_encoder(encoder)}
    path = write_table(tmp_path / "a.parquet", features, np.arange(24) % 2 == 0, facts=facts)
    collection = build_collection([path], tmp_path / "collection")
    names = [f"galaxy-{row}" for row in range(8)]
    with Session.start(tmp_path / "s", collection, "bright rings", "ada", names[:4], names[4:]) as session:
        yield session, torch.from_numpy(features)


def test_the_model_gives_the_learners_probabilities(of_pictures, pictures, tiny_checkpoint, tmp_path):
    from transformers import AutoModelForImageClassification

    session, features = of_pictures
    export_model(session, tiny_checkpoint, tmp_path / "model")
    model = AutoModelForImageClassification.from_pretrained(tmp_path / "model").eval()
    assert model.config.id2label == {0: "other", 1: "bright rings"}
    with torch.inference_mode():
        found = model(pictures).logits.softmax(1)[:, 1]
        collection = session.collection
        expected = session.learner.score((features - collection.mean) / collection.deviation).probability
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert expected.std() > 0.05
    with pytest.raises(FileExistsError, match="is there already"):
        export_model(session, tiny_checkpoint, tmp_path / "model")


def test_a_model_of_other_features_is_refused(session, of_pictures, tiny_checkpoint, tmp_path):
    with pytest.raises(ValueError, match="its weights are others"):
        export_model(session, tiny_checkpoint, tmp_path / "model")
    path = write_table(tmp_path / "b.parquet", *draw_galaxies(20), facts=FACTS | {"features": "pooler_output"})
    collection = build_collection([path], tmp_path / "pooled", inputs=["magnitude"])
    with (
        Session.start(tmp_path / "t", collection, "rings", "ada", ["galaxy-1"], ["galaxy-2"]) as other,
        pytest.raises(ValueError, match="learnt from pooler_output and magnitude"),
    ):
        export_model(other, tiny_checkpoint, tmp_path / "model")
