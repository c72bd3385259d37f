"""Bring the segments of a DICOM segmentation onto a CT's grid, frame by frame where the frames are the CT's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from COVIDQuantLib.ct.files.size_limits import check_size
from COVIDQuantLib.ct.masks.dicom_segmentation import DicomSegmentation, read_dicom_segmentation
from COVIDQuantLib.ct.masks.slicer_segments import FileSegment, choose_segments
from COVIDQuantLib.ct.source import DicomIdentity
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

Slots = dict[int, tuple[int, int, int]]
# Directions may differ by this much (about 0.3 degrees), spacing by this share.
_COSINES = 5e-3
_SPACING = 2e-3
# A frame belongs to the section that it is nearest to, if it is no further off than this share of their distance:
# sections may be slightly uneven.
_ALONG = 0.35
# Of a frame whose image is known, sections: uneven intervals add up.
_ALONG_KNOWN = 3.0
# In the plane, voxels coincide; a straightened stack has moved each section by up to half a voxel.
_ACROSS, _ACROSS_MOVED = 0.05, 0.55
# How far from even spacing frames on a grid of their own may be.
_UNEVEN = 0.1


def dicom_labels(
    path: Path, content: str, geometry: Geometry, identity: DicomIdentity | None = None
) -> tuple[np.ndarray, list[CTWarning]] | None:
    """The segments of the requested content on a CT's own voxels; None if the frames are not the CT's.

    Args:
        path: the file.
        content: as of :func:`COVIDQuantLib.ct.masks.slicer_segments.labels_of_segments`.
        geometry: the CT's grid, in any orientation.
        identity: of the CT's series, if it is DICOM.

    Raises:
        UnfitInputError: unreadable, of another series (``seg-other-series``), or without a suitable segment.
    """
    segmentation = read_dicom_segmentation(path)
    if identity is not None:
        check_series(segmentation, identity)
    chosen, warnings = choose_segments(segmentation.segments, content, segmentation.name)
    turn = Reorientation.of(geometry)
    for grid in (geometry, turn.canonical):
        slots = _slots_on(segmentation, grid, identity)
        if slots is None:
            continue
        labels = _blank(grid.shape, chosen)
        lost = _fill(labels, segmentation, chosen, slots)
        if grid is not geometry:
            labels = turn.undo(labels)
        return labels, [*warnings, *_outside(labels, lost, segmentation.name)]
    return None


def own_labels(path: Path, content: str) -> tuple[np.ndarray, Geometry, list[CTWarning]]:
    """The segments of the requested content on the segmentation's own grid; frames left out are empty.

    Raises:
        UnfitInputError: unreadable, without a suitable segment, or its frames form no grid (``seg-frames``).
    """
    segmentation = read_dicom_segmentation(path)
    chosen, warnings = choose_segments(segmentation.segments, content, segmentation.name)
    grid, slots = own_grid(segmentation)
    labels = _blank(grid.shape, chosen)
    _fill(labels, segmentation, chosen, slots)
    return labels, grid, warnings


def check_series(segmentation: DicomSegmentation, identity: DicomIdentity) -> None:
    """Refuse a segmentation of another series, which would be misplaced or of another breath.

    Raises:
        UnfitInputError: it is (``seg-other-series``).
    """
    images = {image.sop_instance for image in identity.images}
    named = {frame.source for frame in segmentation.frames} - {""}
    if segmentation.series:
        own = identity.series_uid in segmentation.series
    elif named:
        own = bool(named & images)
    else:
        there, here = segmentation.frame_of_reference, identity.frame_of_reference_uid
        own = not there or not here or there == here
    if not own:
        raise UnfitInputError(
            "the segmentation was made on another series than this CT",
            segmentation.name,
            "Give the segmentation of this series, or choose its series with --series.",
            code="seg-other-series",
        )


def _blank(shape: tuple[int, int, int], chosen: Sequence[tuple[int, FileSegment]]) -> np.ndarray:
    """Labels to draw the chosen segments into."""
    return np.zeros(shape, np.uint8 if max(value for value, _ in chosen) < 256 else np.uint16)


def _slots_on(segmentation: DicomSegmentation, grid: Geometry, identity: DicomIdentity | None) -> Slots | None:
    """Where on the grid each frame begins, ``k, j, i``; None if they are no sections of it."""
    axes = np.reshape(grid.direction, (3, 3)).T
    normal = np.cross(axes[0], axes[1])
    if np.abs(segmentation.axes[:2] - axes[:2]).max() > _COSINES:
        return None
    if not np.allclose(segmentation.spacing[:2], grid.spacing[:2], rtol=_SPACING):
        return None
    known = {} if identity is None else _sections(segmentation, identity)
    # A stack's k axis may run against the normal of its sections.
    ways = axes[2] if normal @ axes[2] > 0 else -axes[2]
    if np.abs(ways - normal).max() > _COSINES:
        return None
    positions = np.array([(*frame.position, 1.0) for frame in segmentation.frames])
    indices = (positions @ np.linalg.inv(grid.index_to_lps).T)[:, :3]
    # Frames that are shifted against each other are of a tilted stack, whose sections were moved by whole voxels.
    sheared = float(np.ptp(indices[:, :2], axis=0).max()) > _ACROSS
    slots: Slots = {}
    for frame, (i, j, k) in zip(segmentation.frames, indices.tolist(), strict=True):
        if frame.source in known:
            place, across, along = known[frame.source], _ACROSS_MOVED, _ALONG_KNOWN
        else:
            place, across, along = (round(k), round(j), round(i)), _ACROSS_MOVED if sheared else _ACROSS, _ALONG
        if abs(k - place[0]) > along or max(abs(j - place[1]), abs(i - place[2])) > across:
            return None
        slots[frame.index] = place
    return slots


def _sections(segmentation: DicomSegmentation, identity: DicomIdentity) -> dict[str, tuple[int, int, int]]:
    """Where the image of each section begins on the CT's grid, if every frame is on an image of its own place.

    Needed where the even grid is not exactly where the images are, as sections may be uneven.
    """
    if any(image.frame is not None for image in identity.images):
        return {}
    pairs = {(frame.source, *(round(float(mm), 2) for mm in frame.position)) for frame in segmentation.frames}
    sources = {pair[0] for pair in pairs}
    if len(sources) < len(pairs) or "" in sources or len({pair[1:] for pair in pairs}) < len(pairs):
        return {}
    return {image.sop_instance: (k, *image.shift) for k, image in enumerate(identity.images)}


def _fill(
    labels: np.ndarray, segmentation: DicomSegmentation, chosen: Iterable[tuple[int, FileSegment]], slots: Slots
) -> int:
    """Draw the segments, the first of overlapping ones on top; the voxels that lie outside are counted."""
    lost = 0
    for value, segment in chosen:
        for frame, mask in segmentation.masks(segment):
            k, j, i = slots[frame.index]
            inside = _inside(labels.shape, mask, (k, j, i))
            if inside is None:
                lost += int(np.count_nonzero(mask))
                continue
            target, part = labels[inside[0]], mask[inside[1]]
            target[part & (target == 0)] = value
            lost += int(np.count_nonzero(mask)) - int(np.count_nonzero(part))
    return lost


def _inside(shape: tuple[int, ...], mask: np.ndarray, place: tuple[int, int, int]) -> tuple[tuple, tuple] | None:
    """The part of the grid that a frame covers, and the part of the frame; None if it lies outside."""
    k = place[0]
    spans = []
    for at, size, whole in zip(place[1:], mask.shape, shape[1:], strict=True):
        start, stop = max(at, 0), min(at + size, whole)
        if start >= stop:
            return None
        spans.append((slice(start, stop), slice(start - at, stop - at)))
    if not 0 <= k < shape[0]:
        return None
    return (k, spans[0][0], spans[1][0]), (spans[0][1], spans[1][1])


def _outside(labels: np.ndarray, lost: int, name: str) -> list[CTWarning]:
    if not lost:
        return []
    kept = int(np.count_nonzero(labels))
    if not kept:
        raise UnfitInputError(
            "its labels are entirely outside the CT", name, "Give a mask of the same CT.", code="mask-elsewhere"
        )
    text = f"{100 * lost / (lost + kept):.0f} % of {name} is outside the CT and was left out."
    return [CTWarning("labels-outside", text)]


def own_grid(segmentation: DicomSegmentation) -> tuple[Geometry, Slots]:
    """The grid that the frames lie on, and where each begins; sections without a frame are in it.

    Raises:
        UnfitInputError: the frames are uneven or shifted against each other (``seg-frames``), or too many sections.
    """
    along, down, normal = segmentation.axes
    positions = np.array([frame.position for frame in segmentation.frames])
    depths = positions @ normal
    first = int(depths.argmin())
    spacing = _between(depths, segmentation)
    places = (depths - depths[first]) / spacing
    across = (positions - positions[first]) @ np.stack([along, down]).T / segmentation.spacing[:2]
    if np.abs(places - np.rint(places)).max() > _UNEVEN or np.abs(across).max() > _UNEVEN:
        raise UnfitInputError(
            "its frames are unevenly spaced or shifted against each other",
            segmentation.name,
            "Give it together with the DICOM CT that it was made on.",
            code="seg-frames",
        )
    count = 1 + int(np.rint(places.max()))
    rows, columns = segmentation.matrix
    check_size((count, rows, columns), 1, segmentation.name)
    x, y, z = (float(mm) for mm in positions[first])
    grid = Geometry(
        (count, rows, columns),
        (segmentation.spacing[0], segmentation.spacing[1], float(spacing)),
        (x, y, z),
        tuple(float(c) for c in segmentation.axes.T.ravel()),
    )
    slots = {frame.index: (int(np.rint(place)), 0, 0) for frame, place in zip(segmentation.frames, places, strict=True)}
    return grid, slots


def _between(depths: np.ndarray, segmentation: DicomSegmentation) -> float:
    """Millimetres between sections: the smallest distance of two frames, or what the header says if that divides it."""
    told = segmentation.spacing[2]
    steps = np.diff(np.unique(np.round(depths, 3)))
    steps = steps[steps > 1e-2]
    if not len(steps):
        return told or 1.0
    least = float(steps.min())
    if told and abs(least / told - round(least / told)) * told < _UNEVEN * told and round(least / told) >= 1:
        return least / round(least / told)
    return least
