"""Where labels are found, and what they are taken for."""

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("psutil")

from galvm_hf import GalvmImageProcessor
from galvm_hf.train.finetune import StampDataset, load_labelled
from galvm_hf.train.finetune.augment import augment
from galvm_hf.train.finetune.labels import looks_like_values


def save(path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(seed).integers(0, 20, (64, 64, 3))
    picture[24:40, 20:44] += 100 + seed
    Image.fromarray(picture.astype(np.uint8)).save(path)


def test_one_folder_a_class(tmp_path):
    for number, name in enumerate(["disc/a.png", "disc/b.png", "round/c.png"]):
        save(tmp_path / name, number)
    stamps = load_labelled([tmp_path], GalvmImageProcessor())
    assert (stamps.names, stamps.targets.tolist()) == (("disc", "round"), [0, 0, 1])
    assert (stamps.images.shape, stamps.images.dtype) == ((3, 3, 128, 128), torch.uint8)
    both = load_labelled([tmp_path / "disc", tmp_path / "round"], GalvmImageProcessor())
    assert both.targets.tolist() == [0, 0, 1]


def test_a_table_beside_the_images(tmp_path):
    for number in range(4):
        save(tmp_path / "train" / f"{number}.png", number)
    (tmp_path / "train" / "metadata.csv").write_text("file_name,size,kind\n0.png,1.5,a\n1.png,2.25,b\n2.png,,b\n")
    stamps = load_labelled([tmp_path], GalvmImageProcessor(), ["size"])
    assert not stamps.is_classification
    assert stamps.targets.tolist() == [[1.5], [2.25]]
    assert stamps.without_label == 2
    assert load_labelled([tmp_path], GalvmImageProcessor(), ["kind"]).targets.tolist() == [0, 1, 1]
    (tmp_path / "train" / "metadata.csv").write_text("name,size\n0.png,1.5\n")
    with pytest.raises(ValueError, match="needs a column `file_name`"):
        load_labelled([tmp_path], GalvmImageProcessor(), ["size"])


def test_the_same_pixels_count_once(tmp_path):
    for number, name in enumerate(["disc/a.png", "round/c.png"]):
        save(tmp_path / name, number)
    save(tmp_path / "disc" / "copy.png", 0)
    stamps = load_labelled([tmp_path], GalvmImageProcessor())
    assert (len(stamps), stamps.repeated) == (2, 1)


@pytest.mark.parametrize(
    ("labels", "values"),
    [
        ([("a",), ("b",)], False),
        ([(0,), (1,), (3,)], False),
        ([("0",), ("1",)], False),
        ([(True,), (False,)], False),
        ([(0.5,), (1.0,)], True),
        ([("17.25",), ("18",)], True),
        ([(number,) for number in range(100)], True),
        ([(1, 2), (3, 4)], True),
    ],
)
def test_numbers_are_classes_or_values(labels, values):
    assert looks_like_values(labels) == values


def test_what_cannot_be_learnt_is_refused(tmp_path):
    save(tmp_path / "disc" / "a.png", 0)
    save(tmp_path / "disc" / "b.png", 1)
    with pytest.raises(ValueError, match="one class only, 'disc'"):
        load_labelled([tmp_path], GalvmImageProcessor())
    with pytest.raises(ValueError, match="has a value for size, colour"):
        load_labelled([tmp_path], GalvmImageProcessor(), ["size", "colour"])
    with pytest.raises(ValueError, match="labels that are numbers"):
        load_labelled([tmp_path], GalvmImageProcessor(), task="regression")
    with pytest.raises(ValueError, match=r"Classes \['disc'\] are not among those trained on"):
        load_labelled([tmp_path], GalvmImageProcessor(), names=("a", "b"))


def test_augmentation_turns_the_galaxy_and_keeps_its_light():
    grid = torch.linspace(-1, 1, 64)
    image = torch.exp(-((grid[:, None] / 0.1) ** 2) - (grid[None] / 0.3) ** 2).expand(200, 3, 64, 64)
    torch.manual_seed(0)
    changed = augment(image)
    assert changed.shape == image.shape
    # of lengths in both directions the mean is that of all angles, and zooms are about one
    light = changed.sum((1, 2, 3)) / image[0].sum()
    assert 0.65 < light.min() < 0.8 < 1.3 < light.max() < 1.5
    along, across = ((changed[:, 0] * grid**2).sum((1, 2)), (changed[:, 0] * grid[:, None] ** 2).sum((1, 2)))
    assert along.mean().item() == pytest.approx(across.mean().item(), rel=0.15)
    assert (along > 2 * across).any() and (across > 2 * along).any()


def test_a_batch_is_drawn_at_once_and_plain_without_augmentation():
    images = torch.randint(0, 256, (5, 3, 8, 8), dtype=torch.uint8)
    dataset = StampDataset(images, torch.arange(5))
    batch = dataset.__getitems__([3, 1])
    assert [item["labels"].item() for item in batch] == [3, 1]
    assert torch.equal(batch[0]["pixel_values"], images[3] / 255)
    assert torch.equal(dataset[1]["pixel_values"], images[1] / 255)
