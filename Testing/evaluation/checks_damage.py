"""Ways in which lungs, lobes and lesions go wrong, made on purpose, to measure whether the checks see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from COVIDQuantLib.voxels.morphology import Spacing, dilate, erode

Masks = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Right:
    """What is right of a canonical CT.

    Attributes:
        name: of the case.
        hu: int16 ``[k, j, i]``.
        lobes: label values 0..5.
        lesions: bool.
        patient: bool, the patient.
        spacing: mm along ``k, j, i``.
    """

    name: str
    hu: np.ndarray
    lobes: np.ndarray
    lesions: np.ndarray
    patient: np.ndarray
    spacing: Spacing

    @property
    def lung(self) -> np.ndarray:
        """In any lobe."""
        return self.lobes > 0

    def voxels(self, mm: float, axis: int) -> int:
        """A length as voxels along an axis, at least one."""
        return max(1, round(mm / self.spacing[axis]))


def _add(right: Right, extra: np.ndarray, *, sick: bool = False) -> Masks:
    """A region becomes lung, of the nearest lobe, and pneumonia if ``sick``."""
    extra &= ~right.lung
    nearest = ndimage.distance_transform_edt(
        ~right.lung[::2, ::2, ::2], right.spacing, return_distances=False, return_indices=True
    )
    coarse = right.lobes[::2, ::2, ::2][tuple(nearest)]
    for axis in range(3):
        coarse = np.repeat(coarse, 2, axis=axis)
    k, j, i = right.lobes.shape
    lobes = np.where(extra, coarse[:k, :j, :i], right.lobes).astype(np.uint8)
    return lobes, right.lesions | extra if sick else right.lesions


def _remove(right: Right, gone: np.ndarray) -> Masks:
    """A region is lung no more, nor pneumonia."""
    return np.where(gone, 0, right.lobes).astype(np.uint8), right.lesions & ~gone


def _ball(right: Right, centre: np.ndarray, mm: float) -> np.ndarray:
    axes = np.ogrid[tuple(slice(0, n) for n in right.hu.shape)]
    return sum(((a - c) * s) ** 2 for a, c, s in zip(axes, centre, right.spacing, strict=True)) <= mm * mm


def _surface(right: Right, rng: np.random.Generator, want: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """A voxel on the lungs' surface, one of the best by a score of candidates ``[n, 3]``."""
    lung = right.lung
    found = np.argwhere(lung & ~ndimage.binary_erosion(lung))
    found = found[rng.choice(len(found), min(len(found), 20000), replace=False)]
    order = np.argsort(-want(found.astype(float)))
    return found[order[int(rng.integers(0, max(1, len(found) // 50)))]]


def _middle(right: Right) -> np.ndarray:
    return np.array(ndimage.center_of_mass(right.lung))


# -------------------------------------------------------------------------------------------------- more than lung


def leak_to_table(right: Right, rng: np.random.Generator) -> Masks:
    """Through the back into what is behind it."""
    k, j, i = _surface(right, rng, lambda p: p[:, 1])
    tunnel = np.zeros_like(right.lung)
    r_k, r_i = right.voxels(30, 0), right.voxels(30, 2)
    tunnel[max(0, k - r_k) : k + r_k, j - 3 :, max(0, i - r_i) : i + r_i] = True
    return _add(right, tunnel)


def table_added(right: Right, rng: np.random.Generator) -> Masks:
    """The air between back and table."""
    behind = np.zeros_like(right.lung)
    columns = right.patient.any(axis=1)
    last = right.patient.shape[1] - 1 - right.patient[:, ::-1].argmax(axis=1)
    rows = np.arange(right.patient.shape[1])[None, :, None]
    behind = columns[:, None] & (rows > last[:, None]) & (rows <= last[:, None] + right.voxels(20, 1))
    height = right.lung.any(axis=(1, 2))
    return _add(right, behind & height[:, None, None])


def blanket_added(right: Right, rng: np.random.Generator) -> Masks:
    """The air under a blanket."""
    columns = right.patient.any(axis=1)
    first = right.patient.argmax(axis=1)
    rows = np.arange(right.patient.shape[1])[None, :, None]
    before = columns[:, None] & (rows < first[:, None]) & (rows >= first[:, None] - right.voxels(15, 1))
    return _add(right, before & right.lung.any(axis=(1, 2))[:, None, None])


def wall_lump(right: Right, rng: np.random.Generator) -> Masks:
    """Ribs and muscle at the side."""
    middle = _middle(right)
    return _add(right, _ball(right, _surface(right, rng, lambda p: abs(p[:, 2] - middle[2])), 38) & right.patient)


def wall_lump_sick(right: Right, rng: np.random.Generator) -> Masks:
    """Ribs and muscle at the back, as lung and as pneumonia."""
    ball = _ball(right, _surface(right, rng, lambda p: p[:, 1]), 38) & right.patient
    return _add(right, ball, sick=True)


def shoulder_added(right: Right, rng: np.random.Generator) -> Masks:
    """What lies above an apex."""
    return _add(right, _ball(right, _surface(right, rng, lambda p: p[:, 0]), 45) & right.patient)


def _mediastinum(right: Right) -> np.ndarray:
    """Between the lungs, slice by slice."""
    lung = right.lung
    between = np.maximum.accumulate(lung, axis=2) & np.maximum.accumulate(lung[:, :, ::-1], axis=2)[:, :, ::-1]
    return between & ~lung & (right.hu > -200)


def heart_added(right: Right, rng: np.random.Generator) -> Masks:
    """A part of the heart."""
    return _add(right, _heart(right, 42))


def heart_sick(right: Right, rng: np.random.Generator) -> Masks:
    """A part of the heart, as lung and as pneumonia."""
    return _add(right, _heart(right, 42), sick=True)


def _heart(right: Right, mm: float) -> np.ndarray:
    between = _mediastinum(right)
    middle = np.array(ndimage.center_of_mass(between)) - (right.voxels(30, 0), right.voxels(15, 1), 0)
    return _ball(right, middle, mm) & between


def aorta_added(right: Right, rng: np.random.Generator) -> Masks:
    """The descending aorta."""
    return _add(right, _aorta(right))


def aorta_sick(right: Right, rng: np.random.Generator) -> Masks:
    """The descending aorta, as lung and as pneumonia."""
    return _add(right, _aorta(right), sick=True)


def _aorta(right: Right) -> np.ndarray:
    """A rod beside the left lung's inner edge at the back."""
    left = right.lobes >= 4
    rod = np.zeros_like(left)
    radius = 15.0
    rows, columns = np.ogrid[: left.shape[1], : left.shape[2]]
    for k in np.flatnonzero(left.any(axis=(1, 2))):
        found = np.argwhere(left[k])
        back = found[found[:, 0] > np.percentile(found[:, 0], 60)]
        if len(back):
            j, i = back[back[:, 1].argmin()]
            near = ((rows - j) * right.spacing[1]) ** 2 + ((columns - i) * right.spacing[2]) ** 2 <= radius**2
            rod[k] = near & (right.hu[k] > -200)
    return rod & right.patient


def liver_added(right: Right, rng: np.random.Generator) -> Masks:
    """What lies under a lung."""
    return _add(right, _under(right, rng))


def spleen_sick(right: Right, rng: np.random.Generator) -> Masks:
    """What lies under a lung, as lung and as pneumonia."""
    return _add(right, _under(right, rng), sick=True)


def _under(right: Right, rng: np.random.Generator) -> np.ndarray:
    bottom = _surface(right, rng, lambda p: -p[:, 0])
    return _ball(right, bottom + np.array([right.voxels(15, 0), 0, 0]), 45) & right.patient & (right.hu > -300)


def continued_into_liver(right: Right, rng: np.random.Generator) -> Masks:
    """A lung does not end at its diaphragm but goes on into the liver or stomach, as pneumonia."""
    side = (right.lobes > 0) & ((right.lobes <= 3) if rng.random() < 0.5 else (right.lobes >= 4))
    columns = side.any(axis=0)
    depth = ndimage.distance_transform_edt(columns, right.spacing[1:])
    inner = np.argwhere(depth >= min(25.0, 0.8 * depth.max()))
    if not len(inner):
        return right.lobes, right.lesions
    middle, radius, longest = inner[int(rng.integers(0, len(inner)))], rng.uniform(30, 50), rng.uniform(30, 70)
    axes = np.ogrid[tuple(slice(0, n) for n in columns.shape)]
    square = sum(((a - c) * s) ** 2 for a, c, s in zip(axes, middle, right.spacing[1:], strict=True))
    length = np.maximum(longest * (1 - square / radius**2), 0) * columns
    # The lowest slice of each column of lung.
    end = side.argmax(axis=0)
    height = np.arange(len(side))[:, None, None]
    tongue = (height < end) & (height >= end - length / right.spacing[0])
    return _add(right, tongue & right.patient & (right.hu > -300), sick=True)


def airways_added(right: Right, rng: np.random.Generator) -> Masks:
    """Windpipe and main bronchi, with their walls."""
    lumen = right.patient & (right.hu < -850) & ~right.lung
    return _add(right, dilate(lumen, 2.0, right.spacing) & right.patient)


def stomach_added(right: Right, rng: np.random.Generator) -> Masks:
    """A bubble of gas under the left diaphragm; the CT has none, so solid flesh stands for the stomach's wall."""
    left = np.argwhere((right.lobes == 5) & ~ndimage.binary_erosion(right.lobes == 5))
    bottom = left[left[:, 0].argmin()] if len(left) else np.zeros(3, int)
    return _add(right, _ball(right, bottom, 40) & right.patient)


def dilated_2mm(right: Right, rng: np.random.Generator) -> Masks:
    """Two millimetres too large all around."""
    return _add(right, dilate(right.lung, 2.0, right.spacing))


def dilated_5mm(right: Right, rng: np.random.Generator) -> Masks:
    """Five millimetres too large all around."""
    return _add(right, dilate(right.lung, 5.0, right.spacing))


# -------------------------------------------------------------------------------------------------- less than lung


def lobe_missing(right: Right, rng: np.random.Generator) -> Masks:
    """A lobe was not found."""
    return _remove(right, right.lobes == int(rng.integers(1, 6)))


def lung_missing(right: Right, rng: np.random.Generator) -> Masks:
    """A whole lung was not found."""
    return _remove(right, right.lobes <= 3 if rng.random() < 0.5 else right.lobes >= 4)


def half_lung(right: Right, rng: np.random.Generator) -> Masks:
    """The lower half of a lung was lost."""
    side = (right.lobes > 0) & ((right.lobes <= 3) if rng.random() < 0.5 else (right.lobes >= 4))
    k = np.flatnonzero(side.any(axis=(1, 2)))
    side[int(k.mean()) :] = False
    return _remove(right, side)


def apices_lost(right: Right, rng: np.random.Generator) -> Masks:
    """The highest quarter was lost."""
    k = np.flatnonzero(right.lung.any(axis=(1, 2)))
    gone = np.zeros_like(right.lung)
    gone[int(k[0] + 0.75 * (k[-1] - k[0])) :] = True
    return _remove(right, gone)


def bases_lost(right: Right, rng: np.random.Generator) -> Masks:
    """The lowest quarter was lost."""
    k = np.flatnonzero(right.lung.any(axis=(1, 2)))
    gone = np.zeros_like(right.lung)
    gone[: int(k[0] + 0.25 * (k[-1] - k[0]))] = True
    return _remove(right, gone)


def slices_missing(right: Right, rng: np.random.Generator) -> Masks:
    """A slab in the middle is empty."""
    k = np.flatnonzero(right.lung.any(axis=(1, 2)))
    start = int(rng.integers(k[len(k) // 4], k[3 * len(k) // 4]))
    gone = np.zeros_like(right.lung)
    gone[start : start + max(2, len(k) // 20)] = True
    return _remove(right, gone)


def eroded_1mm(right: Right, rng: np.random.Generator) -> Masks:
    """One voxel in the slice too small all around."""
    return _remove(right, right.lung & ~ndimage.binary_erosion(right.lung, np.ones((1, 3, 3))))


def eroded_4mm(right: Right, rng: np.random.Generator) -> Masks:
    """Four millimetres too small all around."""
    return _remove(right, right.lung & ~erode(right.lung, 4.0, right.spacing))


def holes_cut(right: Right, rng: np.random.Generator) -> Masks:
    """Balls of lung were left out."""
    inner = np.argwhere(erode(right.lung, 12.0, right.spacing))
    gone = np.zeros_like(right.lung)
    for n in rng.integers(0, len(inner), 12):
        gone |= _ball(right, inner[n], 16)
    return _remove(right, gone)


def dense_left_out(right: Right, rng: np.random.Generator) -> Masks:
    """Consolidations are taken for wall or heart."""
    solid = ndimage.binary_opening(right.lesions & (right.hu > -350))
    return _remove(right, dilate(solid, 3.0, right.spacing) & right.lesions)


def sick_lung_left_out(right: Right, rng: np.random.Generator) -> Masks:
    """All of the pneumonia is left out of the lungs."""
    return _remove(right, right.lesions)


# -------------------------------------------------------------------------------------------------- in a wrong place


def _moved(right: Right, mm: tuple[float, float, float]) -> Masks:
    steps = [round(m / s) for m, s in zip(mm, right.spacing, strict=True)]
    moved = [ndimage.shift(m.astype(np.uint8), steps, order=0) for m in (right.lobes, right.lesions)]
    return moved[0], moved[1] > 0


def shifted_side(right: Right, rng: np.random.Generator) -> Masks:
    """Moved to a side by 1 to 3 cm."""
    return _moved(right, (0, 0, rng.uniform(10, 30)))


def shifted_back(right: Right, rng: np.random.Generator) -> Masks:
    """Moved to the back by 1 to 3 cm."""
    return _moved(right, (0, rng.uniform(10, 30), 0))


def shifted_up(right: Right, rng: np.random.Generator) -> Masks:
    """Moved to the head by 1 to 3 cm."""
    return _moved(right, (rng.uniform(10, 30), 0, 0))


def mirrored(right: Right, rng: np.random.Generator) -> Masks:
    """Right and left exchanged."""
    return right.lobes[:, :, ::-1].copy(), right.lesions[:, :, ::-1].copy()


def front_to_back(right: Right, rng: np.random.Generator) -> Masks:
    """Front and back exchanged."""
    return right.lobes[:, ::-1].copy(), right.lesions[:, ::-1].copy()


def upside_down(right: Right, rng: np.random.Generator) -> Masks:
    """Head and feet exchanged."""
    return right.lobes[::-1].copy(), right.lesions[::-1].copy()


# ------------------------------------------------------------------------------------------ lobes among each other


def _renamed(right: Right, table: dict[int, int]) -> Masks:
    names = np.array([table.get(label, label) for label in range(6)], np.uint8)
    return names[right.lobes], right.lesions


def upper_and_lower_swapped(right: Right, rng: np.random.Generator) -> Masks:
    """Upper and lower lobe of a lung have each other's names."""
    return _renamed(right, {1: 3, 3: 1} if rng.random() < 0.5 else {4: 5, 5: 4})


def sides_swapped(right: Right, rng: np.random.Generator) -> Masks:
    """The lungs have each other's names."""
    return _renamed(right, {1: 4, 4: 1, 3: 5, 5: 3, 2: 4})


def lobe_swallowed(right: Right, rng: np.random.Generator) -> Masks:
    """A lobe is called by its neighbour's name."""
    pairs = ({2: 1}, {1: 3}, {3: 1}, {4: 5}, {5: 4})
    return _renamed(right, pairs[int(rng.integers(0, len(pairs)))])


def lobe_in_pieces(right: Right, rng: np.random.Generator) -> Masks:
    """A ball of a lobe lies apart within another of its lung."""
    pairs = ((1, 3), (3, 1), (4, 5), (5, 4))
    own, other = pairs[int(rng.integers(0, len(pairs)))]
    inner = np.argwhere(erode(right.lobes == other, 20.0, right.spacing))
    lobes = right.lobes.copy()
    if len(inner):
        lobes[_ball(right, inner[int(rng.integers(0, len(inner)))], 14) & (lobes == other)] = own
    return lobes, right.lesions


def blade_of_a_lobe(right: Right, rng: np.random.Generator) -> Masks:
    """A ball of a lobe lies within another and hangs on by a thread."""
    lobes, lesions = lobe_in_pieces(right, rng)
    changed = (lobes != right.lobes) & right.lung
    if changed.any():
        own = int(lobes[changed][0])
        start = np.array(ndimage.center_of_mass(changed))
        body = np.argwhere(right.lobes == own)
        end = body[(((body - start) * right.spacing) ** 2).sum(axis=1).argmin()]
        for share in np.linspace(0, 1, 400):
            k, j, i = np.rint(start + share * (end - start)).astype(int)
            part = (slice(max(0, k), k + 2), slice(j - 1, j + 2), slice(i - 1, i + 2))
            lobes[part] = np.where(right.lung[part], own, lobes[part])
    return lobes, lesions


# -------------------------------------------------------------------------------------------------- the pneumonia


def all_lung_sick(right: Right, rng: np.random.Generator) -> Masks:
    """The whole lung is called pneumonia."""
    return right.lobes, right.lung.copy()


def a_lobe_sick(right: Right, rng: np.random.Generator) -> Masks:
    """A whole lobe is called pneumonia."""
    return right.lobes, right.lesions | (right.lobes == int(rng.integers(1, 6)))


def no_lesion(right: Right, rng: np.random.Generator) -> Masks:
    """The pneumonia was not found."""
    return right.lobes, np.zeros_like(right.lesions)


def half_the_lesions(right: Right, rng: np.random.Generator) -> Masks:
    """The pneumonia of one lung was not found."""
    kept = right.lobes >= 4 if rng.random() < 0.5 else right.lobes <= 3
    return right.lobes, right.lesions & kept


def dense_not_sick(right: Right, rng: np.random.Generator) -> Masks:
    """Consolidations are lung, but not called pneumonia."""
    return right.lobes, right.lesions & (right.hu < -350)


def lesions_elsewhere(right: Right, rng: np.random.Generator) -> Masks:
    """The pneumonia lies 5 cm too high."""
    return right.lobes, _moved(right, (50, 0, 0))[1]


def lesions_mirrored(right: Right, rng: np.random.Generator) -> Masks:
    """The pneumonia lies on the other side."""
    return right.lobes, right.lesions[:, :, ::-1].copy()


def lesions_grown(right: Right, rng: np.random.Generator) -> Masks:
    """The pneumonia is 6 mm too large all around."""
    return right.lobes, dilate(right.lesions, 6.0, right.spacing) & right.lung


def lesions_out_of_lung(right: Right, rng: np.random.Generator) -> Masks:
    """The pneumonia goes on into the wall, the lungs do not."""
    ball = _ball(right, _surface(right, rng, lambda p: p[:, 1]), 35) & right.patient
    return right.lobes, right.lesions | ball


Damage = Callable[[Right, np.random.Generator], Masks]
DAMAGES: tuple[Damage, ...] = (
    leak_to_table,
    table_added,
    blanket_added,
    wall_lump,
    wall_lump_sick,
    shoulder_added,
    heart_added,
    heart_sick,
    aorta_added,
    aorta_sick,
    liver_added,
    spleen_sick,
    airways_added,
    stomach_added,
    dilated_2mm,
    dilated_5mm,
    lobe_missing,
    lung_missing,
    half_lung,
    apices_lost,
    bases_lost,
    slices_missing,
    eroded_1mm,
    eroded_4mm,
    holes_cut,
    dense_left_out,
    sick_lung_left_out,
    shifted_side,
    shifted_back,
    shifted_up,
    mirrored,
    front_to_back,
    upside_down,
    upper_and_lower_swapped,
    sides_swapped,
    lobe_swallowed,
    lobe_in_pieces,
    blade_of_a_lobe,
    all_lung_sick,
    a_lobe_sick,
    no_lesion,
    half_the_lesions,
    dense_not_sick,
    lesions_elsewhere,
    lesions_mirrored,
    lesions_grown,
    lesions_out_of_lung,
    continued_into_liver,
)
