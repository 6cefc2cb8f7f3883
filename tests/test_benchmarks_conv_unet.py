"""The convolutional peer."""

import pytest
import torch
from conv_unet import ConvUNet

from galvm_hf.data.degrade import blur_and_noise


def test_it_has_half_a_million_parameters():
    assert sum(parameter.numel() for parameter in ConvUNet().parameters()) == pytest.approx(5e5, rel=0.1)


@pytest.mark.parametrize("size", [(32, 32), (37, 50)])
def test_it_begins_as_the_identity_on_any_size(size):
    images = torch.rand(2, 3, *size)
    outputs = ConvUNet()(images)
    assert torch.equal(outputs.reconstruction, images)
    assert outputs.loss is None


def test_it_learns_to_restore():
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    sharp = torch.exp(-((x - 16) ** 2 + (y - 16) ** 2) / torch.tensor([20.0, 60.0])[:, None, None])
    sharp = sharp[:, None].expand(2, 3, 32, 32)
    degraded = blur_and_noise(sharp, torch.Generator().manual_seed(0))
    model = ConvUNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    first = model(degraded, labels=sharp).loss.item()
    for _ in range(30):
        optimizer.zero_grad()
        model(degraded, labels=sharp).loss.backward()
        optimizer.step()
    assert model(degraded, labels=sharp).loss.item() < 0.5 * first
