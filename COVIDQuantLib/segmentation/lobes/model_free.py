"""Model-free lobes: the atlas positioned by the lungs, then fitted to visible fissures (row P2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import SIDE_VALUE, SIDES, labels_of_side
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.segmentation.atlas.lobe_shares import weights_for_shares
from COVIDQuantLib.segmentation.atlas.lung_frame import FloatArray
from COVIDQuantLib.segmentation.atlas.model import (
    FissureSheet,
    load_atlas,
)
from COVIDQuantLib.segmentation.atlas.partial_lung import PartialLung, frames_of_lungs
from COVIDQuantLib.segmentation.fissures.evidence_sources import ImageEvidence
from COVIDQuantLib.segmentation.fissures.surface_fit import draw_to_image
from COVIDQuantLib.segmentation.lobes.between_fissures import fissures_of_side, labels_between
from COVIDQuantLib.segmentation.lobes.connectivity import join_pieces
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.voxels.interpolation import linear_matrix, neighbours

_SAMPLE_MM = 3.0
_LATTICE_MM = 4.0
_CUT_AREA_MM2 = 600.0
_MIN_POINTS = 200


@dataclass(frozen=True)
class _Crop:
    """The box of one lung in the volume: slices along k, j, i."""

    box: tuple[slice, slice, slice]

    @classmethod
    def of(cls, lungs: np.ndarray, value: int) -> _Crop | None:
        box = ndimage.find_objects(lungs, max_label=max(SIDE_VALUE.values()))[value - 1]
        return None if box is None else cls(box)

    @property
    def start(self) -> FloatArray:
        return np.array([part.start for part in self.box])


def place_atlas(lungs: np.ndarray, geometry: Geometry) -> dict[str, FissureSheet]:
    """Position the fissures by the lungs' shape; returned by name.

    Positions are voxel indices ``i, j, k`` times the spacing, in millimetres along the grid's own axes.

    Args:
        lungs: uint8 ``[k, j, i]``, 1 right, 2 left, on a canonical grid.
        geometry: of that grid.

    Returns:
        The fissures of the sides that are present; a lung of a few voxels has none.
    """
    parts = {}
    for side, value in SIDE_VALUE.items():
        lung = _partial_lung(lungs, value, geometry)
        if lung is not None:
            parts[side] = lung
    atlas = load_atlas()
    frames = frames_of_lungs(parts, atlas.lungs) if parts else {}
    sheets = {}
    for side, frame in frames.items():
        models = atlas.of_side(side)
        whole = not parts[side].is_cut
        weights = weights_for_shares(parts[side].points, frame, models) if whole else {}
        for name, model in models.items():
            expected = weights.get(name, model.usual)
            sheets[name] = FissureSheet(name, frame, model, expected, expected, loose=not whole)
    return sheets


def find_lobes(ct: CTVolume, lungs: np.ndarray, report: Report = silent, *, use_image: bool = True) -> np.ndarray:
    """Divide the lungs into lobes.

    Args:
        ct: the CT on a canonical grid.
        lungs: uint8 ``[k, j, i]`` on that grid, 1 right, 2 left.
        report: progress; may raise ``Cancelled``.
        use_image: whether the fissures are fitted to visible ones; otherwise the atlas is used as it is.

    Returns:
        uint8 ``[k, j, i]``, label values of :mod:`COVIDQuantLib.anatomy`; nonzero exactly where the lungs are.
    """
    report(0.0)
    sheets = place_atlas(lungs, ct.geometry)
    if use_image:
        sheets, _ = draw_to_image(ImageEvidence(ct, lungs), sheets, part(report, 0.1, 0.7))
    return lobes_of_sheets(lungs, ct.geometry, sheets, part(report, 0.7, 1.0))


def lobes_of_sheets(
    lungs: np.ndarray, geometry: Geometry, sheets: dict[str, FissureSheet], report: Report = silent
) -> np.ndarray:
    """Label each lung voxel by its side of the fissures; arguments as in :func:`place_atlas`."""
    lobes = np.zeros(lungs.shape, np.uint8)
    for number, (side, value) in enumerate(SIDE_VALUE.items()):
        report(number / len(SIDES))
        crop = _Crop.of(lungs, value)
        if crop is not None:
            inside = lungs[crop.box] == value
            labels = _labels_of_side(side, inside.shape, crop.start, geometry, sheets)
            np.copyto(lobes[crop.box], labels, where=inside)
            join_pieces(lobes[crop.box], labels_of_side(side))
    report(1.0)
    return lobes


def _labels_of_side(
    side: str, shape: tuple[int, ...], start: FloatArray, geometry: Geometry, sheets: dict[str, FissureSheet]
) -> np.ndarray:
    drawn = [fissure.name for fissure in fissures_of_side(side) if fissure.name in sheets]
    if not drawn:
        return np.full(shape, labels_of_side(side)[0], np.uint8)
    return labels_between(side, {name: _above(sheets[name], shape, start, geometry) for name in drawn})


def _above(sheet: FissureSheet, shape: tuple[int, ...], start: FloatArray, geometry: Geometry) -> np.ndarray:
    """Which voxels lie above a fissure: its height is computed on a coarse lattice and interpolated."""
    spacing = np.array(geometry.spacing_kji)
    axes = [
        np.linspace(0.0, n - 1.0, max(2, int(np.ceil((n - 1) * mm / _LATTICE_MM)) + 1))
        for n, mm in zip(shape, spacing, strict=True)
    ]
    k, j, i = np.meshgrid(
        *((axis + first) * mm for axis, first, mm in zip(axes, start, spacing, strict=True)), indexing="ij"
    )
    coarse = sheet.height(np.stack([i, j, k], axis=-1)).astype(np.float32)
    rows, columns = (linear_matrix(_places(axis, n), len(axis)) for axis, n in zip(axes[1:], shape[1:], strict=True))
    above = np.empty(shape, bool)
    for number, (low, high, share) in enumerate(
        zip(*neighbours(_places(axes[0], shape[0]), len(axes[0])), strict=True)
    ):
        section = (1 - share) * coarse[low] + share * coarse[high]
        above[number] = rows @ section @ columns.T > 0
    return above


def _places(axis: FloatArray, count: int) -> FloatArray:
    """Voxels 0..count−1 in units of the lattice's nodes."""
    return np.interp(np.arange(count), axis, np.arange(len(axis))) if count > 1 else np.zeros(1)


def _partial_lung(lungs: np.ndarray, value: int, geometry: Geometry) -> PartialLung | None:
    """Evenly spread points of one lung and whether it continues beyond the CT; None if it is only a few voxels."""
    spacing = np.array(geometry.spacing_kji)
    steps = np.maximum(1, np.round(_SAMPLE_MM / spacing)).astype(int)
    found = np.argwhere(lungs[:: steps[0], :: steps[1], :: steps[2]] == value) * steps
    if len(found) < _MIN_POINTS:
        return None
    points = (found * spacing)[:, ::-1]
    pixel = spacing[1] * spacing[2]
    below, above = (np.count_nonzero(lungs[end] == value) * pixel > _CUT_AREA_MM2 for end in (0, -1))
    return PartialLung(points, bool(below), bool(above))
