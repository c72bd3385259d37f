"""The report's pictures: the right slice, the right side, the same in any orientation, and words that say the same."""

import numpy as np
import pytest
import SimpleITK as sitk
from report_world import exam
from test_export_sheet import DIRECTIONS, turned_case, upright_case

from COVIDQuantLib.export.sheet.views import AXIAL, CORONAL, SAGITTAL, Scene
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS
from COVIDQuantLib.report.pictures.charts import histogram_chart, lobe_chart
from COVIDQuantLib.report.pictures.slices import slice_images
from COVIDQuantLib.report.pictures.volume import volume_views
from COVIDQuantLib.voxels.geometry import Geometry


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_slices_are_those_with_the_most_lesion_in_any_orientation(direction):
    ct, segmentation = turned_case(direction)
    scene = Scene(ct, segmentation)
    # The lesion of the case: k 6 to 11, j 10 to 15, i 8 to 13; the first of equal slices is taken.
    assert [scene.most_diseased(plane).index for plane in (AXIAL, CORONAL, SAGITTAL)] == [6, 10, 8]


def test_without_lesion_the_slice_with_the_most_lung_is_shown():
    ct, segmentation = upright_case()
    segmentation.lesions[:] = False
    segmentation.lobes[10, 8:44, 6:24] = 1
    assert Scene(ct, segmentation).most_diseased(AXIAL).index == 10


def orange(image):
    """How many pixels of each half of a picture are orange."""
    red, green, blue = image[..., 0], image[..., 1], image[..., 2]
    found = (red > 0.6) & (blue < 0.35) & (green < 0.75 * red)
    middle = image.shape[1] // 2
    return found[:, :middle].sum(), found[:, middle:].sum()


def views(made, hu=None):
    labels = made.segmentation
    return volume_views(labels.lobes, labels.lesions, made.ct.geometry, hu, DEFAULT_THRESHOLDS)


def test_the_lesion_of_the_right_lung_is_left_from_the_front_and_right_from_behind():
    made = exam()
    dense = np.full(made.ct.hu.shape, -50, np.int16)
    front, back = views(made, dense)
    for image in (front, back):
        assert image.min() >= 0
        assert image.max() <= 1
        assert np.all(image[0, 0] == 1)
    left, right = orange(front)
    assert left > 20 * max(right, 1)
    left, right = orange(back)
    assert right > 20 * max(left, 1)


def test_a_grid_in_any_order_gives_the_same_picture():
    made = exam()
    grid, labels = made.ct.geometry, made.segmentation
    images = [grid.to_image(np.asarray(one, np.int16)) for one in (labels.lobes, labels.lesions, made.ct.hu)]
    turned = [sitk.DICOMOrient(image, "PIR") for image in images]
    lobes, lesions, hu = map(sitk.GetArrayFromImage, turned)
    other = volume_views(lobes, lesions, Geometry.of_image(turned[0]), hu, DEFAULT_THRESHOLDS)
    assert lobes.shape != labels.lobes.shape
    assert np.abs(other[0] - views(made, made.ct.hu)[0]).max() < 1e-4


def test_without_lungs_there_is_no_picture():
    made = exam(lobes=np.zeros((24, 24, 36), np.uint8))
    assert views(made) is None


def test_slices_of_very_flat_lungs_fit_the_row():
    ct, segmentation = upright_case()
    segmentation.lobes[:17] = segmentation.lobes[18:] = 0
    images = slice_images(ct, segmentation, DEFAULT_THRESHOLDS, 186.0)
    assert len(images) == 3
    assert "no pneumonia" in images[0].alt or "fills" in images[0].alt


def test_the_charts_words_have_the_figures():
    made = exam()
    bars, numbers = (
        lobe_chart(made.metrics, 50.0, 40.0),
        histogram_chart(made.histogram, made.metrics, 50.0, 40.0),
    )
    for row in made.metrics.rows:
        if row["ct_score"] is not None and row["region"].endswith("lobe"):
            assert f"{row['region']} {row['extent_percent']:.1f} %, score {row['ct_score']}" in bars.alt
    assert f"Hellinger distance {made.metrics.hellinger_distance:.2f}" in numbers.alt
    assert bars.data.startswith(b"\x89PNG")
