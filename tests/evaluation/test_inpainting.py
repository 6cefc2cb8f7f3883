"""Inpainting measured, beside OpenCV's."""

import pytest
import torch

from galvm_hf import GalvmForMaskedImageModeling
from galvm_hf.evaluation.inpainting import (
    choose_radius,
    fill_by_model,
    fill_by_opencv,
    fill_with_mean,
    hidden_error,
    hide_patches,
    measure_inpainting,
)


@pytest.fixture(scope="module")
def smooth_images():
    """Slopes and waves, as galaxies are: what lies around a hole tells what is in it."""
    y, x = torch.meshgrid(torch.linspace(0, 1, 64), torch.linspace(0, 1, 64), indexing="ij")
    steps = torch.arange(12)[:, None, None, None]
    waves = 0.5 + 0.2 * torch.sin(6 * x + steps) + 0.2 * torch.cos(5 * y - steps)
    return (waves.expand(-1, 3, -1, -1) * torch.tensor([0.8, 0.9, 1.0])[:, None, None]).contiguous()


@pytest.mark.parametrize("patch", [4, 8, 16])
def test_patches_of_one_size_hide_up_to_seven_tenths(patch):
    images = hide_patches(torch.rand(300, 3, 64, 64), patch)
    grid = images.mask.unflatten(2, (-1, patch)).unflatten(1, (-1, patch)).float().mean((2, 4))
    assert set(grid.unique().tolist()) == {0.0, 1.0}
    share = images.mask.float().mean((1, 2))
    assert 0 < share.min() < 0.08
    assert 0.62 < share.max() <= 0.71
    assert share.mean() == pytest.approx(0.35, abs=0.04)
    assert (images.visible.movedim(1, -1)[images.mask] == 0).all()


def test_patches_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not divide"):
        hide_patches(torch.rand(1, 3, 60, 60), 16)


def test_the_error_is_over_hidden_pixels_of_each_image(smooth_images):
    images = hide_patches(smooth_images, 8)
    wrong = torch.where(images.mask[:, None], images.complete + 0.1, torch.rand(()))
    assert hidden_error(images, wrong).tolist() == pytest.approx([0.01] * 12, rel=1e-3)


@pytest.mark.parametrize("method", ["Navier-Stokes", "Telea"])
def test_opencv_fills_smooth_images_and_knows_nothing_of_what_is_hidden(smooth_images, method):
    images = hide_patches(smooth_images, 4)
    filled = fill_by_opencv(images, method)
    assert hidden_error(images, filled).mean() < 0.05 * hidden_error(images, fill_with_mean(images)).mean()
    other = type(images)(images.complete.masked_fill(images.mask[:, None], 0.9), images.mask)
    assert torch.equal(fill_by_opencv(other, method), filled)
    assert choose_radius(images, method, radii=(2, 3)) in (2, 3)


def test_the_mean_is_that_of_each_band():
    images = hide_patches(torch.tensor([0.2, 0.4, 0.6])[:, None, None].expand(2, 3, 32, 32).contiguous(), 16)
    assert torch.allclose(fill_with_mean(images), images.complete)


def test_a_model_gets_no_hidden_pixel(smooth_images, small_config):
    torch.manual_seed(0)
    model = GalvmForMaskedImageModeling(small_config)
    images = hide_patches(smooth_images, 16)
    filled = fill_by_model(images, model, batch_size=5)
    seen = ~images.mask[:, None].expand_as(filled)
    assert torch.equal(filled[seen], images.complete[seen])
    changed = type(images)(images.complete.masked_fill(images.mask[:, None], 0.9), images.mask)
    assert torch.equal(fill_by_model(changed, model, batch_size=5), filled)


def test_methods_are_compared_on_the_same_galaxies(smooth_images):
    result = measure_inpainting(smooth_images, 8, {"oracle": lambda images: images.complete, "mean": fill_with_mean})
    estimates = result.estimates()
    assert list(estimates) == [
        "oracle",
        "mean",
        "OpenCV Navier-Stokes, 3 px",
        "OpenCV Telea, 3 px",
        "mean of what is visible",
    ]
    assert estimates["oracle"]["mse"].value == 0
    assert estimates["mean"]["ratio"].low > 1
    assert estimates[result.reference]["ratio"].value == 1
    assert estimates["mean"] == estimates["mean of what is visible"]
