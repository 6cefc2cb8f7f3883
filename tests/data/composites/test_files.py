"""Composite fields in files that other tools read, the same when stopped in between."""

import json

import numpy as np
import pytest

from galvm_hf.data.composites import files, write_composites


@pytest.fixture(scope="module")
def written(made_up, tmp_path_factory):
    out = tmp_path_factory.mktemp("composites") / "train"
    assert write_composites(made_up, "train", 4, 1, 256, out) == 0
    return out


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
def test_pycocotools_reads_the_annotations(written):
    coco_module, masks = pytest.importorskip("pycocotools.coco"), pytest.importorskip("pycocotools.mask")
    from PIL import Image

    coco = coco_module.COCO(str(written / "annotations.json"))
    assert [coco.imgs[index]["file_name"] for index in coco.getImgIds()] == [f"field-{i:05d}.png" for i in range(4)]
    assert coco.anns
    for annotation in coco.anns.values():
        image = coco.imgs[annotation["image_id"]]
        mask = coco.annToMask(annotation)
        assert mask.sum() == annotation["area"]
        assert masks.toBbox(coco.annToRLE(annotation)).tolist() == annotation["bbox"]
        assert annotation["source"] == "cfhtls-space-warps" and annotation["expert_grade"] == 2.7
        assert {"name": annotation["name"], "class": "lens", "source": annotation["source"]} in image["stamps"]
        # arcs are blue, the last channel
        picture = np.array(Image.open(written / image["file_name"])).astype(float)
        assert picture.shape == (256, 256, 3)
        red, blue = picture[mask > 0].mean(axis=0)[[0, 2]] - np.median(picture, axis=(0, 1))[[0, 2]]
        assert blue > 0.8 * red


def test_catalogues_list_what_was_pasted(written):
    from astropy.table import Table

    annotations = json.loads((written / "annotations.json").read_text())
    for image in annotations["images"]:
        table = Table.read(written / image["file_name"].replace(".png", ".ecsv"))
        assert table["name"].tolist() == [stamp["name"] for stamp in image["stamps"]]
        assert table["class"].tolist() == [stamp["class"] for stamp in image["stamps"]]
        of_image = [found for found in annotations["annotations"] if found["image_id"] == image["id"]]
        for number, annotation in enumerate(of_image, 1):
            row = table[annotation["catalogue_id"] - 1]
            assert (row["instance"], row["name"]) == (number, annotation["name"])
        assert (table["x"] >= 0).all() and (table["y"] < 256).all()


def test_a_stopped_job_goes_on_and_ends_the_same(made_up, written, tmp_path, monkeypatch):
    compose, calls = files.compose_field, []

    def stop_at_the_third(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return compose(*arguments)

    monkeypatch.setattr(files, "compose_field", stop_at_the_third)
    out = tmp_path / "train"
    with pytest.raises(KeyboardInterrupt):
        write_composites(made_up, "train", 4, 1, 256, out)
    assert not (out / "annotations.json").exists()
    assert write_composites(made_up, "train", 4, 1, 256, out) == 2
    assert sorted(path.name for path in out.iterdir()) == sorted(path.name for path in written.iterdir())
    for path in written.iterdir():
        assert (out / path.name).read_bytes() == path.read_bytes(), path.name


def test_another_job_is_refused(made_up, written):
    with pytest.raises(ValueError, match="is of another job"):
        write_composites(made_up, "train", 4, 2, 256, written)


def test_an_unknown_split_is_refused(made_up, tmp_path):
    with pytest.raises(ValueError, match="one of train, validation, test, got 'dev'"):
        write_composites(made_up, "dev", 1, 0, 256, tmp_path / "out")
