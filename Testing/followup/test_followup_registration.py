"""Lungs of two exams laid over each other: targets on made patients, any orientation, and poor results that say so."""

import numpy as np
import pytest
import SimpleITK as sitk

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.followup.lesions.fates import find_fates
from COVIDQuantLib.followup.registration.exam_images import ExamImages
from COVIDQuantLib.followup.registration.quality import (
    RegistrationQuality,
    fissure,
    fissure_distance,
    lung_dice,
    moved_labels,
)
from COVIDQuantLib.followup.registration.register import register
from COVIDQuantLib.simulation.anatomy.posture import Posture
from COVIDQuantLib.simulation.phantom import PhantomSettings
from COVIDQuantLib.simulation.phantom.course import COURSES, make_course
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

# An average pair: much less air, turned, shifted, another origin.
POSTURES = [Posture(), Posture(0.85, (6.0, -4.0, 5.0), (2.0, -1.5, 3.0), (40.0, -25.0, -130.0))]


def images(exam, *, ct=True):
    phantom = exam.phantom
    return ExamImages(phantom.lobes, phantom.lesions, phantom.ct.geometry, phantom.ct.hu if ct else None, exam.folder)


@pytest.fixture(scope="module")
def exams():
    settings = PhantomSettings(seed=11, matrix=80, thickness_mm=5.0)
    return list(make_course(settings, COURSES["moderate"], (8.0, 20.0), POSTURES))


@pytest.fixture(scope="module")
def found(exams):
    return register(*(images(exam) for exam in exams))


def points_in_lungs(exam, count=400):
    voxels = np.argwhere(exam.phantom.lobes)
    chosen = voxels[np.random.default_rng(1).choice(len(voxels), count)]
    matrix = exam.phantom.ct.geometry.index_to_lps
    return chosen[:, ::-1] @ matrix[:3, :3].T + matrix[:3, 3]


def through(transform, points):
    return np.array([transform.TransformPoint([float(c) for c in point]) for point in points])


def test_lungs_and_fissures_meet(found):
    assert found.quality.lung_dice >= 0.97
    assert found.quality.lung_dice > found.quality.lung_dice_affine
    assert found.quality.fissure_mm <= 4.0
    assert found.quality.folded_share == 0.0
    assert found.quality.word == "good"
    assert found.quality.warnings == []
    assert found.as_record()["quality"] == "good"


def test_points_go_where_they_truly_went(exams, found):
    before, after = exams
    points = points_in_lungs(before)
    true = after.placement.from_rest(before.placement.to_rest(points))
    apart = np.linalg.norm(through(found.to_followup, points) - true, axis=1)
    assert apart.mean() < 2.5
    assert np.percentile(apart, 95) < 6.0
    assert np.linalg.norm(points - true, axis=1).mean() > 100


def test_there_and_back_is_the_same_point(exams, found):
    points = points_in_lungs(exams[0])
    back = through(found.to_baseline, through(found.to_followup, points))
    assert np.linalg.norm(back - points, axis=1).max() < 0.5
    swapped = found.swapped()
    assert swapped.to_baseline is found.to_followup
    assert swapped.quality.volume_ratio == pytest.approx(1 / found.quality.volume_ratio)


def test_another_order_of_the_voxels_changes_nothing(exams, found):
    """The baseline as a scanner stores it head first, its rows running sagittally."""
    image = images(exams[0])
    shape, (x, y, z) = image.geometry.shape, image.geometry.origin
    spacing = image.geometry.spacing
    turned = Geometry(
        (shape[2], shape[0], shape[1]),
        (spacing[1], spacing[2], spacing[0]),
        (x, y, z + spacing[2] * (shape[0] - 1)),
        (0, 0, 1, 1, 0, 0, 0, -1, 0),
    )
    order = Reorientation.of(turned)
    assert order.canonical.same_grid(image.geometry)
    arrays = [order.undo(array) for array in (image.lobes, image.lesions, image.hu)]
    other = ExamImages(arrays[0], arrays[1], turned, arrays[2])
    again = register(other, images(exams[1]))
    points = points_in_lungs(exams[0], 100)
    apart = through(again.to_followup, points) - through(found.to_followup, points)
    assert np.linalg.norm(apart, axis=1).mean() < 0.5


@pytest.mark.slow
def test_the_same_input_gives_the_same_map_without_the_ct_too(exams):
    pair = [images(exam, ct=False) for exam in exams]
    one, two = register(*pair), register(*pair)
    assert one.quality == two.quality
    assert one.quality.word == "good"
    point = tuple(float(c) for c in points_in_lungs(exams[0], 1)[0])
    assert one.to_followup.TransformPoint(point) == two.to_followup.TransformPoint(point)


def test_fates_are_right_on_the_pair(exams, found):
    true = exams[1].phantom.truth["course"]["since"][0]["lesions"]
    records = find_fates(*(images(exam) for exam in exams), found).records
    assert sorted(record.fate for record in records) == sorted(lesion["fate"] for lesion in true)


def test_an_exam_without_lungs_is_refused(exams):
    image = images(exams[0])
    empty = ExamImages(np.zeros_like(image.lobes), image.lesions, image.geometry, name="empty.nrrd")
    for pair in ((empty, image), (image, empty)):
        with pytest.raises(UnfitInputError) as refused:
            register(*pair)
        assert refused.value.code == "followup-no-lungs"
        assert "empty.nrrd" in str(refused.value)


@pytest.mark.slow
def test_half_a_lung_is_poor_and_says_so(exams):
    image = images(exams[0], ct=False)
    cut = image.lobes.copy()
    cut[: len(cut) * 6 // 10] = 0
    quality = register(image, ExamImages(cut, image.lesions, image.geometry)).quality
    assert quality.word == "poor"
    assert "registration-volumes" in {warning.code for warning in quality.warnings}


def quality(**figures):
    return RegistrationQuality(
        **(
            {"lung_dice": 0.99, "lung_dice_affine": 0.95, "fissure_mm": 1.0, "folded_share": 0.0, "volume_ratio": 1.0}
            | figures
        )
    )


@pytest.mark.parametrize(
    ("figures", "code"),
    [
        ({"lung_dice": 0.93}, "registration-lungs"),
        ({"lung_dice_affine": 0.89}, "registration-shape"),
        ({"fissure_mm": 6.0}, "registration-fissures"),
        ({"folded_share": 0.01}, "registration-folds"),
        ({"volume_ratio": 2.0}, "registration-volumes"),
        ({"volume_ratio": 0.5}, "registration-volumes"),
    ],
)
def test_each_reason_has_its_code(figures, code):
    poor = quality(**figures)
    assert poor.word == "poor"
    assert [warning.code for warning in poor.warnings] == [code]
    assert poor.as_record()["warnings"][0]["code"] == code


def test_fissures_that_are_in_neither_have_no_distance():
    grid = Geometry((4, 4, 4), (2.0, 2.0, 2.0))
    labels = np.ones((4, 4, 4), np.uint8)
    assert fissure_distance(labels, labels, grid) is None
    assert quality(fissure_mm=None).word == "good"
    assert lung_dice(labels * 0, labels * 0) == 0.0


def test_the_distance_of_fissures_is_that_of_the_sheets():
    grid = Geometry((20, 8, 8), (1.0, 1.0, 2.0))
    one = np.full(grid.shape, 5, np.uint8)
    other = one.copy()
    one[10:], other[13:] = 4, 4
    assert fissure(one, (4,), (5,)).sum() == 64
    assert fissure_distance(one, other, grid) == pytest.approx(6.0)


def test_labels_beyond_the_other_exam_are_none():
    grid = Geometry((4, 4, 4), (2.0, 2.0, 2.0))
    far = Geometry((4, 4, 4), (2.0, 2.0, 2.0), (500.0, 0.0, 0.0))
    moved = moved_labels(np.ones((4, 4, 4), np.uint8), grid, far, sitk.Transform(3, sitk.sitkIdentity))
    assert not moved.any()
