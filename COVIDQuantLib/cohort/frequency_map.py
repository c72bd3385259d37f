"""How often each place in the lungs is ill: lesions of many exams on one normalised lung (needs the masks)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from COVIDQuantLib.anatomy import SIDES, labels_of_side
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.segmentation_file import read_segmentation
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.segmentation.atlas.lung_frame import LungFrame
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

SEGMENTATION = "segmentation.seg.nrrd"
# Voxels of a lung that are enough to place it, and to count its lesions.
_FRAME_POINTS, _COUNTED_POINTS = 20_000, 400_000
_FEWEST_POINTS = 1000
# Points along each edge of a voxel.
_MOST_PARTS = 6
# Cells that fewer exams reach than this share are not shown: they lie outside the usual lung.
_LEAST_COVER = 0.5
# Cells reach a little beyond the frame, which leaves out the outermost percent.
_REACH = 1.05
# Lattice of the drawn lungs, millimetres.
_STEP_MM = 2.5
_DEEPEST = 4


@dataclass(frozen=True)
class LungCells:
    """One lung of one exam on the normalised lattice.

    Attributes:
        lung: points counted in each cell ``[z, y, x]``, head, back and left last; a voxel has one or several.
        lesion: those of them in a lesion.
        frame: where the lung is, its origin between the two lungs.
    """

    lung: np.ndarray
    lesion: np.ndarray
    frame: LungFrame


@dataclass(frozen=True)
class FrequencyMap:
    """Share of exams in which each place is ill.

    Attributes:
        percent: by side, cells ``[z, y, x]``; the mean over the exams of the share of the cell that is ill, in percent;
            NaN where fewer than half of the exams have lung.
        frames: the mean frame of each side.
        exams: mapped.
        left_out: folder and reason of each exam that could not be mapped.
    """

    percent: dict[str, np.ndarray]
    frames: dict[str, LungFrame]
    exams: int
    left_out: tuple[tuple[str, str], ...] = field(default=())


def segmentations_in(folder: Path) -> dict[str, Path]:
    """Every result of quantify below a folder, by the path of its own folder below it, with slashes.

    Raises:
        UnfitInputError: there is none (``no-segmentations``).
    """
    found: dict[str, Path] = {}
    for depth in range(1, _DEEPEST + 1):
        for path in sorted(folder.glob("/".join(["*"] * depth) + f"/{SEGMENTATION}")):
            found[path.parent.relative_to(folder).as_posix()] = path
    if not found:
        what = f"no folder below holds {SEGMENTATION}"
        remedy = "Give the folder with the results of quantify or batch."
        raise UnfitInputError(what, str(folder), remedy, code="no-segmentations")
    return found


def frequency_map(paths: Mapping[str, Path], cells: int = 32, report: Report = silent) -> FrequencyMap:
    """Map the lesions of many exams onto one lung.

    Each lung is placed in the frame of the fissure atlas, in which diaphragm and walls of all people coincide; within a
    cell of its lattice, each exam counts with the share of its own lung there that is ill.

    Args:
        paths: segmentation files by exam; at least one.
        cells: of the lattice along each axis of a lung.
        report: progress; may raise ``Cancelled``.

    Raises:
        UnfitInputError: no exam could be mapped (``no-segmentations``).
    """
    total = {side: np.zeros((cells,) * 3) for side in SIDES}
    cover = {side: np.zeros((cells,) * 3) for side in SIDES}
    frames: dict[str, list[LungFrame]] = {side: [] for side in SIDES}
    left_out = []
    for number, (name, path) in enumerate(paths.items()):
        report(number / len(paths))
        try:
            lungs = lungs_of(path, cells)
        except UnfitInputError as error:
            left_out.append((name, error.what))
            continue
        for side, one in lungs.items():
            there = one.lung > 0
            total[side][there] += one.lesion[there] / one.lung[there]
            cover[side] += there
            frames[side].append(one.frame)
    mapped = len(frames[SIDES[0]])
    if not mapped:
        what = f"none of {len(paths)} segmentations can be mapped ({left_out[0][1]})"
        raise UnfitInputError(
            what, str(next(iter(paths.values()))), "Quantify the exams again.", code="no-segmentations"
        )
    percent = {}
    for side in SIDES:
        usual = cover[side] >= max(1.0, _LEAST_COVER * mapped)
        percent[side] = np.where(usual, 100 * total[side] / np.maximum(cover[side], 1), np.nan)
    report(1.0)
    return FrequencyMap(percent, {side: _mean_frame(frames[side]) for side in SIDES}, mapped, tuple(left_out))


def lungs_of(path: Path, cells: int) -> dict[str, LungCells]:
    """Both lungs of one exam on the lattice.

    Raises:
        UnfitInputError: the file cannot be read, or lacks a lung.
    """
    file = read_segmentation(path)
    turn = Reorientation.of(file.geometry)
    lobes, lesions = turn.apply(file.segmentation.lobes), turn.apply(file.segmentation.lesions)
    places = {side: np.argwhere(np.isin(lobes, labels_of_side(side))) for side in SIDES}
    for side, found in places.items():
        if len(found) < _FEWEST_POINTS:
            raise UnfitInputError(f"the {side} lung is missing", str(path), "Quantify the exam again.")
    few = [found[:: _stride(found, _FRAME_POINTS)] for found in places.values()]
    middle = np.mean([_points(each, turn.canonical).mean(axis=0) for each in few], axis=0)
    return {side: _cells_of(found, lesions, turn.canonical, middle, cells) for side, found in places.items()}


def _stride(found: np.ndarray, wanted: int) -> int:
    return max(1, len(found) // wanted)


def _points(indices: np.ndarray, grid: Geometry) -> np.ndarray:
    """Positions x, y, z (left, back, head) in millimetres of array indices ``[k, j, i]``."""
    return indices[:, ::-1] * np.asarray(grid.spacing)


def _cells_of(found: np.ndarray, lesions: np.ndarray, grid: Geometry, middle: np.ndarray, cells: int) -> LungCells:
    frame = LungFrame.of(_points(found[:: _stride(found, _FRAME_POINTS)], grid) - middle)
    chosen = found[:: _stride(found, _COUNTED_POINTS)]
    ill = lesions[tuple(chosen.T)] != 0
    lung, lesion = np.zeros((2, cells**3), np.int64)
    for offset in _offsets(frame, grid, cells):
        index = cell_of(frame.to_unit(_points(chosen + offset, grid) - middle), cells)
        lung += np.bincount(index, minlength=len(lung))
        lesion += np.bincount(index[ill], minlength=len(lung))
    return LungCells(lung.reshape((cells,) * 3), lesion.reshape((cells,) * 3), frame)


def _offsets(frame: LungFrame, grid: Geometry, cells: int) -> np.ndarray:
    """Places within a voxel, ``(n, 3)`` in voxels ``[k, j, i]``, so close together that no cell in the lung is missed.

    Thick sections lie further apart than the cells: counted at their centres alone, they would leave stripes.
    """
    cell_mm = (2 * _REACH * frame.half_size / cells)[::-1]
    parts = np.clip(np.ceil(2 * np.asarray(grid.spacing)[::-1] / cell_mm), 1, _MOST_PARTS).astype(int)
    along = [(np.arange(n) + 0.5) / n - 0.5 for n in parts]
    return np.stack(np.meshgrid(*along, indexing="ij"), axis=-1).reshape(-1, 3)


def cell_of(unit: np.ndarray, cells: int) -> np.ndarray:
    """Flat index ``[z, y, x]`` of the cell of each position ``(n, 3)`` in a lung's frame."""
    place = np.clip(((unit + _REACH) / (2 * _REACH) * cells).astype(np.int64), 0, cells - 1)
    return (place[:, 2] * cells + place[:, 1]) * cells + place[:, 0]


def _mean_frame(frames: Sequence[LungFrame]) -> LungFrame:
    records = [frame.as_record() for frame in frames]
    return LungFrame.of_record({name: np.mean([r[name] for r in records], axis=0).tolist() for name in records[0]})


@dataclass(frozen=True)
class DrawnLungs:
    """The map in the shape of the mean lungs.

    Attributes:
        percent: ``[z, y, x]`` on an even lattice of ``step`` millimetres; NaN outside the lungs.
        step: millimetres.
    """

    percent: np.ndarray
    step: float


def in_mean_lungs(found: FrequencyMap, step: float = _STEP_MM) -> DrawnLungs:
    """The map carried from the lattice back into lungs of mean size and shape."""
    low = np.min([frame.low - 0.05 * frame.half_size for frame in found.frames.values()], axis=0)
    high = np.max([frame.high + 0.05 * frame.half_size for frame in found.frames.values()], axis=0)
    axes = [np.arange(low[axis], high[axis] + step, step) for axis in range(3)]
    z, y, x = np.meshgrid(axes[2], axes[1], axes[0], indexing="ij")
    points = np.stack([x.ravel(), y.ravel(), z.ravel()], axis=1)
    percent = np.full(len(points), np.nan)
    for side, frame in found.frames.items():
        unit = frame.to_unit(points)
        inside = (np.abs(unit) <= _REACH).all(axis=1)
        values = found.percent[side].ravel()[cell_of(unit[inside], found.percent[side].shape[0])]
        percent[inside] = np.where(np.isnan(percent[inside]), values, percent[inside])
    return DrawnLungs(percent.reshape(x.shape), step)
