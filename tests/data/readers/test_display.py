"""Real flux from its file to what the model sees, against the Legacy Surveys' formula written out here."""

import warnings

import numpy as np
import pytest

from galvm_hf.data.readers import iter_stamps


def viewer_rgb(flux):
    """`sdss_rgb` with the scales of `dr2_rgb` (github.com/legacysurvey/imagine, map/views.py): z, r, g [H, W, 3]."""
    planes = {"z": 0, "r": 1, "g": 2}
    scales = {"g": 6.0, "r": 3.4, "z": 2.2}
    m, q = 0.03, 20
    total = np.zeros(flux["g"].shape)
    for band, image in flux.items():
        total = total + np.maximum(0, image * scales[band] + m)
    total /= len(flux)
    stretched = np.arcsinh(q * total) / np.sqrt(q)
    total += (total == 0.0) * 1e-6
    rgb = np.zeros((*total.shape, 3))
    for band, image in flux.items():
        rgb[:, :, planes[band]] = (image * scales[band] + m) * stretched / total
    return np.clip(rgb, 0, 1)


def test_six_cutouts_look_as_in_the_viewer(galvm_data):
    from galvm_hf import GalvmImageProcessor

    fits = pytest.importorskip("astropy.io.fits")
    folder = galvm_data / "legacy-dr10-flux"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        stamps = list(iter_stamps([folder]))
    assert len(stamps) == 6
    processor = GalvmImageProcessor(do_adaptive_crop=False)
    for stamp in stamps:
        assert (stamp.bands, stamp.units) == (("g", "r", "z"), "nanomaggy")
        assert stamp.pixel_scale == pytest.approx(0.262, rel=1e-6)
        assert stamp.wcs.proj_plane_pixel_scales()[1].to_value("arcsec") == pytest.approx(0.262, rel=1e-6)
        with fits.open(folder / stamp.id) as hdus:
            header, cube = hdus[0].header, hdus[0].data.astype(float)
        centre = stamp.wcs.pixel_to_world(header["CRPIX1"] - 1, header["CRPIX2"] - 1)
        assert (centre.ra.deg, centre.dec.deg) == pytest.approx((header["CRVAL1"], header["CRVAL2"]))
        shown = processor(stamp.pixels, bands=stamp.bands, return_tensors="np").pixel_values[0]
        expected = viewer_rgb(dict(zip("grz", cube, strict=True)))
        np.testing.assert_allclose(shown[::-1].transpose(1, 2, 0), expected, atol=1e-5, err_msg=stamp.id)
        assert expected.std() > 0.02  # there is a galaxy in it
