"""Every cue against what it must see and what it must not, built by hand."""

import string

import numpy as np
import pytest

from COVIDQuantLib.review.cues import CUES
from COVIDQuantLib.review.evidence import Evidence

STEP = 2.0
SIZE = 40
BASE = -860.0
BY_NAME = {cue.name: cue.look for cue in CUES}
K, J, I = np.meshgrid(*[np.arange(SIZE)] * 3, indexing="ij")  # noqa: E741 - the names of the axes


def evidence(mask, hu=-500.0, *, heart=None, diaphragm=None, height=0.5, weight=None):
    """A component in lung that fills the whole array; the walls are far unless given."""
    far = np.full(mask.shape, 500.0, np.float32)
    values = np.where(mask, hu, BASE).astype(np.float32)
    return Evidence(
        (STEP, STEP, STEP),
        (mask if weight is None else weight).astype(np.float32),
        values,
        np.ones(mask.shape, bool),
        far if heart is None else heart.astype(np.float32),
        far if diaphragm is None else diaphragm.astype(np.float32),
        np.full(mask.shape[0], height, np.float32),
        BASE,
    )


def ball(radius, at=(20, 20, 20)):
    return (K - at[0]) ** 2 + (J - at[1]) ** 2 + (I - at[2]) ** 2 < radius**2


# The diaphragm below the array, the heart to its right.
ABOVE = (K + 0.5) * STEP
BESIDE = (I + 0.5) * STEP
LAYER = (K < 3) & (J > 5) & (J < 35) & (I > 5) & (I < 35)


def value(name, e):
    seen = BY_NAME[name](e)
    assert 0.0 <= seen.value <= 1.0
    return seen.value


@pytest.mark.parametrize(("name", "wall"), [("heart_border", "heart"), ("diaphragm", "diaphragm")])
def test_nearness_is_the_share_within_reach(name, wall):
    distance = BESIDE
    assert value(name, evidence(I < 3, **{wall: distance})) == 1.0
    assert value(name, evidence(I > 20, **{wall: distance})) == 0.0
    reach = BY_NAME[name](evidence(I < 3, **{wall: distance})).numbers["reach_mm"]
    half = round(2 * reach / STEP)
    assert value(name, evidence(half > I, **{wall: distance})) == pytest.approx(0.5, abs=0.06)
    other = {"heart": "diaphragm", "diaphragm": "heart"}[wall]
    assert value(name, evidence(I < 3, **{other: distance})) == 0.0


def test_a_second_edge_is_a_plateau_that_ends_at_once():
    plateau = evidence(LAYER, diaphragm=ABOVE)
    fading = evidence(LAYER, np.array([-350.0, -550.0, -780.0] + [0.0] * 37)[K], diaphragm=ABOVE)
    assert value("doubled_edge", plateau) > 0.9
    assert value("doubled_edge", fading) < 0.2
    assert value("doubled_edge", evidence(LAYER)) == 0.0
    goes_on = evidence(LAYER, diaphragm=ABOVE)
    goes_on.hu[3:9] = -500.0
    assert value("doubled_edge", goes_on) < 0.2
    assert value("doubled_edge", evidence(K > 30, diaphragm=ABOVE)) == 0.0


def test_zigzag_is_to_and_fro_and_not_a_slant():
    wide = (J > 10) & (J < 30) & (K > 10) & (K < 30)
    to_and_fro = wide & (I > 12 + 4 * (K % 2)) & (I < 24 + 4 * (K % 2))
    slant = wide & (I > 2 + K // 2) & (I < 14 + K // 2)
    assert value("zigzag", evidence(to_and_fro)) > 0.9
    assert value("zigzag", evidence(slant)) < 0.25
    assert value("zigzag", evidence(ball(12))) < 0.25
    sagittal = wide & (J > 12 + 4 * (K % 2)) & (J < 24 + 4 * (K % 2)) & (I > 10) & (I < 30)
    assert value("zigzag", evidence(sagittal)) > 0.6


def test_zigzag_needs_slices():
    assert value("zigzag", evidence((K > 10) & (K < 13) & (I > 12 + 4 * (K % 2)) & (I < 30))) == 0.0


def test_blur_falls_off_away_from_the_wall():
    smeared = evidence(LAYER, -200.0 - 200.0 * K, diaphragm=ABOVE)
    rng = np.random.default_rng(1)
    even = evidence(LAYER, -500 + rng.normal(0, 30, LAYER.shape), diaphragm=ABOVE)
    denser_inside = evidence(LAYER, -600.0 + 100.0 * K, diaphragm=ABOVE)
    assert value("blur_along_motion", smeared) > 0.9
    assert value("blur_along_motion", even) < 0.1
    assert value("blur_along_motion", denser_inside) == 0.0
    assert value("blur_along_motion", evidence(LAYER, -200.0 - 200.0 * K)) == 0.0


def test_a_crescent_is_wide_and_thin_at_the_wall():
    assert value("crescent", evidence(LAYER, diaphragm=ABOVE)) > 0.9
    assert value("crescent", evidence(np.swapaxes(LAYER, 0, 2), heart=BESIDE)) > 0.9
    assert value("crescent", evidence(LAYER)) == 0.0
    assert value("crescent", evidence(ball(6, (6, 20, 20)), diaphragm=ABOVE)) < 0.4
    assert value("crescent", evidence((K < 3) & (np.abs(J - 20) < 2) & (np.abs(I - 20) < 2), diaphragm=ABOVE)) < 0.4


def test_a_basal_vessel_is_thin_and_long_and_low():
    rod = (np.abs(J - 20) < 2) & (np.abs(I - 20) < 2) & (K > 8) & (K < 32)
    assert value("basal_vessel", evidence(rod, height=0.1)) > 0.9
    assert value("basal_vessel", evidence(rod, height=0.9)) == 0.0
    assert value("basal_vessel", evidence(ball(9), height=0.1)) < 0.1
    assert value("basal_vessel", evidence(LAYER, height=0.1)) < 0.3


def test_low_density_is_against_the_patients_own_lung():
    assert value("low_density", evidence(ball(8), -780.0)) == 1.0
    assert value("low_density", evidence(ball(8), -300.0)) == 0.0
    assert 0.2 < value("low_density", evidence(ball(8), -640.0)) < 0.8


def test_a_fragment_is_small_and_not_far_from_what_moves():
    assert value("fragment", evidence(ball(2, (8, 20, 20)), diaphragm=ABOVE)) > 0.9
    assert value("fragment", evidence(ball(2))) == 0.0
    assert value("fragment", evidence(ball(9, (8, 20, 20)), diaphragm=ABOVE)) == 0.0


def test_every_cue_bears_the_smallest_components():
    single = np.zeros((SIZE,) * 3, bool)
    single[0, 0, 0] = True
    thin = single * 0.2
    for e in (evidence(single, diaphragm=ABOVE, heart=BESIDE), evidence(single, weight=thin, diaphragm=ABOVE)):
        for cue in CUES:
            assert np.isfinite(value(cue.name, e))


@pytest.mark.parametrize("cue", CUES, ids=lambda cue: cue.name)
def test_reasons_can_be_filled(cue):
    """Every number that a sentence asks for is told by the cue, whenever the cue is seen."""
    wanted = {name for _, name, _, _ in string.Formatter().parse(cue.reason) if name}
    seen = [cue.look(e) for e in (evidence(LAYER, -300.0 - 150.0 * K, diaphragm=ABOVE, height=0.1),
                                  evidence(np.swapaxes(LAYER, 0, 2), -780.0, heart=BESIDE, height=0.1))]  # fmt: skip
    for look in seen:
        if look.value > 0:
            assert wanted == set(look.numbers)
            assert "{" not in cue.reason.format(**look.numbers)
    assert cue.title


def test_names_are_their_own():
    assert len({cue.name for cue in CUES}) == len(CUES)
    assert len({cue.title for cue in CUES}) == len(CUES)
