"""What lies between and under the lungs of the painted people: heart, great vessels, airways, gullet, belly."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from Testing.evaluation.people_grid import STEP, Chest, mix, ramp, smooth_field, tube

_FAT, _MUSCLE, _AIR = -95.0, 48.0, -985.0


@dataclass
class Blood:
    """CT numbers of blood in the right heart, the lungs' arteries, the left heart with the aorta, and of organs."""

    right: float
    lungs: float
    left: float
    liver: float
    spleen: float


def draw_blood(rng: np.random.Generator, *, contrast: bool) -> Blood:
    """Blood of a plain CT, or of one with contrast at some moment of its way."""
    if not contrast:
        same = float(rng.uniform(34, 50))
        return Blood(same, same, same, float(rng.uniform(40, 65)), float(rng.uniform(42, 54)))
    early = rng.random() < 0.4
    left = float(rng.uniform(90, 220) if early else rng.uniform(160, 380))
    lungs = float(rng.uniform(260, 480) if early else rng.uniform(140, 330))
    return Blood(lungs * 1.15, lungs, left, float(rng.uniform(60, 115)), float(rng.uniform(70, 140)))


@dataclass
class Hila:
    """Middle of each lung's root, (z, y, x) in mm, and the places where bronchi and vessels enter each lobe."""

    fork: tuple[float, float, float]
    of_side: dict[str, tuple[float, float, float]]
    of_lobe: dict[int, tuple[float, float, float]]


def find_hila(chest: Chest) -> Hila:
    """Where the lungs hang, from their shape: the notch in the inner face below the windpipe's fork."""
    fork_k = int(np.clip(chest.carina / STEP, 0, chest.shape[0] - 1))
    spine_y, spine_x, _ = chest.spine[fork_k]
    fork = (chest.carina, float(spine_y - 34), float(spine_x))
    sides, lobes = {}, {}
    for side, labels in (("right", (1, 2, 3)), ("left", (4, 5))):
        lung = np.isin(chest.lobes, labels)[::2, ::2, ::2]
        sides[side] = _notch(lung, np.array(fork), chest.carina - 28)
        for label in labels:
            places = np.argwhere(chest.lobes == label) * STEP
            lobes[label] = tuple(places[np.linalg.norm(places - sides[side], axis=1).argmin()])
    return Hila(fork, sides, lobes)


def _notch(lung: np.ndarray, fork: np.ndarray, height: float) -> tuple[float, float, float]:
    """Middle of what a closing by 18 mm fills in the inner face of a lung (every second voxel)."""
    step = 2 * STEP
    padded = np.pad(lung, 8)
    grown = ndimage.distance_transform_edt(~padded) * step < 18
    closed = (ndimage.distance_transform_edt(grown) * step >= 18)[8:-8, 8:-8, 8:-8]
    places = np.argwhere(closed & ~lung) * step
    near = (
        (np.abs(places[:, 0] - height) < 32)
        & (np.abs(places[:, 2] - fork[2]) < 75)
        & (np.abs(places[:, 1] - fork[1]) < 45)
    )
    if near.sum() < 40:
        places = np.argwhere(lung) * step
        return tuple(places[np.linalg.norm(places - [height, fork[1], fork[2]], axis=1).argmin()])
    return tuple(np.median(places[near], axis=0))


def floor_heights(chest: Chest) -> np.ndarray:
    """Height of the diaphragm over the plane, ``[j, i]`` in mm: the lungs' bases, drawn on under the heart."""
    lowest = np.where(chest.lungs.any(axis=0), chest.lungs.argmax(axis=0) * STEP, np.nan)
    lowest[lowest > chest.dome + 0.25 * (chest.apex - chest.dome)] = np.nan
    known = np.isfinite(lowest)
    blurred = [ndimage.gaussian_filter(part, 16) for part in (np.where(known, lowest, 0.0), known.astype(float))]
    wide = [ndimage.gaussian_filter(part, 45) for part in (np.where(known, lowest, 0.0), known.astype(float))]
    guess = np.where(blurred[1] > 0.03, blurred[0] / np.maximum(blurred[1], 1e-6), wide[0] / np.maximum(wide[1], 1e-9))
    return ndimage.gaussian_filter(np.where(known, lowest, guess), 2.0).astype(np.float32)


def paint_mediastinum(hu: np.ndarray, chest: Chest, inner: np.ndarray, hila: Hila, blood: Blood) -> np.ndarray:
    """Fat, heart, vessels, gullet between the lungs; gives the floor's heights for the belly."""
    grain = chest.field(5)
    floor = floor_heights(chest)
    above = (chest.z > floor[None]).astype(np.float32)
    inside = ramp(inner, -0.7, 0.7)
    mix(hu, _FAT + 10 * grain, inside)
    muscle = ramp(2.2 - np.abs(inner), 0, 1.4)
    mix(hu, _MUSCLE, 0.6 * muscle)
    _paint_beside_spine(hu, chest, inside)
    _paint_heart(hu, chest, inner, blood, inside * above)
    _paint_descending_aorta(hu, chest, blood, inner)
    _paint_vessels(hu, chest, hila, blood)
    return floor


def _paint_beside_spine(hu: np.ndarray, chest: Chest, inside: np.ndarray) -> None:
    """Muscle, joints and sometimes fluid fill what the lungs leave beside the spine; fat is little there."""
    spine_y, spine_x = (chest.spine[:, n][:, None, None].astype(np.float32) for n in (0, 1))
    value = float(chest.rng.choice([_MUSCLE, _MUSCLE, 8.0]))
    where = ramp(chest.y - spine_y, -16, -12) * ramp(65 - np.abs(chest.x - spine_x), 0, 8)
    mix(hu, value, inside * where * (0.85 - 0.5 * ramp(chest.field(12), 0.8, 1.4)))


def _paint_heart(hu: np.ndarray, chest: Chest, inner: np.ndarray, blood: Blood, where: np.ndarray) -> None:
    """The heart fills the gap that the lungs leave, but for a rim of fat; chambers show where there is contrast."""
    top = chest.carina - 22
    yc, xc = chest.middle
    spine_front = chest.spine[:, 0][:, None, None].astype(np.float32) - 26
    front = STEP * float(np.flatnonzero(chest.lungs.any(axis=(0, 2)))[0])
    # The gap between the lungs in each section, smoothed, is where the heart can be.
    room = np.minimum(np.minimum(chest.away - 2.5, inner - 4), spine_front - chest.y)
    size = np.array([0.62 * (top - chest.dome) + 30, 0.5 * (spine_front.mean() - front) + 8, 95.0])
    centre = np.array([0.5 * (top + chest.dome) - 6, 0.5 * (spine_front.mean() + front) + 4, xc + 14])
    q = np.sqrt(
        sum(((line - c) / s) ** 2 for line, c, s in zip((chest.z, chest.y, chest.x), centre, size, strict=True))
    )
    heart = ndimage.gaussian_filter(np.minimum(room, (1 - q) * 45 + 4 * chest.field(25)), 1.0)
    share = ramp(heart, -0.7, 0.7) * where
    mix(hu, _MUSCLE - 6 + 0.4 * (blood.left - 40) * (blood.left > 80), share)
    wall = ramp(heart, 8, 11) * ramp(np.abs(chest.field(38)), 0.12, 0.35) * where
    left = ramp(chest.x - xc + 0.6 * (chest.y - yc), 6, 14)
    mix(hu, blood.right + (blood.left - blood.right) * left, wall)
    # The trunk and the ascending aorta above it.
    share = np.zeros(chest.shape, np.float32)
    root = [(top - 20, centre[1] - 10, xc + 4), (top + 15, centre[1] - 12, xc - 14)]
    arch = [(chest.carina + 14, centre[1] - 4, xc - 10), (chest.carina + 24, centre[1] + 14, xc + 8)]
    end = (chest.carina + 8, *chest.spine[int(chest.carina / STEP), :2] + (-22, 24))
    tube(share, [*root, *arch, end], [16, 16, 14, 13, 12])
    mix(hu, blood.left, share)


def _paint_descending_aorta(hu: np.ndarray, chest: Chest, blood: Blood, inner: np.ndarray) -> None:
    """The aorta before and beside the spine on the left, where the left lung leaves it room."""
    top = int(min(chest.carina / STEP + 4, chest.shape[0] - 1))
    places = []
    for k in range(top + 1):
        sy, sx, _ = chest.spine[k]
        rows = slice(max(int((sy - 34) / STEP), 0), max(int((sy + 2) / STEP), 1))
        columns = slice(int((sx + 6) / STEP), int((sx + 36) / STEP))
        outside = np.hypot(chest.y[0, rows] - sy, chest.x[0, :, columns] - sx) - 19
        room = np.minimum(np.minimum(chest.away[k, rows, columns], 13), outside)
        j, i = np.unravel_index(room.argmax(), room.shape)
        places.append(((j + rows.start) * STEP, (i + columns.start) * STEP))
    path = ndimage.gaussian_filter1d(ndimage.median_filter(np.array(places), (9, 1)), 6, axis=0, mode="nearest")
    share = np.zeros(chest.shape, np.float32)
    radius = float(chest.rng.uniform(10.5, 14))
    for k, (y, x) in enumerate(path):
        share[k] = ramp(radius - np.hypot(chest.y[0] - y, chest.x[0] - x), -0.7, 0.7)
    mix(hu, blood.left, share)
    calcified = chest.rng.random() < 0.35
    if calcified:
        shell = share * (1 - ndimage.uniform_filter(share, (1, 3, 3)))
        mix(hu, 500.0, np.clip(3 * shell, 0, 1) * ramp(chest.field(6), 1.2, 1.7))


def _paint_vessels(hu: np.ndarray, chest: Chest, hila: Hila, blood: Blood) -> None:
    """Cava, arteries and veins of the roots, azygos, gullet, nodes."""
    z, y, x = hila.fork
    tubes: list[tuple[float, list[tuple[float, float, float]], list[float]]] = []
    tubes.append(
        (blood.right, [(z + 50, y - 16, x - 24), (z + 5, y - 16, x - 24), (z - 45, y - 14, x - 22)], [9, 10, 11])
    )
    tubes.append(
        (blood.right, [(z + 46, y - 20, x - 20), (z + 56, y - 26, x + 24), (z + 90, y - 8, x + 50)], [7, 7, 6])
    )
    branches = ([(z + 22, y - 8, x + 0.4 * lean), (z + 60, y - 2, x + lean), (z + 110, y + 4, x + 1.5 * lean)]
                for lean in (-22, -4, 22))  # fmt: skip
    tubes += [(blood.left, branch, [6, 5, 4]) for branch in branches]
    trunk = (z - 16, y - 34, x + 18)
    for side in ("right", "left"):
        hilum = hila.of_side[side]
        tubes.append((blood.lungs, [trunk, (z - 12, y - 14, (x + hilum[2]) / 2), hilum], [13, 11, 9]))
        tubes.append(
            (
                blood.left,
                [(z - 45, y + 2, x + 4), (z - 42, y + 2, (x + hilum[2]) / 2), (hilum[0] - 16, hilum[1], hilum[2])],
                [9, 8, 7],
            )
        )
    for label, place in hila.of_lobe.items():
        hilum = hila.of_side["right" if label < 4 else "left"]
        tubes.append((blood.lungs, [hilum, place], [8, 5.5]))
        tubes.append(
            (blood.left, [(hilum[0] - 16, hilum[1], hilum[2]), (place[0] - 6, place[1] - 5, place[2])], [7, 5])
        )
    for value, points, radii in tubes:
        share = np.zeros(chest.shape, np.float32)
        tube(share, points, radii)
        mix(hu, value, share)
    share = np.zeros(chest.shape, np.float32)
    gullet = [(k * STEP, chest.spine[k][0] - 24, chest.spine[k][1] + 4) for k in range(0, chest.shape[0], 12)]
    tube(share, gullet, [7.0] * len(gullet))
    mix(hu, 38.0, share)
    if chest.rng.random() < 0.4:
        start = chest.rng.integers(0, max(1, len(gullet) - 4))
        gas = np.zeros(chest.shape, np.float32)
        tube(gas, gullet[start : start + 4], [2.5] * 4)
        mix(hu, _AIR, gas)


def paint_airways(hu: np.ndarray, chest: Chest, hila: Hila) -> None:
    """Windpipe and bronchi down to the lobes, walls first."""
    z, y, x = hila.fork
    top = int(chest.shape[0]) - 1
    runs = [
        (
            [
                (k * STEP, chest.spine[k][0] - 33, chest.spine[k][1])
                for k in np.linspace(top, int(z / STEP), 6).astype(int)
            ],
            [8.8] * 6,
        )
    ]
    runs += [([(z, y, x), hilum], [7.5, 6.3]) for hilum in hila.of_side.values()]
    runs += [
        ([hila.of_side["right" if label < 4 else "left"], place], [6.0, 4.2]) for label, place in hila.of_lobe.items()
    ]
    wall, lumen = (np.zeros(chest.shape, np.float32) for _ in range(2))
    for points, radii in runs:
        tube(wall, points, [r + 1.4 for r in radii])
        tube(lumen, points, radii)
    mix(hu, 20.0, wall)
    mix(hu, _AIR, lumen)


def paint_belly(hu: np.ndarray, chest: Chest, inner: np.ndarray, floor: np.ndarray, blood: Blood) -> None:
    """Diaphragm, liver, spleen, stomach with its gas, bowel; a few millimetres under the lungs."""
    yc, xc = chest.middle
    under = (floor[None] - chest.z) * 0.8
    under = np.minimum(under, chest.away)
    below = ramp((floor[None] - chest.z), -0.7, 0.7) * ramp(inner, -3, -1.5)
    mix(hu, _MUSCLE, below)
    belly = below * ramp(under, 1.5, 3.5)
    mix(hu, -100 + 8 * chest.field(6), belly)
    grain = smooth_field(chest.rng, chest.shape, 5)
    peak_left, peak_right = (
        float(np.quantile(floor[:, mask], 0.75)) for mask in (chest.x[0, 0] > xc + 30, chest.x[0, 0] < xc - 30)
    )
    edge = xc + 45 - 0.45 * np.clip(chest.y - yc, 0, None) + 0.3 * (chest.z - peak_right) + 7 * chest.field(40)
    liver = ramp(edge - chest.x, -0.7, 0.7) * ramp(chest.z - chest.dome + 150, 0, 20) * ramp(inner, 2, 3.5)
    mix(hu, blood.liver + 5 * grain, liver * belly)
    _ball(hu, chest, (peak_left - 46, yc + 40, xc + 0.62 * chest.half_width), (52, 44, 34), blood.spleen, belly)
    size = float(chest.rng.uniform(28, 52))
    centre = (peak_left - 4 - size * 0.9, yc - 18, xc + 0.48 * chest.half_width)
    stomach = _ball(hu, chest, centre, (size, size * 1.15, size), 32.0, belly)
    if chest.rng.random() < 0.75:
        level = centre[1] + size * float(chest.rng.uniform(-0.6, 0.5))
        mix(hu, -970.0, ramp(stomach, 3, 4.5) * ramp(level - chest.y, -0.7, 0.7) * belly)
    if chest.rng.random() < 0.4:
        bowel = (peak_left - 60, yc - 50, xc + 0.7 * chest.half_width)
        gas = _ball(hu, chest, bowel, (22, 26, 24), 30.0, belly)
        mix(hu, -960.0, ramp(gas + 4 * chest.field(10), 2, 3.5) * belly)


def _ball(hu: np.ndarray, chest: Chest, centre: tuple, axes: tuple, value: float, where: np.ndarray) -> np.ndarray:
    """Paint a wavy ellipsoid; gives its signed distance."""
    q = np.sqrt(
        sum(((line - c) / a) ** 2 for line, c, a in zip((chest.z, chest.y, chest.x), centre, axes, strict=True))
    )
    distance = (1 - q) * min(axes) + 2 * chest.field(25)
    mix(hu, value, ramp(distance, -0.7, 0.7) * where)
    return distance
