"""Check the position of a given mask on its CT: on the lungs' air, on disease, and better than when flipped."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.ct.masks.interpretation import as_asked
from COVIDQuantLib.ct.masks.label_positions import CONTRACT, label_counts
from COVIDQuantLib.ct.masks.label_schemes import BY_PLACE, read_by_layout
from COVIDQuantLib.ct.masks.whole_labels import whole_labels
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.segmentation.patient.bounds import ChestBounds
from COVIDQuantLib.structures import plain
from COVIDQuantLib.voxels.block_grid import shrink_mean
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.voxels.morphology import dilate

_AXES = ("head to foot", "front to back", "left to right")
_ALONG_I = 2
# A correct lung mask covers at least this share of their air (phantoms: 97 %; flipped: at most 91 %).
_WELL, _BETTER_BY = 0.93, 0.05
_POOR = 0.9
# Less air than this share of the mask (white lungs), or a mask of less than this share of the air (a part of the
# lungs), proves nothing.
_AIR_OF_MASK, _MASK_OF_AIR = 0.3, 0.6
_BOTH_SIDES = 0.2
# Between the lungs there is less air than this share of the smaller lung's.
_VALLEY = 0.4
# Bone, and air beside the patient, within a lung mask: none if the position is correct.
_BONE_HU = 150
_STRANGE, _VERY_STRANGE = 0.02, 0.05
_BODY_ML = 12000.0
# Disease is denser than this; of a correctly placed pneumonia nearly all is, and is within the lungs.
_DENSE_HU = -750
_DISEASED, _DISEASED_BETTER_BY, _NOT_DISEASED = 0.85, 0.15, 0.8
_LEAST_LESION_ML = 5.0
_FILLED, _AERATED_HU, _AERATED_SHARE = 0.95, -700, 0.3
_HEALTHY = 0.65
_NEAR_MM = 12.0
_INSIDE = 0.2
_HEADER = "Copy the CT's origin, spacing and directions into it, or export it again on the CT's grid."
_MIRRORED = "Flip it back, or export it again on the CT's grid."


@dataclass
class MaskFit:
    """A canonical CT for checking masks on its grid.

    Attributes:
        ct: the CT.
        bounds: bounds of the patient and the chest.
    """

    ct: CTVolume
    bounds: ChestBounds

    @cached_property
    def middle(self) -> float | None:
        """The patient's middle between the two lungs' air, as a share of the grid's width from the right.

        None if the air of only one lung is visible.
        """
        profile = ndimage.uniform_filter1d(self.air.sum(axis=(0, 1)), 3)
        whole = np.cumsum(profile) / max(float(profile.sum()), 1e-6)
        low, high = whole.searchsorted(_BOTH_SIDES), whole.searchsorted(1.0 - _BOTH_SIDES)
        if high - low < 3:
            return None
        valley = int(low + profile[low : high + 1].argmin())
        lesser = min(float(profile[:valley].max(initial=0.0)), float(profile[valley:].max(initial=0.0)))
        return (valley + 0.5) / len(profile) if profile[valley] < _VALLEY * lesser else None

    @cached_property
    def air(self) -> np.ndarray:
        """Aerated lung on the working grid, float 0 or 1."""
        return self.bounds.aerated.astype(np.float32)

    def share(self, mask: np.ndarray) -> np.ndarray:
        """The share of each block of the working grid that a mask fills, 0..1."""
        return shrink_mean((mask != 0).astype(np.int16) * 1000, self.bounds.factors).astype(np.float32) / 1000

    def on_air(self, share: np.ndarray) -> float:
        """Overlap of mask and aerated lung as a share of the smaller one; 1 if there is no air."""
        least: float = min(float(share.sum()), float(self.air.sum()))
        return float((share * self.air).sum()) / least if least else 1.0

    def proves(self, share: np.ndarray) -> bool:
        """Whether mask and aerated lung are large enough for the air to show if the position is correct."""
        mask, air = float(share.sum()), float(self.air.sum())
        return air >= _AIR_OF_MASK * mask and mask >= _MASK_OF_AIR * air

    def on_right(self, share: np.ndarray) -> float | None:
        """The share of a mask on the patient's right, 0..1; None if the middle is unknown."""
        if self.middle is None:
            return None
        columns = share.sum(axis=(0, 1))
        return float(columns[: round(self.middle * len(columns))].sum()) / max(float(columns.sum()), 1e-6)

    def on_both_sides(self, share: np.ndarray) -> bool:
        """Whether a mask has a substantial part on each side of the patient."""
        right = self.on_right(share)
        return right is not None and _BOTH_SIDES < right < 1.0 - _BOTH_SIDES

    def strange(self, share: np.ndarray) -> float:
        """Share of a mask that is bone or outside the patient."""
        odd = ~self.bounds.patient | (self.bounds.body.hu > _BONE_HU)
        return float((share * odd).sum()) / max(float(share.sum()), 1e-6)

    def diseased(self, lesions: np.ndarray, lungs: np.ndarray) -> float:
        """Share of a pneumonia that is in the lungs (bool on the CT) and denser than healthy lung."""
        inside = (lesions != 0) & lungs
        return float(np.count_nonzero(self.ct.hu[inside] > _DENSE_HU)) / max(1, int(np.count_nonzero(lesions)))

    def near_lungs(self) -> np.ndarray:
        """Aerated lung and its hollows, where disease can be; bool on the CT."""
        near = dilate(self.bounds.aerated, _NEAR_MM, self.bounds.spacing) & self.bounds.patient
        return self.bounds.body.on_ct(near)


def check_lungs_fit(mask: np.ndarray, fit: MaskFit, name: str) -> list[CTWarning]:
    """Refuse lungs or lobes that are misplaced or not lungs.

    White lungs, a single lung and parts of the lungs pass, since their air is not conclusive.

    Args:
        mask: nonzero in the lungs, on the canonical CT's grid.
        fit: that CT.
        name: origin of the mask.

    Returns:
        ``mask-fit`` if it covers little of the lungs' air without explanation.

    Raises:
        UnfitInputError: ``mask-flipped``, ``mask-elsewhere`` or ``mask-not-lungs``.
    """
    share = fit.share(mask)
    if not share.any():
        return []
    on_air, strange = fit.on_air(share), fit.strange(share)
    ml = float(np.count_nonzero(mask)) * fit.ct.geometry.voxel_volume_ml
    whole_body = on_air >= _POOR and strange > _VERY_STRANGE and not fit.air.sum() >= _MASK_OF_AIR * share.sum()
    if ml > _BODY_ML or (whole_body and fit.air.any()):
        raise UnfitInputError(
            f"it holds {ml:.0f} mL, {100 * strange:.0f} % of it bone or outside the patient: this is not a lung mask",
            plain(name),
            "Give a mask of the lungs alone.",
            code="mask-not-lungs",
        )
    if on_air >= _WELL or not fit.proves(share):
        return []
    both = fit.on_both_sides(share)
    for axes in _turns(across=both):
        turned = fit.on_air(fit.share(np.flip(mask, axes)))
        if turned >= _WELL - 0.03 and turned - on_air > _BETTER_BY:
            raise _flipped(
                axes, f"{100 * on_air:.0f} % of the lungs' air is in it, {100 * turned:.0f} % after flipping", name
            )
    if not both or on_air >= _POOR:
        return []
    what = f"only {100 * on_air:.0f} % of the lungs' air is in it"
    if strange > _STRANGE:
        what += f", and {100 * strange:.0f} % of it is bone or outside the patient"
        raise UnfitInputError(what, plain(name), _HEADER, code="mask-elsewhere")
    return [CTWarning("mask-fit", f"{plain(name)}: {what}: check that it lies on this CT's lungs.")]


def check_lesions_fit(lesions: np.ndarray, lobes: np.ndarray, fit: MaskFit, name: str) -> list[CTWarning]:
    """Refuse a pneumonia that is misplaced, or that is the lungs themselves.

    Args:
        lesions: nonzero in the pneumonia, on the canonical CT's grid.
        lobes: nonzero in the lungs, same grid.
        fit: that CT.
        name: origin of the lesions.

    Returns:
        ``mask-fit`` if it is outside the lungs but might be a white lung that was not found.

    Raises:
        UnfitInputError: ``mask-flipped``, ``mask-elsewhere`` or ``mask-not-lesions``.
    """
    mask, lungs = lesions != 0, lobes != 0
    count = int(np.count_nonzero(mask))
    if not count or not lungs.any():
        return []
    filled = np.count_nonzero(mask & lungs) / np.count_nonzero(lungs)
    airy = np.count_nonzero(fit.ct.hu[mask] < _AERATED_HU) / count
    if filled >= _FILLED and airy > _AERATED_SHARE:
        raise UnfitInputError(
            f"it fills {100 * filled:.0f} % of the lungs and {100 * airy:.0f} % of it is aerated: not pneumonia",
            plain(name),
            "Give the pneumonia alone; lungs go to --lungs, lobes to --lobes.",
            code="mask-not-lesions",
        )
    diseased = fit.diseased(mask, lungs)
    if diseased >= _NOT_DISEASED or count * fit.ct.geometry.voxel_volume_ml < _LEAST_LESION_ML:
        return []
    for axes in _turns(across=True):
        turned = fit.diseased(np.flip(mask, axes), lungs)
        if turned > _DISEASED and turned - diseased > _DISEASED_BETTER_BY:
            words = f"{100 * diseased:.0f} % of it is dense tissue in the lungs, {100 * turned:.0f} % after flipping"
            raise _flipped(axes, words, name)
    healthy = np.count_nonzero(mask & lungs & (fit.ct.hu < _DENSE_HU)) / count
    if healthy > _HEALTHY:
        raise UnfitInputError(
            f"{100 * healthy:.0f} % of it has the HU of healthy lung: not pneumonia",
            plain(name),
            "Give the pneumonia alone, drawn on this CT; lungs go to --lungs, lobes to --lobes.",
            code="mask-not-lesions",
        )
    inside = np.count_nonzero(mask & (lungs | fit.near_lungs())) / count
    if inside >= _INSIDE:
        return []
    what = f"only {100 * inside:.0f} % of it is in or near the lungs"
    if fit.strange(fit.share(mask)) > _STRANGE:
        raise UnfitInputError(what, plain(name), _HEADER, code="mask-elsewhere")
    return [CTWarning("mask-fit", f"{plain(name)}: {what}: check whether it is disease of a lung that was not found.")]


def taken_as(labels: np.ndarray, content: str, fit: MaskFit, name: str) -> tuple[np.ndarray, list[CTWarning]]:
    """Convert given labels to our own label values of lungs, lobes or lesions.

    Args:
        labels: whole numbers or bool ``[k, j, i]`` on the canonical CT's grid.
        content: ``lungs``, ``lobes`` or ``lesions``.
        fit: that CT.
        name: their origin.

    Returns:
        The labels, and warnings about them.

    Raises:
        UnfitInputError: they are something else, or (lungs and lobes) misplaced.
    """
    spacing = fit.ct.geometry.spacing_kji
    whole = whole_labels(labels, name)
    try:
        taken, warnings = as_asked(whole, content, spacing, name, strict=True, middle=fit.middle)
    except UnfitInputError as error:
        if content != "lobes":
            raise
        raise why_not_lobes(whole, fit, name, error) from error
    if content == "lobes":
        _check_several_lobes(taken, fit, name)
    if content != "lesions":
        warnings = [*warnings, *check_lungs_fit(taken, fit, name)]
    return taken, warnings


def _check_several_lobes(lobes: np.ndarray, fit: MaskFit, name: str) -> None:
    """Refuse a single lobe, or whole lungs, given as the lobes."""
    values = label_counts(lobes)
    if not values:
        raise UnfitInputError(
            "there is no lobe on this CT", plain(name), "Give the lobes of the same exam.", code="mask-empty"
        )
    if len(values) > 1:
        return
    label = next(iter(values))
    share = fit.share(lobes)
    meant = f"label {label} ({CONTRACT[label]})" if label in CONTRACT else f"label {label}"
    right = fit.on_right(share)
    if fit.on_both_sides(share):
        where, remedy = "in both lungs, so it is the lungs", "Give it as --lungs; the lobes are then found within."
    else:
        side = "" if right is None else f", in the {'right' if right > 0.5 else 'left'} lung"
        where, remedy = f"alone{side}", "Give the files of all lobes at once, --lobes A B C D E, or their folder."
    raise UnfitInputError(f"{meant} lies {where}", plain(name), remedy, code="mask-one-lobe")


def why_not_lobes(labels: np.ndarray, fit: MaskFit, name: str, error: UnfitInputError) -> UnfitInputError:
    """The better reason why labels are not lobes, if there is one: they are flipped.

    Args:
        labels: the lobes ``[k, j, i]`` on the canonical CT's grid.
        fit: that CT.
        name: their origin.
        error: the reason known so far.
    """
    for axes in _turns(across=True):
        turned = np.ascontiguousarray(np.flip(labels, axes))
        reading = read_by_layout(turned, fit.ct.geometry.spacing_kji, _turned(fit.middle, axes))
        # By position alone, anything could be flipped.
        if reading is not None and reading.lobes and reading.layout != BY_PLACE:
            return _flipped(axes, "the lobes are where they belong only after flipping", name)
    return error


def _turned(middle: float | None, axes: tuple[int, ...]) -> float | None:
    return 1.0 - middle if middle is not None and _ALONG_I in axes else middle


def _turns(*, across: bool) -> list[tuple[int, ...]]:
    """Ways to flip a mask, one axis before two; without left to right if that is not conclusive."""
    axes = range(3 if across else 2)
    return [turn for count in (1, 2, 3) for turn in combinations(axes, count)]


def _flipped(axes: tuple[int, ...], evidence: str, name: str) -> UnfitInputError:
    described = " and ".join(_AXES[axis] for axis in axes)
    return UnfitInputError(f"it is flipped {described} ({evidence})", plain(name), _MIRRORED, code="mask-flipped")


def says_nothing(geometry: Geometry) -> bool:
    """Whether a grid is the default of a writer without orientation: 1 mm voxels from the origin along the axes."""
    axes = np.abs(np.reshape(geometry.direction, (3, 3)))
    return bool(
        np.allclose(geometry.spacing, 1.0, atol=1e-4)
        and np.allclose(geometry.origin, 0.0, atol=1e-3)
        and np.allclose(axes, np.eye(3), atol=1e-4)
    )
