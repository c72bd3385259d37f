"""Which dense tissue between aerated lung and ribs is taken for disease, by its depth per slice and angle."""

import numpy as np
import pytest

from COVIDQuantLib.segmentation.lungs.chest_wall import believable
from COVIDQuantLib.segmentation.patient.rays import ANGLES

SLICE_MM, SLICES = 2.5, 60
CELL = (SLICE_MM, 3.4)
BACK = slice(ANGLES // 4 - 12, ANGLES // 4 + 12)


def healthy() -> np.ndarray:
    """Depth in millimetres ``[k, angle]`` where the lung reaches the wall everywhere but at the lowest slices."""
    fill = np.zeros((SLICES, ANGLES))
    fill[:4] = np.nan
    return fill


def layer(fill: np.ndarray, slices: slice, mm: float) -> np.ndarray:
    fill[slices, BACK] = mm
    return fill


def test_a_layer_with_lung_above_and_below_is_disease():
    taken = believable(layer(healthy(), slice(20, 36), 20.0), CELL)
    assert taken[22:34, BACK].all()
    assert not taken[:18].any()
    assert not taken[40:].any()


def test_a_tall_layer_that_goes_on_into_liver_is_disease_above_it():
    taken = believable(layer(layer(healthy(), slice(12, 36), 22.0), slice(4, 12), 85.0), CELL)
    assert taken[14:34, BACK].mean() > 0.9
    assert not taken[:11].any()


def test_a_dome_that_rises_at_once_is_none():
    fill = healthy()
    for k, mm in zip(range(15, 3, -1), np.linspace(14.0, 96.0, 12), strict=True):
        fill[k, BACK] = mm
    assert not believable(fill, CELL).any()


@pytest.mark.parametrize("mm", [70.0, 120.0])
def test_what_is_deep_everywhere_is_liver(mm):
    assert not believable(layer(healthy(), slice(4, 30), mm), CELL).any()
