"""What the simulated survey is like: the bands, pixels, seeing and noise of Legacy Surveys DR10."""

BANDS = ("g", "r", "z")
PIXEL_SCALE = 0.262  # arcsec per pixel
ZERO_POINT = 22.5  # AB magnitude of one nanomaggy

# Standard deviation of a pixel's sky in g, r, z, in nanomaggies: the median of the DR10 cutouts this was tuned on.
SKY_NOISE = (0.0016, 0.0024, 0.0073)
PSF_FWHM = (1.40, 1.30, 1.15)  # arcsec in g, r, z
