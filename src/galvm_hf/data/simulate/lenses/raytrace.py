"""Ray-tracing through a strong lens with the library caustics: singular isothermal ellipsoid and external shear.

Coordinates are arcseconds, x along the columns and y along the rows. A mass is a dictionary of [B] tensors: the centre
`x`, `y`; `einstein_radius`, that of the circle with the area inside the critical curve; `axis_ratio` and
`position_angle` of the isodensity curves; `shear_1`, `shear_2`.
"""

import torch
from torch import Tensor

CORE = 1e-3  # arcsec: keeps the deflection in the very centre finite
IMAGE_GRID = 129  # points a side of the grid on which images are looked for
IMAGE_REACH = 3.0  # Einstein radii from the lens to the edge of that grid


def trace_rays(mass: dict[str, Tensor], x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Where rays that arrive from x, y [B, H, W] left the source plane, [B, H, W] each."""
    try:
        from caustics.func import reduced_deflection_angle_external_shear, reduced_deflection_angle_sie
    except ImportError as error:
        raise ImportError('Simulated lenses need caustics: pip install "galvm_hf[simulate]"') from error
    names = ("x", "y", "axis_ratio", "position_angle", "einstein_radius", "shear_1", "shear_2")
    x0, y0, axis_ratio, angle, radius, shear_1, shear_2 = (mass[name][:, None, None] for name in names)
    sie_x, sie_y = reduced_deflection_angle_sie(x0, y0, axis_ratio, angle, radius, x, y, CORE)
    shear_x, shear_y = reduced_deflection_angle_external_shear(x0, y0, shear_1, shear_2, x, y)
    return x - sie_x - shear_x, y - sie_y - shear_y


def count_images(mass: dict[str, Tensor], source_x: Tensor, source_y: Tensor) -> Tensor:
    """Number of images of a point, int64 [B]: 4 inside the astroid caustic, 2 inside the cut, else 1.

    The image plane is tiled with triangles; each whose corners left the source plane around the point holds an image
    (Keeton 2001). The faint image at the centre of the lens, which a singular mass does not have, is left out.
    """
    axis = torch.linspace(-IMAGE_REACH, IMAGE_REACH, IMAGE_GRID)
    grid_y, grid_x = torch.meshgrid(axis, axis, indexing="ij")
    radius = mass["einstein_radius"][:, None, None]
    x, y = trace_rays(mass, mass["x"][:, None, None] + grid_x * radius, mass["y"][:, None, None] + grid_y * radius)
    x, y = x - source_x[:, None, None], y - source_y[:, None, None]
    near, far = slice(None, -1), slice(1, None)
    a, b, c, d = ((x[:, i, j], y[:, i, j]) for i, j in ((near, near), (near, far), (far, far), (far, near)))
    middle = (grid_x[:-1, :-1] + axis.diff()[0] / 2).hypot(grid_y[:-1, :-1] + axis.diff()[0] / 2)
    outside_centre = middle > 0.05
    # the edges from corner to corner turn the same way round the point when it lies inside
    diagonal = _cross(a, c)
    count = torch.zeros(len(x), dtype=torch.int64)
    for first, second, third in ((_cross(a, b), _cross(b, c), -diagonal), (diagonal, _cross(c, d), _cross(d, a))):
        inside = ((first > 0) & (second > 0) & (third > 0)) | ((first < 0) & (second < 0) & (third < 0))
        count += (inside & outside_centre).sum(dim=(-2, -1))
    return count


def _cross(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
    return a[0] * b[1] - a[1] * b[0]
