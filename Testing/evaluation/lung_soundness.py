"""Can these lungs be right? Measured without any truth, by code that the segmentation does not use.

    python -m Testing.evaluation.lung_soundness CT LOBES [SHEET.png]

In millilitres: how much of the lungs lies outside the body, how much beyond the chest (further than 25 mm from aerated
lung, or solid and more than 10 mm outside what a closing of the aerated lung by 18 mm fills), how much aerated lung was
missed, and the number of pieces over 1 mL of every lobe. The sheet shows sections through all three axes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import matplotlib.image
import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import CTVolume

_GRID_MM = 2.0
_TISSUE_HU, _AIR_HU, _SOLID_HU = -250, -500, -150
_LUNG_HU = (-950, -600)
_GAS_HU = -940
_FAR_MM, _CLOSING_MM, _RIM_MM = 25.0, 18.0, 10.0
# What is tolerated: mL outside the body, share of the lungs beyond the chest, share of the aerated lung missed.
OUTSIDE_ML, BEYOND_SHARE, MISSED_SHARE = 2.0, 0.005, 0.03
_COLOURS = np.array([[0, 0, 0], [230, 80, 80], [230, 230, 80], [80, 230, 80], [230, 80, 230], [80, 200, 230]], float)


@dataclass(frozen=True)
class Soundness:
    """What was measured, millilitres but for ``pieces`` (of lobes 1..5)."""

    lung: float
    aerated: float
    outside_body: float
    beyond: float
    missed_air: float
    pieces: tuple[int, ...]

    def faults(self, beyond_share: float = BEYOND_SHARE) -> list[str]:
        """What cannot be right, in words; nothing if the lungs are sound.

        Args:
            beyond_share: tolerated part of the lungs beyond the chest; more where much is consolidated.
        """
        found = []
        if self.outside_body >= OUTSIDE_ML:
            found.append(f"{self.outside_body:.0f} mL outside the body")
        if self.beyond >= beyond_share * self.lung:
            found.append(f"{self.beyond:.0f} mL beyond the chest")
        if self.missed_air >= MISSED_SHARE * self.aerated:
            found.append(f"{self.missed_air:.0f} mL of aerated lung missed")
        if set(self.pieces) != {1}:
            found.append(f"pieces of the lobes: {' '.join(map(str, self.pieces))}")
        return found


@dataclass(frozen=True)
class Chest:
    """What is known of a CT without any lobes, on a grid of about 2 mm.

    Attributes:
        hu: float32 ``[k, j, i]``.
        body: bool.
        aerated: bool.
        beyond: bool, what lies beyond the chest.
        spacing: of the grid, mm ``k, j, i``.
    """

    hu: np.ndarray
    body: np.ndarray
    aerated: np.ndarray
    beyond: np.ndarray
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, ct: CTVolume) -> Chest:
        """Look for the body and the aerated lung of a CT in canonical orientation."""
        hu, spacing = _coarse_hu(ct)
        body = find_body(hu, spacing)
        aerated = find_aerated(hu, body, spacing)
        return cls(hu, body, aerated, _beyond_chest(hu, aerated, spacing), spacing)


@dataclass(frozen=True)
class Seen:
    """A chest and lobes on its grid, uint8."""

    chest: Chest
    lobes: np.ndarray

    @property
    def beyond(self) -> np.ndarray:
        """Lungs beyond the chest."""
        return (self.lobes > 0) & self.chest.beyond


def look(ct: CTVolume, lobes: np.ndarray, chest: Chest | None = None) -> tuple[Soundness, Seen]:
    """Measure lobes on their CT, both in canonical orientation.

    Args:
        ct: the CT.
        lobes: uint8 labels 1..5 ``[k, j, i]`` on its grid.
        chest: of this CT, if it is known.
    """
    chest = chest or Chest.of(ct)
    labels = lobes[tuple(slice(n // 2, size - size % n, n) for n, size in zip(_factors(ct), lobes.shape, strict=True))]
    seen, lung, air = Seen(chest, labels), labels > 0, chest.aerated
    ml = float(np.prod(chest.spacing)) / 1000
    pieces = tuple(_pieces(labels == label, ml) for label in range(1, 6))
    amounts = (mask.sum() * ml for mask in (lung, air, lung & ~chest.body, seen.beyond, air & ~lung))
    return Soundness(*(round(float(amount), 1) for amount in amounts), pieces), seen


def _factors(ct: CTVolume) -> list[int]:
    """Voxels along each side of a block of about 2 mm."""
    return [max(1, round(_GRID_MM / mm)) for mm in ct.geometry.spacing_kji]


def _coarse_hu(ct: CTVolume) -> tuple[np.ndarray, tuple[float, float, float]]:
    """Means of blocks of about 2 mm, and the blocks' size; padding is air."""
    hu = ct.hu if ct.padding is None else np.where(ct.padding, -1000, ct.hu)
    factors = _factors(ct)
    shape = [n // factor for n, factor in zip(hu.shape, factors, strict=True)]
    cut = tuple(slice(0, n * factor) for n, factor in zip(shape, factors, strict=True))
    blocks = [part for n, factor in zip(shape, factors, strict=True) for part in (n, factor)]
    mean = hu[cut].reshape(blocks).mean(axis=(1, 3, 5), dtype=np.float32)
    k, j, i = (float(mm * factor) for mm, factor in zip(ct.geometry.spacing_kji, factors, strict=True))
    return mean, (k, j, i)


def _eroded(mask: np.ndarray, mm: float, spacing: tuple[float, ...]) -> np.ndarray:
    """A mask without what is nearer than some millimetres to its outside; the picture's edge is no outside."""
    return ndimage.distance_transform_edt(mask, sampling=spacing) > mm


def _dilated(mask: np.ndarray, mm: float, spacing: tuple[float, ...]) -> np.ndarray:
    """A mask with what is within some millimetres of it."""
    return ndimage.distance_transform_edt(~mask, sampling=spacing) <= mm if mask.any() else mask


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return labels == sizes.argmax() if sizes.any() else mask


def find_body(hu: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """The patient with the air inside, bool: the largest lump of tissue thicker than tables and cloth, filled."""
    plane = spacing[1:]
    solid = np.stack([_dilated(_eroded(section > _TISSUE_HU, 5, plane), 5, plane) for section in hu])
    solid = _largest(solid)
    room = round(14 / plane[0])
    body = np.zeros_like(solid)
    for k, section in enumerate(solid):
        grown = _dilated(np.pad(section, room), 12, plane)
        body[k] = ndimage.binary_fill_holes(_eroded(grown, 12, plane))[room:-room, room:-room]
    # Bridges of cloth or of a board that the closing made are thin.
    thick = np.stack([_dilated(_eroded(section, 4, plane), 4.5, plane) & section for section in body])
    return _largest(thick | solid)


def find_aerated(hu: np.ndarray, body: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """Aerated lung, bool: air in the body whose numbers are mostly lung's, without large airways and bowel gas."""
    lungish = (hu > _LUNG_HU[0]) & (hu < _LUNG_HU[1])
    reach = [max(1, round(18 / mm) // 2 * 2 + 1) for mm in spacing]
    empty = _dilated(_eroded(hu < _GAS_HU, 4.0, spacing), 4.5, spacing)
    sure = empty & (ndimage.uniform_filter(lungish.astype(np.float32), reach) < 0.3)
    gas = ndimage.binary_propagation(sure, mask=empty)
    air = body & (hu < _AIR_HU) & ~gas
    # The rim about gas has lung's numbers and in thick sections hangs together with the lung above it.
    labels, count = ndimage.label(_eroded(air & ~_dilated(gas, 8.0, spacing), 2.0, spacing))
    numbers = np.arange(1, count + 1)
    ml = ndimage.sum_labels(np.ones_like(hu), labels, numbers) * np.prod(spacing) / 1000
    kept = np.concatenate([[False], (ml > 60) & (ndimage.mean(lungish, labels, numbers) > 0.4)])
    seeds = kept[labels]
    return ndimage.binary_propagation(seeds, mask=air & _dilated(seeds, 4.5, spacing))


def _beyond_chest(hu: np.ndarray, aerated: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """What is too far from aerated lung, or solid and outside the hull that it spans."""
    if not aerated.any():
        return np.ones_like(aerated)
    room = [round(_CLOSING_MM / mm) + 1 for mm in spacing]
    inner = tuple(slice(n, -n) for n in room)
    grown = _dilated(np.pad(aerated, [(n, n) for n in room]), _CLOSING_MM, spacing)
    hull = _eroded(grown, _CLOSING_MM, spacing)[inner]
    far = ndimage.distance_transform_edt(~aerated, sampling=spacing) > _FAR_MM
    outside = ndimage.distance_transform_edt(~hull, sampling=spacing) > _RIM_MM
    return far | (outside & (hu > _SOLID_HU))


def _pieces(mask: np.ndarray, voxel_ml: float) -> int:
    """Parts over a millilitre, diagonal neighbours being one part."""
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    return int((np.bincount(labels.ravel())[1:] * voxel_ml > 1).sum())


def _planes(seen: Seen) -> Iterator[tuple[tuple, tuple[float, float]]]:
    """Where the sheet's pictures are cut, and their pixels' height and width in mm."""
    k, j, i = seen.chest.hu.shape
    for share in (0.12, 0.26, 0.4, 0.54, 0.68, 0.8, 0.9):
        yield np.s_[int(k * share)], seen.chest.spacing[1:]
    for share in (0.36, 0.45, 0.54, 0.63):
        yield np.s_[::-1, int(j * share)], (seen.chest.spacing[0], seen.chest.spacing[2])
    for share in (0.27, 0.38, 0.62, 0.73):
        yield np.s_[::-1, :, int(i * share)], seen.chest.spacing[:2]


def _picture(seen: Seen, cut: tuple, size: tuple[float, float], side: int) -> np.ndarray:
    """One picture: edges of the lobes, of the aerated lung (blue), of the body (grey); what lies beyond in orange."""
    hu, lobes, aerated, body, beyond = (
        part[cut] for part in (seen.chest.hu, seen.lobes, seen.chest.aerated, seen.chest.body, seen.beyond)
    )
    grey = np.clip((hu + 1150) / 1500 * 255, 0, 255)
    colour = np.repeat(grey[..., None], 3, axis=-1)
    edge = (lobes > 0) & (ndimage.grey_erosion(lobes, 3) != ndimage.grey_dilation(lobes, 3))
    colour[body & ~ndimage.binary_erosion(body)] = 150
    colour[aerated & ~ndimage.binary_erosion(aerated)] = (0, 110, 255)
    colour[edge] = _COLOURS[lobes[edge]]
    colour[beyond] = 0.4 * colour[beyond] + 0.6 * np.array([255, 90, 0])
    colour[(lobes > 0) & ~body] = (255, 0, 0)
    scale = side / max(hu.shape[0] * size[0], hu.shape[1] * size[1])
    rows, columns = (max(1, int(n * mm * scale)) for n, mm in zip(hu.shape, size, strict=True))
    at = np.ix_(np.arange(rows) * hu.shape[0] // rows, np.arange(columns) * hu.shape[1] // columns)
    picture = np.zeros((side, side, 3), np.uint8)
    picture[:rows, :columns] = colour[at].astype(np.uint8)
    return picture


def write_sheet(seen: Seen, path: Path, side: int = 320) -> None:
    """Write the sheet as PNG: seven axial, four coronal, four sagittal pictures; red is lung outside the body."""
    pictures = [_picture(seen, cut, size, side) for cut, size in _planes(seen)]
    rows = [np.concatenate(pictures[start : start + 5], axis=1) for start in range(0, len(pictures), 5)]
    path.parent.mkdir(parents=True, exist_ok=True)
    matplotlib.image.imsave(path, np.concatenate(rows))


def main() -> int:
    """Run the command line."""
    if len(sys.argv) not in {3, 4}:
        print(__doc__)
        return 2
    ct, turn = read_ct(Path(sys.argv[1])).canonical()
    image = sitk.ReadImage(sys.argv[2])
    if image.GetNumberOfComponentsPerPixel() > 1:
        image = sitk.VectorIndexSelectionCast(image, 0)
    labels = sitk.GetArrayFromImage(image)
    found, seen = look(ct, turn.apply(np.where(labels > 5, 0, labels)))
    print(json.dumps(asdict(found) | {"faults": found.faults()}))
    if len(sys.argv) == 4:
        write_sheet(seen, Path(sys.argv[3]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
