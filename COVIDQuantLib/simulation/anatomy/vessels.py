"""The tubes of the chest: great vessels, airways, pulmonary arteries and veins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.simulation.anatomy.lobes import Lobes
from COVIDQuantLib.simulation.anatomy.patient import Patient
from COVIDQuantLib.simulation.anatomy.thorax import Thorax
from COVIDQuantLib.simulation.anatomy.trees import Tubes, grow_tree
from COVIDQuantLib.simulation.fields.smooth_fields import FloatArray

# Points (x, y, z) of an average adult and radii in mm. x grows to the patient's left.
_GREAT: dict[str, tuple[tuple[tuple[float, float, float], float], ...]] = {
    "aorta": (
        ((8, -20, -45), 15),
        ((-14, -30, -20), 15.5),
        ((-16, -34, 10), 15),
        ((-6, -28, 27), 14),
        ((10, -6, 34), 13.5),
        ((20, 18, 28), 13),
        ((24, 34, 8), 12),
        ((22, 42, -20), 11.5),
        ((20, 44, -70), 11),
        ((14, 44, -120), 10.5),
        ((6, 42, -170), 10),
        ((3, 40, -230), 9.5),
    ),
    "pulmonary trunk": (((14, -44, -45), 14), ((20, -38, -22), 14), ((18, -22, -10), 13)),
    "right pulmonary artery": (((18, -22, -10), 12), ((0, -12, -14), 11), ((-26, -8, -18), 10), ((-36, -4, -22), 9)),
    "left pulmonary artery": (((18, -22, -10), 12), ((28, -8, -6), 11.5), ((38, 4, -6), 10), ((42, 10, -14), 8.5)),
    "superior vena cava": (((-24, -34, 55), 8), ((-24, -28, 25), 9.5), ((-26, -26, -10), 10), ((-24, -20, -40), 11)),
    "inferior vena cava": (((-22, -12, -85), 12), ((-22, -2, -115), 12), ((-20, 8, -170), 12), ((-18, 18, -230), 11)),
    "right brachiocephalic vein": (
        ((-26, -36, 55), 8),
        ((-32, -36, 75), 7),
        ((-38, -34, 100), 6),
        ((-42, -26, 130), 5),
    ),
    "left brachiocephalic vein": (((-26, -36, 52), 7), ((0, -44, 58), 6.5), ((26, -42, 72), 6.5), ((40, -30, 110), 5)),
    "brachiocephalic trunk": (((-10, -24, 36), 7), ((-16, -18, 60), 6), ((-26, -10, 88), 5), ((-32, -8, 130), 4)),
    "left carotid": (((4, -16, 38), 4), ((10, -10, 65), 3.8), ((22, -6, 95), 3.5), ((26, -4, 130), 3.5)),
    "left subclavian": (((16, 2, 38), 5), ((22, 6, 60), 4.8), ((30, 8, 85), 4.5), ((60, 0, 108), 4.5)),
    "azygos": (((-8, 34, -150), 3), ((-9, 32, -40), 3.5), ((-10, 30, 2), 4), ((-18, 14, 14), 4), ((-26, -18, 12), 4)),
    "oesophagus": (((6, 14, 130), 6), ((6, 16, 60), 6), ((3, 20, 10), 7), ((4, 26, -50), 7), ((16, 20, -105), 8)),
}
_TRACHEA = (((0, -6, 140), 8.6), ((0, 0, 70), 8.6), ((0, 4, 20), 8.8), ((1, 6, 3), 9.5))
_MAIN_BRONCHI = {
    "right": (((0, 6, 4), 7.2), ((-12, 8, -10), 6.9), ((-21, 9, -20), 6.6)),
    "left": (((1, 6, 4), 6.4), ((15, 9, -9), 6.2), ((32, 14, -22), 6.0), ((39, 16, -28), 5.6)),
}
# Lobar bronchi: way from the main bronchus to the lobe's root and the radius there.
_LOBAR = {
    1: (((-21, 9, -16), 5.2), ((-34, 8, -13), 4.8)),
    2: (((-21, 9, -20), 5.4), ((-28, 9, -36), 5.0), ((-36, 0, -48), 3.8)),
    3: (((-21, 9, -20), 5.4), ((-28, 9, -36), 5.0), ((-31, 14, -50), 4.6)),
    4: (((39, 16, -26), 5.0), ((48, 10, -22), 4.6)),
    5: (((39, 16, -28), 5.2), ((41, 20, -42), 4.8)),
}
# Roots of the arteries and veins of each lobe.
_ARTERY = {
    1: (((-30, -6, -18), 7.0), ((-38, 2, -8), 5.8)),
    2: (((-36, -4, -22), 8.0), ((-41, 0, -38), 6.0), ((-44, -6, -46), 3.8)),
    3: (((-36, -4, -22), 8.0), ((-40, 4, -38), 7.2), ((-41, 14, -52), 6.0)),
    4: (((40, 6, -6), 8.0), ((48, 4, -10), 5.8)),
    5: (((42, 10, -14), 8.5), ((47, 18, -28), 7.4), ((47, 24, -42), 6.2)),
}
_VEIN = {
    1: (((-14, 0, -38), 7.0), ((-30, -12, -30), 6.4), ((-40, -14, -22), 5.4)),
    2: (((-14, 0, -40), 6.0), ((-30, -14, -40), 5.0), ((-40, -18, -46), 4.0)),
    3: (((-14, 12, -54), 7.2), ((-28, 20, -58), 6.4), ((-36, 26, -62), 5.6)),
    4: (((22, 2, -38), 6.6), ((38, -8, -28), 6.0), ((46, -12, -20), 5.4)),
    5: (((22, 16, -54), 7.0), ((34, 24, -56), 6.2), ((42, 30, -60), 5.6)),
}
_WALL_SHARE, _WALL_MM = 0.12, 0.45
_SMALLEST_AIRWAY_MM = 0.85
_LEAVES_PER_LITRE = 680
_TIP_MM = 0.54


@dataclass
class Vasculature:
    """All tubes of one patient.

    Attributes:
        great: tubes of the mediastinum by name.
        central: arteries, veins at the hila, outside the lungs.
        vessels: arteries and veins within the lungs.
        trachea: lumen of trachea and main bronchi, outside the lungs.
        gas: gas in the oesophagus.
        airways: lumen of the lobar and smaller bronchi.
        nodes: points along the segmental airways, ``[n, 3]``.
    """

    great: dict[str, Tubes]
    central: Tubes
    vessels: Tubes
    trachea: Tubes
    gas: Tubes
    airways: Tubes
    nodes: FloatArray

    @property
    def outside(self) -> Tubes:
        """What belongs to no lung: great and hilar vessels, trachea and main bronchi with their walls."""
        return Tubes.joined([*self.great.values(), self.central, self.walled(self.trachea)])

    @staticmethod
    def walled(lumen: Tubes) -> Tubes:
        """The tubes including their walls."""
        return Tubes(lumen.start, lumen.stop, lumen.radius * (1 + _WALL_SHARE) + _WALL_MM)


def _placed(patient: Patient, points: tuple[tuple[tuple[float, float, float], float], ...]) -> Tubes:
    scale = np.array([patient.width, patient.depth, patient.height])
    size = (patient.width * patient.depth) ** 0.5
    way = np.array([p for p, _ in points]) * scale
    return Tubes.smooth_path(way, np.array([r for _, r in points]) * size)


def _cloud(rng: np.random.Generator, thorax: Thorax, lobes: Lobes, step: float) -> dict[int, FloatArray]:
    """Jittered points throughout each lobe, not nearer than 2 mm to the pleura."""
    p = thorax.patient
    x = np.arange(-165, 165, step)
    y = np.arange(-125, 125, step)
    z = np.arange(p.z_sulcus, p.z_apex + 5, step)
    points = np.stack(np.meshgrid(x, y, z, indexing="ij"), axis=-1).reshape(-1, 3)
    points = points + rng.uniform(-0.48 * step, 0.48 * step, points.shape)
    px, py, pz = points.astype(np.float32).T
    inside = thorax.lungs(px, py, pz) > 2.0
    points, px, py, pz = points[inside], px[inside], py[inside], pz[inside]
    labels = lobes.labels(px, py, pz)
    oblique, horizontal = lobes.distances(px, py, pz)
    clear = (np.abs(oblique) > 2.5) & ((np.abs(horizontal) > 2.5) | (oblique < 0))
    return {lobe.label: points[(labels == lobe.label) & clear] for lobe in LOBES}


def grow_vasculature(rng: np.random.Generator, thorax: Thorax, lobes: Lobes) -> Vasculature:
    """Place the great vessels and grow the trees of each lobe."""
    patient = thorax.patient
    great = {name: _placed(patient, points) for name, points in _GREAT.items()}
    step = (1e6 / _LEAVES_PER_LITRE) ** (1 / 3)
    central, vessels, airways, nodes = [], [], [], []
    for table, tip, is_artery in ((_ARTERY, _TIP_MM, True), (_VEIN, _TIP_MM * 0.96, False)):
        clouds = _cloud(rng, thorax, lobes, step)
        for label, points in table.items():
            trunk = _placed(patient, points)
            central.append(trunk)
            root = trunk.stop[-1]
            heading = (trunk.stop[-1] - trunk.start[-1]) / np.linalg.norm(trunk.stop[-1] - trunk.start[-1])
            tree = grow_tree(rng, root, heading, clouds[label], tip)
            vessels.append(tree)
            if is_artery:
                bronchus = _placed(patient, _LOBAR[label])
                airways += [bronchus, _beside(tree, bronchus.stop[-1], root)]
                nodes.append(tree.stop[(tree.radius[:, 1] > 1.2) & (tree.radius[:, 1] < 2.6)])
    trachea = Tubes.joined([_placed(patient, points) for points in (_TRACHEA, *_MAIN_BRONCHI.values())])
    gullet = great["oesophagus"]
    gas = gullet.select(slice(3, 3 + rng.integers(4, 20))) if patient.gas_in_oesophagus else Tubes()
    joined = Tubes.joined(airways)
    return Vasculature(
        great,
        Tubes.joined(central),
        Tubes.joined(vessels),
        trachea,
        Tubes(gas.start, gas.stop, gas.radius * rng.uniform(0.25, 0.5)),
        joined.select(joined.radius.max(axis=1) > _SMALLEST_AIRWAY_MM),
        np.concatenate(nodes),
    )


def _beside(tree: Tubes, bronchus: FloatArray, artery: FloatArray) -> Tubes:
    """Airways that run along an artery's tree: from the bronchus' end, settling close beside their artery."""
    shift = bronchus - artery
    direction = shift / (np.linalg.norm(shift) + 1e-6)

    def moved(points: FloatArray, radius: FloatArray) -> FloatArray:
        away = np.linalg.norm(points - artery, axis=1, keepdims=True)
        near = np.exp(-((away / 18.0) ** 2))
        return points + near * shift + (1 - near) * direction * (2.1 * radius[:, None] + 0.8)

    return Tubes(moved(tree.start, tree.radius[:, 0]), moved(tree.stop, tree.radius[:, 1]), tree.radius * 0.8)
