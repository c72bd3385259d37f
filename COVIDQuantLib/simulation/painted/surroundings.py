"""What a CT shows around the chest wall: shoulders, arms, breasts, tables, cushions, blankets, cables, metal.

Everything is painted section by section into what :func:`synth_anatomy_chest.paint_section` made of the body; the
same fields (millimetres from the hull of the lungs, to the left, to the back, above the lowest lung) say where.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray, cover, ellipse_distance, paint, smooth_step
from COVIDQuantLib.simulation.painted.chest import Habitus

Fields = dict[str, FloatArray]
_AIR_HU = -1000.0
UP, DOWN, NONE = "up", "down", "none"


@dataclass(frozen=True)
class Arm:
    """An arm at the side of the body or raised beside the head.

    Attributes:
        how: ``up``, ``down`` or ``none``.
        sign: 1 for the patient's left, -1 for the right.
        radius: half its thickness, millimetres.
        fat: thickness of its fat.
        apart: from the trunk (down) or from the midline (up).
        y: behind the middle of the lungs.
        bones: one or two.
    """

    how: str
    sign: int
    radius: float
    fat: float
    apart: float
    y: float
    bones: int

    @classmethod
    def draw(cls, rng: np.random.Generator, how: str, sign: int) -> Arm:
        """A random arm."""
        return cls(
            how,
            sign,
            float(rng.uniform(32, 58)),
            float(rng.uniform(2, 16)),
            float(rng.uniform(0, 30) if how == DOWN else rng.uniform(115, 185)),
            float(rng.uniform(-35, 45)),
            int(rng.integers(1, 3)),
        )


@dataclass(frozen=True)
class Shoulders:
    """The trunk above the arms' roots.

    Attributes:
        top: height of the apices, millimetres above the lowest lung.
        width: half of the shoulders' width; as wide as the neck if arms are raised high.
        depth: half of their depth.
        neck: half of the neck's width.
        rise: how far shoulders reach above the apices.
    """

    top: float
    width: float
    depth: float
    neck: float
    rise: float

    @classmethod
    def draw(cls, rng: np.random.Generator, top: float, half_width: float) -> Shoulders:
        """Random shoulders of a trunk of some half width."""
        return cls(
            top,
            half_width + float(rng.uniform(15, 70)),
            float(rng.uniform(52, 85)),
            float(rng.uniform(52, 78)),
            float(rng.uniform(10, 60)),
        )

    def outline(self, fields: Fields) -> FloatArray:
        """Millimetres inside shoulders and neck, negative outside."""
        x, y, z = fields["x"], fields["y"] - 18.0, fields["z"]
        above = smooth_step(z, self.top - 110, self.top - 30)
        ends = smooth_step(z, self.top + self.rise - 10, self.top + self.rise + 35)
        width = self.neck + (self.width - self.neck) * (1 - ends)
        inside = ellipse_distance(x, y, width, self.depth + (self.neck - self.depth) * ends)
        return np.asarray(np.where(above > 0.02, inside - (1 - above) * 60, -200.0), np.float32)


@dataclass(frozen=True)
class Table:
    """What the patient lies on.

    Attributes:
        y: place of its surface behind the middle of the lungs, millimetres.
        half_width: of its board.
        sag: how hollow it is, per millimetre of x squared; 0 for a flat couch.
        height: from the upper to the lower shell.
        shell: thickness of the shells.
        shell_hu: their CT number.
        core_hu: of foam or air between them.
        cushion: thickness of a mattress on it.
        cushion_hu: its CT number.
        wrap: how far the mattress rises at the sides of the patient.
    """

    y: float
    half_width: float
    sag: float
    height: float
    shell: float
    shell_hu: float
    core_hu: float
    cushion: float
    cushion_hu: float
    wrap: float

    @classmethod
    def draw(cls, rng: np.random.Generator, back: float) -> Table:
        """A random table below a patient whose back is at ``back``."""
        flat = rng.random() < 0.5
        cushion = float(rng.uniform(5, 45)) if rng.random() < 0.6 else 0.0
        return cls(
            back + float(rng.uniform(-4, 14)) + cushion,
            float(rng.uniform(190, 270)),
            0.0 if flat else float(rng.uniform(0.0004, 0.0022)),
            float(rng.uniform(12, 75)),
            float(rng.uniform(1.2, 4.5)),
            float(rng.uniform(-650, 350)),
            float(rng.choice([_AIR_HU, rng.uniform(-990, -900), rng.uniform(-985, -820)])),
            cushion,
            float(rng.uniform(-985, -850)),
            float(rng.uniform(0, 120)) if rng.random() < 0.35 else 0.0,
        )

    def paint(self, hu: FloatArray, fields: Fields, mm: float) -> None:
        """Paint it where there is air."""
        x, y = fields["x"], fields["y"]
        below = y - self.y + self.sag * x**2
        within = cover(self.half_width - np.abs(x), mm)
        air = (hu < -900) * within
        if self.cushion:
            rises = self.wrap * smooth_step(np.abs(x), 90, 200)
            layer = np.minimum(below + self.cushion + rises, -below) + 2.0 * fields["fat"]
            paint(hu, self.cushion_hu + 12 * fields["bowel"], cover(layer, mm) * air)
        paint(hu, self.core_hu, cover(np.minimum(below, self.height - below), mm) * air)
        for at in (0.0, self.height - self.shell):
            paint(hu, self.shell_hu, cover(np.minimum(below - at, at + self.shell - below), mm) * air)
        rim = cover(np.minimum(below, self.height - below), mm) * cover(
            self.shell - np.abs(np.abs(x) - self.half_width), mm
        )
        paint(hu, self.shell_hu, rim * (hu < -900))


@dataclass(frozen=True)
class Sheet:
    """Cloth over or under the patient.

    Attributes:
        away: usual distance from the skin, millimetres.
        folds: how far it waves.
        thick: thickness.
        hu: CT number.
        where: -1 in front only, 1 behind only, 0 all about.
        inside_hu: of what it covers, air or padding.
    """

    away: float
    folds: float
    thick: float
    hu: float
    where: int
    inside_hu: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Sheet:
        """A shirt, a sheet or a blanket."""
        quilt = rng.random() < 0.3
        return cls(
            float(rng.uniform(1, 45)),
            float(rng.uniform(2, 18)),
            float(rng.uniform(8, 40) if quilt else rng.uniform(1.0, 5.0)),
            float(rng.uniform(-990, -900) if quilt else rng.uniform(-930, -350)),
            int(rng.integers(-1, 2)),
            float(rng.uniform(-990, -930)) if rng.random() < 0.2 else _AIR_HU,
        )

    def paint(self, hu: FloatArray, fields: Fields, beyond: FloatArray, number: int, mm: float) -> None:
        """Paint it where there is air; ``beyond`` is the distance from the skin in millimetres."""
        wave = fields["fat"] if number % 2 else fields["bowel"]
        wave = wave + 0.5 * fields["fat" if number % 3 else "bowel"] * np.sin(fields["x"] / (9.0 + 4 * number))
        depth = beyond - self.away - self.folds * wave
        side = 1.0 if not self.where else smooth_step(self.where * fields["y"], -15, 15)
        air = (hu < -900) * side
        if self.inside_hu > _AIR_HU:
            paint(hu, self.inside_hu, cover(np.minimum(beyond, -depth), mm) * air)
        paint(hu, self.hu, cover(self.thick / 2 - np.abs(depth), mm) * air)


@dataclass(frozen=True)
class Surroundings:
    """All that is around one patient's chest.

    Attributes:
        shoulders: above.
        arms: right and left.
        table: None without.
        sheets: cloth.
        cables: x and y of each, millimetres, its drift along z, radius and CT number, ``[n, 6]``.
        breast: how far breasts rise, millimetres, their height above the lowest lung and share of gland.
        scapula: how far shoulder blades lie from the hull of the lungs.
    """

    shoulders: Shoulders
    arms: tuple[Arm, Arm]
    table: Table | None
    sheets: tuple[Sheet, ...]
    cables: FloatArray
    breast: tuple[float, float, float]
    scapula: float

    @classmethod
    def draw(cls, rng: np.random.Generator, size: tuple[float, float, float], body: Habitus) -> Surroundings:
        """Random surroundings.

        Args:
            rng: the draw.
            size: half the lungs' width, half their depth and their height, millimetres.
            body: the chest wall.
        """
        half_width, half_depth, height = size
        wall = body.muscle + body.fat
        both = str(rng.choice([UP, DOWN, NONE], p=[0.4, 0.35, 0.25]))
        hows = (both, both) if rng.random() < 0.8 else (UP, DOWN) if rng.random() < 0.5 else (DOWN, UP)
        back = half_depth + wall * 1.2
        count = int(rng.integers(0, 5))
        cables = rng.uniform(
            (-half_width, -half_depth - wall - 25, -0.5, -0.3, 0.8, -200),
            (half_width, half_depth, 0.5, 0.3, 2.4, 3000),
            (count, 6),
        )
        breast = (float(rng.uniform(8, 55)) if rng.random() < 0.4 else 0.0, 0.45 * height, float(rng.uniform(0, 1)))
        return cls(
            Shoulders.draw(rng, height, half_width + 0.5 * wall),
            (Arm.draw(rng, hows[0], -1), Arm.draw(rng, hows[1], 1)),
            Table.draw(rng, back) if rng.random() < 0.85 else None,
            tuple(Sheet.draw(rng) for _ in range(int(rng.integers(0, 4)))),
            cables,
            breast,
            float(rng.uniform(17, 30)),
        )

    def wider(self, fields: Fields) -> FloatArray:
        """By how many millimetres the skin lies farther out than the chest wall alone: breasts, shoulder blades."""
        x, y, z = fields["x"], fields["y"], fields["z"]
        rise, height, _ = self.breast
        mound = rise * np.exp(-(((np.abs(x) - 75) / 48) ** 2) - ((z - height) / 62) ** 2) * smooth_step(-y, 0, 50)
        blades = 16 * smooth_step(z, self.shoulders.top - 170, self.shoulders.top - 90)
        blades = blades * smooth_step(y, 0, 40) * smooth_step(np.abs(x), 20, 60)
        return np.asarray(mound + blades, np.float32)

    def paint_body(self, hu: FloatArray, fields: Fields, skin: FloatArray, body: Habitus, mm: float) -> FloatArray:
        """Paint breasts, shoulders and arms in place.

        Args:
            hu: float32 ``[j, i]``.
            fields: the section of every field.
            skin: millimetres of chest wall at each point.
            body: the chest wall.
            mm: width of a voxel.

        Returns:
            Millimetres inside the patient, arms included, ``[j, i]``.
        """
        outside = fields["outside"]
        self._fat_planes(hu, fields, body, mm)
        self._breasts(hu, fields, skin, mm)
        inside = self._shoulders(hu, fields, skin - outside, body, mm)
        plate = 2.4 - np.abs(outside - self.scapula - 0.03 * fields["y"])
        blade = smooth_step(fields["y"], 5, 25) * smooth_step(np.abs(fields["x"]), 45, 60)
        high = smooth_step(fields["z"], self.shoulders.top - 150, self.shoulders.top - 135)
        low = smooth_step(-fields["z"], -self.shoulders.top - 5, -self.shoulders.top + 15)
        paint(hu, 420.0, cover(plate, mm) * blade * high * low * (inside > 4))
        for arm in self.arms:
            inside = np.maximum(inside, self._arm(hu, fields, inside, arm, body, mm))
        return inside

    def paint_objects(self, hu: FloatArray, fields: Fields, inside: FloatArray, mm: float) -> None:
        """Paint cloth, cables and table where there is air, in place."""
        for number, sheet in enumerate(self.sheets):
            sheet.paint(hu, fields, -inside, number, mm)
        if self.table is not None:
            self.table.paint(hu, fields, mm)
        z = float(fields["z"][0, 0])
        for x, y, drift_x, drift_y, radius, value in self.cables:
            far = np.hypot(fields["x"] - x - drift_x * z, fields["y"] - y - drift_y * z)
            paint(hu, value, cover(radius - far, mm) * (inside < 0))

    @staticmethod
    def _fat_planes(hu: FloatArray, fields: Fields, body: Habitus, mm: float) -> None:
        """Fat between the muscles of the wall and, here and there, under the pleura."""
        outside, fat, bowel = fields["outside"], fields["fat"], fields["bowel"]
        for at, wave in ((0.62, fat), (0.85, bowel)):
            plane = 1.0 + 0.8 * wave - np.abs(outside - at * body.muscle - 2.0 * fat - 1.5 * bowel)
            paint(hu, body.fat_hu + 15, cover(plane, mm) * (outside > 10.5))
        beneath = np.minimum(fields["gap"], 1.6 + 1.4 * bowel - fields["gap"])
        paint(hu, body.fat_hu + 20, cover(beneath, mm) * (outside > -5) * (outside < 3))

    def _breasts(self, hu: FloatArray, fields: Fields, skin: FloatArray, mm: float) -> None:
        rise, height, gland = self.breast
        if not rise:
            return
        x, y, z = fields["x"], fields["y"], fields["z"]
        near = np.exp(-(((np.abs(x) - 75) / 34) ** 2) - ((z - height) / 45) ** 2) * smooth_step(-y, 0, 50)
        web = smooth_step(fields["fat"] + 1.5 * gland - 1.0, 0.0, 0.6) * smooth_step(near, 0.3, 0.6)
        beneath = cover(skin - 4 - fields["outside"], mm) * smooth_step(fields["outside"], 22, 30)
        paint(hu, 20.0, web * beneath)

    def _shoulders(self, hu: FloatArray, fields: Fields, trunk: FloatArray, body: Habitus, mm: float) -> FloatArray:
        """Paint what lies beyond the trunk; returns millimetres inside both."""
        inside = self.shoulders.outline(fields)
        if inside.max() < 0:
            return trunk
        beyond = np.minimum(inside, -trunk)
        muscle = smooth_step(fields["fat"] + 0.35 * fields["bowel"], -0.7, -0.3)
        tissue = body.fat_hu + muscle * (body.soft_hu + 8 - body.fat_hu)
        share = cover(beyond + 1.0, mm)
        paint(hu, tissue, share)
        skin = cover(2.0 - inside, mm) * share
        paint(hu, 10.0, skin)
        top = self.shoulders.top
        for sign in (-1, 1):
            x, y, z = fields["x"] - sign * (self.shoulders.width - 48), fields["y"] - 14, fields["z"] - top
            head = 24 - np.sqrt(x**2 + y**2 + z**2)
            paint(hu, 550.0, cover(head, mm) * (inside > 3))
            paint(hu, body.bone_hu, cover(head - 2.5, mm) * (inside > 3))
            # The collar bone: from the breastbone to the shoulder, rising.
            along = np.clip(sign * fields["x"] / self.shoulders.width, 0, 1)
            bar = 6.5 - np.hypot(z - 12 + 30 * (1 - along), fields["y"] + 42 - 40 * along)
            paint(hu, 500.0, cover(bar, mm) * (inside > 3) * (sign * fields["x"] > 12))
        return np.maximum(inside, trunk)

    def _arm(self, hu: FloatArray, fields: Fields, trunk: FloatArray, arm: Arm, body: Habitus, mm: float) -> FloatArray:
        """Paint an arm; returns millimetres inside it."""
        z = float(fields["z"][0, 0])
        top = self.shoulders.top
        raised = arm.how == UP
        if arm.how == NONE or (z < top - 45 if raised else z > top - 25):
            return np.full(hu.shape, -200.0, np.float32)
        sides = arm.sign * fields["x"][trunk > 0]
        edge = float(sides.max()) if sides.size else 0.0
        x0 = arm.apart if raised else max(edge, 90.0) + arm.radius + arm.apart * smooth_step(top - z, 20, 160)
        far = ellipse_distance(arm.sign * fields["x"] - x0, fields["y"] - arm.y, arm.radius, arm.radius * 1.12)
        share = cover(np.minimum(far, -trunk), mm)
        paint(hu, 10.0, share)
        paint(hu, body.fat_hu, share * cover(far - 2, mm))
        paint(hu, body.soft_hu + 10, share * cover(far - 2 - arm.fat - 1.5 * fields["fat"], mm))
        for number in range(arm.bones):
            shift = (number - (arm.bones - 1) / 2) * 30
            bone = (8 if arm.bones > 1 else 12) - np.hypot(arm.sign * fields["x"] - x0 - shift, fields["y"] - arm.y)
            paint(hu, 1000.0, share * cover(bone, mm))
            paint(hu, 60.0, share * cover(bone - 4.5, mm))
        return np.asarray(far, np.float32)
