"""What two exams are laid over each other by: soft distances to each lobe's surface, and the lungs' structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.anatomy import LOBES, labels_of_side
from COVIDQuantLib.followup.registration.exam_images import ExamImages
from COVIDQuantLib.voxels.geometry import Geometry, Triple

FloatArray = np.ndarray
# Distances matter up to about this far from a surface.
_REACH_MM = 10.0
_SIDE_REACH_MM = 40.0
# Vessels, fissures and bronchi against the lung about them: window in HU, size of the surroundings, and how much a
# difference of that many HU weighs against a lobe's surface.
_LOW_HU, _HIGH_HU, _BLUR_MM, _AROUND_MM, _ONE_HU = -950.0, -350.0, 1.6, 16.0, 220.0
SIDES = ("right", "left")


@dataclass(frozen=True)
class Channels:
    """The features of one exam.

    Attributes:
        sides: clamped signed distance to each lung's surface in tens of millimetres, one vector image (float32).
        lobes: the same of each lobe, softly clamped to −1..1, and with a CT a last component with the structure.
        trust: 1 where the structure may be compared, 0 in lesions and outside the lungs; None without a CT.
    """

    sides: sitk.Image
    lobes: sitk.Image
    trust: sitk.Image | None

    @classmethod
    def of(cls, small: ExamImages) -> Channels:
        """The features of an exam of which every voxel counts (see :meth:`ExamImages.around_lungs`)."""
        sides = [
            np.clip(
                _inside_mm(np.isin(small.lobes, labels_of_side(side)), small.geometry), -_SIDE_REACH_MM, _SIDE_REACH_MM
            )
            / 10.0
            for side in SIDES
        ]
        lobes = [np.tanh(_inside_mm(small.lobes == lobe.label, small.geometry) / _REACH_MM) for lobe in LOBES]
        trust = None
        if small.hu is not None:
            lobes.append(_structure(small.hu, small.lobes > 0, small.geometry.spacing_kji))
            trust = small.geometry.to_image(((small.lobes > 0) & (small.lesions == 0)).astype(np.float32))
        return cls(_vector(sides, small.geometry), _vector(lobes, small.geometry), trust)


def _vector(components: list[FloatArray], geometry: Geometry) -> sitk.Image:
    image = sitk.GetImageFromArray(np.stack(components, axis=-1).astype(np.float32), isVector=True)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction)
    return image


def _inside_mm(mask: np.ndarray, geometry: Geometry) -> FloatArray:
    """Signed distance to a mask's surface, mm, positive inside; far outside all over where it is empty."""
    if not mask.any():
        return np.full(mask.shape, -_SIDE_REACH_MM, np.float32)
    image = geometry.to_image(mask.astype(np.uint8))
    found = sitk.SignedMaurerDistanceMap(image, insideIsPositive=True, squaredDistance=False, useImageSpacing=True)
    distance: FloatArray = sitk.GetArrayFromImage(found)
    # Measured between voxel centres: the surface lies half a voxel nearer.
    half = 0.5 * float(np.mean(geometry.spacing))
    return distance + np.where(mask, half, -half).astype(np.float32)


def _structure(hu: np.ndarray, lungs: np.ndarray, spacing_kji: Triple) -> FloatArray:
    """CT numbers of lung against the lung about them; 0 outside."""
    weight = lungs.astype(np.float32)
    values = (np.clip(hu, _LOW_HU, _HIGH_HU) - _LOW_HU).astype(np.float32) * weight
    fine, around = (
        _blurred(values, mm, spacing_kji) / np.maximum(_blurred(weight, mm, spacing_kji), 0.05)
        for mm in (_BLUR_MM, _AROUND_MM)
    )
    return (fine - around) * weight / np.float32(_ONE_HU)


def _blurred(values: FloatArray, mm: float, spacing_kji: Triple) -> FloatArray:
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(tuple(reversed(spacing_kji)))
    blurred: FloatArray = sitk.GetArrayFromImage(sitk.SmoothingRecursiveGaussian(image, mm))
    return blurred


def sampled(image: sitk.Image, grid: sitk.Image, transform: sitk.Transform | None = None) -> FloatArray:
    """An image's values on a grid through a transform; beyond the image those of its nearest edge.

    Returns:
        float32 ``[k, j, i]``, with the components last where there are several.
    """
    resampler = sitk.ResampleImageFilter()
    resampler.SetReferenceImage(grid)
    resampler.SetTransform(transform if transform is not None else sitk.Transform(3, sitk.sitkIdentity))
    resampler.SetInterpolator(sitk.sitkLinear)
    resampler.UseNearestNeighborExtrapolatorOn()
    values: FloatArray = sitk.GetArrayFromImage(resampler.Execute(image))
    return values


def working_grid(small: ExamImages, spacing_mm: float, margin_mm: float) -> sitk.Image:
    """An empty grid along the patient's axes that holds the exam's box with a margin (LPS)."""
    k, j, i = (n - 1 for n in small.geometry.shape)
    corners = np.array([(a, b, c, 1.0) for a in (0, i) for b in (0, j) for c in (0, k)])
    places = (corners @ small.geometry.index_to_lps.T)[:, :3]
    low, high = places.min(axis=0) - margin_mm, places.max(axis=0) + margin_mm
    size = [int(n) for n in np.ceil((high - low) / spacing_mm) + 1]
    grid = sitk.Image(size, sitk.sitkUInt8)
    grid.SetOrigin([float(v) for v in low])
    grid.SetSpacing([spacing_mm] * 3)
    return grid
