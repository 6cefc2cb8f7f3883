"""A plain convolutional U-Net of half a million parameters: the peer that restoration has to beat.

    python benchmarks/conv_unet.py --weights DIR/model.safetensors --data test.parquet

measures trained weights as `galvm evaluate restoration` measures ours.
"""

import argparse
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from galvm_hf.evaluation.images import CENTRAL_SHARE, load_images
from galvm_hf.evaluation.restoration import degrade_images, measure_restoration, run_model
from galvm_hf.modeling_galvm import GalvmReconstructionOutput

WIDTHS = (32, 64, 128)


class DoubleConvolution(nn.Sequential):
    """Two 3 x 3 convolutions, each followed by a ReLU."""

    def __init__(self, channels: int, width: int):
        super().__init__(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(inplace=True),
        )


class ConvUNet(nn.Module):
    """U-Net (Ronneberger et al. 2015) of three resolutions that predicts what has to be added to its input.

    It has no normalisation, which costs restoration quality (Lim et al. 2017), and begins as the identity.

    Args:
        num_channels: Number of bands.
    """

    def __init__(self, num_channels: int = 3):
        super().__init__()
        channels = (num_channels, *WIDTHS)
        self.down = nn.ModuleList(DoubleConvolution(*pair) for pair in pairwise(channels))
        pairs = list(pairwise(WIDTHS))[::-1]
        self.up = nn.ModuleList(DoubleConvolution(fine + coarse, fine) for fine, coarse in pairs)
        self.output = nn.Conv2d(WIDTHS[0], num_channels, 1)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None) -> GalvmReconstructionOutput:
        """Restore an image.

        Args:
            pixel_values: The degraded image, `[B, C, H, W]`.
            labels: The sharp image, `[B, C, H, W]`; the loss is the mean squared error against it.
        """
        levels = []
        features = pixel_values
        for index, block in enumerate(self.down):
            features = block(nn.functional.max_pool2d(features, 2) if index else features)
            levels.append(features)
        levels.pop()
        for block in self.up:
            skip = levels.pop()
            features = nn.functional.interpolate(features, skip.shape[-2:], mode="bilinear")
            features = block(torch.cat([features, skip], dim=1))
        reconstruction = pixel_values + self.output(features)
        loss = None if labels is None else nn.functional.mse_loss(reconstruction, labels)
        return GalvmReconstructionOutput(loss=loss, reconstruction=reconstruction)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="safetensors file of a trained ConvUNet")
    parser.add_argument("--data", type=Path, required=True, help="Parquet file of images to test on")
    parser.add_argument("--crop", type=float, default=CENTRAL_SHARE, help="share of an image's side")
    parser.add_argument("--seed", type=int, default=0, help="of the degradation")
    arguments = parser.parse_args()

    model = ConvUNet()
    model.load_state_dict(load_file(arguments.weights))
    images = degrade_images(load_images([arguments.data], arguments.crop).pixels, arguments.seed)
    estimates = measure_restoration(images, run_model(model, images.degraded)).estimates()
    print(f"{sum(p.numel() for p in model.parameters())} parameters, {estimates['psnr'].number} galaxies")
    print(f"PSNR {estimates['psnr']} dB, SSIM {estimates['ssim']}")


if __name__ == "__main__":
    main()
