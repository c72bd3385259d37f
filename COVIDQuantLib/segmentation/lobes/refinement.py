"""Refine approximate lobes along detected fissures (row P2)."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence
from dataclasses import replace

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import FISSURE, SIDE_VALUE, Fissure
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.segmentation.atlas.lung_frame import FloatArray
from COVIDQuantLib.segmentation.atlas.model import (
    RELIEF_REACH,
    FissureSheet,
    sheet_coordinates,
    sheet_mm,
)
from COVIDQuantLib.segmentation.fissures.evidence_sources import NetworkEvidence
from COVIDQuantLib.segmentation.fissures.surface_fit import draw_to_image
from COVIDQuantLib.segmentation.lobes.model_free import lobes_of_sheets, place_atlas
from COVIDQuantLib.segmentation.lungs.sides import sides_of_lobes
from COVIDQuantLib.voxels.geometry import Geometry, Triple

# A fissure counts as detected above this trust; factors for the lobes on either side in the lookup table.
_SEEN, _BOTH = 0.3, 2
# If a fissure is detected over less than this share of its course, the border is reported as a guess.
_GUESS = 0.2
_LEAST_FACES, _MOST_FACES = 200, 4000
# The faces of a border count as this many independent points, each with this error.
_POINTS, _POINT_MM = 400.0, 4.0


def part_along_fissures(
    lobes: np.ndarray,
    geometry: Geometry,
    chance: Mapping[str, FloatArray],
    start: Triple,
    step: Triple,
    report: Report = silent,
    unseen: MutableSequence[str] | None = None,
) -> np.ndarray:
    """Move the borders between lobes to the fissures; the lungs are unchanged.

    Lungs that continue beyond the CT keep their lobes, since their frame is uncertain.

    Args:
        lobes: uint8 ``[k, j, i]``, label values of the contract, on a canonical grid.
        geometry: of that grid.
        chance: by fissure, probability of a fissure on a lattice, float ``[k, j, i]``.
        start: position of that lattice's first point along ``k, j, i``, millimetres from the CT's first voxel.
        step: distance of its points, millimetres.
        report: progress; may raise ``Cancelled``.
        unseen: receives the names of fissures that are hardly visible, whose borders are a guess.
    """
    lungs = sides_of_lobes(lobes)
    sheets = {name: sheet for name, sheet in sheets_of_lobes(lobes, lungs, geometry).items() if not sheet.loose}
    report(0.2)
    sight = NetworkEvidence(chance, start, step, lungs, geometry.spacing)
    drawn, sightings = draw_to_image(sight, sheets, part(report, 0.2, 0.8))
    if unseen is not None:
        unseen += [name for name in FISSURE if name not in sightings or sightings[name].share < _GUESS]
    lungs[~np.isin(lungs, [SIDE_VALUE[FISSURE[name].side] for name in sightings])] = 0
    parted = lobes_of_sheets(lungs, geometry, drawn, part(report, 0.8, 1.0))
    result = np.where(lungs > 0, parted, lobes)
    for name, sighting in sightings.items():
        _keep_where_unseen(result, lobes, drawn[name], sighting.trust, geometry)
    return result


def _keep_where_unseen(
    result: np.ndarray, lobes: np.ndarray, sheet: FissureSheet, seen: FloatArray, geometry: Geometry
) -> None:
    """Undo changes by a sheet where its fissure was not detected: there the approximate lobes are as good."""
    table = _sides_of(FISSURE[sheet.fissure])
    changed = np.nonzero(table[result] * table[lobes] == _BOTH)
    points = (np.stack(changed, axis=1) * np.array(geometry.spacing_kji))[:, ::-1]
    first, second, _ = sheet_coordinates(sheet.fissure, sheet.frame.to_unit(points))
    places = [
        np.clip((along / RELIEF_REACH + 1) * 0.5 * (count - 1), 0, count - 1)
        for along, count in zip((first, second), seen.shape, strict=True)
    ]
    unseen = ndimage.map_coordinates(seen, np.stack(places), order=1) < _SEEN
    back = tuple(axis[unseen] for axis in changed)
    result[back] = lobes[back]


def sheets_of_lobes(lobes: np.ndarray, lungs: np.ndarray, geometry: Geometry) -> dict[str, FissureSheet]:
    """Fit the atlas's fissures to the borders between lobes.

    Args:
        lobes: uint8 ``[k, j, i]``, label values of the contract, on a canonical grid.
        lungs: on that grid, 1 right, 2 left.
        geometry: of that grid.
    """
    spacing = np.array(geometry.spacing_kji)
    return {
        name: _bent(sheet, (_faces(lobes, FISSURE[name]) * spacing)[:, ::-1])
        for name, sheet in place_atlas(lungs, geometry).items()
    }


def _sides_of(fissure: Fissure) -> np.ndarray:
    """Table of label values: 1 for a lobe above the fissure, 2 for one below, 0 for others; uint8 ``[256]``."""
    table = np.zeros(256, np.uint8)
    table[list(fissure.above)], table[list(fissure.below)] = 1, 2
    return table


def _faces(lobes: np.ndarray, fissure: Fissure) -> FloatArray:
    """Voxel indices ``(n, 3)``, halves included, of the faces between lobes at a fissure; an even choice of many."""
    parts, found = _sides_of(fissure)[lobes], []
    for axis in range(3):
        low, high = np.moveaxis(parts, axis, 0)[:-1], np.moveaxis(parts, axis, 0)[1:]
        faces = np.argwhere(np.moveaxis(low * high == 2, 0, axis)).astype(float)
        faces[:, axis] += 0.5
        found.append(faces)
    all_faces = np.concatenate(found)
    return all_faces[:: max(1, len(all_faces) // _MOST_FACES)]


def _bent(sheet: FissureSheet, points: FloatArray) -> FissureSheet:
    """The population's sheet nearest to points ``(n, 3)`` in millimetres, robust against outliers."""
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
