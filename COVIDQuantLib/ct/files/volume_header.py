"""The header of a volume file in one form for every format, checked before the voxels are read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from COVIDQuantLib.ct.files.data_files import DataPart, bad_header
from COVIDQuantLib.ct.files.input_files import quoted
from COVIDQuantLib.ct.files.size_limits import check_size
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.voxels.geometry import Geometry, Triple

_SMALLEST_MM, _LARGEST_MM = 1e-4, 1e5
_FARTHEST_MM = 1e7
_MOST_NUMBERS = 64
# Axes that are not quite perpendicular are straightened: with a warning above the first limit (degrees), refused above
# the second.
_TOLD_SHEAR_DEGREES = 0.02
_MOST_SHEAR_DEGREES = 1.0
# Below this the axes are perpendicular within single precision and stay unchanged.
_NO_SHEAR_DEGREES = 1e-4


@dataclass(frozen=True)
class VolumeHeader:
    """A three-dimensional image as its header describes it.

    Attributes:
        kind: ``NIfTI``, ``NRRD`` or ``MetaImage``.
        name: the file, for messages.
        geometry: the grid in LPS millimetres.
        dtype: of the stored values, byte order included.
        parts: the data files, in the order of the slowest axis.
        encoding: ``raw``, ``gzip``, ``zlib``, ``bzip2``, ``text`` or ``hex``.
        components: values per voxel.
        components_last: whether they are the slowest axis in the file, not the fastest.
        scale: slope and intercept from stored to true values, None if they are the same.
        fields: NRRD's key/value pairs.
        tells_spacing: whether the header gives the size of the voxels.
        tells_direction: whether it gives the orientation in the patient.
        warnings: warnings about the header.
    """

    kind: str
    name: str
    geometry: Geometry
    dtype: np.dtype
    parts: tuple[DataPart, ...]
    encoding: str = "raw"
    components: int = 1
    components_last: bool = False
    scale: tuple[float, float] | None = None
    fields: dict[str, str] = field(default_factory=dict)
    tells_spacing: bool = True
    tells_direction: bool = True
    warnings: list[CTWarning] = field(default_factory=list)

    @property
    def voxel_bytes(self) -> int:
        """Bytes of all voxels as stored, unpacked.

        Raises:
            UnfitInputError: more than the limit.
        """
        return check_size(self.geometry.shape[::-1], self.components * self.dtype.itemsize, self.name)


def numbers(text: str, name: str, field_name: str) -> list[float]:
    """The numbers of a header field, separated by blanks.

    Raises:
        UnfitInputError: one is not a number; NaN and infinity pass, since their meaning depends on the field.
    """
    words = text.split()
    try:
        # Python's float() also accepts 1_000, which no header means.
        found = [] if "_" in text or len(words) > _MOST_NUMBERS else [float(word) for word in words]
    except ValueError:
        found = []
    if words and not found:
        raise bad_header(name, f"field “{field_name}” holds no numbers: {quoted(text)}")
    return found


def integers(text: str, name: str, field_name: str) -> list[int]:
    """The whole numbers of a header field.

    Raises:
        UnfitInputError: one is not an integer, or is absurdly large.
    """
    found = numbers(text, name, field_name)
    if not all(math.isfinite(n) and n == int(n) and abs(n) < 2**53 for n in found):
        raise bad_header(name, f"field “{field_name}” holds no whole numbers: {quoted(text)}")
    return [int(n) for n in found]


def check_dimensions(count: int, name: str) -> None:
    """Refuse an image of one or two dimensions.

    Raises:
        UnfitInputError: fewer than three.
    """
    if count < 3:
        raise UnfitInputError(
            f"the image has {count} dimensions, a CT has three", name, "Give the whole volume.", "not-three-dimensional"
        )


def check_one_time(count: int, name: str) -> None:
    """Refuse an image with several time points.

    Raises:
        UnfitInputError: more than one.
    """
    if count > 1:
        raise UnfitInputError(
            f"the image has four dimensions ({count} time points)",
            name,
            "Give one time point.",
            "not-three-dimensional",
        )


def check_spacing(spacing: Sequence[float], name: str) -> None:
    """Refuse impossible spacing.

    Raises:
        UnfitInputError: zero, negative, not a number, or far beyond any scanner's.
    """
    if not all(math.isfinite(s) and _SMALLEST_MM <= s <= _LARGEST_MM for s in spacing):
        described = " × ".join(f"{s:g}" for s in spacing)
        raise UnfitInputError(
            f"the header's voxel size {described} mm is impossible", name, "Export it again.", "bad-voxel-size"
        )


def grid(
    sizes: Sequence[int], columns: np.ndarray, origin: Sequence[float], name: str, spacing: Sequence[float] = ()
) -> tuple[Geometry, list[CTWarning]]:
    """The grid of three axes in LPS millimetres, with perpendicular axes.

    Args:
        sizes: voxels along ``i, j, k``.
        columns: 3×3, column ``n`` the step along axis ``n``.
        origin: position of the first voxel's centre.
        name: the file, for messages.
        spacing: used instead of the columns' lengths, if the header gives it as well.

    Returns:
        The grid, and a warning ``axes-straightened`` if the axes were noticeably skewed.

    Raises:
        UnfitInputError: invalid numbers, coinciding axes, or a real shear.
    """
    if not np.isfinite(columns).all() or not np.isfinite(origin).all() or max(map(abs, origin)) > _FARTHEST_MM:
        raise UnfitInputError(
            "the header's origin or direction is not a valid number", name, "Export it again.", "bad-orientation"
        )
    with np.errstate(over="ignore"):
        lengths = np.sqrt((columns**2).sum(axis=0))
    check_spacing([float(length) for length in lengths], name)
    taken = [float(s) for s in (spacing or lengths)]
    check_spacing(taken, name)
    axes, shear = right_angled(columns / lengths, name)
    warnings = []
    if shear > _TOLD_SHEAR_DEGREES:
        text = (
            f"The axes of {name} are {shear:.2f} degrees from perpendicular; the nearest perpendicular axes were used."
        )
        warnings.append(CTWarning("axes-straightened", text))
    i, j, k = sizes
    x, y, z = (float(c) for c in origin)
    direction = tuple(float(c) for c in axes.ravel())
    return Geometry((k, j, i), _triple(taken), (x, y, z), direction), warnings


def right_angled(axes: np.ndarray, name: str) -> tuple[np.ndarray, float]:
    """The perpendicular unit axes nearest to three unit columns, and by how many degrees those deviated.

    Raises:
        UnfitInputError: two coincide, or they are really sheared.
    """
    cosines = axes.T @ axes
    shear = math.degrees(math.asin(min(1.0, float(np.abs(cosines - np.diag(np.diag(cosines))).max()))))
    if shear > _MOST_SHEAR_DEGREES:
        raise UnfitInputError(
            f"the image's axes are {shear:.1f} degrees from perpendicular",
            name,
            "Resample it onto a rectangular grid, or give the DICOM files, where gantry tilt is supported.",
            "sheared-axes",
        )
    if shear < _NO_SHEAR_DEGREES:
        return axes, shear
    left, _, right = np.linalg.svd(axes)
    return left @ right, shear


def _triple(values: Sequence[float]) -> Triple:
    a, b, c = values
    return a, b, c
