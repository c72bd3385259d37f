"""Grid, landmarks, random fields and tubes for the painted people (see people_ct.py).

Arrays are ``[k, j, i]`` on isotropic voxels of ``STEP`` mm: k to the head, j to the back, i to the patient's left.
Places are millimetres ``z, y, x`` from the middle of the first voxel.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

STEP = 1.5
_CRUMB_ML = 1.0


def load_lobes(path: Path) -> np.ndarray:
    """Lobe labels of a person, uint8 ``[k, j, i]``: the larger crumbs and holes that the labelling left are mended."""
    image = sitk.DICOMOrient(sitk.ReadImage(str(path)), "LPS")
    lobes = sitk.GetArrayFromImage(image).astype(np.uint8)
    for label in range(1, 6):
        pieces, _ = ndimage.label(lobes == label, np.ones((3, 3, 3)))
        sizes = np.bincount(pieces.ravel())
        small = sizes < sizes[1:].max()
        small[0] = False
        lobes[small[pieces]] = 0
    lungs = lobes > 0
    holes = ndimage.binary_fill_holes(lungs) & ~lungs
    nearest = ndimage.distance_transform_edt(~lungs, return_distances=False, return_indices=True)
    lobes[holes] = lobes[tuple(nearest)][holes]
    return lobes


@dataclass
class Chest:
    """Lobes with room around them, and where things are.

    Attributes:
        lobes: uint8 labels 1..5 (right upper, middle, lower, left upper, lower).
        lungs: bool.
        rng: where all choices come from.
    """

    lobes: np.ndarray
    rng: np.random.Generator

    def __post_init__(self) -> None:
        self.lungs = self.lobes > 0
        self.shape = self.lobes.shape
        self.z, self.y, self.x = np.ogrid[tuple(slice(0, n) for n in self.shape)]
        self.z, self.y, self.x = (line.astype(np.float32) * STEP for line in (self.z, self.y, self.x))

    @cached_property
    def apex(self) -> float:
        """Height of the higher apex, mm."""
        return STEP * float(np.flatnonzero(self.lungs.any(axis=(1, 2)))[-1])

    @cached_property
    def dome(self) -> float:
        """Height of the diaphragm's domes, mm: of the lowest lung in the columns' middle."""
        lowest = np.where(self.lungs.any(axis=0), self.lungs.argmax(axis=0), -1)
        return STEP * float(np.quantile(lowest[lowest >= 0], 0.5))

    @property
    def carina(self) -> float:
        """A likely height of the windpipe's fork, mm."""
        return self.apex - 0.42 * (self.apex - self.dome)

    @cached_property
    def middle(self) -> tuple[float, float]:
        """Middle of the lungs from front to back and from side to side (y, x), mm."""
        rows = np.flatnonzero(self.lungs.any(axis=(0, 2)))
        columns = np.flatnonzero(self.lungs.any(axis=(0, 1)))
        return STEP * float(rows[[0, -1]].mean()), STEP * float(columns[[0, -1]].mean())

    @cached_property
    def half_width(self) -> float:
        """Half the width of the lungs together, mm."""
        return STEP * float(np.ptp(np.flatnonzero(self.lungs.any(axis=(0, 1))))) / 2

    @cached_property
    def spine(self) -> np.ndarray:
        """The vertebral body per section, ``[k, 3]``: its middle's y and x and the half width of the lungs' gap, mm."""
        known, places = [], []
        for k in np.flatnonzero(self.lungs.any(axis=(1, 2))):
            right, left = (np.argwhere(mask) for mask in (np.isin(self.lobes[k], (1, 2, 3)), self.lobes[k] > 3))
            if min(len(right), len(left)) > 150:
                back = min(right[:, 0].max(), left[:, 0].max())
                near = back - 40 / STEP
                inner = right[right[:, 0] > near, 1].max(), left[left[:, 0] > near, 1].min()
                known.append(k)
                level = [np.abs(lung[:, 0] - back + 14 / STEP) < 7 for lung in (right, left)]
                gap = left[level[1], 1].min(initial=999) - right[level[0], 1].max(initial=-999)
                places.append((back * STEP - 14, STEP * sum(inner) / 2, float(np.clip(STEP * gap / 2, 8, 45))))
        lines = [np.interp(np.arange(self.shape[0]), known, line) for line in np.array(places).T]
        return np.stack([ndimage.gaussian_filter1d(ndimage.median_filter(line, 15), 8) for line in lines], axis=1)

    @cached_property
    def depth(self) -> np.ndarray:
        """Millimetres from each voxel of the lungs to the nearest outside of them."""
        return (STEP * ndimage.distance_transform_edt(self.lungs)).astype(np.float32)

    @cached_property
    def away(self) -> np.ndarray:
        """Millimetres from each voxel to the nearest lung."""
        return (STEP * ndimage.distance_transform_edt(~self.lungs)).astype(np.float32)

    def field(self, grain: float) -> np.ndarray:
        """A smooth random field of unit standard deviation whose lattice is ``grain`` mm wide."""
        return smooth_field(self.rng, self.shape, grain)


def smooth_field(rng: np.random.Generator, shape: tuple[int, ...], grain: float) -> np.ndarray:
    """A smooth random field, float32, mean 0, standard deviation 1."""
    lattice = [max(2, int(np.ceil(n * STEP / grain)) + 3) for n in shape]
    coarse = ndimage.gaussian_filter(rng.standard_normal(lattice).astype(np.float32), 0.7)
    factors = [(n * STEP / grain + 2) / (m - 1) for n, m in zip(shape, lattice, strict=True)]
    at = [
        np.linspace(0, factor * (m - 1), n, dtype=np.float32)
        for factor, m, n in zip(factors, lattice, shape, strict=True)
    ]
    for axis, line in enumerate(at):
        inside = np.clip(line, 0, coarse.shape[axis] - 1.001)
        low = inside.astype(int)
        share = (inside - low).reshape([-1 if n == axis else 1 for n in range(len(shape))])
        share = share * share * (3 - 2 * share)
        coarse = np.take(coarse, low, axis) * (1 - share) + np.take(coarse, low + 1, axis) * share
    return ((coarse - coarse.mean()) / coarse.std()).astype(np.float32)


def ramp(at: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, a straight line between."""
    return np.clip((at - low) / (high - low), 0, 1)


def mix(hu: np.ndarray, value: np.ndarray | float, share: np.ndarray) -> None:
    """Put a tissue into a picture by the share of each voxel it fills, in place."""
    hu += share * (value - hu)


def along(points: np.ndarray, radii: np.ndarray, step: float = 0.8) -> tuple[np.ndarray, np.ndarray]:
    """Points (mm) and radii along a line of straight pieces, at most ``step`` mm apart."""
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    far = np.concatenate([[0.0], np.cumsum(lengths)])
    at = np.linspace(0, far[-1], max(2, int(np.ceil(far[-1] / step)) + 1))
    places = np.stack([np.interp(at, far, points[:, axis]) for axis in range(3)], axis=1)
    return places, np.interp(at, far, radii)


def stamp(share: np.ndarray, points: np.ndarray, radii: np.ndarray) -> None:
    """Raise the share (0..1) of each voxel that balls about points fill; what is thinner than a voxel fades."""
    fade = np.minimum(1.0, np.pi * radii**2 / STEP**2)
    radii = np.maximum(radii, STEP / 2)
    size = np.ceil((radii + STEP) / STEP).astype(int)
    flat, (rows, columns) = share.reshape(-1), share.shape[1:]
    for reach in np.unique(size):
        some = size == reach
        box = np.mgrid[[slice(-reach, reach + 1)] * 3].reshape(3, -1).T
        for chunk in np.array_split(np.flatnonzero(some), 1 + int(some.sum()) * len(box) // 2_000_000):
            base = np.rint(points[chunk] / STEP).astype(int)
            index = base[:, None] + box
            distance = np.linalg.norm(index * STEP - points[chunk][:, None], axis=2)
            value = fade[chunk, None] * np.clip((radii[chunk, None] - distance) / STEP + 0.5, 0, 1)
            seen = (value > 0) & (index >= 0).all(axis=2) & (index < share.shape).all(axis=2)
            k, j, i = index[seen].T
            np.maximum.at(flat, (k * rows + j) * columns + i, value[seen].astype(np.float32))


def tube(share: np.ndarray, points: list[tuple[float, float, float]], radii: list[float]) -> None:
    """Draw a bent tube through a few points (mm) into a share."""
    rough = np.array(points, float)
    at = np.linspace(0, len(rough) - 1, 12 * len(rough))
    smooth = np.stack([np.interp(at, range(len(rough)), rough[:, axis]) for axis in range(3)], axis=1)
    smooth = ndimage.gaussian_filter1d(smooth, 4, axis=0, mode="nearest")
    stamp(share, *along(smooth, np.interp(at, range(len(radii)), radii)))
