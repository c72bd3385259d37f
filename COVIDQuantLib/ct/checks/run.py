"""Checks on a CT: can it be quantified, and what should the reader be warned about?

Codes of warnings, all of them stable:

===================== ==========================================================================================
code                  meaning
===================== ==========================================================================================
thick-sections        sections thicker than 1.5 mm: small lesions and edges are averaged
very-thick-sections   sections thicker than 5 mm
section-gap           sections are thinner than their distance: what lies between was not measured
section-overlap       sections are much thicker than their distance: neighbours show the same
large-spacing         sections more than 10 mm apart
uneven-spacing        slice positions differ a little from an even grid
gantry-tilt           the gantry was tilted
contrast              contrast medium: vessels and enhancing lung are denser
sharp-kernel          a sharp kernel or strong noise: densities scatter further
padding               part of the image was not measured and is left out of all measurements
clipped-low           values below −1024 HU were set to −1024
clipped-high          values above 3071 HU were set to 3071
no-orientation        the file does not state its orientation in the patient
odd-slices            single images of another kind, grid or direction were left out of the series
twin-slices           slices that repeat pixels and position of another were left out
odd-end-slice         a first or last slice at another distance than all others was left out
blank-slices          blank slices at the ends were left out
slices-estimated      single blank slices inside were estimated from their neighbours
acquisitions-joined   overlapping acquisitions were joined; slices that a later one repeats were left out
secondary-capture     the CT is stored as Secondary Capture
series-uids-differ    every slice names a series of its own; they were read as one
series-uid-missing    the header names no series
instance-uids-same    slices share one instance UID
patient-ids-differ    the slices carry different patient IDs
damaged-files         damaged files in other folders were left out
several-patients      the folder holds CTs of several patients
lungs-cut             the lungs touch the edge of what was measured
small-lungs           the lungs are smaller than an adult's
labels-resampled      a mask lies on another grid and was resampled
labels-outside        part of a mask lies outside the CT
segments-joined       no segment is identified, so all were used
===================== ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from COVIDQuantLib.ct.blank_slices import can_be_estimated, describe_slices, inside
from COVIDQuantLib.ct.checks.hounsfield_units import check_values
from COVIDQuantLib.ct.checks.image_checks import foreign_slices, has_bright_blood, noise_hu
from COVIDQuantLib.ct.checks.lung_checks import check_lungs
from COVIDQuantLib.ct.checks.sharp_kernels import is_sharp
from COVIDQuantLib.ct.volume import HU_MAX, HU_MIN, MIN_SLICES, CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError

__all__ = ["HeaderFacts", "check_ct", "check_lungs"]

THICK_MM = 1.5
VERY_THICK_MM = 5.0
LARGE_SPACING_MM = 10.0
NOISY_HU = 60.0
# Sections often overlap by half; a smaller distance, as a share of the thickness, gives a warning.
_OVERLAP = 0.45
_MIN_IN_PLANE = 32
_EXTENT_MM = (60.0, 2500.0)
_MAX_SPACING_MM = 30.0
# Pixels are as wide as high within this share; the axis that differs is the one across the slices.
_SQUARE = 1e-3
# Number of padding values named in the message.
_FILLER_TOLD = 3


@dataclass(frozen=True)
class HeaderFacts:
    """What the file's header gives besides the voxel values.

    Attributes:
        name: the series or file, for messages.
        thickness: section thickness, millimetres; None if missing (then the slice distance is used).
        distance: distance of slices, millimetres; None if the format does not define which axis is the slice axis.
        kernel: name of the reconstruction kernel.
        contrast_agent: name of the contrast medium.
        clipped_below: voxels below −1024 HU that are no padding.
        clipped_above: voxels above 3071 HU.
        lowest: lowest measured value in the file, padding apart.
        highest: highest measured value in the file, padding apart.
        filler: values that were taken as padding, HU, and how many voxels have each.
    """

    name: str
    thickness: float | None = None
    distance: float | None = None
    kernel: str = ""
    contrast_agent: str = ""
    clipped_below: int = 0
    clipped_above: int = 0
    lowest: float = float(HU_MIN)
    highest: float = float(HU_MAX)
    filler: Mapping[float, int] = field(default_factory=dict)


def check_ct(ct: CTVolume, facts: HeaderFacts) -> list[CTWarning]:
    """Check a CT and collect its warnings.

    Args:
        ct: the CT in any orientation.
        facts: what the header gives.

    Raises:
        UnfitInputError: it is not a volume, or its values are not Hounsfield units of a body in air.
    """
    _check_grid(ct, facts)
    check_values(ct, facts.name, (facts.lowest, facts.highest), facts.filler)
    _check_blank_slices(ct, facts)
    _check_foreign_slices(_axial(ct), facts)
    noticed: list[CTWarning] = []
    for code, test in _TESTS.items():
        message = test(ct, facts)
        if message:
            noticed.append(CTWarning(code, message))
    return noticed


def _check_grid(ct: CTVolume, facts: HeaderFacts) -> None:
    # Whichever axis the slices lie along, it is the one that may be short.
    slices, *across = sorted(ct.geometry.shape)
    if slices < MIN_SLICES:
        raise UnfitInputError(
            f"only {slices} slices, at least {MIN_SLICES} are needed",
            facts.name,
            "Give the whole CT.",
            code="too-few-slices",
        )
    if min(across) < _MIN_IN_PLANE:
        raise UnfitInputError(
            f"slices of {across[1]}×{across[0]} voxels are too coarse",
            facts.name,
            "Give the whole CT.",
            code="too-coarse",
        )
    if max(ct.geometry.spacing) > _MAX_SPACING_MM:
        raise UnfitInputError(
            f"voxels of {max(ct.geometry.spacing):g} mm are too large",
            facts.name,
            "Check the spacing in the header.",
            code="voxel-size",
        )
    extent = [n * s for n, s in zip(ct.geometry.shape, ct.geometry.spacing_kji, strict=True)]
    # A slab may be thin, but not in two directions.
    if sorted(extent)[1] < _EXTENT_MM[0] or max(extent) > _EXTENT_MM[1]:
        raise UnfitInputError(
            f"a grid of {extent[2]:.0f}×{extent[1]:.0f}×{extent[0]:.0f} mm is not a chest",
            facts.name,
            "Check the spacing in the header.",
            code="extent",
        )


def _axial(ct: CTVolume) -> CTVolume:
    """The CT with its slices along the patient, whatever the order in which a file stores its axes.

    Neighbouring sagittal or coronal slices may differ as no axial ones do, as where an arm begins.
    """
    along = np.abs(np.reshape(ct.geometry.direction, (3, 3))[2])
    return ct if along.argmax() == 2 else ct.canonical()[0]


def _check_blank_slices(ct: CTVolume, facts: HeaderFacts) -> None:
    blank = inside(ct)
    if not blank:
        return
    many = "" if can_be_estimated(blank, len(ct.hu)) else ": too many, or adjacent, so they cannot be estimated"
    raise UnfitInputError(
        f"blank {describe_slices(blank, ct.geometry)} (by position){many}",
        facts.name,
        "Copy or export the CT again.",
        code="blank-slices-inside",
    )


def _check_foreign_slices(axial: CTVolume, facts: HeaderFacts) -> None:
    strange = foreign_slices(axial)
    if strange:
        numbers = ", ".join(str(k + 1) for k in strange[:5])
        raise UnfitInputError(
            f"slice {numbers} of {len(axial.hu)} (by position) does not fit its neighbours, as in a damaged file",
            facts.name,
            "Copy or export the CT again.",
            code="foreign-slice",
        )


def _thickness(ct: CTVolume, facts: HeaderFacts) -> float:
    return facts.thickness if facts.thickness and facts.thickness > 0 else _distance(ct, facts)


def _distance(ct: CTVolume, facts: HeaderFacts) -> float:
    """Millimetres between slices: the spacing that differs from the other two, which are those of square pixels."""
    if facts.distance is not None:
        return facts.distance
    i, j, k = ct.geometry.spacing
    if abs(i - j) > _SQUARE * j:
        if abs(i - k) <= _SQUARE * k:
            return j
        if abs(j - k) <= _SQUARE * k:
            return i
    return k


def _thick(ct: CTVolume, facts: HeaderFacts) -> str:
    mm = _thickness(ct, facts)
    if not THICK_MM + 1e-3 < mm <= VERY_THICK_MM + 1e-3:
        return ""
    return f"Sections of {mm:.4g} mm: small lesions, vessels and lung edges are blurred by averaging."


def _very_thick(ct: CTVolume, facts: HeaderFacts) -> str:
    mm = _thickness(ct, facts)
    if mm <= VERY_THICK_MM + 1e-3:
        return ""
    return f"Sections of {mm:.4g} mm: measurements are coarse and depend on where the sections happen to lie."


def _gap(ct: CTVolume, facts: HeaderFacts) -> str:
    spacing = _distance(ct, facts)
    if facts.thickness is None or facts.thickness <= 0 or spacing <= 1.1 * facts.thickness + 0.05:
        return ""
    return f"Sections of {facts.thickness:g} mm are {spacing:g} mm apart: the tissue between them was not measured."


def _overlap(ct: CTVolume, facts: HeaderFacts) -> str:
    spacing = _distance(ct, facts)
    if facts.thickness is None or spacing >= _OVERLAP * facts.thickness:
        return ""
    return f"Sections of {facts.thickness:g} mm overlap (they are {spacing:.4g} mm apart): neighbours share tissue."


def _large_spacing(ct: CTVolume, facts: HeaderFacts) -> str:
    mm = _distance(ct, facts)
    return f"Slices are {mm:.4g} mm apart: volumes are approximate." if mm > LARGE_SPACING_MM else ""


def _contrast(ct: CTVolume, facts: HeaderFacts) -> str:
    agent = facts.contrast_agent.strip()
    if agent and agent.upper() not in {"NO", "NONE", "N", "NO CONTRAST", "WITHOUT"}:
        return f"Contrast medium ({agent}): vessels and enhancing lung appear denser than without it."
    if has_bright_blood(ct):
        return (
            "The blood is as bright as with contrast medium: vessels and enhancing lung appear denser than without it."
        )
    return ""


def _sharp(ct: CTVolume, facts: HeaderFacts) -> str:
    if facts.kernel:
        text = f"Sharp kernel {facts.kernel}: densities are noisier than with a standard kernel."
        return text if is_sharp(facts.kernel) else ""
    noise = noise_hu(ct)
    if noise > NOISY_HU:
        return f"Strong noise ({noise:.0f} HU in soft tissue), as with a sharp kernel or low dose: densities are noisy."
    return ""


def _padding(ct: CTVolume, facts: HeaderFacts) -> str:
    if ct.padding is None:
        return ""
    share = 100.0 * np.count_nonzero(ct.padding) / ct.padding.size
    common = sorted(facts.filler, key=lambda value: -facts.filler[value])
    values = ", ".join(f"{value:g}" for value in common[:_FILLER_TOLD]) + (" …" if len(common) > _FILLER_TOLD else "")
    padding = f"padding: {values} HU" if values else "padding"
    return f"{share:.1f} % of the image was not measured ({padding}) and is left out of all measurements."


def _clipped_low(ct: CTVolume, facts: HeaderFacts) -> str:
    return _clipped(facts.clipped_below, ct, f"below {HU_MIN} HU (down to {facts.lowest:g})", HU_MIN)


def _clipped_high(ct: CTVolume, facts: HeaderFacts) -> str:
    return _clipped(facts.clipped_above, ct, f"above {HU_MAX} HU (up to {facts.highest:g})", HU_MAX)


def _clipped(count: int, ct: CTVolume, where: str, limit: int) -> str:
    if not count:
        return ""
    return f"{count} voxels ({100.0 * count / ct.hu.size:.2g} %) {where} were set to {limit} HU."


_TESTS: dict[str, Callable[[CTVolume, HeaderFacts], str]] = {
    "thick-sections": _thick,
    "very-thick-sections": _very_thick,
    "section-gap": _gap,
    "section-overlap": _overlap,
    "large-spacing": _large_spacing,
    "contrast": _contrast,
    "sharp-kernel": _sharp,
    "padding": _padding,
    "clipped-low": _clipped_low,
    "clipped-high": _clipped_high,
}
