"""Lobes that were found roughly, parted anew along the fissures that are seen (row P2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from COVIDQuantLib.anatomy import labels_of_side
from COVIDQuantLib.ct.geometry import Geometry, Triple
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.segmentation.atlas import (
    LEFT_OBLIQUE,
    RIGHT_HORIZONTAL,
    RIGHT_OBLIQUE,
    SIDE_OF_FISSURE,
    FissureSheet,
    sheet_coordinates,
    sheet_mm,
)
from COVIDQuantLib.segmentation.atlas_frame import FloatArray
from COVIDQuantLib.segmentation.fissures import draw_to_image
from COVIDQuantLib.segmentation.fissures_sight import SightOfChance
from COVIDQuantLib.segmentation.lobes import SIDES, lobes_of_sheets, place_atlas

# The lobes above and below each fissure.
PARTED = {RIGHT_OBLIQUE: ((1, 2), (3,)), RIGHT_HORIZONTAL: ((1,), (2,)), LEFT_OBLIQUE: ((4,), (5,))}
# A lung none of whose fissures is seen so far keeps its lobes as they were.
_SEEN_SHARE = 0.15
_LEAST_FACES, _MOST_FACES = 200, 4000
# The faces of a border stand for so many independent points, each off by so much.
_POINTS, _POINT_MM = 400.0, 4.0


def part_along_fissures(
    lobes: np.ndarray,
    geometry: Geometry,
    chance: Mapping[str, FloatArray],
    start: Triple,
    step: Triple,
    report: Report = silent,
) -> np.ndarray:
    """Lobes whose borders follow the fissures; the lungs stay as they are.

    Lungs that go on beyond the CT keep their lobes, for their frame is uncertain.

    Args:
        lobes: uint8 ``[k, j, i]``, label values of the contract, on a canonical grid.
        geometry: of that grid.
        chance: by fissure, chance of a fissure on a lattice, float ``[k, j, i]``.
        start: position of that lattice's first point along ``k, j, i``, millimetres from the CT's first voxel.
        step: distance of its points, millimetres.
        report: progress; may raise ``Cancelled``.
    """
    table = np.zeros(256, np.uint8)
    for side, value in SIDES.items():
        table[list(labels_of_side(side))] = value
    lungs = table[lobes]
    sheets = {name: sheet for name, sheet in sheets_of_lobes(lobes, lungs, geometry).items() if not sheet.loose}
    report(0.2)
    sight = SightOfChance(chance, start, step, lungs, geometry.spacing)
    drawn, shares = draw_to_image(sight, sheets, part(report, 0.2, 0.8))
    kept = {side for side in SIDES if max(_of_side(shares, side).values(), default=0.0) >= _SEEN_SHARE}
    lungs[~np.isin(lungs, [SIDES[side] for side in kept])] = 0
    parted = lobes_of_sheets(lungs, geometry, drawn, part(report, 0.8, 1.0))
    return np.where(lungs > 0, parted, lobes)


def sheets_of_lobes(lobes: np.ndarray, lungs: np.ndarray, geometry: Geometry) -> dict[str, FissureSheet]:
    """The atlas's fissures bent to the borders between lobes.

    Args:
        lobes: uint8 ``[k, j, i]``, label values of the contract, on a canonical grid.
        lungs: on that grid, 1 right, 2 left.
        geometry: of that grid.
    """
    spacing = np.array(geometry.spacing_kji)
    return {
        name: _bent(sheet, (_faces(lobes, *PARTED[name]) * spacing)[:, ::-1])
        for name, sheet in place_atlas(lungs, geometry).items()
    }


def _of_side(shares: Mapping[str, float], side: str) -> dict[str, float]:
    return {name: share for name, share in shares.items() if SIDE_OF_FISSURE[name] == side}


def _faces(lobes: np.ndarray, above: tuple[int, ...], below: tuple[int, ...]) -> FloatArray:
    """Voxel indices ``(n, 3)``, halves included, of the faces between two groups of lobes; an even choice of many."""
    table = np.zeros(256, np.uint8)
    table[list(above)], table[list(below)] = 1, 2
    parts, found = table[lobes], []
    for axis in range(3):
        low, high = np.moveaxis(parts, axis, 0)[:-1], np.moveaxis(parts, axis, 0)[1:]
        faces = np.argwhere(np.moveaxis(low * high == 2, 0, axis)).astype(float)
        faces[:, axis] += 0.5
        found.append(faces)
    all_faces = np.concatenate(found)
    return all_faces[:: max(1, len(all_faces) // _MOST_FACES)]


def _bent(sheet: FissureSheet, points: FloatArray) -> FissureSheet:
    """The sheet of the population that runs nearest to points ``(n, 3)`` in millimetres, outliers aside."""
    if len(points) < _LEAST_FACES:
        return sheet
    first, second, across = sheet_coordinates(sheet.fissure, sheet.frame.to_unit(points))
    terms = sheet.model.terms(first, second)
    lift, target = terms @ sheet.model.modes, across - terms @ sheet.model.mean
    sigma = _POINT_MM / sheet_mm(sheet.fissure, sheet.frame)[2]
    weights, robust = sheet.expected, np.ones(len(points))
    for _ in range(5):
        share = (robust * _POINTS / len(points) / sigma**2)[:, None]
        normal = (lift * share).T @ lift + np.eye(lift.shape[1])
        weights = np.linalg.solve(normal, (lift * share).T @ target + sheet.expected)
        robust = 1 / (1 + ((target - lift @ weights) / (3 * sigma)) ** 2)
    return replace(sheet, expected=weights, weights=weights)
