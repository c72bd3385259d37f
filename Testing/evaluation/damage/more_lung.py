"""Lungs that hold more than lung: wall, table, heart, vessels, liver, gas."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.voxels.morphology import dilate
from Testing.evaluation.damage.right_masks import Masks, Right, add_lung, ball, lung_centre, surface_voxel


def leak_to_table(right: Right, rng: np.random.Generator) -> Masks:
    """Through the back into what is behind it."""
    k, j, i = surface_voxel(right, rng, lambda p: p[:, 1])
    tunnel = np.zeros_like(right.lung)
    r_k, r_i = right.voxels(30, 0), right.voxels(30, 2)
    tunnel[max(0, k - r_k) : k + r_k, j - 3 :, max(0, i - r_i) : i + r_i] = True
    return add_lung(right, tunnel)


def table_added(right: Right, rng: np.random.Generator) -> Masks:
    """The air between back and table."""
    behind = np.zeros_like(right.lung)
    columns = right.patient.any(axis=1)
    last = right.patient.shape[1] - 1 - right.patient[:, ::-1].argmax(axis=1)
    rows = np.arange(right.patient.shape[1])[None, :, None]
    behind = columns[:, None] & (rows > last[:, None]) & (rows <= last[:, None] + right.voxels(20, 1))
    height = right.lung.any(axis=(1, 2))
    return add_lung(right, behind & height[:, None, None])


def blanket_added(right: Right, rng: np.random.Generator) -> Masks:
    """The air under a blanket."""
    columns = right.patient.any(axis=1)
    first = right.patient.argmax(axis=1)
    rows = np.arange(right.patient.shape[1])[None, :, None]
    before = columns[:, None] & (rows < first[:, None]) & (rows >= first[:, None] - right.voxels(15, 1))
    return add_lung(right, before & right.lung.any(axis=(1, 2))[:, None, None])


def wall_lump(right: Right, rng: np.random.Generator) -> Masks:
    """Ribs and muscle at the side."""
    middle = lung_centre(right)
    return add_lung(
        right, ball(right, surface_voxel(right, rng, lambda p: abs(p[:, 2] - middle[2])), 38) & right.patient
    )


def wall_lump_sick(right: Right, rng: np.random.Generator) -> Masks:
    """Ribs and muscle at the back, as lung and as pneumonia."""
    lump = ball(right, surface_voxel(right, rng, lambda p: p[:, 1]), 38) & right.patient
    return add_lung(right, lump, sick=True)


def shoulder_added(right: Right, rng: np.random.Generator) -> Masks:
    """What lies above an apex."""
    return add_lung(right, ball(right, surface_voxel(right, rng, lambda p: p[:, 0]), 45) & right.patient)


def _mediastinum(right: Right) -> np.ndarray:
    """Between the lungs, slice by slice."""
    lung = right.lung
    between = np.maximum.accumulate(lung, axis=2) & np.maximum.accumulate(lung[:, :, ::-1], axis=2)[:, :, ::-1]
    return between & ~lung & (right.hu > -200)


def heart_added(right: Right, rng: np.random.Generator) -> Masks:
    """A part of the heart."""
    return add_lung(right, _heart(right, 42))


def heart_sick(right: Right, rng: np.random.Generator) -> Masks:
    """A part of the heart, as lung and as pneumonia."""
    return add_lung(right, _heart(right, 42), sick=True)


def _heart(right: Right, mm: float) -> np.ndarray:
    between = _mediastinum(right)
    middle = np.array(ndimage.center_of_mass(between)) - (right.voxels(30, 0), right.voxels(15, 1), 0)
    return ball(right, middle, mm) & between


def aorta_added(right: Right, rng: np.random.Generator) -> Masks:
    """The descending aorta."""
    return add_lung(right, _aorta(right))


def aorta_sick(right: Right, rng: np.random.Generator) -> Masks:
    """The descending aorta, as lung and as pneumonia."""
    return add_lung(right, _aorta(right), sick=True)


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
    return add_lung(right, _under(right, rng))


def spleen_sick(right: Right, rng: np.random.Generator) -> Masks:
    """What lies under a lung, as lung and as pneumonia."""
    return add_lung(right, _under(right, rng), sick=True)


def _under(right: Right, rng: np.random.Generator) -> np.ndarray:
    bottom = surface_voxel(right, rng, lambda p: -p[:, 0])
    return ball(right, bottom + np.array([right.voxels(15, 0), 0, 0]), 45) & right.patient & (right.hu > -300)


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
    return add_lung(right, tongue & right.patient & (right.hu > -300), sick=True)


def airways_added(right: Right, rng: np.random.Generator) -> Masks:
    """Windpipe and main bronchi, with their walls."""
    lumen = right.patient & (right.hu < -850) & ~right.lung
    return add_lung(right, dilate(lumen, 2.0, right.spacing) & right.patient)


def stomach_added(right: Right, rng: np.random.Generator) -> Masks:
    """A bubble of gas under the left diaphragm; the CT has none, so solid flesh stands for the stomach's wall."""
    left = np.argwhere((right.lobes == 5) & ~ndimage.binary_erosion(right.lobes == 5))
    bottom = left[left[:, 0].argmin()] if len(left) else np.zeros(3, int)
    return add_lung(right, ball(right, bottom, 40) & right.patient)


def dilated_2mm(right: Right, rng: np.random.Generator) -> Masks:
    """Two millimetres too large all around."""
    return add_lung(right, dilate(right.lung, 2.0, right.spacing))


def dilated_5mm(right: Right, rng: np.random.Generator) -> Masks:
    """Five millimetres too large all around."""
    return add_lung(right, dilate(right.lung, 5.0, right.spacing))
