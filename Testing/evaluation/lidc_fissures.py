"""Distance from manually drawn fissures to our lobe boundaries on three LIDC patients, the atlas placed by their lungs.

Run ``python -m Testing.evaluation.lidc_fissures [FOLDER]``; the folder holds ``medmpd_lidc_p*_labels.nrrd``. They serve
validation only: nothing is fitted or tuned on them.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from scipy import ndimage
from scipy.spatial import cKDTree

from COVIDQuantLib.anatomy import SIDE_VALUE, labels_of_side
from COVIDQuantLib.segmentation.lobes.model_free import lobes_of_sheets, place_atlas
from COVIDQuantLib.voxels.geometry import Geometry

FISSURE, AIRWAY = 2, 4
PATIENTS = (1, 2, 3)
STRIDE = 2
# The drawings also mark where the two lungs touch each other in front and behind: no fissure, no lobe boundary.
JUNCTION_MM = 4.0
POINT_STRIDE = 7


@dataclass(frozen=True)
class Case:
    """Lungs (1 right, 2 left) on every second voxel, and the drawn fissure voxels of each lung in millimetres."""

    lungs: np.ndarray
    geometry: Geometry
    fissures: dict[str, np.ndarray]
    junction: np.ndarray


def load_case(path: Path) -> Case:
    image = sitk.ReadImage(str(path))
    labels = sitk.GetArrayFromImage(image)
    spacing = image.GetSpacing()
    fissure = np.argwhere(labels == FISSURE)[::POINT_STRIDE]
    coarse = labels[::STRIDE, ::STRIDE, ::STRIDE]
    geometry = Geometry(coarse.shape, tuple(STRIDE * mm for mm in spacing))
    lungs = part_sides((coarse > 0) & (coarse != AIRWAY), geometry.spacing_kji)
    away = [ndimage.distance_transform_edt(lungs != value, sampling=geometry.spacing_kji) for value in (1, 2)]
    at = tuple(np.minimum(fissure // STRIDE, np.array(coarse.shape) - 1).T)
    junction = (away[0][at] < JUNCTION_MM) & (away[1][at] < JUNCTION_MM)
    points = (fissure * np.array(spacing[::-1]))[:, ::-1]
    nearer = np.where(away[0][at] <= away[1][at], 1, 2)
    fissures = {side: points[(nearer == value) & ~junction] for side, value in SIDE_VALUE.items()}
    return Case(lungs, geometry, fissures, points[junction])


def part_sides(lungs: np.ndarray, spacing) -> np.ndarray:
    """Part lungs that touch: erode until two big pieces remain, then give each voxel to the nearer one."""
    lungs = ndimage.binary_closing(lungs, iterations=2)
    depth = ndimage.distance_transform_edt(lungs, sampling=spacing)
    for erosion in range(1, 15):
        pieces, _ = ndimage.label(depth > erosion)
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        first, second = np.argsort(sizes)[::-1][:2]
        if sizes[second] > 0.5 * sizes[first]:
            break
    across = [ndimage.center_of_mass(pieces == piece)[2] for piece in (first, second)]
    right, left = (first, second) if across[0] < across[1] else (second, first)
    seeds = np.where(pieces == right, 1, np.where(pieces == left, 2, 0)).astype(np.uint8)
    nearest = ndimage.distance_transform_edt(seeds == 0, return_distances=False, return_indices=True)
    return np.where(lungs, seeds[tuple(nearest)], 0).astype(np.uint8)


def boundary_points(lobes: np.ndarray, side: str, spacing) -> np.ndarray:
    """Midpoints (x, y, z in mm) between neighbouring voxels of different lobes of one lung."""
    own = np.where(np.isin(lobes, labels_of_side(side)), lobes, 0)
    found = []
    for axis in range(3):
        low, high = np.take(own, range(own.shape[axis] - 1), axis), np.take(own, range(1, own.shape[axis]), axis)
        where = np.argwhere((low != high) & (low > 0) & (high > 0)).astype(float)
        where[:, axis] += 0.5
        found.append(where)
    return (np.concatenate(found) * np.array(spacing))[:, ::-1]


def split_right(points: np.ndarray, lungs: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Which drawn points of the right lung belong to the horizontal fissure (bool), by the drawing alone.

    The oblique fissure is the lower sheet: a smooth surface is laid under the points, and what rises clearly above
    it is the horizontal one.
    """
    size = np.ptp(np.argwhere(lungs == 1), axis=0)[::-1] * np.array(geometry.spacing)
    unit = 2 * (points - points.mean(axis=0)) / size
    x, along, across = unit[:, 0], (unit[:, 1] + unit[:, 2]) / 2, (unit[:, 2] - unit[:, 1]) * np.sqrt(0.5)
    terms = np.stack([x**a * along**b for a in range(4) for b in range(5) if a + b <= 4], axis=1)
    weight = np.ones(len(points))
    for _ in range(60):
        weighted = terms * weight[:, None]
        sheet = np.linalg.solve(weighted.T @ terms + 1e-3 * np.eye(terms.shape[1]), weighted.T @ across)
        rise = across - terms @ sheet
        weight = np.where(rise > 0, 1 / (1 + (rise / 0.02) ** 2), 1 / (1 + (rise / 0.3) ** 2))
    return rise > 0.09


def distances(case: Case) -> dict[str, np.ndarray]:
    """Millimetres from each drawn point to the nearest boundary between lobes of the same lung, by fissure."""
    lobes = lobes_of_sheets(case.lungs, case.geometry, place_atlas(case.lungs, case.geometry))
    found = {}
    for side, points in case.fissures.items():
        tree = cKDTree(boundary_points(lobes, side, case.geometry.spacing_kji))
        found[side] = tree.query(points)[0]
    horizontal = split_right(case.fissures["right"], case.lungs, case.geometry)
    return {
        "right oblique": found["right"][~horizontal],
        "right horizontal": found["right"][horizontal],
        "left oblique": found["left"],
    }


def main(folder: Path) -> None:
    names = ("right oblique", "right horizontal", "left oblique")
    print("mean distance (mm) from manual fissure to our lobe boundary, atlas alone")
    print(f"{'set':8}" + "".join(f"{name:>18}" for name in (*names, "all")) + f"{'left out':>12}")
    for number in PATIENTS:
        case = load_case(folder / f"medmpd_lidc_p{number}_labels.nrrd")
        by_name = distances(case)
        values = [by_name[name].mean() for name in names] + [np.concatenate(list(by_name.values())).mean()]
        total = sum(map(len, by_name.values())) + len(case.junction)
        share = f"{100 * len(case.junction) / total:.1f} %"
        print(f"p{number:<7}" + "".join(f"{value:18.2f}" for value in values) + f"{share:>12}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[3] / "shared" / "data")
