"""The axes of an NRRD file: which three are spatial, which one holds layers, and where the grid lies."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.ct.files.data_files import bad_header
from COVIDQuantLib.ct.files.input_files import quoted
from COVIDQuantLib.ct.files.volume_header import (
    check_dimensions,
    check_one_time,
    check_spacing,
    grid,
    integers,
    numbers,
)
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.voxels.geometry import Geometry

# Signs that convert a space's coordinates to LPS; spaces without anatomical axes are taken as they are.
_LPS = (1.0, 1.0, 1.0)
_SPACES = {
    "left-posterior-superior": _LPS, "lps": _LPS,
    "right-anterior-superior": (-1.0, -1.0, 1.0), "ras": (-1.0, -1.0, 1.0),
    "left-anterior-superior": (1.0, -1.0, 1.0), "las": (1.0, -1.0, 1.0),
}  # fmt: skip
_OTHER_SPACES = {
    "", "scanner-xyz", "scannerxyz", "3d-right-handed", "3d-left-handed", "3dr", "3dl", "right-up", "rightup",
}  # fmt: skip
_UNITS_MM = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001, "µm": 0.001, "micron": 0.001}
_TIME_KINDS = {"time", "domain", "space"}
_VECTOR = re.compile(r"none|\([^()]*\)")


@dataclass(frozen=True)
class Axes:
    """The axes of an NRRD file by role.

    Attributes:
        sizes: voxels along the three spatial axes, in the file's order.
        places: indices of the spatial axes among all axes.
        components: values per voxel.
        components_last: whether those are the slowest axis.
        vectors: for every axis its step, None where the header says ``none``; empty without space directions.
        count: number of all axes.
    """

    sizes: tuple[int, int, int]
    places: tuple[int, ...]
    components: int
    components_last: bool
    vectors: tuple[tuple[float, ...] | None, ...]
    count: int


def axes_of(fields: dict[str, str], name: str) -> Axes:
    """Sort a header's axes.

    Args:
        fields: the header's fields, names in small letters without blanks.
        name: the file, for messages.

    Raises:
        UnfitInputError: there are not three spatial axes and at most one of layers.
    """
    (count, *more) = integers(fields["dimension"], name, "dimension") or [0]
    if more or not 1 <= count <= 16:
        raise bad_header(name, f"claims {quoted(fields['dimension'])} dimensions")
    sizes = integers(fields["sizes"], name, "sizes")
    if len(sizes) != count:
        raise bad_header(name, f"claims {count} dimensions and gives {len(sizes)} sizes")
    check_dimensions(count, name)
    vectors = _vectors(fields["spacedirections"], count, name) if "spacedirections" in fields else ()
    kinds = fields.get("kinds", "").lower().split() or ["domain"] * count
    if len(kinds) != count:
        raise bad_header(name, f"claims {count} dimensions and gives {len(kinds)} kinds")
    patient = [n for n in range(count) if _is_of_patient(n, kinds, vectors)]
    # A fourth axis of one voxel is left over when a program extracts one time point.
    while len(patient) > 3 and sizes[patient[-1]] == 1:
        patient.pop()
    if len(patient) > 3:
        check_one_time(sizes[patient[3]], name)
    check_dimensions(len(patient), name)
    others = [n for n in range(count) if n not in patient and sizes[n] != 1]
    for n in others:
        if kinds[n] in _TIME_KINDS:
            check_one_time(sizes[n], name)
    if len(others) > 1 or (others and others[0] not in {0, count - 1} and patient[0] < others[0] < patient[-1]):
        raise bad_header(name, "has axes between the spatial ones, or several layer axes")
    components = sizes[others[0]] if others else 1
    i, j, k = (sizes[n] for n in patient)
    last = bool(others) and others[0] > patient[-1]
    return Axes((i, j, k), tuple(patient), components, last, vectors, count)


def _is_of_patient(n: int, kinds: Sequence[str], vectors: Sequence[tuple[float, ...] | None]) -> bool:
    if vectors:
        return vectors[n] is not None
    return kinds[n] in {"domain", "space", "none", "???"}


def _vectors(text: str, count: int, name: str) -> tuple[tuple[float, ...] | None, ...]:
    words = _VECTOR.findall(text)
    if len(words) != count or re.sub(r"[\s]", "", _VECTOR.sub("", text)):
        raise bad_header(name, f"field “space directions” does not hold {count} vectors")
    vectors = (None if word == "none" else _vector(word, name, "space directions") for word in words)
    # Older programs wrote NaN instead of none.
    return tuple(None if vector is None or all(math.isnan(v) for v in vector) else vector for vector in vectors)


def _vector(text: str, name: str, field_name: str) -> tuple[float, ...]:
    values = numbers(text.strip().strip("()").replace(",", " "), name, field_name)
    if len(values) < 3:
        raise bad_header(name, f"field “{field_name}” holds vectors of {len(values)} numbers instead of three")
    # A fourth coordinate is a time.
    return tuple(values[:3])


def grid_of(axes: Axes, fields: dict[str, str], name: str) -> tuple[Geometry, list[CTWarning]]:
    """The grid of an NRRD file in LPS millimetres.

    Args:
        axes: of :func:`axes_of`.
        fields: the header's fields.
        name: the file, for messages.

    Raises:
        UnfitInputError: an unknown space or an invalid number.
    """
    if not axes.vectors:
        return _bare_grid(axes, fields, name)
    signs = np.array(_signs(fields, name))
    unit = _unit(fields)
    columns = np.array([axes.vectors[n] for n in axes.places]).T * signs[:, np.newaxis] * unit
    origin = _vector(fields["spaceorigin"], name, "space origin") if "spaceorigin" in fields else (0.0, 0.0, 0.0)
    return grid(axes.sizes, columns, [float(c) for c in np.array(origin) * signs * unit], name)


def names_anatomy(fields: dict[str, str]) -> bool:
    """Whether a header's space defines the patient's left, back and head."""
    return _space(fields) in _SPACES


def _space(fields: dict[str, str]) -> str:
    return fields.get("space", "").strip().lower().replace("_", "-").removesuffix("-time")


def _signs(fields: dict[str, str], name: str) -> tuple[float, float, float]:
    space = _space(fields)
    if space in _SPACES:
        return _SPACES[space]
    if space in _OTHER_SPACES:
        return _LPS
    raise bad_header(name, f"names an unknown space ({quoted(fields['space'])})")


def _unit(fields: dict[str, str]) -> float:
    described = fields.get("spaceunits", "").replace('"', " ").lower().split()
    return _UNITS_MM.get(described[0], 1.0) if described else 1.0


def _centring(fields: dict[str, str], n: int) -> str:
    words = fields.get("centerings", "").lower().split()
    return words[n] if n < len(words) else ""


def _bare_grid(axes: Axes, fields: dict[str, str], name: str) -> tuple[Geometry, list[CTWarning]]:
    """A grid without orientation, for a header that gives at most the spacing."""
    spacing = [1.0, 1.0, 1.0]
    if "spacings" in fields:
        described = numbers(fields["spacings"], name, "spacings")
        if len(described) != axes.count:
            raise bad_header(name, f"claims {axes.count} dimensions and gives {len(described)} spacings")
        spacing = [described[n] for n in axes.places]
        check_spacing(spacing, name)
    origin = (0.0, 0.0, 0.0)
    if "axismins" in fields:
        described = numbers(fields["axismins"], name, "axis mins")
        if len(described) == axes.count and np.isfinite([described[n] for n in axes.places]).all():
            # The axis minimum is the edge of the first voxel, unless the header says it is its centre.
            centred = [_centring(fields, n) == "node" for n in axes.places]
            x, y, z = (
                described[n] + (0 if node else s / 2) for n, node, s in zip(axes.places, centred, spacing, strict=True)
            )
            origin = (x, y, z)
    return grid(axes.sizes, np.diag(spacing), origin, name)
