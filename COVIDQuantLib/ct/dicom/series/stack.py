"""Sort slices from separate files into one regular grid, or explain why that is impossible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from COVIDQuantLib.ct.dicom.frames import Frame
from COVIDQuantLib.ct.dicom.series.gantry_tilt import sideways, tilt_warning, too_tilted
from COVIDQuantLib.ct.volume import MIN_SLICES, CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.voxels.geometry import Geometry

# Intervals may differ from their median by this share before slices count as unevenly spaced, and by the
# smaller share (plus the rounding of headers) before a warning.
UNEVEN_STOPS = 0.20
UNEVEN_WARNS = 0.02
HEADER_ROUNDING_MM = 0.011
# Closer than this share of the median interval is the same position twice; further than the other, one is missing.
SAME_POSITION = 0.05
MISSING_SLICE = 1.5
# Cosines of slices of one stack may differ by this much (about 0.3 degrees).
ORIENTATION_TOLERANCE = 5e-3
_ORTHONORMAL = 0.02
# Plausible pixel sizes of a CT of a person, mm; the extent of the grid catches the rest.
_PIXEL_MM = (1e-3, 1e3)


@dataclass(frozen=True)
class Stack:
    """The slices of a series as one grid.

    Attributes:
        frames: sorted along the normal, lowest position first.
        geometry: the grid they fill, wide enough for moved slices.
        shifts: offset of each slice from the grid's corner in voxels ``(j, i)``; all zero without tilt.
        facts: measured spacing, thickness and tilt, for the record.
        warnings: what was noticed about the positions.
    """

    frames: tuple[Frame, ...]
    geometry: Geometry
    shifts: tuple[tuple[int, int], ...]
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[CTWarning, ...] = ()


def stack_frames(frames: Sequence[Frame], where: str) -> Stack:
    """Sort the slices of one series by their position and check that they form one regular grid.

    Slices of a tilted gantry are shifted sideways by whole pixels to align them: no value is interpolated, no slice is
    off by more than half a pixel, and all values stay as measured.

    Args:
        frames: the slices in any order.
        where: the series, for messages.

    Raises:
        UnfitInputError: too few slices, positions missing, double or uneven, mixed orientation or size.
    """
    rows, columns = _one_matrix(frames, where)
    axes = _one_orientation(frames, where)
    row_mm, column_mm = _one_pixel_spacing(frames, where)
    if len(frames) < MIN_SLICES:
        raise UnfitInputError(
            f"only {len(frames)} slice{'s' * (len(frames) > 1)}, at least {MIN_SLICES} are needed",
            where,
            "Give the folder with the whole series.",
            code="too-few-slices",
        )
    lps = _positions(frames, where)
    order = np.argsort(lps @ axes[2], kind="stable")
    ordered = tuple(frames[n] for n in order)
    lps = lps[order]
    spacing, warnings = _check_intervals(lps @ axes[2], ordered, where)
    shifts, tilt = sideways(lps, axes, (row_mm, column_mm), where)
    warnings += tilt_warning(tilt, ordered, moved=bool(shifts.any()))
    if (shifts.max(axis=0) > 2 * np.array((rows, columns))).any():
        raise too_tilted(tilt, where)
    corner = lps[0] - shifts[0, 0] * row_mm * axes[1] - shifts[0, 1] * column_mm * axes[0]
    rows, columns = rows + int(shifts[:, 0].max()), columns + int(shifts[:, 1].max())
    geometry = Geometry(
        (len(ordered), rows, columns),
        (column_mm, row_mm, spacing),
        (float(corner[0]), float(corner[1]), float(corner[2])),
        tuple(float(c) for c in axes.T.ravel()),
    )
    facts = {"spacing_between_slices_mm": spacing, "gantry_tilt_degrees": round(tilt, 3)}
    return Stack(ordered, geometry, tuple((int(j), int(i)) for j, i in shifts), facts, tuple(warnings))


def _one_matrix(frames: Sequence[Frame], where: str) -> tuple[int, int]:
    sizes: dict[tuple[int, int], Frame] = {}
    for frame in frames:
        sizes.setdefault(frame.matrix, frame)
    if len(sizes) > 1:
        sizes_text = " and ".join(
            f"{columns}×{rows} ({frame.name})" for (rows, columns), frame in list(sizes.items())[:3]
        )
        raise UnfitInputError(
            f"its slices differ in size: {sizes_text}",
            where,
            "Give a series of one reconstruction.",
            code="slice-sizes",
        )
    return next(iter(sizes))


def _one_orientation(frames: Sequence[Frame], where: str) -> np.ndarray:
    """Unit vectors of ``i, j, k`` as rows, exactly orthonormal."""
    orientations: list[np.ndarray] = []
    for frame in frames:
        if frame.orientation is None or not _is_orthonormal(frame.orientation):
            raise UnfitInputError(
                "the header gives no valid orientation (Image Orientation Patient)",
                f"{where}, {frame.name}",
                "Export the series again from the archive.",
                code="orientation",
            )
        orientations.append(frame.orientation)
        if np.abs(frame.orientation - orientations[0]).max() > ORIENTATION_TOLERANCE:
            raise UnfitInputError(
                f"its slices have different orientations ({frames[0].name} and {frame.name})",
                where,
                "Give a series of parallel slices; localizers and reformats belong in folders of their own.",
                code="orientation",
            )
    mean = np.mean(orientations, axis=0)
    along_i = mean[:3] / np.linalg.norm(mean[:3])
    normal = np.cross(along_i, mean[3:])
    normal /= np.linalg.norm(normal)
    return np.stack([along_i, np.cross(normal, along_i), normal])


def _is_orthonormal(orientation: np.ndarray) -> bool:
    row, column = orientation[:3], orientation[3:]
    products = np.array([row @ row - 1.0, column @ column - 1.0, row @ column])
    return bool(np.isfinite(products).all() and np.abs(products).max() < _ORTHONORMAL)


def _one_pixel_spacing(frames: Sequence[Frame], where: str) -> tuple[float, float]:
    first = frames[0].spacing
    for frame in frames:
        if frame.spacing is None or not all(_PIXEL_MM[0] <= s <= _PIXEL_MM[1] for s in frame.spacing):
            raise UnfitInputError(
                f"the header gives no valid pixel size (Pixel Spacing: {frame.spacing})",
                f"{where}, {frame.name}",
                "Export the series again from the archive.",
                code="pixel-size",
            )
        if first is not None and not np.allclose(frame.spacing, first, rtol=1e-3):
            raise UnfitInputError(
                f"its slices differ in pixel size: {first[0]:g} mm ({frames[0].name}), "
                f"{frame.spacing[0]:g} mm ({frame.name})",
                where,
                "Give a series of one reconstruction.",
                code="pixel-size",
            )
    assert first is not None  # noqa: S101 - the loop has checked it
    return first


def _positions(frames: Sequence[Frame], where: str) -> np.ndarray:
    for frame in frames:
        if frame.position is None or not np.isfinite(frame.position).all():
            raise UnfitInputError(
                "the header does not give the slice position (Image Position Patient)",
                f"{where}, {frame.name}",
                "Export the series again from the archive.",
                code="slice-positions",
            )
    return np.array([frame.position for frame in frames])


def _check_intervals(along: np.ndarray, frames: Sequence[Frame], where: str) -> tuple[float, list[CTWarning]]:
    """The spacing between slices, millimetres; positions are ascending."""
    intervals = np.diff(along)
    distinct = intervals[intervals > 1e-3]
    if not distinct.size:
        raise UnfitInputError(
            "all its slices have the same position",
            where,
            "Give a series that covers the lungs.",
            code="slice-positions",
        )
    median = float(np.median(distinct))
    same = np.flatnonzero(intervals < SAME_POSITION * median)
    if same.size:
        n = int(same[0])
        raise UnfitInputError(
            f"two slices at the same position, at {len(same)} position{'s' * (len(same) > 1)}, first at "
            f"{along[n]:.2f} mm ({frames[n].name}, {frames[n + 1].name})",
            where,
            "Leave only one phase or reconstruction in the folder.",
            code="double-slices",
        )
    wide = np.flatnonzero(intervals > MISSING_SLICE * median)
    if wide.size:
        gaps = ", ".join(f"{along[n]:.2f} and {along[n + 1]:.2f} mm" for n in wide[:3])
        lacking = int(np.rint(intervals[wide] / median - 1).sum())
        raise UnfitInputError(
            f"about {max(lacking, 1)} slice{'s' * (lacking > 1)} missing between {gaps}"
            + (f" and in {len(wide) - 3} more places" if len(wide) > 3 else "")
            + f" (slices are {median:.2f} mm apart)",
            where,
            "Export the whole series again.",
            code="missing-slices",
        )
    return _mean_interval(along, median, where)


def _mean_interval(along: np.ndarray, median: float, where: str) -> tuple[float, list[CTWarning]]:
    intervals = np.diff(along)
    off = np.abs(intervals - median)
    worst = int(off.argmax())
    interval = f"{intervals[worst]:.2f} mm at {along[worst]:.2f} mm where {median:.2f} mm is usual"
    if off[worst] > UNEVEN_STOPS * median + HEADER_ROUNDING_MM:
        raise UnfitInputError(
            f"its slices are unevenly spaced: {interval}",
            where,
            "Give an evenly reconstructed series.",
            code="uneven-slices",
        )
    spacing = float((along[-1] - along[0]) / (len(along) - 1))
    if off[worst] > UNEVEN_WARNS * median + HEADER_ROUNDING_MM:
        text = f"Slices are slightly unevenly spaced: {interval}; {spacing:.3f} mm is used throughout."
        return spacing, [CTWarning("uneven-spacing", text)]
    return spacing, []
