"""One exam's own segmentation, and its CT if that is at hand, checked to belong to the exam's figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from COVIDQuantLib.anatomy import LABEL_COUNT
from COVIDQuantLib.ct.masks.label_maps import place_labels
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.odds_file import ODDS_FILE, read_odds
from COVIDQuantLib.export.segmentation_file import read_segmentation
from COVIDQuantLib.followup.exam_ct import ExamCT
from COVIDQuantLib.followup.exam_result import ExamResult
from COVIDQuantLib.followup.registration.exam_images import ExamImages
from COVIDQuantLib.quantification.histogram import JointHistogram, count_voxels
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

# Positions in single precision, as NIfTI stores them, are this near in voxels.
_SAME_VOXELS = 0.02
# Share of the counted voxels that may have another CT number: converting a file rounds some.
_OTHER_NUMBERS = 0.02
_AGAIN = "Run quantify again; it writes all its files together."


def read_exam_images(result: ExamResult, ct: ExamCT | None = None, name: str = "") -> ExamImages:
    """Lobes and lesions of one exam, on the grid that was quantified, with the CT's numbers if it is given.

    The network's odds come along if the folder has those of this segmentation.

    Args:
        result: the exam.
        ct: its CT; None to do without.
        name: of the exam, for later messages.

    Raises:
        UnfitInputError: the segmentation is missing or damaged, or is not that of the exam's figures
            (``segmentation-missing``, ``segmentation-other-grid``, ``segmentation-other-counts``); the CT cannot be
            read, lies on another grid or is of another exam (``ct-other-grid``, ``ct-other-exam``, and for DICOM
            those of :class:`ExamCT`).
    """
    path = result.segmentation
    if path is None:
        raise UnfitInputError(
            "there is no segmentation.seg.nrrd in the folder, so its lesions cannot be followed",
            str(result.path),
            f"{_AGAIN} Or use --no-lesions.",
            code="segmentation-missing",
        )
    file = read_segmentation(path, result.geometry)
    grid = result.geometry or file.geometry
    lobes = _placed(file.segmentation.lobes, file.geometry, grid, path)
    lesions = _placed(file.segmentation.lesions.view(np.uint8), file.geometry, grid, path) != 0
    _check_counts(lobes, lesions, grid, result, path)
    hu = None if ct is None else _hu_on(grid, ct, lobes, lesions, result)
    odds = read_odds(path.with_name(ODDS_FILE), grid, result.histogram)
    return ExamImages(lobes, lesions, grid, hu, name or result.name, odds)


def _placed(labels: np.ndarray, own: Geometry, grid: Geometry, path: Path) -> np.ndarray:
    """Labels on the quantified grid; Slicer crops files and reorders nothing, so no voxel may need resampling."""
    if not _one_lattice(own, grid):
        raise UnfitInputError(
            f"it lies on another grid than the figures in metrics.json ({_described(own)}; counted on "
            f"{_described(grid)})",
            str(path),
            _AGAIN,
            code="segmentation-other-grid",
        )
    if not labels.any():
        return np.zeros(grid.shape, np.uint8)
    return place_labels(labels, own, grid, path.name)[0]


def _one_lattice(own: Geometry, grid: Geometry) -> bool:
    """Whether the voxels of both grids coincide where they overlap, whatever their order and extent."""
    one, other = Reorientation.of(own).canonical, Reorientation.of(grid).canonical
    if not np.allclose(one.spacing, other.spacing, rtol=1e-4):
        return False
    offset = (np.linalg.inv(other.index_to_lps) @ (*one.origin, 1.0))[:3]
    shifted = Geometry(one.shape, one.spacing, other.origin, one.direction)
    whole = Geometry(one.shape, other.spacing, other.origin, other.direction)
    return shifted.same_grid(whole, _SAME_VOXELS) and bool(np.abs(offset - np.round(offset)).max() <= _SAME_VOXELS)


def _described(grid: Geometry) -> str:
    k, j, i = grid.shape
    spacing, origin = (" × ".join(f"{mm:.4g}" for mm in grid.spacing), ", ".join(f"{mm:.1f}" for mm in grid.origin))
    return f"{i} × {j} × {k} voxels of {spacing} mm from ({origin})"


def _check_counts(lobes: np.ndarray, lesions: np.ndarray, grid: Geometry, result: ExamResult, path: Path) -> None:
    histogram = result.histogram
    codes = lobes * np.uint8(2) + lesions.view(np.uint8)
    found = np.bincount(codes.ravel(), minlength=2 * LABEL_COUNT).reshape(LABEL_COUNT, 2)
    # Voxels that the scanner did not measure have labels, but were not counted.
    more = found - histogram.counts.sum(axis=2)
    # Outside the lobes only lesions are counted.
    more[0, 0] = 0
    same_voxels = np.isclose(grid.voxel_volume_ml, histogram.voxel_volume_ml, rtol=1e-4)
    if same_voxels and more.min() >= 0 and more.sum() <= result.padding_voxels:
        return
    there, counted = (
        float(counts[1:].sum()) * histogram.voxel_volume_ml for counts in (found, histogram.counts.sum(axis=2))
    )
    ill = [float(counts[:, 1].sum()) * histogram.voxel_volume_ml for counts in (found, histogram.counts.sum(axis=2))]
    raise UnfitInputError(
        f"it is not the segmentation that was counted in metrics.json (lungs {there:.1f} mL here and {counted:.1f} mL "
        f"there, pneumonia {ill[0]:.2f} and {ill[1]:.2f} mL)",
        str(path),
        "Quantify with this segmentation, or restore the one that belongs to the figures.",
        code="segmentation-other-counts",
    )


def _hu_on(grid: Geometry, given: ExamCT, lobes: np.ndarray, lesions: np.ndarray, result: ExamResult) -> np.ndarray:
    path, ct = given.path, given.read(result)
    own, wanted = Reorientation.of(ct.geometry), Reorientation.of(grid)
    if not own.canonical.same_grid(wanted.canonical, _SAME_VOXELS):
        raise UnfitInputError(
            f"the CT is not on the grid of this exam's segmentation ({_described(ct.geometry)}; the segmentation has "
            f"{_described(grid)})",
            str(path),
            "Give --ct in the order of the exams, for each the CT that was quantified.",
            code="ct-other-grid",
        )
    hu = wanted.undo(own.apply(ct.hu))
    _check_numbers(hu, ct, (own, wanted), path, (lobes, lesions, result.histogram))
    return hu


def _check_numbers(
    hu: np.ndarray,
    ct: CTVolume,
    turns: tuple[Reorientation, Reorientation],
    path: Path,
    counted: tuple[np.ndarray, np.ndarray, JointHistogram],
) -> None:
    """Exams of one scanner often have one grid: the counts tell whether it is this exam's CT."""
    lobes, lesions, known = counted
    own, wanted = turns
    padding = None if ct.padding is None else wanted.undo(own.apply(ct.padding))
    found = count_voxels(hu, lobes, lesions, padding)
    differing = np.abs(found - known.counts).sum() / 2 / max(int(known.counts.sum()), 1)
    if differing > _OTHER_NUMBERS:
        raise UnfitInputError(
            f"this is not the CT that was quantified: {100 * differing:.0f} % of the lungs have other CT numbers",
            str(path),
            "Give --ct in the order of the exams, for each the CT that was quantified.",
            code="ct-other-exam",
        )
