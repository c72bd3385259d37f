"""The measure of lungs without truth: right ones are sound whatever is around the patient, damaged ones are not."""

import matplotlib.image
import numpy as np
import pytest
from scipy import ndimage

from COVIDQuantLib.simulation.phantom import Phantom
from COVIDQuantLib.simulation.phantom_settings import SURROUNDINGS
from Testing.evaluation.lung_soundness import Chest, look, write_sheet
from Testing.evaluation.sections import mirrored, thicker

SETTINGS = {"matrix": 128, "thickness_mm": 4.0, "extent_percent": 5.0, "motion": False}
AROUND = {"plain": (), "much": ("table", "cushion", "blanket", "cables", "arms-down"), "couch": ("couch", "arms-up")}


@pytest.fixture(scope="module", params=AROUND)
def phantom(request, once) -> Phantom:
    return once.phantom(seed=50 + len(AROUND[request.param]), **SETTINGS, surroundings=AROUND[request.param])


@pytest.fixture(scope="module")
def dressed(once) -> Phantom:
    around = tuple(name for name in SURROUNDINGS if name != "cut")
    return once.phantom(seed=58, **SETTINGS, surroundings=around)


def whole_lobes(phantom: Phantom) -> np.ndarray:
    """The true lobes, but each in one piece: in some phantoms a tip of the left lower one lies alone at the front."""
    lobes = phantom.lobes.copy()
    pieces, _ = ndimage.label(lobes == 5, np.ones((3, 3, 3)))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    lobes[(pieces > 0) & (pieces != sizes.argmax())] = 4
    return lobes


@pytest.fixture(scope="module")
def faults(dressed):
    """What is wrong with some lobes of that patient."""
    chest = Chest.of(dressed.ct)
    return lambda lobes: look(dressed.ct, lobes, chest)[0].faults()


def test_true_lungs_are_sound(phantom):
    found, _ = look(phantom.ct, whole_lobes(phantom))
    assert found.faults() == []
    assert found.lung == pytest.approx(phantom.truth["regions"][0]["volume_ml"], rel=0.03)


def test_lungs_out_to_the_table_are_not(dressed, faults):
    lobes = whole_lobes(dressed)
    columns = np.flatnonzero((lobes == 3).any(axis=(0, 1)))[:12]
    k = lobes.shape[0] // 2
    lobes[k : k + 4, lobes.shape[1] // 2 :, columns] = 3
    said = " ".join(faults(lobes))
    assert "outside the body" in said
    assert "beyond the chest" in said


def test_lungs_through_the_wall_are_not(dressed, faults):
    wide = ndimage.distance_transform_edt(dressed.lobes == 0, sampling=dressed.ct.geometry.spacing_kji) < 15
    nearest = ndimage.distance_transform_edt(dressed.lobes == 0, return_distances=False, return_indices=True)
    assert any("beyond" in fault for fault in faults(np.where(wide, dressed.lobes[tuple(nearest)], 0)))


def test_a_lost_lobe_is_told(dressed, faults):
    said = " ".join(faults(np.where(dressed.lobes == 2, 0, whole_lobes(dressed)).astype(np.uint8)))
    assert "missed" in said
    assert "1 0 1 1 1" in said


def test_a_lobe_in_two_pieces_is_told(dressed, faults):
    lobes = whole_lobes(dressed)
    low = np.flatnonzero((lobes == 5).any(axis=(1, 2)))
    lobes[low[len(low) // 3]][lobes[low[len(low) // 3]] == 5] = 0
    lobes[low[len(low) // 3] + 1][lobes[low[len(low) // 3] + 1] == 5] = 0
    assert any("pieces" in fault and fault.endswith("2") for fault in faults(lobes))


def test_a_sheet_is_a_picture(dressed, tmp_path):
    write_sheet(look(dressed.ct, dressed.lobes)[1], tmp_path / "sheet.png", side=80)
    assert matplotlib.image.imread(tmp_path / "sheet.png").shape[:2] == (240, 400)


def test_thicker_sections_keep_place_and_mass(dressed):
    ct = thicker(dressed.ct, 6.0)
    assert ct.geometry.spacing[2] == 6.0
    low = dressed.ct.geometry.origin[2] - 2.0
    assert ct.geometry.origin[2] - 3.0 == pytest.approx(low)
    sections = 2 * (dressed.ct.hu.shape[0] * 4 // 12)
    assert ct.hu[:sections].mean() == pytest.approx(dressed.ct.hu[: sections * 6 // 4].mean(), abs=1)
    assert thicker(dressed.ct, 4.0) is dressed.ct


def test_mirrored_twice_is_the_same(dressed):
    assert np.array_equal(mirrored(mirrored(dressed.ct)).hu, dressed.ct.hu)
    assert not np.array_equal(mirrored(dressed.ct).hu, dressed.ct.hu)
