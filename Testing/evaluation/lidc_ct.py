"""Validation CTs made from the label sets of three LIDC patients: real lungs, fissures, vessels and bronchi, painted.

The labels hold no CT numbers; parenchyma, texture, chest wall, blur, noise and pneumonia are painted by the painter of
the training chests. They serve validation only: nothing is trained or tuned on them. True lobes are the lungs parted by
smooth surfaces through the drawn fissures, which also bridge the gaps that the drawings leave at the hilum; a piece of
a lobe that a drawn fissure cuts off goes to the lobe beside it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from COVIDQuantLib.anatomy import FISSURES, SIDE_VALUE, labels_of_side
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.segmentation.atlas.model import (
    RELIEF_REACH,
    FissureSheet,
    sheet_coordinates,
    sheet_mm,
)
from COVIDQuantLib.segmentation.lobes.model_free import lobes_of_sheets, place_atlas
from COVIDQuantLib.simulation.lesions.training_lesions import insert_lesions
from COVIDQuantLib.simulation.painted.drawn_lobes import give_away_pieces
from COVIDQuantLib.simulation.painted.painting import Structures, paint_chest
from COVIDQuantLib.simulation.scanner.sections import thick_sections
from COVIDQuantLib.voxels.geometry import Geometry
from Testing.evaluation.lidc_fissures import AIRWAY, FISSURE, part_sides, split_right

VESSEL, NODULE = 3, 5
PATIENTS = (1, 2, 3)
EXTENTS = (0.0, 10.0, 25.0)
# Sections averaged: one is 1.4 mm.
SECTIONS = (1, 4)
_BLOCK = 2
_MARGIN_MM = (20.0, 40.0, 42.0)
_LATTICE = 60
_SMOOTH = 0.004
_MIDDLE = 2
# The drawings also mark where the lungs touch in front and behind; in one patient up to 10 mm from the other lung.
_TOUCH_MM = 10.5
_DRAWN_SHARE = 0.15
_ROOF_VOXELS = 4
# As far before the rear end of the drawn fissure the surface itself is trusted.
_FORE_VOXELS = 6
_POINT_STRIDE = 7
_APART_MM = 5.0
_SEED = 90210


@dataclass(frozen=True)
class Anatomy:
    """One patient's labels, two voxels along each axis made one, with room for the chest wall.

    Attributes:
        lungs: uint8 ``[k, j, i]``, 1 right, 2 left.
        geometry: of the grid, its first voxel at the origin.
        lobes: the true ones.
        shares: share of each voxel with fissure, vessel, airway or nodule by name, float32.
        fissures: drawn fissure voxels by name, ``(n, 3)`` x, y, z in millimetres.
    """

    lungs: np.ndarray
    geometry: Geometry
    lobes: np.ndarray
    shares: dict[str, np.ndarray]
    fissures: dict[str, np.ndarray]


@dataclass(frozen=True)
class MadeCT:
    """A painted CT and its truth, the drawn fissures as points x, y, z in millimetres."""

    name: str
    ct: CTVolume
    lobes: np.ndarray
    lesions: np.ndarray
    fissures: dict[str, np.ndarray]


def load_anatomy(path: Path) -> Anatomy:
    """Read one label set and part its lungs into the true lobes."""
    image = sitk.ReadImage(str(path))
    labels = sitk.GetArrayFromImage(image)
    spacing = np.array(image.GetSpacing()[::-1])
    pads = np.round(np.array(_MARGIN_MM) / spacing / _BLOCK).astype(int) * _BLOCK
    labels = np.pad(labels, [(pad, pad + (n % _BLOCK)) for pad, n in zip(pads, labels.shape, strict=True)])
    shares = {name: _blocks(labels == label) for name, label in
              (("fissures", FISSURE), ("vessels", VESSEL), ("airways", AIRWAY), ("nodules", NODULE))}  # fmt: skip
    inside = _blocks((labels > 0) & (labels != AIRWAY)) >= 0.5
    step = _BLOCK * spacing
    lungs = _parted(ndimage.binary_closing(_thick_parts(inside), iterations=2), step)
    geometry = Geometry(lungs.shape, (float(step[2]), float(step[1]), float(step[0])))
    # The middle of a block of two lies half a voxel after its first.
    drawn = (np.argwhere(labels == FISSURE) - 0.5) * spacing
    away = _distances(lungs, geometry)
    fissures = _by_name(drawn[:, ::-1], lungs, geometry, away)
    placed = place_atlas(lungs, geometry)
    sheets = {name: fitted(sheet, fissures[name]) for name, sheet in placed.items()}
    # Some points of the oblique fissure were taken for the horizontal one, near where they meet.
    oblique = sheets["right oblique"]
    roof = fissures["right horizontal"]
    roof = roof[oblique.height(roof) * sheet_mm("right oblique", oblique.frame)[2] > _APART_MM]
    sheets["right horizontal"] = fitted(placed["right horizontal"], roof)
    lobes = lobes_of_sheets(lungs, geometry, sheets)
    # Behind the drawn horizontal fissure surfaces run on across each other: that wedge is upper lobe.
    lobes[(lobes == _MIDDLE) & ~_under(roof, geometry)] = 1
    join_cut_off(lobes, lungs, shares["fissures"] > _DRAWN_SHARE)
    give_away_pieces(lobes, lungs, geometry.spacing_kji)
    return Anatomy(lungs, geometry, lobes, shares, fissures)


def _distances(lungs: np.ndarray, geometry: Geometry) -> tuple[np.ndarray, np.ndarray]:
    """Millimetres from the right and from the left lung, on every second voxel."""
    step = 2 * np.array(geometry.spacing_kji)
    coarse = lungs[::2, ::2, ::2]
    right, left = (
        ndimage.distance_transform_edt(coarse != SIDE_VALUE[side], sampling=step) for side in ("right", "left")
    )
    return right, left


def _drawn_out(coarse: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """What is known on every second voxel, for all of them."""
    for axis, count in enumerate(shape):
        coarse = np.take(np.repeat(coarse, 2, axis), range(count), axis)
    return coarse


def _parted(inside: np.ndarray, step: np.ndarray) -> np.ndarray:
    """The two lungs; which is which is found on every second voxel, for speed."""
    coarse = part_sides(inside[::2, ::2, ::2], tuple(2 * step))
    nearest = ndimage.distance_transform_edt(coarse == 0, return_distances=False, return_indices=True)
    return np.where(inside, _drawn_out(coarse[tuple(nearest)], inside.shape), 0).astype(np.uint8)


def _thick_parts(inside: np.ndarray) -> np.ndarray:
    """The lungs without the shells that the labels leave about the windpipe."""
    core = ndimage.binary_opening(inside, iterations=2)
    return ndimage.binary_dilation(core, iterations=2) & inside


def _under(points: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Which voxels lie under the drawn horizontal fissure or beside or before it, but not behind it."""
    step = np.array(geometry.spacing_kji)
    index = np.clip(np.rint(points[:, ::-1] / step).astype(int), 0, np.array(geometry.shape) - 1)
    roof = np.full(geometry.shape[1:], -1)
    np.maximum.at(roof, (index[:, 1], index[:, 2]), index[:, 0])
    nearest = ndimage.distance_transform_edt(roof < 0, sampling=step[1:], return_distances=False, return_indices=True)
    rows = np.arange(len(roof))[:, None]
    rear = np.where(roof >= 0, rows, -1).max(axis=0)
    known = np.flatnonzero(rear >= 0)
    rear = np.interp(np.arange(len(rear)), known, ndimage.maximum_filter1d(rear[known], 2 * _ROOF_VOXELS + 1))
    roof = ndimage.maximum_filter(roof[tuple(nearest)], 2 * _ROOF_VOXELS + 1)
    return (np.arange(geometry.shape[0])[:, None, None] < roof) | (rows < rear - _FORE_VOXELS)


def join_cut_off(lobes: np.ndarray, lungs: np.ndarray, drawn: np.ndarray) -> None:
    """Give each piece that drawn fissures part from its lobe to the lobe of the lung it touches most, in place."""
    for side, value in SIDE_VALUE.items():
        free = np.where((lungs == value) & ~drawn, lobes, 0)
        for label in labels_of_side(side):
            pieces, _ = ndimage.label(free == label)
            sizes = np.bincount(pieces.ravel())
            sizes[0] = 0
            for number, box in enumerate(ndimage.find_objects(pieces), start=1):
                if box is None or number == sizes.argmax():
                    continue
                around = tuple(slice(max(0, part.start - 1), part.stop + 1) for part in box)
                piece = pieces[around] == number
                touched = np.bincount(free[around][ndimage.binary_dilation(piece) & ~piece], minlength=6)
                touched[[0, label]] = 0
                if touched.any():
                    lobes[around][piece] = free[around][piece] = touched.argmax()


def _blocks(mask: np.ndarray) -> np.ndarray:
    """Share of each block of voxels that a mask fills."""
    k, j, i = (n // _BLOCK for n in mask.shape)
    return mask.reshape(k, _BLOCK, j, _BLOCK, i, _BLOCK).mean(axis=(1, 3, 5), dtype=np.float32)


def _by_name(
    points: np.ndarray, lungs: np.ndarray, geometry: Geometry, away: tuple[np.ndarray, np.ndarray]
) -> dict[str, np.ndarray]:
    """Drawn points by fissure, without those where the two lungs merely touch each other."""
    step = 2 * np.array(geometry.spacing_kji)
    at = tuple(np.clip(np.rint(points[:, ::-1] / step).astype(int), 0, np.array(away[0].shape) - 1).T)
    junction = (away[0][at] < _TOUCH_MM) & (away[1][at] < _TOUCH_MM)
    right = points[(away[0][at] <= away[1][at]) & ~junction]
    left = points[(away[0][at] > away[1][at]) & ~junction]
    horizontal = split_right(right, lungs, geometry)
    return {"right oblique": right[~horizontal], "right horizontal": right[horizontal], "left oblique": left}


def fitted(sheet: FissureSheet, points: np.ndarray) -> FissureSheet:
    """The sheet laid through drawn points: a bending plate on the lattice of its relief, held by the points."""
    first, second, across = sheet_coordinates(sheet.fissure, sheet.frame.to_unit(points))
    rise = across - sheet.smooth_level(first, second)
    places = [
        np.clip((along / RELIEF_REACH + 1) * 0.5 * (_LATTICE - 1), 0, _LATTICE - 1.001) for along in (first, second)
    ]
    low = [place.astype(int) for place in places]
    parts = [place - start for place, start in zip(places, low, strict=True)]
    rows, columns, weights = [], [], []
    for a in (0, 1):
        for b in (0, 1):
            rows.append(np.arange(len(points)))
            columns.append((low[0] + a) * _LATTICE + low[1] + b)
            weights.append((parts[0] if a else 1 - parts[0]) * (parts[1] if b else 1 - parts[1]))
    at = sparse.csr_array(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), (len(points), _LATTICE**2)
    )
    second_difference = sparse.diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(_LATTICE - 2, _LATTICE))
    first_difference = sparse.diags_array([-1.0, 1.0], offsets=[0, 1], shape=(_LATTICE - 1, _LATTICE))
    same = sparse.eye_array(_LATTICE)
    bends = [sparse.kron(second_difference, same), sparse.kron(same, second_difference),
             1.4 * sparse.kron(first_difference, first_difference)]  # fmt: skip
    plate = sum(bend.T @ bend for bend in bends)
    weight = np.ones(len(points))
    for _ in range(4):
        held = at.T @ sparse.diags_array(weight)
        system = held @ at + _SMOOTH * len(points) * plate + 1e-9 * len(points) * sparse.eye_array(_LATTICE**2)
        relief = spsolve(sparse.csc_array(system), held @ rise)
        weight = 1 / (1 + ((rise - at @ relief) / 0.05) ** 2)
    return replace(sheet, relief=relief.reshape(_LATTICE, _LATTICE))


def make_cts(folder: Path, patient: int, cache: Path, extents: Sequence[float] = EXTENTS) -> Iterator[MadeCT]:
    """The made CTs of one patient, from the cache where they are there.

    Args:
        folder: holds ``medmpd_lidc_p*_labels.nrrd``.
        patient: 1 to 3.
        cache: folder for the CTs; made if absent, never committed.
        extents: which of ``EXTENTS`` to give.
    """
    cache.mkdir(parents=True, exist_ok=True)
    names = {extent: [f"p{patient}-{extent:.0f}-{count}" for count in SECTIONS] for extent in EXTENTS}
    if not all((cache / f"{name}.npz").is_file() for some in names.values() for name in some):
        _make(load_anatomy(folder / f"medmpd_lidc_p{patient}_labels.nrrd"), patient, cache)
    for extent in extents:
        for name in names[extent]:
            yield _load(cache, name)


def _make(anatomy: Anatomy, patient: int, cache: Path) -> None:
    """Paint one chest, then put each extent of pneumonia into it; thin and thick."""
    rng = np.random.default_rng([_SEED, patient])
    spacing = anatomy.geometry.spacing_kji
    healthy = paint_chest(anatomy.lobes, spacing, rng, Structures(**anatomy.shares))
    fissures = {name: points[::_POINT_STRIDE] for name, points in anatomy.fissures.items()}
    for extent in EXTENTS:
        hu, lesions = insert_lesions(healthy, anatomy.lobes, spacing, rng, extent)
        for count in SECTIONS:
            thick, lobes = thick_sections(hu, anatomy.lobes, count)
            sick, _ = thick_sections(lesions.astype(np.float32), anatomy.lobes, count)
            truth = {"lobes": lobes, "lesions": sick >= 0.5, "spacing": np.array([spacing[0] * count, *spacing[1:]])}
            height = np.array(0.5 * (count - 1) * spacing[0])
            file = cache / f"p{patient}-{extent:.0f}-{count}.npz"
            np.savez(file, hu=np.rint(thick).astype(np.int16), height=height, **truth, **fissures)


def _load(cache: Path, name: str) -> MadeCT:
    with np.load(cache / f"{name}.npz") as stored:
        k, j, i = (float(mm) for mm in stored["spacing"])
        hu = stored["hu"]
        geometry = Geometry(hu.shape, (i, j, k), (0.0, 0.0, float(stored["height"])))
        fissures = {fissure.name: stored[fissure.name] for fissure in FISSURES}
        return MadeCT(name, CTVolume.from_values(hu, geometry), stored["lobes"], stored["lesions"], fissures)
