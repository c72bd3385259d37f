"""The patient and the chest: tables, cushions and arms stay out, the costal surface bounds the lungs, dense lung in."""

import numpy as np
import pytest

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.segmentation.patient.bounds import find_chest, find_patient
from COVIDQuantLib.segmentation.patient.costal_surface import bones, drawn_out
from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom
from COVIDQuantLib.voxels.geometry import Geometry

MM = 3.0
SHAPE = (80, 110, 130)


def ellipse(a, b, centre=(55, 65)):
    """Voxels within an axial ellipse of half axes ``a`` (rows) and ``b`` (columns), in mm about a centre in voxels."""
    j, i = np.mgrid[: SHAPE[1], : SHAPE[2]]
    return ((j - centre[0]) * MM / a) ** 2 + ((i - centre[1]) * MM / b) ** 2 <= 1


def chest():
    """A chest of simple shapes: skin at 100 × 150 mm, ribs at 82 × 132, lungs to within 3 mm of them."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[:, ellipse(100, 150)] = 30
    ring = ellipse(86, 136) & ~ellipse(82, 132)
    for k in range(0, SHAPE[0], 8):
        hu[k : k + 4, ring] = 400
    lung = np.zeros(SHAPE, bool)
    lung[12:68] = ellipse(79, 129) & ~ellipse(90, 40)
    hu[lung] = -850
    return hu, lung


def ct_of(hu, padding=None):
    return CTVolume(hu, Geometry(hu.shape, (MM,) * 3), padding)


def outside_patient(ct):
    found = find_patient(ct)
    return ct.hu[~found.on_ct(found.mask)], found


def test_the_patient_is_body_and_lungs():
    hu, lung = chest()
    found = find_patient(ct_of(hu))
    mask = found.on_ct(found.mask)
    assert (mask & lung).sum() == lung.sum()
    truth = hu > -1000
    assert np.mean(mask != truth) < 0.01


def table(hu):
    hu[:, 90:92, 10:120] = -150
    hu[:, 92:100, 10:120] = -930
    hu[:, 100:102, 10:120] = 200


def touching_couch(hu):
    hu[:, 88:90, 5:125] = 50
    hu[:, 106:108, 5:125] = 50


def blanket(hu):
    hu[:, 16:17, 20:110] = -600
    hu[:, 18:19, 30:100] = -200


def free_arms(hu):
    hu[:, ellipse(30, 30, (55, 8))] = 30
    hu[:, ellipse(30, 30, (55, 122))] = 30


@pytest.mark.parametrize("add", [table, touching_couch, blanket])
def test_what_lies_about_is_not_the_patient(add):
    hu, lung = chest()
    before = hu.copy()
    add(hu)
    hu[before > -1000] = before[before > -1000]
    found = find_patient(ct_of(hu))
    mask = found.on_ct(found.mask)
    assert (mask & lung).sum() == lung.sum()
    wrong = mask & (before == -1000)
    # Where a couch touches the back, a rim of it may stay.
    assert wrong.sum() * MM**3 / 1000 < 0.02 * (before > -1000).sum() * MM**3 / 1000


@pytest.mark.parametrize("add", [table, touching_couch, blanket, free_arms])
def test_the_cavity_is_the_inside_of_the_ribs(add):
    hu, lung = chest()
    before = hu.copy()
    add(hu)
    hu[before > -1000] = before[before > -1000]
    found = find_chest(ct_of(hu))
    cavity = found.body.on_ct(found.cavity)
    assert found.costal
    assert not (lung & ~cavity).any()
    heights = slice(12, 68)
    inside = np.broadcast_to(ellipse(86, 136), SHAPE)[heights]
    assert (cavity[heights] & ~inside).sum() < 0.01 * inside.sum()
    # Above the highest and below the lowest lung there is a little room for dense lung, and no more.
    assert not cavity[:3].any()
    assert not cavity[75:].any()


def test_consolidation_at_the_wall_is_within_and_the_muscle_behind_it_is_not():
    hu, lung = chest()
    j, _ = np.mgrid[: SHAPE[1], : SHAPE[2]]
    dense = lung & (j > 68)[None]
    hu[dense] = 40
    found = find_chest(ct_of(hu))
    cavity = found.body.on_ct(found.cavity)
    assert (dense & ~cavity).sum() < 0.02 * dense.sum()
    muscle = np.broadcast_to(ellipse(100, 150) & ~ellipse(92, 142), SHAPE)
    assert not (cavity & muscle)[12:68].any()


def test_contrast_in_the_heart_is_no_bone():
    hu, _ = chest()
    blood = np.zeros(SHAPE, bool)
    blood[20:60] = ellipse(36, 30)
    hu[blood] = 300
    found = bones(hu, np.ones(SHAPE, bool), (MM,) * 3)
    assert not (found & blood).any()
    assert found.any()


def test_a_field_of_view_that_cuts_the_sides_keeps_the_lungs():
    hu, lung = chest()
    left, right = 26, 104
    cut = np.ascontiguousarray(hu[:, :, left:right])
    found = find_patient(ct_of(cut))
    kept = found.on_ct(found.mask) & lung[:, :, left:right]
    assert kept.sum() > 0.97 * lung[:, :, left:right].sum()


def test_a_quilt_in_the_corners_of_a_tight_field_of_view_is_not_the_patient():
    hu, lung = chest()
    hu[:, ellipse(100, 150) & ~ellipse(92, 142)] = -100
    quilt = np.broadcast_to(~ellipse(100, 150) & (np.mgrid[: SHAPE[1], : SHAPE[2]][0] < 55), SHAPE)
    hu[quilt] = -700
    tight = (slice(None), slice(24, None), slice(20, 110))
    found = find_patient(ct_of(np.ascontiguousarray(hu[tight])))
    mask = found.on_ct(found.mask)
    assert (mask & lung[tight]).sum() == lung[tight].sum()
    # What touches the skin may stay, a voxel thick.
    assert (mask & quilt[tight]).sum() < 0.1 * quilt[tight].sum()


def test_padding_is_not_the_patient():
    hu, _ = chest()
    padding = np.zeros(SHAPE, bool)
    padding[:, :, :30] = True
    hu[padding] = -1024
    found = find_patient(ct_of(hu, padding))
    assert not found.on_ct(found.mask)[padding].any()


def test_positions_find_their_block():
    hu, _ = chest()
    ct = CTVolume(np.repeat(np.repeat(hu, 2, 1), 2, 2), Geometry((80, 220, 260), (1.5, 1.5, 3.0)))
    found = find_patient(ct)
    assert found.factors == (1, 2, 2)
    places = tuple(np.arange(n) * mm for n, mm in zip(ct.hu.shape, (3.0, 1.5, 1.5), strict=True))
    assert np.array_equal(found.at(found.mask, places), found.on_ct(found.mask))


def test_nothing_in_the_picture_gives_empty_bounds():
    found = find_chest(ct_of(np.full(SHAPE, -1000, np.int16)))
    assert not found.patient.any()
    assert not found.cavity.any()
    assert not found.costal


def test_a_solid_block_has_no_chest():
    found = find_chest(ct_of(np.full(SHAPE, 40, np.int16)))
    assert not found.aerated.any()
    assert not found.costal


def test_gaps_of_a_map_are_drawn_out_from_what_is_near():
    values = np.full((20, 180), 80.0)
    values[:, 90:] = 100.0
    known = values.copy()
    known[5:15, 40:50] = np.nan
    filled = drawn_out(known, (3.0, 1.5))
    assert np.isfinite(filled).all()
    assert np.allclose(filled[8:12, 43:47], 80.0, atol=1.0)


@pytest.mark.parametrize("thickness", [1.5, 5.0])
def test_a_made_patient_lies_within_his_bounds(thickness):
    made = make_phantom(PhantomSettings(seed=1031, thickness_mm=thickness, matrix=128, extent_percent=20.0))
    ct, turn = made.ct.canonical()
    lungs = turn.apply(made.lobes) > 0
    found = find_chest(ct)
    assert (lungs & ~found.body.on_ct(found.patient)).sum() <= 0.001 * lungs.sum()
    assert (lungs & ~found.body.on_ct(found.cavity)).sum() < 0.01 * lungs.sum()


def test_labels_are_kept_to_the_chest():
    hu, lung = chest()
    table(hu)
    labels = np.where(lung, 1, 0).astype(np.uint8)
    labels[20:60, 50:60, 125:129] = 2
    labels[20:60, 92:100, 40:80] = 3
    find_chest(ct_of(hu)).keep(labels)
    assert (labels == 1).sum() == lung.sum()
    assert not (labels > 1).any()
