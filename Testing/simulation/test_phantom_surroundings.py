"""What is around the phantom: outside the body something is there, inside nothing changes, by default nothing is."""

import json
from functools import cache

import numpy as np
import pytest

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.simulation.phantom import Phantom, PhantomSettings, make_phantom
from COVIDQuantLib.simulation.phantom_settings import SURROUNDINGS

# A little room about the body, no noise: what differs is what was added.
SETTINGS = {"seed": 31, "matrix": 84, "pixel_mm": 5.6, "thickness_mm": 8.0, "noise_hu": 0.0, "motion": False,
            "extent_percent": 6.0, "circle": False, "table": False}  # fmt: skip
# Litres denser than -970 HU that each adds in the field of view, at least.
ADDED = {"table": 0.3, "couch": 1.0, "cushion": 0.2, "blanket": 0.1, "cables": 0.002, "arms-down": 0.3, "arms-up": 0.1}


@cache
def made(*names: str, **settings) -> Phantom:
    """Made once for all tests; they read it only."""
    return make_phantom(PhantomSettings(**{**SETTINGS, **settings}, surroundings=names))


@pytest.fixture(scope="module")
def bare() -> Phantom:
    return made()


@pytest.fixture(scope="module", params=SURROUNDINGS)
def dressed(request) -> tuple[str, Phantom]:
    return request.param, made(request.param)


def litres(mask: np.ndarray, phantom: Phantom) -> float:
    return np.count_nonzero(mask) * phantom.ct.geometry.voxel_volume_ml / 1000


def test_by_default_there_are_none():
    settings = {"seed": 2, "matrix": 64, "thickness_mm": 8.0}
    default, none = (make_phantom(PhantomSettings(**settings, **more)) for more in ({}, {"surroundings": ()}))
    assert np.array_equal(default.ct.hu, none.ct.hu)
    assert default.truth == none.truth
    assert default.truth["settings"]["surroundings"] == ()


def test_lungs_and_truth_are_the_same(bare, dressed):
    name, phantom = dressed
    assert np.array_equal(phantom.lobes, bare.lobes), name
    assert np.array_equal(phantom.lesions, bare.lesions), name
    if name != "streaks":
        assert np.array_equal(phantom.ct.hu[bare.lobes > 0], bare.ct.hu[bare.lobes > 0]), name
        assert phantom.truth["regions"] == bare.truth["regions"]


def test_each_adds_density_outside_the_body(bare, dressed):
    name, phantom = dressed
    if name in ADDED:
        outside = bare.ct.hu < -970
        assert litres((phantom.ct.hu > -970) & outside & (bare.lobes == 0), phantom) > ADDED[name], name
        assert not ((phantom.ct.hu < -970) & (bare.ct.hu > -900)).any(), name


def test_streaks_are_bright_and_not_in_the_lungs(bare):
    phantom = made("streaks")
    changed = phantom.ct.hu.astype(int) - bare.ct.hu
    assert changed.max() > 400
    assert changed[bare.lobes == 0].min() < -60
    # Only what the scanner's blur carries over the pleura.
    assert np.abs(changed[bare.lobes > 0]).max() < 60


def test_a_cut_field_of_view_takes_the_sides_and_leaves_the_lungs(bare):
    phantom = made("cut")
    assert phantom.ct.padding is not None
    assert litres(phantom.ct.padding & (bare.ct.hu > -300), phantom) > 0.2
    assert not (phantom.lobes[phantom.ct.padding] > 0).any()


def test_arms_by_both_names_are_one_of_each():
    both, down = made("arms-down", "arms-up"), made("arms-down")
    arms = [litres((phantom.ct.hu > -300)[:, :, side], phantom) for phantom in (both, down) for side in
            (np.s_[:10], np.s_[-10:])]  # fmt: skip
    assert min(arms[:2]) < 0.5 * max(arms[:2])
    assert min(arms[2:]) > 0.7 * max(arms[2:])


def test_an_unknown_thing_is_refused():
    with pytest.raises(UsageError, match="pillow"):
        PhantomSettings(surroundings=("pillow",)).check()


@pytest.mark.parametrize(("words", "names"), [(["table", "blanket"], ["table", "blanket"]), (["all"], [*SURROUNDINGS])])
def test_the_command_takes_them(tmp_path, words, names):
    options = ["--out", str(tmp_path), "--slices", "5", "--matrix", "64", "--thickness", "8", "--quiet"]
    assert main(["phantom", *options, "--surroundings", *words]) == 0
    assert json.loads((tmp_path / "truth.json").read_text(encoding="utf-8"))["settings"]["surroundings"] == names
