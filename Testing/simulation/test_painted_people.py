"""Chests of real people: lobes tidied and placed, a person painted about them, disease as dense as the wall."""

import numpy as np
import pytest
from scipy import ndimage

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.simulation.lesions.training_consolidation import add_dense
from COVIDQuantLib.simulation.painted.aorta import dilated_aorta, give_way
from COVIDQuantLib.simulation.painted.lung_shapes import Margins
from COVIDQuantLib.simulation.painted.painting import Look, paint_person
from COVIDQuantLib.simulation.painted.real_lobes import GRID_MM, place_lobes, soft_lobes
from COVIDQuantLib.training.label_free.make import dense_variants, person_chest
from COVIDQuantLib.training.label_free.people import FOLDER, HELD_OUT, TUNING_PEOPLE, training_people
from COVIDQuantLib.training.label_free.subjects import Chest

MM = 4.0
SPACING = (MM, MM, MM)
STILL = Look(scan=False, contrast=False)


@pytest.fixture(scope="module")
def lobes():
    """Two bars of lung cut into five lobes by planes, with a large hole such as a vessel leaves."""
    labels = np.zeros((54, 44, 70), np.uint8)
    k, j, i = np.ogrid[: labels.shape[0], : labels.shape[1], : labels.shape[2]]
    round_about = ((k - 27) / 24) ** 4 + ((j - 22) / 17) ** 2
    right = round_about + ((i - 18) / 12) ** 2 < 1
    left = round_about + ((i - 52) / 12) ** 2 < 1
    slope = np.broadcast_to(k - j - 2, labels.shape)
    labels[right] = np.where(slope[right] <= 0, 3, np.where(np.broadcast_to(k > 32, labels.shape)[right], 1, 2))
    labels[left] = np.where(slope[left] > 0, 4, 5)
    labels[20, 20:22, 17:19] = 0
    return labels


@pytest.fixture(scope="module")
def painted(lobes):
    wide = np.pad(lobes, ((8, 8), (22, 22), (24, 24)))
    hu, body = paint_person(wide, SPACING, np.random.default_rng(4), STILL)
    return wide, hu, body


def test_people_kept_for_evaluation_are_neither_trained_nor_tuned_on(tmp_path):
    assert len(HELD_OUT) == 60
    assert len(TUNING_PEOPLE) == 8
    assert not HELD_OUT & TUNING_PEOPLE
    (tmp_path / FOLDER).mkdir()
    for name in ("s0004", "s0076", "s0019"):
        (tmp_path / FOLDER / f"{name}_lobes.nrrd").touch()
    assert training_people(tmp_path) == ["s0019"]
    with pytest.raises(UsageError, match="kept for evaluation"):
        person_chest("s0004", 1, tmp_path)


@pytest.mark.shared
def test_the_lists_name_people_that_are_there(shared_data):
    there = {path.name.split("_")[0] for path in (shared_data / FOLDER).glob("*_lobes.nrrd")}
    if not there:
        pytest.skip("no lobe maps of real people here")
    assert there >= HELD_OUT | TUNING_PEOPLE
    assert set(training_people(shared_data)) == there - HELD_OUT - TUNING_PEOPLE


def test_holes_are_filled_and_lobes_keep_their_place(lobes):
    shares = soft_lobes(lobes, np.array(SPACING))
    assert shares.shape == (5, *lobes.shape)
    total = shares.sum(axis=0)
    assert total[20, 20:22, 17:19].min() > 0.5
    inside = ndimage.binary_erosion(lobes > 0, iterations=2)
    same = shares.argmax(axis=0) + 1 == lobes
    assert same[inside].mean() > 0.9


def test_placed_lobes_are_whole_and_have_room(lobes):
    shares = soft_lobes(lobes, np.array(SPACING))
    margins = Margins(40, 60, 30, 30, 10, 50)
    placed = place_lobes(shares, np.array(SPACING), margins, np.random.default_rng(2))
    assert set(np.unique(placed)) == set(range(6))
    assert np.count_nonzero(placed) * GRID_MM**3 == pytest.approx(np.count_nonzero(lobes) * MM**3, rel=0.35)
    for value in range(1, 6):
        pieces, _ = ndimage.label(placed == value)
        assert np.bincount(pieces.ravel())[1:].max() > 0.95 * (placed == value).sum()
    columns = [np.argwhere(np.isin(placed, side))[:, 2].mean() for side in ((1, 2, 3), (4, 5))]
    assert columns[0] < columns[1], "the patient's right is at the lower index"


def test_a_person_is_painted_inside_and_out(painted):
    lobes, hu, body = painted
    assert hu.dtype == np.float32
    assert hu.shape == body.shape == lobes.shape
    assert (body | (lobes == 0)).all(), "lungs are within the patient"
    deep = ndimage.binary_erosion(lobes > 0, iterations=2)
    assert -940 < np.median(hu[deep]) < -650
    wall = ndimage.binary_dilation(lobes > 0, iterations=4) & ~ndimage.binary_dilation(lobes > 0, iterations=2) & body
    assert -130 < np.median(hu[wall]) < 400
    outside = ~ndimage.binary_dilation(body, iterations=2)
    assert np.median(hu[outside]) < -900


def test_the_same_seed_paints_the_same_person(lobes):
    wide = np.pad(lobes, ((4, 4), (10, 10), (12, 12)))
    first, again, other = (paint_person(wide, SPACING, np.random.default_rng(n), STILL)[0] for n in (3, 3, 5))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1


def test_lungs_give_way_to_a_dilated_aorta(lobes):
    wide = np.pad(lobes, ((8, 8), (22, 22), (24, 24)))
    spacing = np.array(SPACING)
    for seed in range(4):
        aorta = dilated_aorta(wide, spacing, np.random.default_rng(seed))
        assert aorta.whole
        assert 7 <= aorta.path[:, 3].min() <= aorta.path[:, 3].max() <= 29
        given = give_way(wide, spacing, aorta, np.random.default_rng(seed))
        assert np.array_equal(given, np.where(given > 0, wide, 0)), "no lung is added, no lobe is changed"
        along = np.rint(aorta.path[:, 2::-1] / spacing).astype(int)
        along = along[((along >= 0) & (along < wide.shape)).all(axis=1)]
        assert not given[tuple(along.T)].any()
        far = np.ones(wide.shape, bool)
        far[tuple(along.T)] = False
        away = ndimage.distance_transform_edt(far, sampling=spacing) > aorta.path[:, 3].max() + 4 + 8 + MM
        assert np.array_equal(given[away], wide[away])
        again = dilated_aorta(wide, spacing, np.random.default_rng(seed))
        np.testing.assert_array_equal(again.path, aorta.path)


def test_a_dilated_aorta_is_painted_with_blood(lobes):
    wide = np.pad(lobes, ((8, 8), (22, 22), (24, 24)))
    spacing, look = np.array(SPACING), Look(scan=False, contrast=True)
    aorta = dilated_aorta(wide, spacing, np.random.default_rng(1))
    given = give_way(wide, spacing, aorta, np.random.default_rng(1))
    hu, _ = paint_person(given, SPACING, np.random.default_rng(4), look, aorta)
    inside = aorta.path[-30:]
    along = np.rint(inside[:, 2::-1] / spacing).astype(int)
    along = along[((along >= 4) & (along < np.array(wide.shape) - 4)).all(axis=1)]
    assert len(along) > 5
    assert np.median(hu[tuple(along.T)]) > 105


def test_dense_disease_is_as_dense_as_the_wall_and_stays_lung(painted):
    lobes, hu, _ = painted
    changed = 0
    for seed in range(6):
        made = add_dense(hu, lobes, SPACING, np.random.default_rng(seed))
        assert not (made.disease & (made.lobes == 0)).any()
        assert np.isin(made.lobes[made.lobes != lobes], 0).all(), "effusion alone changes labels"
        if made.disease.any():
            changed += 1
            assert np.median(made.hu[made.disease]) > -250
        untouched = ~ndimage.binary_dilation(lobes > 0, iterations=2)
        np.testing.assert_allclose(made.hu[untouched], hu[untouched])
    assert changed >= 4


def test_lungs_of_unknown_lobes_take_dense_disease_too(painted):
    lobes, hu, body = painted
    unknown = np.select([(lobes > 0) & (lobes < 4), lobes > 3], [6, 7]).astype(np.uint8)
    unknown[lobes == 2] = 8
    whole = Chest(hu.astype(np.int16), SPACING, unknown, np.zeros(lobes.shape, bool), body)
    sick = list(dense_variants(whole, 4, np.random.default_rng(1)))
    assert any(chest.lesions.any() for chest in sick)
    for chest in sick:
        assert chest.body is body
        assert not (chest.lesions & (chest.lobes == 8)).any()
        assert (chest.lobes[unknown == 8] == 8).all(), "what is unknown stays so"
