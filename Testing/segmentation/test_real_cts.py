"""Lungs found by both paths stay in the patient: real CTs where they are at hand, phantoms with all around everywhere.

Real: one with COVID-19 on a cushion under blankets, one with streaks at the shoulder and a mass, one under a blanket,
one in 8 mm sections. Lungs without truth are judged by lung_soundness.py, which shares nothing with what finds them.
"""

from functools import cache

import numpy as np
import pytest

from COVIDQuantLib.evaluation.overlap import dice
from COVIDQuantLib.pipeline import METHODS, MODEL_FREE, NETWORK, Plan, quantify_ct
from COVIDQuantLib.simulation.phantom import Phantom, PhantomSettings, make_phantom
from Testing.evaluation.lung_soundness import look
from Testing.evaluation.real_cts import BEYOND_SHARE, Run

# Averaged to thick sections where they are thin: quicker, and the harder case.
REAL = (("ricord_whole", 5.0), ("lidc0001", 5.0), ("lungdx_a0001", None), ("lungdx_a0002", None))
AROUND = (("table", "cushion", "arms-down", "blanket"), ("couch", "arms-up", "blanket", "cables"))
# Least Dice with the phantoms' lungs, which both paths reach with nothing around as well.
PHANTOM_DICE = {NETWORK: 0.97, MODEL_FREE: 0.96}


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("name", "thickness_mm"), REAL)
def test_lungs_of_real_people_are_sound(shared_data, name, thickness_mm, method):
    ct = Run(name, method, thickness_mm).ct(shared_data)
    found, _ = look(ct, quantify_ct(ct, plan=Plan(method)).segmentation.lobes)
    assert found.faults(BEYOND_SHARE.get(name, 0.005)) == []


@cache
def phantom(around: tuple[str, ...]) -> Phantom:
    settings = PhantomSettings(60 + AROUND.index(around), 5.0, matrix=192, extent_percent=8.0, surroundings=around)
    return make_phantom(settings)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("around", AROUND, ids="+".join)
def test_lungs_of_phantoms_with_much_around_are_sound(around, method):
    made = phantom(around)
    lobes = quantify_ct(made.ct, plan=Plan(method)).segmentation.lobes
    found, _ = look(made.ct, lobes)
    assert found.faults(0.01) == []
    assert dice(lobes > 0, np.asarray(made.lobes) > 0) > PHANTOM_DICE[method]
