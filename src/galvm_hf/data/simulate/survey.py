"""What the simulated survey is like: the bands, pixels, seeing and noise of Legacy Surveys DR10."""

BANDS = ("g", "r", "z")
PIXEL_SCALE = 0.262  # arcsec per pixel
ZERO_POINT = 22.5  # AB magnitude of one nanomaggy

# Standard deviation of a pixel's sky in g, r, z, in nanomaggies: the median of the six DR10 cutouts this was tuned on,
# between the sources. From one cutout to another it scatters by 20 %.
SKY_NOISE = (0.0017, 0.0024, 0.0079)
SKY_SCATTER = 0.2
# Autocorrelation of that noise along rows and columns at lags of 1, 2 and 3 pixels, the same in all bands; along both
# it is the product. The coadds are resampled with a Lanczos kernel, which takes away the highest frequencies.
NOISE_CORRELATION = (0.22, -0.13, 0.04)
# Brightness of the sky in nanomaggies a pixel, for the shot noise of the sources: 22.0, 20.9 and 18.6 mag per square
# arcsecond, typical of a dark sky at Cerro Tololo.
SKY_LEVEL = (0.109, 0.300, 2.49)
PSF_FWHM = (
    1.29,
    1.18,
    1.11,
)  # arcsec in g, r, z: typical of DECam in these surveys; the cutouts hold no star to measure
PSF_SCATTER, PSF_BAND_SCATTER = 0.1, 0.03  # of all bands together, and of each
