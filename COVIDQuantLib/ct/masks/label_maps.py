"""Read the user's own masks, in any format and orientation, and bring them onto the CT's grid."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.ct.dicom.headers import is_dicom
from COVIDQuantLib.ct.files.input_files import check_input, shown
from COVIDQuantLib.ct.files.volume_files import FORMATS, read_volume_file
from COVIDQuantLib.ct.files.voxel_data import Voxels
from COVIDQuantLib.ct.masks.dicom_placing import dicom_labels, own_labels
from COVIDQuantLib.ct.masks.dicom_segmentation import segmentation_file
from COVIDQuantLib.ct.masks.interpretation import as_asked
from COVIDQuantLib.ct.masks.slicer_segments import FileSegment, labels_of_segments, segments_of
from COVIDQuantLib.ct.masks.whole_labels import whole_labels
from COVIDQuantLib.ct.source import DicomIdentity
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.structures import plain
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

# Grids whose corners agree within this share of a voxel are the same (NIfTI stores positions in single precision).
_SAME_VOXELS = 0.02
# Warn when more than this share of a mask is outside the CT.
_OUTSIDE_SHARE = 0.01


def read_label_map(path: Path, ct_geometry: Geometry, content: str = "") -> tuple[np.ndarray, list[CTWarning]]:
    """Read a label map or a segmentation onto the CT's grid.

    The same voxels in another order are reordered exactly; any other grid is resampled by nearest neighbour, with a
    warning.

    Args:
        path: NIfTI, NRRD, MetaImage, Slicer's ``.seg.nrrd``, a DICOM segmentation or a folder that holds one.
        ct_geometry: the grid to bring it onto.
        content: ``lungs``, ``lobes`` or ``lesions``: which segments of a segmentation are meant (by ID, terminology
            or name), and how another program's labels are converted; without it a label map is taken as it is.

    Returns:
        Labels ``[k, j, i]`` on the CT's grid (uint8 or uint16), and warnings ``labels-resampled``,
        ``labels-outside``, ``segments-joined``, ``segments-by-name``, ``mask-layout``.

    Raises:
        UnfitInputError: unreadable, without labels, not the expected content, or entirely outside the CT.
    """
    labelled = labels_of_dicom(path, content, ct_geometry)
    if labelled is not None:
        return labelled
    stored = read_labels(path, content)
    placed, placing = place_labels(stored.labels, stored.geometry, ct_geometry, stored.name)
    warnings = [*stored.warnings, *placing]
    if stored.segments:
        return placed, warnings
    turn = Reorientation.of(ct_geometry)
    meant, known = as_asked(turn.apply(placed), content, turn.canonical.spacing_kji, stored.name)
    return (turn.undo(meant) if known else placed), [*warnings, *known]


def labels_of_dicom(
    path: Path, content: str, ct_geometry: Geometry, identity: DicomIdentity | None = None
) -> tuple[np.ndarray, list[CTWarning]] | None:
    """Read a DICOM segmentation onto the CT's grid: exactly where its frames are the CT's, else by nearest neighbour.

    Args:
        path: a file, or a folder that holds one segmentation.
        content: as of :func:`read_label_map`.
        ct_geometry: the grid to bring it onto.
        identity: of the CT's series; a segmentation of another one is refused.

    Returns:
        As :func:`read_label_map`; None if the path is no DICOM segmentation.

    Raises:
        UnfitInputError: as :func:`read_label_map`, and of another series (``seg-other-series``).
    """
    check_input(path, folder=True)
    file = segmentation_file(path)
    if file is None:
        return None
    exact = dicom_labels(file, content, ct_geometry, identity)
    if exact is not None:
        return exact
    labels, geometry, warnings = own_labels(file, content)
    placed, placing = place_labels(labels, geometry, ct_geometry, plain(shown(file.name)))
    return placed, [*warnings, *placing]


@dataclass(frozen=True)
class StoredLabels:
    """A label map as its file stores it.

    Attributes:
        labels: uint8 or uint16 ``[k, j, i]``.
        geometry: the file's own grid.
        name: name of the file, one plain line.
        segments: whether they come from a segmentation with identified segments.
        warnings: what was noticed.
    """

    labels: np.ndarray
    geometry: Geometry
    name: str
    segments: bool
    warnings: list[CTWarning]


def read_labels(path: Path, content: str = "") -> StoredLabels:
    """Read a label map or a Slicer segmentation on its own grid.

    Args:
        path: NIfTI, NRRD, MetaImage, or Slicer's ``.seg.nrrd``.
        content: which segments of a segmentation are meant.

    Raises:
        UnfitInputError: unreadable, without labels, or without a suitable segment.
    """
    path = Path(path)
    check_input(path, folder=True)
    if path.is_dir() or is_dicom(path):
        raise UnfitInputError(
            "there is no DICOM segmentation here",
            shown(path),
            f"Give a SEG, {FORMATS}, or .seg.nrrd.",
            code="mask-dicom",
        )
    volume = read_volume_file(path, layers=True)
    name = plain(shown(path.name))
    segments = segments_of(volume.header.fields, name)
    labels, warnings = _labels(volume.voxels, segments, content, name)
    return StoredLabels(labels, volume.geometry, name, bool(segments), [*volume.warnings, *warnings])


def _labels(voxels: Voxels, segments: list[FileSegment], content: str, name: str) -> tuple[np.ndarray, list[CTWarning]]:
    stored = voxels.stored
    if segments:
        layers = voxels.whole()
        return labels_of_segments(layers if layers.ndim == 4 else layers[..., np.newaxis], segments, content, name)
    if stored.ndim == 4:
        raise UnfitInputError(
            f"the file has {stored.shape[3]} values per voxel and no segments",
            name,
            "Give one label map.",
            code="mask-layers",
        )
    return whole_labels(voxels, name), []


def place_labels(
    labels: np.ndarray, geometry: Geometry, ct_geometry: Geometry, name: str
) -> tuple[np.ndarray, list[CTWarning]]:
    """Bring labels from one grid to another.

    Args:
        labels: ``[k, j, i]`` on ``geometry``.
        geometry: their grid.
        ct_geometry: the grid wanted.
        name: where they came from, for messages.

    Raises:
        UnfitInputError: no label lies on the wanted grid, though there are some.
    """
    if geometry.same_grid(ct_geometry, _SAME_VOXELS):
        return np.ascontiguousarray(labels), []
    own, wanted = Reorientation.of(geometry), Reorientation.of(ct_geometry)
    if own.canonical.same_grid(wanted.canonical, _SAME_VOXELS):
        return wanted.undo(own.apply(labels)), []
    return _resampled(labels, geometry, ct_geometry, name)


def _resampled(
    labels: np.ndarray, geometry: Geometry, ct_geometry: Geometry, name: str
) -> tuple[np.ndarray, list[CTWarning]]:
    k, j, i = ct_geometry.shape
    image = sitk.Resample(
        geometry.to_image(labels),
        (i, j, k),
        sitk.Transform(),
        sitk.sitkNearestNeighbor,
        ct_geometry.origin,
        ct_geometry.spacing,
        ct_geometry.direction,
        0,
    )
    placed = sitk.GetArrayFromImage(image)
    before = np.count_nonzero(labels) * geometry.voxel_volume_ml
    after = np.count_nonzero(placed) * ct_geometry.voxel_volume_ml
    if before and not after:
        raise UnfitInputError(
            "its labels are entirely outside the CT", name, "Give a mask of the same CT.", code="mask-elsewhere"
        )
    text = f"{name} is on another grid and was resampled (nearest neighbour): {before:.1f} to {after:.1f} mL."
    warnings = [CTWarning("labels-resampled", text)]
    outside = _share_outside(labels, geometry, ct_geometry)
    if outside > _OUTSIDE_SHARE:
        text = f"{100 * outside:.0f} % of {name} is outside the CT and was left out."
        warnings.append(CTWarning("labels-outside", text))
    return placed, warnings


def _share_outside(labels: np.ndarray, geometry: Geometry, ct_geometry: Geometry) -> float:
    """Share of the labelled voxels whose centre is outside the CT's grid."""
    kji = np.argwhere(labels)
    if not len(kji):
        return 0.0
    kji = kji[:: max(1, len(kji) // 100_000)]
    to_ct = np.linalg.inv(ct_geometry.index_to_lps) @ geometry.index_to_lps
    ijk = kji[:, ::-1] @ to_ct[:3, :3].T + to_ct[:3, 3]
    last = np.array(ct_geometry.shape[::-1]) - 0.5
    return float(1.0 - ((ijk >= -0.5) & (ijk <= last)).all(axis=1).mean())
