"""What a scanner sees around the painted people: tables, couches, blankets, cables, arms, streaks, cut sides."""

import numpy as np
from scipy import ndimage

from Testing.evaluation.people_grid import STEP, Chest, mix, ramp, tube

THINGS = ("table", "couch", "blanket", "cables", "arms down", "arms up", "streaks")


def draw_things(rng: np.random.Generator, *, rich: bool, contrast: bool) -> tuple[str, ...]:
    """What is around someone: hardly anything, or a table and two or three more."""
    if not rich:
        return ("table",) if rng.random() < 0.7 else ()
    things = ["couch" if rng.random() < 0.45 else "table"]
    if rng.random() < 0.6:
        things.append("blanket")
    if rng.random() < 0.5:
        things.append("cables")
    if rng.random() < 0.75:
        things.append("arms down" if rng.random() < 0.5 else "arms up")
    if contrast and rng.random() < 0.6:
        things.append("streaks")
    return tuple(things)


def paint_room(hu: np.ndarray, chest: Chest, body: np.ndarray, things: tuple[str, ...], fat: float) -> None:
    """Everything outside the skin, in place; call before the body is painted over it."""
    back = STEP * float(np.flatnonzero((body > 0).any(axis=(0, 2)))[-1])
    painters = {"table": _table, "couch": _couch, "blanket": _blanket, "cables": _cables}
    for thing in things:
        if thing in painters:
            painters[thing](hu, chest, body, back)
        elif thing.startswith("arms"):
            _arms(hu, chest, body, fat, up=thing == "arms up")


def _table(hu: np.ndarray, chest: Chest, body: np.ndarray, back: float) -> None:
    """A curved shell with foam in it and a mattress on it."""
    xc = chest.middle[1]
    across = chest.x - xc
    top = back + 7 - 34 * (across / 220) ** 2 * float(chest.rng.uniform(0.5, 1.5))
    deep = float(chest.rng.uniform(22, 45))
    bottom = top + deep * (1 - (across / 235) ** 2)
    wide = ramp(225 - np.abs(across), 0, 2)
    mix(
        hu,
        float(chest.rng.uniform(-950, -860)) + 10 * chest.field(6),
        wide * ramp(np.minimum(chest.y - top, bottom - chest.y), -0.7, 0.7),
    )
    for surface, value in ((top, float(chest.rng.uniform(-250, 150))), (bottom, float(chest.rng.uniform(-250, 150)))):
        mix(hu, value, wide * ramp(1.4 - np.abs(chest.y - surface), -0.5, 0.7))
    mattress = np.minimum(top - 2 - chest.y, chest.y - (top - float(chest.rng.uniform(8, 22))))
    mix(hu, float(chest.rng.uniform(-960, -840)) + 15 * chest.field(10), wide * ramp(mattress, -0.7, 0.7) * 0.9)


def _couch(hu: np.ndarray, chest: Chest, body: np.ndarray, back: float) -> None:
    """A flat couch as for radiotherapy: two thin plates, foam, and air under the curved back."""
    across = chest.x - chest.middle[1]
    top, deep = back + 2, float(chest.rng.uniform(30, 60))
    inside = np.minimum(np.minimum(chest.y - top, top + deep - chest.y), 250 - np.abs(across))
    mix(hu, -930 + 8 * chest.field(8), ramp(inside, -0.7, 0.7))
    mix(hu, float(chest.rng.uniform(-300, 60)), ramp(1.6 - np.abs(inside - 1.0), -0.5, 0.7))


def _blanket(hu: np.ndarray, chest: Chest, body: np.ndarray, back: float) -> None:
    """Cloth in two or three layers over the chest, with air in its folds."""
    height = -body
    folds = 9 * np.abs(chest.field(30)) + 2
    front = ramp(chest.middle[0] + 50 - chest.y, 0, 30)
    top = ramp(chest.apex - float(chest.rng.uniform(-40, 60)) - chest.z, 0, 4)
    for layer in range(int(chest.rng.integers(1, 4))):
        gap = height - folds * (0.5 + layer) - 3 * layer
        value = float(chest.rng.uniform(-820, -350))
        mix(hu, value, front * top * ramp(float(chest.rng.uniform(0.9, 2.2)) - np.abs(gap), -0.7, 0.7) * 0.9)


def _cables(hu: np.ndarray, chest: Chest, body: np.ndarray, back: float) -> None:
    """Electrodes and leads on the skin in front."""
    share = np.zeros(chest.shape, np.float32)
    skin = (body > 0).argmax(axis=1) * STEP
    for _ in range(int(chest.rng.integers(2, 5))):
        x = chest.middle[1] + float(chest.rng.uniform(-90, 90))
        levels = np.linspace(0.1, 0.95, 5) * chest.shape[0] * STEP
        points = []
        for z in levels:
            x = float(np.clip(x + chest.rng.normal(0, 15), 20, chest.shape[2] * STEP - 20))
            y = skin[min(int(z / STEP), chest.shape[0] - 1), int(x / STEP)]
            points.append((z, float(y) - 5, x))
        tube(share, points, [1.3] * 5)
    mix(hu, 700.0, share * (body < -1))


def _arms(hu: np.ndarray, chest: Chest, body: np.ndarray, fat: float, *, up: bool) -> None:
    """Arms along the sides, or raised beside the head."""
    yc, xc = chest.middle
    half = chest.half_width + 22 + 1.0 * fat
    thick = 36 + 0.5 * fat
    for side in (-1, 1):
        if up:
            low = np.clip(chest.apex - 40 - chest.z, 0, None)
            x, y = xc + side * (half + 4 - 0.15 * low), yc - 12 + 0.1 * low
            where = ramp(chest.z, chest.apex - 45, chest.apex - 30)
        else:
            slant = np.clip(chest.apex - 30 - chest.z, 0, None)
            x, y = xc + side * (half + thick * 0.7 + 0.06 * slant), yc + 18 + 0.05 * slant
            where = ramp(chest.apex + 20 - chest.z, 0, 6)
        r = np.sqrt(((chest.x - x) / thick) ** 2 + ((chest.y - y) / (1.15 * thick)) ** 2) * thick
        arm = thick - r + 2 * chest.field(40)
        mix(hu, -20.0, where * ramp(arm, -0.7, 0.7))
        mix(hu, -100.0, where * ramp(arm, 1.5, 2.5))
        mix(hu, 55.0, where * ramp(arm - 4 - 0.5 * fat, -0.7, 0.7))
        mix(hu, 1100.0, where * ramp(12 - r, -0.7, 0.7))
        mix(hu, 20.0, where * ramp(7 - r, -0.7, 0.7))


def add_streaks(hu: np.ndarray, chest: Chest) -> None:
    """Contrast in a vein under a collar bone, with bright and dark rays from it across the sections."""
    yc, xc = chest.middle
    side = 1 if chest.rng.random() < 0.5 else -1
    low = chest.apex - 35
    for k in range(max(0, int(low / STEP)), min(chest.shape[0], int((chest.apex + 15) / STEP))):
        y, x = yc - 22, xc + side * (25 + (k * STEP - low) * 1.6)
        dy, dx = chest.y[0] - y, chest.x[0] - x
        r = np.hypot(dy, dx)
        angle = np.arctan2(dy, dx)
        rays = np.sin(9 * angle + 0.4 * k) + np.sin(17 * angle + 0.9 * k + 1)
        near = np.abs(np.sin(angle)) < 0.75
        strength = 170 * np.exp(-r / 55) + 45 * np.exp(-r / 140)
        hu[k] += rays * strength * near * ramp(r, 5, 12) * (hu[k] > -1010)
        mix(hu[k], 1500.0, ramp(6 - r, -0.7, 0.7))


def cut_field(shape: tuple[int, int], share: float, shift: tuple[float, float]) -> np.ndarray:
    """Pixels outside a round field of view as wide as some share of the section, bool ``[j, i]``."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    radius = share * max(shape) / 2
    middle = (shape[0] - 1) / 2 + shift[0], (shape[1] - 1) / 2 + shift[1]
    return ndimage.binary_erosion(np.hypot(rows - middle[0], columns - middle[1]) > radius, border_value=1)
