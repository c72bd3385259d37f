"""The phantom's scanner: sections, noise, kernels; its settings and progress."""

import numpy as np
import pytest

from COVIDQuantLib.errors import Cancelled, UsageError
from COVIDQuantLib.simulation.phantom import Phantom, PhantomSettings, make_phantom

COARSE = {"matrix": 72, "thickness_mm": 5.0}


def made(**settings) -> Phantom:
    return make_phantom(PhantomSettings(**{**COARSE, **settings}))


@pytest.mark.parametrize(("thickness", "slices"), [(0.6, 60), (7.2, 5)])
def test_section_thickness_hardly_changes_the_truth(thickness, slices):
    """The same 36 mm of the chest in thin, usual and thick sections."""
    settings = {"seed": 8, "extent_percent": 20.0, "matrix": 64, "noise_hu": 0.0, "motion": False}
    usual = make_phantom(PhantomSettings(thickness_mm=2.4, slices=15, **settings)).truth["regions"][0]
    other = make_phantom(PhantomSettings(thickness_mm=thickness, slices=slices, **settings)).truth["regions"][0]
    for name in ("volume_ml", "lesion_volume_ml", "lung_weight_g"):
        assert other[name] == pytest.approx(usual[name], rel=0.03), name
    assert other["mean_lung_hu"] == pytest.approx(usual["mean_lung_hu"], abs=12)


def test_thick_sections_have_the_grid_asked_for():
    phantom = made(seed=2, thickness_mm=10.0, slices=21, pixel_mm=5.0, matrix=72)
    assert phantom.ct.hu.shape == (21, 72, 72)
    assert phantom.ct.geometry.spacing == (5.0, 5.0, 10.0)


def test_too_few_sections_are_said_to_cut_the_lungs():
    assert not made(seed=2, slices=12).truth["lungs_complete"]


def test_noise_has_the_size_asked_for_and_is_correlated():
    settings = {"seed": 5, "matrix": 200, "pixel_mm": 0.8, "slices": 5}
    quiet, noisy = made(noise_hu=0.0, **settings), made(noise_hu=20.0, **settings)
    noise = (noisy.ct.hu.astype(float) - quiet.ct.hu)[:, 60:-60, 60:-60]
    assert 10 < noise.std() < 40
    beside = np.mean(noise[:, :, 1:] * noise[:, :, :-1]) / noise.var()
    assert 0.2 < beside < 0.95
    assert np.array_equal(noisy.lobes, quiet.lobes)


def test_sharp_kernel_is_sharper_and_noisier():
    soft, sharp = (made(seed=5, kernel=kernel, matrix=112, slices=5) for kernel in ("soft", "sharp"))
    assert sharp.truth["drawn"]["noise_hu"] > soft.truth["drawn"]["noise_hu"]

    def roughness(phantom):
        return np.abs(np.diff(phantom.ct.hu.astype(float), axis=2)).mean()

    assert roughness(sharp) > roughness(soft)


@pytest.mark.parametrize(
    "wrong",
    [{"thickness_mm": 0.0}, {"extent_percent": 80.0}, {"kernel": "crisp"}, {"matrix": 4}, {"slices": 2}, {"seed": -1}],
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        make_phantom(PhantomSettings(**wrong))


def test_progress_rises_to_one_and_can_cancel():
    told = []
    make_phantom(PhantomSettings(**{**COARSE, "slices": 5}), told.append)
    assert told == sorted(told)
    assert told[-1] == 1.0

    def stop(fraction):
        if fraction > 0.3:
            raise Cancelled

    with pytest.raises(Cancelled):
        make_phantom(PhantomSettings(**{**COARSE, "slices": 5}), stop)
