"""Validation CTs made from the label sets of three LIDC patients: real lungs, fissures, vessels and bronchi, painted.

The labels hold no CT numbers; parenchyma, texture, chest wall, blur, noise and pneumonia are painted by the painter of
the training chests. They serve validation only: nothing is trained or tuned on them. True lobes are the lungs parted by
smooth surfaces through the drawn fissures, which also bridge the gaps that the drawings leave at the hilum.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from COVIDQuantLib.anatomy import labels_of_side
from COVIDQuantLib.ct.geometry import Geometry
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.segmentation.atlas import FISSURES, RELIEF_REACH, RIGHT_HORIZONTAL, FissureSheet, sheet_coordinates
from COVIDQuantLib.segmentation.lobes import SIDES, lobes_of_sheets, place_atlas
from COVIDQuantLib.training.synth_anatomy import Structures, paint_chest, thick_sections
from COVIDQuantLib.training.synth_anatomy_lobes import straighten
from COVIDQuantLib.training.synth_lesions import insert_lesions
from Testing.evaluation.lidc_fissures import AIRWAY, FISSURE, JUNCTION_MM, part_sides, split_right

VESSEL, NODULE = 3, 5
PATIENTS = (1, 2, 3)
EXTENTS = (0.0, 10.0, 25.0)
# Sections averaged: one is 1.4 mm.
SECTIONS = (1, 4)
_BLOCK = 2
_MARGIN_MM = (20.0, 40.0, 42.0)
_LATTICE = 60
_SMOOTH = 0.02
_HEART_MM = 3.0
_OUTSIDE = 99
_MIDDLE = 2
_ROOF_VOXELS = 3
_POINT_STRIDE = 7
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
    lungs = part_sides(_thick_parts(inside), tuple(step))
    geometry = Geometry(lungs.shape, (float(step[2]), float(step[1]), float(step[0])))
    # The middle of a block of two lies half a voxel after its first.
    drawn = (np.argwhere(labels == FISSURE) - 0.5) * spacing
    fissures = _by_name(drawn[:, ::-1], lungs, geometry)
    sheets = {name: fitted(sheet, fissures[name]) for name, sheet in place_atlas(lungs, geometry).items()}
    lobes = lobes_of_sheets(lungs, geometry, sheets)
    straighten(lobes)
    under = _under(fissures[RIGHT_HORIZONTAL], geometry)
    snap_to_drawing(lobes, lungs, shares["fissures"], under, geometry.spacing_kji)
    return Anatomy(lungs, geometry, lobes, shares, fissures)


def _thick_parts(inside: np.ndarray) -> np.ndarray:
    """The lungs without the shells that the labels leave about the windpipe."""
    core = ndimage.binary_opening(inside, iterations=2)
    return ndimage.binary_dilation(core, iterations=2) & inside


def _under(points: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Which voxels lie under a drawn point, with a few voxels' tolerance to the sides."""
    step = np.array(geometry.spacing_kji)
    index = np.clip(np.rint(points[:, ::-1] / step).astype(int), 0, np.array(geometry.shape) - 1)
    roof = np.full(geometry.shape[1:], -1)
    np.maximum.at(roof, (index[:, 1], index[:, 2]), index[:, 0])
    roof = ndimage.maximum_filter(roof, 2 * _ROOF_VOXELS + 1)
    return np.arange(geometry.shape[0])[:, None, None] < roof


def snap_to_drawing(
    lobes: np.ndarray, lungs: np.ndarray, fissure: np.ndarray, under: np.ndarray, spacing: Sequence[float]
) -> None:
    """Let the heart of every lobe grow until the drawn fissures or another lobe stop it, in place.

    The surfaces cross each other and bend back where nothing was drawn, which cuts wedges off a lobe: those are given
    to the lobe that reaches them without crossing a fissure. The heart of the middle lobe lies under the drawn
    horizontal fissure.
    """
    for side, value in SIDES.items():
        box = ndimage.find_objects(lungs)[value - 1]
        lung, part, wall = lungs[box] == value, lobes[box], fissure[box]
        seeds = np.where(lung, 0, _OUTSIDE).astype(np.int16)
        for label in labels_of_side(side):
            free = (part == label) & lung & (wall < 0.2)
            heart = ndimage.distance_transform_edt(free, sampling=spacing) > _HEART_MM
            if label == _MIDDLE:
                heart &= under[box]
            pieces, _ = ndimage.label(heart)
            sizes = np.bincount(pieces.ravel())
            sizes[0] = 0
            seeds[pieces == sizes.argmax()] = label
        barrier = np.where(ndimage.maximum_filter(wall, 3) > 0.2, 120, 0) + 120 * np.clip(wall, 0, 1)
        grown = ndimage.watershed_ift(barrier.astype(np.uint8), seeds)
        np.copyto(part, grown.astype(np.uint8), where=lung & (grown != _OUTSIDE))


def _blocks(mask: np.ndarray) -> np.ndarray:
    """Share of each block of voxels that a mask fills."""
    k, j, i = (n // _BLOCK for n in mask.shape)
    return mask.reshape(k, _BLOCK, j, _BLOCK, i, _BLOCK).mean(axis=(1, 3, 5), dtype=np.float32)


def _by_name(points: np.ndarray, lungs: np.ndarray, geometry: Geometry) -> dict[str, np.ndarray]:
    """Drawn points by fissure, without those where the two lungs merely touch each other."""
    step = geometry.spacing_kji
    away = [ndimage.distance_transform_edt(lungs != value, sampling=step) for value in SIDES.values()]
    index = np.rint(points[:, ::-1] / np.array(step)).astype(int)
    at = tuple(np.clip(index, 0, np.array(lungs.shape) - 1).T)
    junction = (away[0][at] < JUNCTION_MM) & (away[1][at] < JUNCTION_MM)
    right = points[(away[0][at] <= away[1][at]) & ~junction]
    left = points[(away[0][at] > away[1][at]) & ~junction]
    horizontal = split_right(right, lungs, geometry)
    return {"right oblique": right[~horizontal], RIGHT_HORIZONTAL: right[horizontal], "left oblique": left}


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


def make_cts(folder: Path, patient: int, cache: Path) -> list[MadeCT]:
    """The made CTs of one patient, from the cache where they are there.

    Args:
        folder: holds ``medmpd_lidc_p*_labels.nrrd``.
        patient: 1 to 3.
        cache: folder for the CTs; made if absent, never committed.
    """
    cache.mkdir(parents=True, exist_ok=True)
    names = [f"p{patient}-{extent:.0f}-{count}" for extent in EXTENTS for count in SECTIONS]
    if not all((cache / f"{name}.npz").is_file() for name in names):
        _make(load_anatomy(folder / f"medmpd_lidc_p{patient}_labels.nrrd"), patient, cache)
    return [_load(cache, name) for name in names]


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
            np.savez_compressed(file, hu=np.rint(thick).astype(np.int16), height=height, **truth, **fissures)


def _load(cache: Path, name: str) -> MadeCT:
    with np.load(cache / f"{name}.npz") as stored:
        k, j, i = (float(mm) for mm in stored["spacing"])
        hu = stored["hu"]
        geometry = Geometry(hu.shape, (i, j, k), (0.0, 0.0, float(stored["height"])))
        fissures = {fissure: stored[fissure] for fissure in FISSURES}
        return MadeCT(name, CTVolume.from_values(hu, geometry), stored["lobes"], stored["lesions"], fissures)
