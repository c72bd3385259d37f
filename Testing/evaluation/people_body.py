"""Chest wall of the painted people: cavity, skin, fat, muscle, ribs, spine, sternum, shoulder girdle, breasts."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage
from scipy.spatial import ConvexHull

from Testing.evaluation.people_grid import STEP, Chest, mix, ramp, smooth_field, tube

FAT, MUSCLE, SKIN, CARTILAGE = -100.0, 50.0, 10.0, 110.0
_RIB_PITCH = 26.0


@dataclass
class Build:
    """How someone is built, mm: fat under the skin, thickness of the muscles as a factor, breasts or none."""

    fat: float
    muscle: float
    breast: float
    bone: float
    arms: str


def draw_build(rng: np.random.Generator, arms: str) -> Build:
    """Someone between thin and obese."""
    fat = float(np.clip(rng.lognormal(2.4, 0.55), 4, 38))
    breast = float(rng.uniform(12, 45)) if rng.random() < 0.45 else 0.0
    return Build(fat, float(rng.uniform(0.75, 1.3)), breast, float(rng.uniform(0.7, 1.15)), arms)


def cavity(chest: Chest) -> np.ndarray:
    """Signed millimetres to the inner face of the rib cage, positive inside: hull of the lungs section by section."""
    found = np.full(chest.shape, -400.0, np.float32)
    j, i = np.mgrid[0 : chest.shape[1] : 2, 0 : chest.shape[2] : 2].astype(np.float32)
    coarse = np.full((chest.shape[0], *j.shape), -400.0, np.float32)
    for k in np.flatnonzero(chest.lungs.sum(axis=(1, 2)) > 40):
        edge = chest.lungs[k] & ~ndimage.binary_erosion(chest.lungs[k])
        beyond = hull_worst(ConvexHull(np.argwhere(edge)).equations, j, i)
        # Beside sharp corners the lines say too little; there the way to the hull itself counts.
        outside = 2 * ndimage.distance_transform_edt(beyond > 0) - 2
        coarse[k] = -STEP * np.where(beyond > 0, np.maximum(beyond, outside), beyond)
    widest = int(chest.lungs.sum(axis=(1, 2)).argmax())
    for k in range(widest - 1, -1, -1):
        coarse[k] = np.maximum(coarse[k], coarse[k + 1] - 0.2)
    for k in range(widest + 1, chest.shape[0]):
        coarse[k] = np.maximum(coarse[k], coarse[k - 1] - 2.6)
    coarse = ndimage.gaussian_filter(coarse, (2.0, 1.0, 1.0))
    zoomed = np.repeat(np.repeat(coarse, 2, axis=1), 2, axis=2)[:, : chest.shape[1], : chest.shape[2]]
    found[:] = ndimage.uniform_filter(zoomed, (1, 2, 2))
    return found


def hull_worst(equations: np.ndarray, j: np.ndarray, i: np.ndarray) -> np.ndarray:
    """Largest signed distance (voxels, positive outside) to the lines of a hull."""
    worst = np.full(j.shape, -1e3, np.float32)
    for normal_j, normal_i, offset in equations:
        np.maximum(worst, normal_j * j + normal_i * i + offset, out=worst)
    return worst


def outline(chest: Chest, inner: np.ndarray, build: Build) -> np.ndarray:
    """Signed millimetres to the skin, positive inside."""
    yc, xc = chest.middle
    dy, dx = chest.y - yc, chest.x - xc
    radius = np.sqrt(dy**2 + dx**2) + 1
    front, back = np.clip(-dy / radius, 0, 1) ** 2, np.clip(dy / radius, 0, 1) ** 2
    bare = (19 + 4 * front + 15 * back) * build.muscle + 4
    thick = bare + build.fat * (0.9 + 0.45 * front - 0.35 * back)
    body = inner + thick
    # Beside the lungs' lower ends and over the spine the back is flat.
    for k in range(chest.shape[0]):
        sy, sx, _ = chest.spine[k]
        muscles = 52 * build.muscle + 0.4 * build.fat - np.hypot((chest.x[0] - sx) * 0.62, chest.y[0] - sy - 4)
        body[k] = np.maximum(body[k], muscles)
        shoulder = _shoulders(chest, build, float(chest.z[k, 0, 0]) - chest.apex)
        if shoulder is not None:
            body[k] = np.maximum(body[k], shoulder)
    if build.breast:
        body += _breasts(chest, build, front)
    body = ndimage.gaussian_filter(body, (2.0, 3.0, 3.0))
    return body + 1.5 * chest.field(45)


def _shoulders(chest: Chest, build: Build, height: float) -> np.ndarray | None:
    """Shoulders and neck in a section at some height over the apex."""
    if height < -110:
        return None
    wide = 62.0 if build.arms != "up" else 42.0
    half = chest.half_width + np.interp(
        height, (-110, -80, -30, 10, 35, 60), (0, 14, 0.75 * wide, wide, 0.5 * wide, -0.5 * chest.half_width)
    )
    half += build.fat * 0.6
    deep = np.interp(height, (-110, -60, 0, 60), (66, 72, 66, 62)) + 0.5 * build.fat
    yc, xc = chest.middle
    rho = (np.abs((chest.x[0] - xc) / half) ** 2.6 + np.abs((chest.y[0] - yc - 12) / deep) ** 2.6) ** (1 / 2.6)
    return np.minimum((1 - rho) * deep, half - np.abs(chest.x[0] - xc))


def _breasts(chest: Chest, build: Build, front: np.ndarray) -> np.ndarray:
    """Millimetres by which two breasts thicken the wall where it faces forward."""
    height = chest.apex - 0.62 * (chest.apex - chest.dome)
    across = np.abs(chest.x - chest.middle[1]) - 0.55 * chest.half_width
    size = 58 + 0.4 * build.breast
    round_share = np.clip(1 - (across / size) ** 2 - ((chest.z - height) / size) ** 2, 0, 1)
    return 1.15 * build.breast * np.sqrt(round_share) * np.clip(3 * front, 0, 1)


def paint_wall(hu: np.ndarray, chest: Chest, inner: np.ndarray, body: np.ndarray, build: Build) -> None:
    """Skin, fat, muscle, ribs and shoulder girdle, in place; the spine comes after what the cavity holds."""
    grain = chest.field(4)
    mix(hu, SKIN, ramp(body, -0.7, 0.7))
    mix(hu, FAT + 8 * grain, ramp(body, 1.2, 2.6))
    deep = 2.5 + build.fat * (0.95 - 0.35 * ramp(chest.y, chest.middle[0], chest.middle[0] + 90))
    if build.breast:
        mix(hu, 20.0, ramp(body, 10, 14) * ramp(chest.field(9), 0.3, 0.9) * ramp(-inner, 26, 34))
    planes = chest.field(22)
    muscle = ramp(body - deep, -0.7, 0.7)
    for level in (13.0, 24.0, 36.0):
        muscle *= 1 - 0.85 * ramp(1.6 - np.abs(-inner + 5 * planes - level), 0, 1.4) * ramp(-inner, 6, 10)
    lumps = ramp(chest.field(10), 1.1, 1.6) * ramp(-inner, 12, 18)
    mix(hu, MUSCLE + 6 * grain, muscle * (1 - 0.85 * lumps))
    _paint_ribs(hu, chest, inner, build)
    _paint_girdle(hu, chest, inner, body, build)


def _paint_ribs(hu: np.ndarray, chest: Chest, inner: np.ndarray, build: Build) -> None:
    """Ribs that fall to the front, cartilage there, and the sternum."""
    yc, xc = chest.middle
    spine_y, spine_x = (chest.spine[:, n][:, None, None].astype(np.float32) for n in (0, 1))
    fall = np.clip(spine_y + 20 - chest.y, 0, None)
    fall = fall + 0.5 * np.clip(np.abs(chest.x - spine_x) - 25, 0, 70)
    height = chest.z + 0.42 * fall + 0.0008 * fall**2 + chest.rng.uniform(0, _RIB_PITCH)
    offset = np.mod(height, _RIB_PITCH) - _RIB_PITCH / 2
    r = np.sqrt((offset / 6.8) ** 2 + ((-inner - 7.0) / 4.6) ** 2)
    side = ramp(np.abs(chest.x - spine_x), 18, 24)
    front = ramp(yc - 0.42 * 2 * (yc - STEP * np.flatnonzero(chest.lungs.any(axis=(0, 2)))[0]) - chest.y, 0, 8)
    front = front * ramp(chest.half_width * 0.75 - np.abs(chest.x - xc), 0, 10)
    below = ramp(chest.z, chest.dome - 80, chest.dome - 60) + (1 - front)
    shown = side * ramp(chest.apex + 12 - chest.z, 0, 8) * np.clip(below, 0, 1)
    bone = (1 - front) * shown
    mix(hu, CARTILAGE, front * shown * ramp(1 - r, -0.1, 0.15) * ramp(np.abs(chest.x - xc), 16, 20))
    mix(hu, 850 * build.bone, bone * ramp(1 - r, -0.12, 0.15))
    mix(hu, 230 * build.bone, bone * ramp(0.68 - r, -0.12, 0.15))
    plate = np.minimum(19 - np.abs(chest.x - xc), 6.5 - np.abs(-inner - 8))
    long = ramp(chest.z, chest.dome + 5, chest.dome + 12) * ramp(chest.apex - 28 - chest.z, 0, 6) * (chest.y < yc)
    mix(hu, 480 * build.bone, long * ramp(plate, -0.7, 0.7))
    mix(hu, 140 * build.bone, long * ramp(plate, 1.5, 3.0))


def paint_spine(hu: np.ndarray, chest: Chest, body: np.ndarray, build: Build) -> None:
    """Vertebrae with discs, canal, arches, spinous and transverse processes."""
    texture = smooth_field(chest.rng, chest.shape, 3.0)
    for k in range(chest.shape[0]):
        sy, sx, gap = chest.spine[k]
        wide = float(np.clip(gap - 4, 15, 22))
        dy, dx = chest.y[0] - sy, chest.x[0] - sx
        phase = np.mod(k * STEP, 23.0)
        bulk = (1 - np.sqrt((dx / wide) ** 2 + (dy / (0.83 * wide)) ** 2)) * 0.83 * wide
        disc = phase < 5
        mix(hu[k], 90.0 if disc else 480 * build.bone, ramp(bulk, -0.7, 0.7))
        if not disc:
            mix(hu[k], (190 + 30 * texture[k]) * build.bone, ramp(bulk, 1.6, 3.0))
        rear = dy - 21
        canal = np.hypot(dx, rear)
        mix(hu[k], 520 * build.bone, ramp(3.5 - np.abs(canal - 11), -0.7, 0.7) * (rear > -9))
        mix(hu[k], 35.0, ramp(9 - canal, -0.7, 0.7))
        spinous = np.minimum(4.0 - np.abs(dx), 14 - np.abs(rear - 22))
        lateral = (
            np.minimum(5.0 - np.abs(rear + 0.25 * np.abs(dx)), 36 - np.abs(dx)) if 9 < phase < 18 else -np.ones_like(dx)
        )
        lateral = np.where(np.abs(dx) > 9, lateral, -1)
        head = np.minimum(6.0 - np.abs(dy - 4 - 0.25 * np.abs(dx)), gap + 8 - np.abs(dx))
        mix(
            hu[k],
            420 * build.bone,
            ramp(np.where((np.abs(dx) > wide - 2) & (phase > 17), head, -1), -0.7, 0.7) * ramp(body[k], 8, 12),
        )
        mix(
            hu[k],
            380 * build.bone,
            ramp(np.maximum(spinous if phase < 16 else -1, lateral), -0.7, 0.7) * ramp(body[k], 5, 8),
        )


def _paint_girdle(hu: np.ndarray, chest: Chest, inner: np.ndarray, body: np.ndarray, build: Build) -> None:
    """Clavicles, scapulae, heads of the upper arms."""
    yc, xc = chest.middle
    share = np.zeros(chest.shape, np.float32)
    wide = chest.half_width + (38 if build.arms != "up" else 20)
    front = STEP * float(np.flatnonzero(chest.lungs.any(axis=(0, 2)))[0])
    marrow = np.zeros(chest.shape, np.float32)
    for side in (-1, 1):
        collar = [(chest.apex - 20, front + 8, xc + 22 * side), (chest.apex - 6, front + 22, xc + 70 * side),
                  (chest.apex + 8, yc + 2, xc + (wide - 18) * side)]  # fmt: skip
        tube(share, collar, [7.5, 6.0, 6.5])
        tube(marrow, collar, [4.5, 3.2, 3.5])
        tube(
            share,
            [(chest.apex - 25, yc + 4, xc + wide * side), (chest.apex + 2, yc + 2, xc + (wide - 4) * side)],
            [20, 21],
        )
        tube(
            marrow,
            [(chest.apex - 25, yc + 4, xc + wide * side), (chest.apex + 2, yc + 2, xc + (wide - 4) * side)],
            [17, 18],
        )
    blade = 3.2 - np.abs(-inner - 27 - 5 * chest.field(40))
    blade += 2.0 * ramp(chest.z, chest.apex - 50, chest.apex - 20)
    where = ramp(chest.z, chest.apex - 130, chest.apex - 120) * ramp(chest.apex - 5 - chest.z, 0, 6)
    where = where * ramp(np.abs(chest.x - xc), 58, 64) * ramp(chest.y - yc, 12, 20)
    mix(hu, 620 * build.bone, np.maximum(share, where * ramp(blade, -0.7, 0.7)) * ramp(body, 4, 7))
    mix(hu, 150 * build.bone, marrow * ramp(body, 6, 9))
