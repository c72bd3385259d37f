"""Find air within the body and the part of it that is lung: adaptive threshold and exclusions."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from COVIDQuantLib.voxels.morphology import (
    Spacing,
    components,
    dilate,
    erode,
    fill_slices,
    on_both_sides,
    slice_components,
    without_small,
)

# Shells, boards and cloth up to twice this thick are not the patient, even if they touch.
TABLE_SHELL_MM = 4.0
THIN_SKIN_MM = 8.0
GAP_MM = 24.0
FREE_AIR_HU = -965
# A lung cut by the field of view: this share of its edge is denser than free air, and it is at most this long.
NOT_FREE_AIR_HU = -950
LUNG_EDGE_SHARE = 0.5
CUT_MM = 250.0
CORNER_MM = 300.0
CORNER_HU = -925.0
# More than this share of fat in the flesh up to this far away lies under skin, not beside a lung.
BESIDE_MM, FAT_HU, FAT_SHARE = 8.0, -30, 0.5
_FAR_MM = 1e5
# Range of the threshold between lung and soft tissue.
THRESHOLD_HU = (-500.0, -300.0)
SOFT_TISSUE_HU = (-200, 200)
# Gas in gut and trachea is less dense than all but the most emphysematous lung.
# Halfway between the patient's own lung and −1000 HU, within these limits.
PURE_GAS_HU = (-960.0, -935.0)
GAS_RIM_HU = 15.0
GAS_ML = 3.0
GAS_OVER_LUNG = 0.2
LARGE_LUNG_ML = 600.0
LEAST_LUNG_ML = 15.0
SMALL_SHARE = 0.02
SMALL_CUT_SHARE = 0.12


def adaptive_threshold(hu: np.ndarray, body: np.ndarray) -> float:
    """The HU halfway between the mean of lung and the mean of soft tissue, found by iteration.

    Args:
        hu: int16 ``[k, j, i]``.
        body: mask of the patient, lungs included.
    """
    values = hu[body]
    soft = values[(values > SOFT_TISSUE_HU[0]) & (values < SOFT_TISSUE_HU[1])]
    soft_mean = float(soft.mean()) if soft.size else 40.0
    threshold = THRESHOLD_HU[0]
    for _ in range(20):
        below = values[values < threshold]
        if not below.size:
            break
        moved = float(np.clip((below.mean() + soft_mean) / 2, *THRESHOLD_HU))
        if abs(moved - threshold) < 1.0:
            break
        threshold = moved
    return threshold


def body_mask(hu: np.ndarray, padding: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Mask of the patient, lungs included, even where the field of view cuts through a lung.

    The largest solid part is the patient (the table's shell is thin and disappears in an erosion); its slices are
    closed along the field of view's edge where the patient is cut, and filled.

    Args:
        hu: int16 ``[k, j, i]``, canonical.
        padding: nothing was measured there.
        spacing: mm per axis.
    """
    solid = (hu > THRESHOLD_HU[1]) & ~padding
    labels, counts = components(erode(solid, TABLE_SHELL_MM, spacing))
    if len(counts) < 2:
        return np.zeros_like(solid)
    counts[0] = 0
    core = counts >= 0.2 * counts.max()
    flesh = dilate(core[labels], THIN_SKIN_MM, spacing) & solid
    near = dilate(flesh, THIN_SKIN_MM, spacing)
    walls = _cut_walls(hu, near, ~padding, spacing) | _corner_walls(hu, near, ~padding, spacing)
    rim = dilate(walls, THIN_SKIN_MM, spacing) & ~flesh
    filled = _without_gaps(_closed(flesh, rim, hu, spacing), spacing)
    return filled & ~padding & ~(rim & (hu < FREE_AIR_HU))


def _closed(flesh: np.ndarray, rim: np.ndarray, hu: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Flesh, filled, with the lungs that the rim closes, but without the cloth and the air beside skin that it closes.

    Free air is less dense than lung. A blanket may be as dense, but what lies beside it is the fat under the skin, and
    beside a lung muscle and rib.
    """
    alone = fill_slices(flesh)
    gaps = fill_slices(flesh | rim) & ~alone
    cut = gaps.any(axis=(1, 2))
    if not cut.any():
        return alone
    gaps, flesh, hu = gaps[cut], flesh[cut], hu[cut]
    pieces, counts = slice_components(gaps)
    # Slices are far apart, so that each point's nearest gap is that of its own slice.
    apart = (_FAR_MM, *spacing[1:])
    away, nearest = ndimage.distance_transform_edt(pieces == 0, sampling=apart, return_indices=True)
    beside = flesh & (away <= BESIDE_MM)
    piece = pieces[tuple(nearest)][beside]
    flesh_count = np.bincount(piece, minlength=len(counts))
    fat_count = np.bincount(piece[hu[beside] < FAT_HU], minlength=len(counts))
    dense_count = np.bincount(pieces[gaps & (hu >= NOT_FREE_AIR_HU)], minlength=len(counts))
    of_lung = (fat_count <= FAT_SHARE * flesh_count) & (dense_count >= LUNG_EDGE_SHARE * counts)
    of_lung[0] = False
    alone[cut] |= of_lung[pieces]
    return alone


def _without_gaps(body: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Close slices left open where the field of view grazes the ribs, using the slices above and below."""
    reach = 2 * max(1, round(GAP_MM / spacing[0] / 2)) + 1
    padded = np.pad(body, ((reach, reach), (0, 0), (0, 0))).view(np.uint8)
    closed = ndimage.minimum_filter1d(ndimage.maximum_filter1d(padded, reach, axis=0), reach, axis=0)
    return body | (closed[reach:-reach] > 0)


def _cut_walls(hu: np.ndarray, flesh: np.ndarray, seen: np.ndarray, spacing: Spacing) -> np.ndarray:
    """The field of view's edge where it cuts a lung: soft tissue in front and behind, and lung density between."""
    walls = np.zeros_like(flesh)
    for axis, step_mm in ((2, spacing[1]), (1, spacing[2])):
        for backwards in (False, True):
            turn = (slice(None), slice(None, None, -1), slice(None, None, -1)) if backwards else (slice(None),)
            edge = _first_seen(seen[turn], axis)
            cut = (edge & flesh[turn]).any(axis=axis)
            profile = np.where(edge, hu[turn], 0).sum(axis=axis)
            closed = cut | _lung_runs(on_both_sides(cut, 1) & ~cut, profile, CUT_MM / step_mm)
            walls[turn] |= edge & np.expand_dims(closed, axis)
    return walls


def _lung_runs(gaps: np.ndarray, profile: np.ndarray, longest: float) -> np.ndarray:
    """Segments along the edge (second axis) that are mostly denser than free air and not too long."""
    runs, counts = slice_components(gaps[:, None, :])
    like_lung = profile >= NOT_FREE_AIR_HU
    share = np.bincount(runs.ravel(), weights=like_lung.ravel()) / np.maximum(counts, 1)
    good = (share >= LUNG_EDGE_SHARE) & (counts <= longest)
    good[0] = False
    return good[runs][:, 0]


def _corner_walls(hu: np.ndarray, flesh: np.ndarray, seen: np.ndarray, spacing: Spacing) -> np.ndarray:
    """The field of view's edge around a corner that cuts a lung: lung density, not free air."""
    walls = np.zeros_like(flesh)
    for rows in (slice(None), slice(None, None, -1)):
        for columns in (slice(None), slice(None, None, -1)):
            turn = (slice(None), rows, columns)
            for k, (down, along) in enumerate(zip(flesh[turn][:, :, 0], flesh[turn][:, 0, :], strict=True)):
                if flesh[turn][k, 0, 0] or not seen[turn][k, 0, 0] or not (down.any() and along.any()):
                    continue
                j, i = int(down.argmax()), int(along.argmax())
                values = np.concatenate([hu[turn][k, :j, 0], hu[turn][k, 0, :i]])
                short = j * spacing[1] + i * spacing[2] <= CORNER_MM
                like_lung = values >= NOT_FREE_AIR_HU
                if short and like_lung.mean() >= LUNG_EDGE_SHARE and values.mean() > CORNER_HU:
                    walls[turn][k, :j, 0] = True
                    walls[turn][k, 0, :i] = True
    return walls


def _first_seen(seen: np.ndarray, axis: int) -> np.ndarray:
    """The first true voxel of each line along an axis."""
    return seen & (np.cumsum(seen, axis=axis, dtype=np.int16) == 1)


def lung_air(hu: np.ndarray, air: np.ndarray, spacing: Spacing) -> np.ndarray:
    """The parts of the air within the body (without airways) that are lung, not gas in the gut or between clothes."""
    ml = float(np.prod(spacing)) / 1000.0
    pure_hu = _pure_gas_hu(hu, air, spacing)
    air = without_small(air & ~_gas_below(hu, air, spacing, pure_hu), 0.3 / ml)
    inner = erode(air, 0.99 * max(spacing[1:]), spacing)
    labels, counts = components(air)
    inner_counts = np.bincount(labels[inner], minlength=len(counts))
    gas = np.bincount(labels[inner & (hu < pure_hu + GAS_RIM_HU)], minlength=len(counts))
    volumes = counts * ml
    pure = np.bincount(labels[inner & (hu < pure_hu)], minlength=len(counts))
    half = 0.5 * np.maximum(inner_counts, 1)
    gassy = (gas >= half) & ((pure >= half) | (volumes < LARGE_LUNG_ML))
    chosen = (volumes >= LEAST_LUNG_ML) & ~gassy
    chosen[0] = False
    if not chosen.any():
        return np.zeros_like(air)
    cut = np.zeros(len(counts), bool)
    for edge in (labels[:, 0], labels[:, -1], labels[:, :, 0], labels[:, :, -1]):
        cut[np.unique(edge)] = True
    # A small part at the image's edge is mattress or cloth.
    chosen &= volumes >= np.where(cut, SMALL_CUT_SHARE, SMALL_SHARE) * volumes[chosen].max()
    lung = chosen[labels]
    return lung | _islands(air & ~lung, labels, gassy, lung, spacing)


def _pure_gas_hu(hu: np.ndarray, air: np.ndarray, spacing: Spacing) -> float:
    """Upper HU limit of gas; scatter makes gas as dense as emphysema, so it depends on the patient's own lung."""
    inner = hu[erode(air, 3.01 * max(spacing[1:]), spacing)]
    usual = float(np.percentile(inner, 60)) if inner.size else -850.0
    return float(np.clip((usual - 1000.0) / 2, *PURE_GAS_HU))


def _gas_below(hu: np.ndarray, air: np.ndarray, spacing: Spacing, pure_hu: float) -> np.ndarray:
    """Gas in stomach and gut, even below a thin diaphragm: pure gas without lung below."""
    step = 1.01 * max(spacing[1:])
    smooth = ndimage.uniform_filter(hu, 3)  # against noise
    cores = without_small(erode(air & (smooth < pure_hu), step, spacing), GAS_ML * 1000.0 / float(np.prod(spacing)))
    tissue = erode(air & (hu > pure_hu + GAS_RIM_HU), 1.01 * max(spacing), spacing)  # not the blurred rim of the gas
    over_lung = np.maximum.accumulate(tissue, axis=0)
    labels, counts = components(cores)
    framed = np.bincount(labels.ravel(), weights=over_lung.ravel())
    gas = framed <= GAS_OVER_LUNG * counts
    gas[0] = False
    return air & dilate(gas[labels], 2.5 * step + max(spacing), spacing)


def _islands(rest: np.ndarray, labels: np.ndarray, gassy: np.ndarray, lung: np.ndarray, spacing: Spacing) -> np.ndarray:
    """Aerated remnants within dense lung: small parts, not gas, close to lung with lung above and below or beside."""
    above = np.maximum.accumulate(lung[::-1], axis=0)[::-1]
    below = np.maximum.accumulate(lung, axis=0)
    candidates = rest & ~gassy[labels] & above
    near = dilate(lung, 12.0, spacing)
    wanted = np.zeros(len(gassy), bool)
    wanted[np.unique(labels[candidates & near & below])] = True
    wanted[0] = False
    return wanted[labels] & rest
