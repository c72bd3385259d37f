"""Choose and render the sheet's slices: upright, in radiological convention, in true proportion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.anatomy import LABEL_COUNT, LOBES, SIDES, labels_of_side
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

_MARGIN_MM = 12.0


@dataclass(frozen=True)
class Plane:
    """How a slice lies on the page, given arrays in canonical order (k to the head, j to the back, i to the left).

    Attributes:
        name: for display.
        across: array axis perpendicular to the slice.
        rows: array axis down the page.
        columns: array axis along the page.
        flipped: whether the rows run against their axis (head up).
        letters: patient's sides at the left, right, top and bottom of the page.
        positive: letter of the direction of increasing position across, and of the opposite.
        lps_sign: sign that turns an LPS coordinate into millimetres towards ``positive[0]``.
    """

    name: str
    across: int
    rows: int
    columns: int
    flipped: bool
    letters: str
    positive: str
    lps_sign: int

    def cut(self, array: np.ndarray, index: int, box: tuple[slice, slice, slice]) -> np.ndarray:
        """A slice of a canonical array within a box, as it lies on the page."""
        page = array[tuple(index if axis == self.across else box[axis] for axis in range(3))]
        return page[::-1] if self.flipped else page


AXIAL = Plane("Axial", 0, 1, 2, flipped=False, letters="RLAP", positive="SI", lps_sign=1)
CORONAL = Plane("Coronal", 1, 0, 2, flipped=True, letters="RLSI", positive="AP", lps_sign=-1)
SAGITTAL = Plane("Sagittal", 2, 0, 1, flipped=True, letters="APSI", positive="RL", lps_sign=-1)


@dataclass(frozen=True)
class View:
    """One slice to show: its plane and its index across it."""

    plane: Plane
    index: int


class Scene:
    """A CT and its segmentation in upright orientation, without copying.

    Attributes:
        hu: Hounsfield units ``[k, j, i]``, canonical.
        lobes: label values, canonical.
        lesions: bool, canonical.
        geometry: the canonical grid.
        box: slices of ``k, j, i`` around the lungs, all if there are none.
    """

    def __init__(self, ct: CTVolume, segmentation: Segmentation) -> None:
        turn = Reorientation.of(ct.geometry)
        self.hu = turn.apply(ct.hu)
        self.lobes = turn.apply(segmentation.lobes)
        self.lesions = turn.apply(segmentation.lesions) != 0
        self.geometry: Geometry = turn.canonical
        self._lung_profiles = _profiles(self.lobes != 0)
        self._lesion_profiles = _profiles(self.lesions)
        self.box = self._lung_box()

    def _lung_box(self) -> tuple[slice, slice, slice]:
        bounds = []
        for axis, profile in enumerate(self._lung_profiles):
            found = np.flatnonzero(profile + self._lesion_profiles[axis])
            margin = round(_MARGIN_MM / self.geometry.spacing_kji[axis])
            first, last = (found[0], found[-1]) if found.size else (0, profile.size - 1)
            bounds.append(slice(max(0, int(first) - margin), min(profile.size, int(last) + 1 + margin)))
        return bounds[0], bounds[1], bounds[2]

    def size_mm(self, plane: Plane) -> tuple[float, float]:
        """Width and height of a plane's slices on the page, millimetres."""
        spacing = self.geometry.spacing_kji
        width, height = (
            (self.box[axis].stop - self.box[axis].start) * spacing[axis] for axis in (plane.columns, plane.rows)
        )
        return width, height

    def position(self, view: View) -> str:
        """Position of a view in Slicer's notation, e.g. ``S 41.2 mm``, measured at the centre of the grid."""
        index = [n / 2 - 0.5 for n in self.geometry.shape]
        index[view.plane.across] = view.index
        lps = self.geometry.index_to_lps @ (*reversed(index), 1.0)
        along = view.plane.lps_sign * float(lps[2 - view.plane.across])
        return f"{view.plane.positive[along < 0]} {abs(along):.0f} mm"

    def axial(self, count: int) -> list[View]:
        """Axial levels from the head down, spread over the lungs and concentrated at the lesions."""
        return [View(AXIAL, index) for index in reversed(self._spread(0, count))]

    def coronal(self, count: int) -> list[View]:
        """Coronal levels from front to back."""
        return [View(CORONAL, index) for index in self._spread(1, count)]

    def sagittal(self) -> list[View]:
        """One sagittal level through each lung that is present, right first."""
        views = []
        for side in SIDES:
            of_side = np.zeros(LABEL_COUNT, bool)
            of_side[list(labels_of_side(side))] = True
            inside = of_side[self.lobes[self.box]]
            lungs = np.count_nonzero(inside, axis=(0, 1))
            lesions = np.count_nonzero(inside & self.lesions[self.box], axis=(0, 1))
            if lungs.any():
                views.append(View(SAGITTAL, self.box[2].start + _quantiles(lungs, lesions, 1)[0]))
        return views

    def most_diseased(self, plane: Plane) -> View:
        """The slice of a plane with the largest area of lesion; without any lesion, that with the most lung."""
        lesions, lungs = self._lesion_profiles[plane.across], self._lung_profiles[plane.across]
        return View(plane, int(np.argmax(lesions if lesions.any() else lungs)))

    def _spread(self, axis: int, count: int) -> list[int]:
        return _quantiles(self._lung_profiles[axis], self._lesion_profiles[axis], count)


def _profiles(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voxels of a mask in every slice along k, j and i."""
    faces = np.count_nonzero(mask, axis=0), np.count_nonzero(mask, axis=2)
    return faces[1].sum(axis=1), faces[0].sum(axis=1), faces[0].sum(axis=0)


def _quantiles(lungs: np.ndarray, lesions: np.ndarray, count: int) -> list[int]:
    """Distinct slices at even shares of lungs and lesions together, each weighing one half."""
    weight = sum((part / part.sum() for part in (lungs, lesions) if part.any()), np.zeros(lungs.size))
    if not weight.any():
        weight = np.ones(lungs.size)
    summed = np.cumsum(weight) / weight.sum()
    shares = (np.arange(count) + 0.5) / count
    return sorted({int(index) for index in np.searchsorted(summed, shares)})


@dataclass(frozen=True)
class Page:
    """A view's pixels at the resolution of the page, rows down, columns to the right.

    Attributes:
        hu: float32 Hounsfield units.
        lobes: per lobe label how much of the pixel it fills, 0..1.
        lesion: how much of the pixel is lesion, 0..1.
    """

    hu: np.ndarray
    lobes: dict[int, np.ndarray]
    lesion: np.ndarray


def render(scene: Scene, view: View, shape: Sequence[int]) -> Page:
    """The pixels of a view.

    Args:
        scene: what to show.
        view: the slice.
        shape: rows and columns of pixels on the page.
    """
    plane = view.plane
    labels = plane.cut(scene.lobes, view.index, scene.box)
    return Page(
        _resampled(plane.cut(scene.hu, view.index, scene.box), shape),
        {lobe.label: _resampled(labels == lobe.label, shape) for lobe in LOBES if (labels == lobe.label).any()},
        _resampled(plane.cut(scene.lesions, view.index, scene.box), shape),
    )


def _resampled(page: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Bilinear resampling to a number of pixels, with edges aligned."""
    factors = [new / old for new, old in zip(shape, page.shape, strict=True)]
    # Downsampling without smoothing would lose thin vessels and add speckle.
    blur = [max(0.0, 0.4 / factor - 0.4) for factor in factors]
    smooth = ndimage.gaussian_filter(page.astype(np.float32), blur)
    return ndimage.zoom(smooth, factors, order=1, mode="nearest", grid_mode=True)
