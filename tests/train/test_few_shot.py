"""The few-shot probe: few labels, the same on any number of processes, good for features that tell."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from galvm_hf.train import few_shot
from galvm_hf.train.data import interleave
from galvm_hf.train.few_shot import FewShotProbe, ProbeSettings
from galvm_hf.train.settings import DataSettings

pytest.importorskip("sklearn")
pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

COLOURS = {"blue": (30, 60, 200), "red": (200, 60, 30)}


def write_colours(path, names: list) -> None:
    """Pictures of one colour and some noise."""
    random, rows = np.random.default_rng(len(names)), []
    for name in names:
        picture = np.clip(COLOURS[name] + random.normal(0, 20, (32, 32, 3)), 0, 255).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(picture).save(stream, "PNG")
        number = list(COLOURS).index(name)
        rows.append({"image": {"bytes": stream.getvalue(), "path": None}, "label": name, "number": number})
    pq.write_table(pa.Table.from_pylist(rows), path)


@pytest.fixture(scope="module")
def coloured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("coloured")
    write_colours(folder / "train.parquet", ["red", "blue", "blue"] * 10)
    write_colours(folder / "validation.parquet", ["red", "blue", "red"] * 4)
    return folder


def settings(**options) -> ProbeSettings:
    train, validation = (DataSettings([f"{name}.parquet"], crop=1.0) for name in ("train", "validation"))
    return ProbeSettings(train, validation, **{"labels_per_class": 3, "draws": 4, **options})


def colours(images: torch.Tensor) -> torch.Tensor:
    return images.mean((2, 3))


@pytest.mark.parametrize("column", ["label", "number"])
def test_features_that_tell_the_classes_score_well_and_others_by_chance(coloured, column):
    probe = FewShotProbe(settings(column=column), coloured, 32, 0, 1)
    assert probe.score(colours) == 1.0
    assert probe.score(lambda images: torch.zeros(len(images), 4)) == 0.5


def test_few_labels_a_class_are_drawn_anew_each_time(coloured, monkeypatch):
    drawn = []

    def spy(train_x, train_y, test_x, test_y):
        drawn.append((train_x[:, 0].tolist(), train_y.tolist(), len(test_y)))
        return type("Result", (), {"balanced_accuracy": len(drawn) / 4})

    monkeypatch.setattr(few_shot, "linear_probe", spy)
    assert FewShotProbe(settings(), coloured, 32, 0, 1).score(colours) == pytest.approx(0.625)
    assert [sorted(labels) for _, labels, _ in drawn] == [["blue"] * 3 + ["red"] * 3] * 4
    assert [number for *_, number in drawn] == [12] * 4
    assert all(len(set(rows)) == 6 for rows, *_ in drawn)
    assert len({tuple(sorted(rows)) for rows, *_ in drawn}) > 1
    again = drawn.copy()
    FewShotProbe(settings(), coloured, 32, 0, 1).score(colours)
    assert drawn[4:] == again  # as in every run


@pytest.mark.parametrize("world", [2, 5])
def test_processes_share_the_images(coloured, world):
    whole = FewShotProbe(settings(), coloured, 32, 0, 1)
    parts = [FewShotProbe(settings(), coloured, 32, rank, world) for rank in range(world)]
    assert len({len(part.images) for part in parts}) == 1
    assert torch.equal(interleave([part.images for part in parts], whole.number), whole.images)


def test_a_class_that_has_no_label_is_told(coloured, tmp_path):
    write_colours(tmp_path / "train.parquet", ["blue"] * 5 + ["red"])
    write_colours(tmp_path / "validation.parquet", ["blue", "red"])
    with pytest.raises(ValueError, match=r"first 5 training stamps have none of \['red'\]: enlarge `pool`"):
        FewShotProbe(settings(pool=5), tmp_path, 32, 0, 1)
    # fewer labels than asked for are all taken
    assert FewShotProbe(settings(), tmp_path, 32, 0, 1).score(colours) == 1.0
