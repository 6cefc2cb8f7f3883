"""Light of several stellar populations, put together into bands, behind dust."""

import torch
from torch import Tensor

# Optical depth in g, r, z for one in g, after Calzetti et al. (2000).
DUST = (1.0, 0.72, 0.38)


def match_total(image: Tensor, smooth: Tensor) -> Tensor:
    """Scale images [B, H, W] to hold as much light as smooth ones: structure moves light, it makes none."""
    return image * (smooth.sum(dim=(-2, -1), keepdim=True) / image.sum(dim=(-2, -1), keepdim=True).clamp(min=1e-12))


def combine(components: list[tuple[Tensor, Tensor]], transmission: Tensor | None = None) -> Tensor:
    """Bands of components behind dust.

    Args:
        components: Profiles [B, H, W] with their fluxes [B, 3].
        transmission: Share of the light that comes through, [B, 3, H, W]. The fluxes are what is seen, so the total
            stays, and dust shows where light is missing and in its colour.

    Returns:
        Flux, [B, 3, H, W].
    """
    profiles = torch.stack([profile for profile, _ in components], dim=1)
    fluxes = torch.stack([flux for _, flux in components], dim=-1)
    image = (fluxes @ profiles.flatten(2)).unflatten(-1, profiles.shape[-2:])
    if transmission is None:
        return image
    seen = image * transmission
    return seen * (image.sum(dim=(-2, -1), keepdim=True) / seen.sum(dim=(-2, -1), keepdim=True).clamp(min=1e-12))


def attenuate(depth: Tensor, behind: float = 1.0) -> Tensor:
    """Transmission [B, 3, H, W] through dust of optical depth [B, H, W] in g, with that share of the light behind."""
    coefficients = torch.tensor(DUST, device=depth.device)[:, None, None]
    return 1 - behind + behind * torch.exp(-depth[:, None] * coefficients)
