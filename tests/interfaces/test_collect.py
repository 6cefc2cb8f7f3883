"""`galvm prepare collection`: from stamps, from features, and after a stop."""

import io

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from galvm_hf.interfaces import collect
from galvm_hf.interfaces.cli import app

pytest.importorskip("pyarrow")

run = CliRunner().invoke


@pytest.fixture(scope="module")
def stamps(tmp_path_factory):
    """Ten pictures, of which the fourth is damaged."""
    folder = tmp_path_factory.mktemp("stamps")
    y, x = np.mgrid[:64, :64] - 31.5
    for number in range(10):
        blob = 220 * np.exp(-((x / (5 + number)) ** 2) - (y / 6) ** 2)
        Image.fromarray(np.repeat(blob[..., None], 3, 2).astype(np.uint8)).save(folder / f"{number}.png")
    (folder / "3.png").write_bytes((folder / "3.png").read_bytes()[:60])
    return folder


def prepare(stamps, out, checkpoint, *others):
    arguments = ["prepare", "collection", str(stamps), "--out", str(out), "--model", str(checkpoint), *others]
    return run(app, [*arguments, "--batch-size", "2", "--device", "cpu"])


def test_a_collection_of_stamps(stamps, tiny_checkpoint, tmp_path):
    from galvm_hf.head_galvm import num_statistics
    from galvm_hf.hitl import Collection
    from galvm_hf.interfaces.embed import load_encoder

    done = prepare(stamps, tmp_path / "made", tiny_checkpoint)
    assert done.exit_code == 0, done.output
    assert "9 galaxies" in done.output
    assert "1 skipped" in done.output
    made = Collection(tmp_path / "made")
    encoder = load_encoder(str(tiny_checkpoint), "cpu", features="stage_statistics")
    assert (made.width, made.kind) == (num_statistics(encoder.model.config), "stage_statistics")
    assert made.ids.to_pylist() == [f"{number}.png" for number in range(10) if number != 3]
    assert Image.open(io.BytesIO(made.thumbnail(4))).size == (128, 128)
    # an image that comes later has the same features
    again = made.standardise(encoder.encode_stamps([made.stamp(6)]))
    np.testing.assert_allclose(again.float().numpy(), made.take([6]).float().numpy(), atol=0.05)
    assert "3.png" in (tmp_path / "made.skipped.csv").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "made.skipped.csv"]


def test_a_job_that_was_stopped_goes_on(stamps, tiny_checkpoint, tmp_path, monkeypatch):
    from galvm_hf.interfaces.embed import Encoder

    monkeypatch.setattr(collect.collect_stamps, "__defaults__", ((), 32, 4))  # three parts
    encode, calls = Encoder.encode, []

    def stop_in_the_second_part(self, pixel_values):
        calls.append(len(pixel_values))
        if len(calls) == 4:
            raise RuntimeError("stopped")
        return encode(self, pixel_values)

    monkeypatch.setattr(Encoder, "encode", stop_in_the_second_part)
    out = tmp_path / "made"
    assert prepare(stamps, out, tiny_checkpoint).exit_code == 1
    assert not out.exists()
    other = prepare(stamps, out, tiny_checkpoint, "--no-crop")
    assert other.exit_code == 1
    assert "another job" in other.output
    done = prepare(stamps, out, tiny_checkpoint)
    assert done.exit_code == 0, done.output
    assert sum(calls[4:]) == 9 - 4  # the first part was not computed again
    monkeypatch.undo()
    assert prepare(stamps, tmp_path / "whole", tiny_checkpoint).exit_code == 0
    from galvm_hf.hitl import Collection

    resumed, whole = Collection(out), Collection(tmp_path / "whole")
    assert resumed.ids.equals(whole.ids)
    assert resumed.take(range(9)).equal(whole.take(range(9)))


def test_a_collection_of_what_embed_wrote(stamps, tiny_checkpoint, tmp_path):
    features = tmp_path / "features.parquet"
    embedded = ["embed", str(stamps), "--out", str(features), "--model", str(tiny_checkpoint), "--device", "cpu"]
    assert run(app, embedded).exit_code == 0
    done = run(app, ["prepare", "collection", str(features), "--out", str(tmp_path / "made")])
    assert done.exit_code == 0, done.output
    assert "9 galaxies with 128 numbers" in done.output
    again = run(app, ["prepare", "collection", str(features), "--out", str(tmp_path / "made")])
    assert again.exit_code == 1
    assert "is there already" in again.output
