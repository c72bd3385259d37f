"""Lobes and pneumonia are told apart by their colours, also by the colour-blind."""

from itertools import combinations

import numpy as np
import pytest

from COVIDQuantLib.anatomy import LESION, LOBES

# Machado, Oliveira and Fernandes 2009, full severity, in linear RGB.
SIGHT = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
WHITE = [0.9505, 1.0, 1.089]
# A difference of 2.3 is just noticed side by side (CIE 1976); colours in a table of symbols should differ by 20.
APART = 20.0


def as_seen(rgb, sight):
    """CIE L*a*b* of an sRGB colour as somebody sees it."""
    c = np.asarray(rgb, float)
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    xyz = TO_XYZ @ np.clip(np.asarray(SIGHT[sight]) @ linear, 0.0, 1.0) / WHITE
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_every_two_colours_differ(sight):
    colours = {kind.name: as_seen(kind.colour, sight) for kind in (*LOBES, LESION)}
    distances = {pair: np.linalg.norm(colours[pair[0]] - colours[pair[1]]) for pair in combinations(colours, 2)}
    nearest = min(distances, key=distances.get)
    assert distances[nearest] >= APART, (nearest, distances[nearest])


@pytest.mark.parametrize("sight", SIGHT)
def test_lobes_shine_on_dark_lungs(sight):
    assert min(as_seen(lobe.colour, sight)[0] for lobe in LOBES) > 35.0
