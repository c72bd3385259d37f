"""Random fissures, from the subjects of the lobe atlas, that divide given lungs into five lobes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import FISSURE, FISSURES, SIDE_VALUE, SIDES
from COVIDQuantLib.segmentation.atlas.fit import on_sheet, subject_landmarks
from COVIDQuantLib.segmentation.atlas.model import (
    TERMS,
    FissureModel,
    FissureSheet,
    load_atlas,
    sheet_mm,
)
from COVIDQuantLib.segmentation.lobes.between_fissures import fissures_of_side, labels_between
from COVIDQuantLib.segmentation.lobes.model_free import lobes_of_sheets, place_atlas
from COVIDQuantLib.simulation.fields.arrays import FloatArray
from COVIDQuantLib.simulation.painted.lung_shapes import ATLAS_FOLDER
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.voxels.morphology import components

# Least and greatest share of each lobe in both lungs.
SHARES = {1: (0.13, 0.28), 2: (0.045, 0.14), 3: (0.17, 0.35), 4: (0.16, 0.32), 5: (0.15, 0.33)}
# Where these lobes never are, in the coordinates of the lung's frame (x to the left, y to the back, z up, each
# from -1 to 1): the lower lobes keep away from the front above the base, the others from the back of the base.
_NEVER = {
    3: lambda y, z: (y < -0.55) & (z > -0.45),
    5: lambda y, z: (y < -0.55) & (z > -0.45),
    1: lambda y, z: (y > 0.0) & (z < -0.5),
    2: lambda y, z: (y > 0.6) | (z > 0.6),
    4: lambda y, z: (y > 0.5) & (z < -0.4),
}
_MOST_ASTRAY = 0.004
_TRIES = 60
_WHOLE = 0.97
_RIDGE = 2e-3
_LATTICE = 40
_SAMPLES = 6000


@cache
def subject_sheets(data: Path) -> tuple[dict[str, FloatArray], ...]:
    """Coefficients of every atlas subject's fissures by name, from its landmarks and the population's prior.

    Args:
        data: folder with ``cip_lobe_atlas``.
    """
    atlas = load_atlas()
    subjects = []
    for path in sorted((data / ATLAS_FOLDER).glob("*_regionAndTypePoints.csv")):
        own = {}
        for name, landmarks in subject_landmarks(path).items():
            sheet = on_sheet(name, landmarks, atlas.lungs[FISSURE[name].side].frame)
            if sheet is not None:
                own[name] = _coefficients(atlas.fissures[name], sheet)
        subjects.append(own)
    return tuple(subjects)


def _coefficients(model: FissureModel, sheet: FloatArray) -> FloatArray:
    """The likeliest surface of one subject given landmarks ``(n, 3)`` in sheet coordinates."""
    terms = model.terms(sheet[:, 0], sheet[:, 1])
    spread = model.modes @ model.modes.T + _RIDGE * np.eye(TERMS)
    gain = spread @ terms.T @ np.linalg.inv(terms @ spread @ terms.T + model.noise**2 * np.eye(len(sheet)))
    return model.mean + gain @ (sheet[:, 2] - terms @ model.mean)


def draw_lobes(rng: np.random.Generator, lungs: np.ndarray, geometry: Geometry, data: Path) -> np.ndarray | None:
    """Five lobes of whole lungs, their fissures drawn at random.

    Args:
        rng: random generator.
        lungs: uint8 ``[k, j, i]``, 1 right, 2 left.
        geometry: of the grid.
        data: folder with ``cip_lobe_atlas``.

    Returns:
        uint8 label values of :mod:`COVIDQuantLib.anatomy`; None if no draw gave five believable lobes.
    """
    placed = place_atlas(lungs, geometry)
    if len(placed) != len(FISSURES):
        return None
    points = {side: _points(rng, lungs == value, geometry) for side, value in SIDE_VALUE.items()}
    share = {side: float(np.count_nonzero(lungs == value)) for side, value in SIDE_VALUE.items()}
    for number in range(_TRIES):
        sheets = {name: _drawn(rng, sheet, data, 1.0 - number / _TRIES) for name, sheet in placed.items()}
        labels = {side: _labels(side, sheets, points[side]) for side in SIDES}
        if not believable(_shares(labels, share)) or any(_astray(side, sheets, points, labels) for side in SIDES):
            continue
        lobes = lobes_of_sheets(lungs, geometry, sheets)
        straighten(lobes)
        give_away_pieces(lobes, lungs, geometry.spacing_kji)
        if all(_is_whole(lobes[::2, ::2, ::2] == label) for label in SHARES):
            return lobes
    return None


def believable(shares: Mapping[int, float]) -> bool:
    """Whether every lobe's share of both lungs is within ``SHARES``."""
    return all(low <= shares[label] <= high for label, (low, high) in SHARES.items())


def _points(rng: np.random.Generator, lung: np.ndarray, geometry: Geometry) -> FloatArray:
    found = np.argwhere(lung[::3, ::3, ::3]) * 3.0
    return found[rng.integers(len(found), size=_SAMPLES)][:, ::-1] * np.array(geometry.spacing)


def _drawn(rng: np.random.Generator, sheet: FissureSheet, data: Path, freedom: float) -> FissureSheet:
    """One random fissure: a subject's, or a draw of the modes, with a random relief; less free at later tries."""
    model = sheet.model
    own = [subject[sheet.fissure] for subject in subject_sheets(data) if sheet.fissure in subject]
    usual = model.mean + model.modes @ sheet.expected
    if rng.random() < 0.5:
        drawn = own[rng.integers(len(own))]
    else:
        drawn = usual + model.modes @ rng.normal(0, 0.9, model.modes.shape[1])
    toward = freedom * rng.uniform(0.3, 1.0)
    mean = toward * drawn + (1 - toward) * usual
    return replace(
        sheet, model=replace(model, mean=mean), weights=np.zeros(model.modes.shape[1]), relief=_relief(rng, sheet)
    )


def _relief(rng: np.random.Generator, sheet: FissureSheet) -> FloatArray:
    """Random bumps of a few millimetres at two scales, on the lattice that the sheet's relief is given on."""
    unit_mm = sheet_mm(sheet.fissure, sheet.frame)[2]
    relief = np.zeros((_LATTICE, _LATTICE))
    for grain, most_mm in ((0.9, 8.0), (0.4, 3.0)):
        sigma = grain * _LATTICE / 2.9 / 2.4
        bumps = ndimage.gaussian_filter(rng.standard_normal((3 * _LATTICE,) * 2), sigma)[_LATTICE : 2 * _LATTICE][
            :, _LATTICE : 2 * _LATTICE
        ]
        relief += rng.uniform(0.1, 1.0) * most_mm / unit_mm * bumps / max(float(bumps.std()), 1e-9)
    return relief


def _labels(side: str, sheets: Mapping[str, FissureSheet], points: FloatArray) -> np.ndarray:
    """Label of the lobe that each point of a lung belongs to."""
    own = {fissure.name: sheets[fissure.name].height(points) > 0 for fissure in fissures_of_side(side)}
    return labels_between(side, own)


def _shares(labels: Mapping[str, np.ndarray], volumes: Mapping[str, float]) -> dict[int, float]:
    """Share of each lobe in both lungs, from points spread over each."""
    total = sum(volumes.values())
    counts = {
        side: np.bincount(found, minlength=6) / len(found) * volumes[side] / total for side, found in labels.items()
    }
    return {label: float(sum(count[label] for count in counts.values())) for label in SHARES}


def _astray(
    side: str, sheets: Mapping[str, FissureSheet], points: Mapping[str, FloatArray], labels: Mapping[str, np.ndarray]
) -> bool:
    """Whether a lobe reaches where it never is in people."""
    frame = next(sheet.frame for name, sheet in sheets.items() if FISSURE[name].side == side)
    unit = frame.to_unit(points[side])
    return any(
        np.mean(outside(unit[:, 1], unit[:, 2]) & (labels[side] == label)) > _MOST_ASTRAY
        for label, outside in _NEVER.items()
    )


def straighten(lobes: np.ndarray) -> None:
    """Relabel lower lobe in front of an upper or middle one, and right upper lobe below the middle one, in place.

    Drawn surfaces bend back where no landmark constrains them, as in the lingula in front of the heart.

    Args:
        lobes: uint8 ``[k, j, i]``.
    """
    for uppers, lower in (((1, 2), 3), ((4,), 5)):
        rows = np.flatnonzero(np.isin(lobes, (*uppers, lower)).any(axis=(0, 2)))
        if not len(rows):
            continue
        front = lobes[:, : (rows[0] + rows[-1]) // 2 + 1]
        upper = np.where(np.isin(front, uppers), front, 0)
        behind = np.maximum.accumulate(upper[:, ::-1], axis=1)[:, ::-1]
        np.copyto(front, behind, where=(front == lower) & (behind > 0))
    above = np.logical_or.accumulate((lobes == 2)[::-1], axis=0)[::-1]
    lobes[(lobes == 1) & above] = 2


def give_away_pieces(lobes: np.ndarray, lungs: np.ndarray, spacing: Sequence[float]) -> None:
    """Relabel pieces detached from the largest piece of their lobe as the nearest other lobe of the lung, in place.

    A fissure is extrapolated where it has no landmarks, as in the lingula in front of the heart.

    Args:
        lobes: uint8 ``[k, j, i]``.
        lungs: 1 right, 2 left.
        spacing: millimetres along k, j, i.
    """
    loose = np.zeros(lobes.shape, bool)
    for label in SHARES:
        pieces, sizes = components(lobes == label)
        if len(sizes) > 2:
            sizes[0] = 0
            loose |= (pieces > 0) & (pieces != sizes.argmax())
    for value in SIDE_VALUE.values():
        box = ndimage.find_objects((loose & (lungs == value)).astype(np.uint8))
        if not box:
            continue
        around = tuple(slice(max(0, s.start - 12), s.stop + 12) for s in box[0])
        own = (lungs[around] == value) & ~loose[around]
        if not own.any():
            continue
        nearest = ndimage.distance_transform_edt(~own, sampling=spacing, return_distances=False, return_indices=True)
        lost = loose[around] & (lungs[around] == value)
        lobes[around][lost] = lobes[around][tuple(axis[lost] for axis in nearest)]


def _is_whole(lobe: np.ndarray) -> bool:
    sizes = components(lobe)[1][1:]
    return bool(len(sizes) and sizes.max() >= _WHOLE * sizes.sum())
