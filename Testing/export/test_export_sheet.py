"""The sheet shows the right slices the right way round in any orientation, with the colours of the paper."""

import hashlib

import numpy as np
import pytest
import SimpleITK as sitk

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import Cancelled
from COVIDQuantLib.export.sheet.colours import lesion_rgb, windowed
from COVIDQuantLib.export.sheet.page import draw_sheet, write_sheet
from COVIDQuantLib.export.sheet.views import AXIAL, CORONAL, SAGITTAL, Scene, View, render
from COVIDQuantLib.grades import CheckResult, Grade
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry

SHAPE = (40, 48, 56)
DIRECTIONS = ((1, 0, 0, 0, 1, 0, 0, 0, 1), (-1, 0, 0, 0, -1, 0, 0, 0, 1), (0, 0, 1, 1, 0, 0, 0, -1, 0))


def upright_case():
    """Lungs with the lesion low, in front, in the right lung."""
    geometry = Geometry(SHAPE, (5.0, 5.0, 7.0), (-100.0, -120.0, -300.0))
    lobes = np.zeros(SHAPE, np.uint8)
    lobes[4:36, 8:40, 6:24] = 1
    lobes[4:20, 8:40, 6:24] = 3
    lobes[4:36, 8:40, 32:50] = 4
    lesions = np.zeros(SHAPE, bool)
    lesions[6:12, 10:16, 8:14] = True
    hu = np.where(lobes > 0, -850, 40).astype(np.int16)
    hu[lesions] = -500
    return CTVolume(hu, geometry), Segmentation(lobes, lesions)


def turned_case(direction):
    """The same case stored in another order of axes."""
    ct, segmentation = upright_case()
    matrix = np.reshape(direction, (3, 3))
    letters = {(0, 1): "L", (0, -1): "R", (1, 1): "P", (1, -1): "A", (2, 1): "S", (2, -1): "I"}
    code = "".join(letters[int(np.argmax(abs(column))), int(column[np.argmax(abs(column))])] for column in matrix.T)
    turned = [
        sitk.DICOMOrient(ct.geometry.to_image(array.astype(np.int16)), code)
        for array in (ct.hu, segmentation.lobes, segmentation.lesions)
    ]
    hu, lobes, lesions = (sitk.GetArrayFromImage(image) for image in turned)
    return CTVolume(hu, Geometry.of_image(turned[0])), Segmentation(lobes.astype(np.uint8), lesions != 0)


def metrics_of(ct, segmentation):
    voxel = ct.geometry.voxel_volume_ml
    return compute_metrics(JointHistogram.of(ct.hu, segmentation.lobes, segmentation.lesions, voxel, ct.padding))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_patients_right_is_on_the_left_and_the_head_is_up(direction):
    scene = Scene(*turned_case(direction))
    found = {}
    for plane, index in ((AXIAL, 8), (CORONAL, 12), (SAGITTAL, 10)):
        rows, columns = np.nonzero(render(scene, View(plane, index), (100, 100)).lesion > 0.5)
        found[plane.name] = (rows.mean() < 50, columns.mean() < 50)
    # The lesion lies low, in front and on the right.
    assert found == {"Axial": (True, True), "Coronal": (False, True), "Sagittal": (False, True)}


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_slices_and_positions_do_not_depend_on_the_stored_order(direction):
    expected, scene = Scene(*upright_case()), Scene(*turned_case(direction))
    for choose in (lambda s: s.axial(4), lambda s: s.coronal(2), lambda s: s.sagittal()):
        views = choose(scene)
        assert views == choose(expected)
        assert [scene.position(view) for view in views] == [expected.position(view) for view in views]


def test_positions_are_in_the_patients_words():
    scene = Scene(*upright_case())
    assert scene.position(View(AXIAL, 0)) == "I 300 mm"
    assert scene.position(View(CORONAL, 0)) == "A 120 mm"
    assert scene.position(View(SAGITTAL, 0)) == "R 100 mm"
    assert scene.position(View(SAGITTAL, 55)) == "L 175 mm"


def test_levels_run_from_the_head_down_and_meet_the_lesion():
    ct, segmentation = upright_case()
    indices = [view.index for view in Scene(ct, segmentation).axial(4)]
    assert indices == sorted(indices, reverse=True)
    assert len(set(indices)) == 4
    assert any(segmentation.lesions[index].any() for index in indices)


def test_proportions_are_the_patients():
    scene = Scene(*upright_case())
    k, j, i = (box.stop - box.start for box in scene.box)
    assert scene.size_mm(AXIAL) == (i * 5.0, j * 5.0)
    assert scene.size_mm(CORONAL) == (i * 5.0, k * 7.0)
    assert scene.size_mm(SAGITTAL) == (j * 5.0, k * 7.0)


@pytest.mark.parametrize("thresholds", [DEFAULT_THRESHOLDS, Thresholds(-700, -500), Thresholds(-300, -300)])
def test_ground_glass_is_blue_consolidation_orange_and_density_warms(thresholds):
    glass = np.arange(thresholds.ggo_hu, thresholds.consolidation_hu - 1)
    dense = np.arange(thresholds.consolidation_hu, 300)
    red, _, blue = np.moveaxis(lesion_rgb(glass, thresholds), -1, 0)
    assert (blue > red).all()
    red, green, blue = np.moveaxis(lesion_rgb(dense, thresholds), -1, 0)
    assert (red > blue).all()
    assert (np.diff(green) <= 1e-12).all()


def test_the_window_is_the_lungs():
    assert windowed(np.array([-2000.0, -1350.0, -600.0, 150.0, 3000.0])).tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]


def drawn_words(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_the_margin_says_the_figures_and_what_it_is_not():
    ct, segmentation = upright_case()
    ct.warnings = [CTWarning("thick-sections", "x")]
    metrics = metrics_of(ct, segmentation)
    words = drawn_words(draw_sheet(ct, segmentation, metrics, "Exam 7"))
    extent = metrics.value("whole lung", "extent_percent")
    assert f"{extent:.1f} %" in words
    assert f"{metrics.ct_score_total} / 25" in words
    assert "Exam 7" in words
    assert "Warnings: thick-sections" in words
    assert any("Not a medical device" in text for text in words)
    assert {lobe.name.capitalize() for lobe in LOBES} <= set(words)


@pytest.mark.parametrize(
    ("checks", "line"),
    [
        ([CheckResult("left-share", Grade.SOUND, "m")], "Result sound"),
        ([CheckResult("left-share", Grade.LOOK, "m")], "Result look at this: left-share"),
        ([CheckResult("left-share", Grade.UNUSABLE, "m")] * 2, "Result not usable: left-share"),
    ],
)
def test_the_margin_says_the_grade(checks, line):
    ct, segmentation = upright_case()
    segmentation.checks = checks
    assert line in drawn_words(draw_sheet(ct, segmentation, metrics_of(ct, segmentation), ""))


@pytest.mark.parametrize("case", ["no lesion", "no lobes", "one lung", "one slice", "nothing"])
def test_every_case_gives_a_sheet(tmp_path, case):
    ct, segmentation = upright_case()
    if case in {"no lesion", "nothing"}:
        segmentation.lesions[:] = False
    if case in {"no lobes", "nothing"}:
        segmentation.lobes[:] = 0
    if case == "one lung":
        segmentation.lobes[segmentation.lobes == 4] = 0
    if case == "one slice":
        ct = CTVolume(ct.hu[8:9], Geometry((1, *SHAPE[1:]), (5.0, 5.0, 7.0)))
        segmentation = Segmentation(segmentation.lobes[8:9], segmentation.lesions[8:9])
    write_sheet(tmp_path / "overlay.png", ct, segmentation, metrics_of(ct, segmentation))
    image = sitk.ReadImage(str(tmp_path / "overlay.png"))
    assert min(image.GetSize()) > 500


def test_the_lesion_is_drawn_in_its_colour_where_it_is(tmp_path):
    ct, segmentation = upright_case()
    write_sheet(tmp_path / "a.png", ct, segmentation, metrics_of(ct, segmentation))
    pixels = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.png")))[..., :3].astype(int)
    left = pixels[:, : pixels.shape[1] * 3 // 4]
    assert np.count_nonzero(left[..., 2] - left[..., 0] > 60) > 500


def test_the_same_exam_is_the_same_file_and_cancelling_leaves_none(tmp_path):
    ct, segmentation = upright_case()
    metrics = metrics_of(ct, segmentation)
    for name in ("a.png", "b.png"):
        write_sheet(tmp_path / name, ct, segmentation, metrics)
    assert len({hashlib.sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}) == 1

    def cancel(fraction):
        if fraction > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_sheet(tmp_path / "c.png", ct, segmentation, metrics, report=cancel)
    assert not (tmp_path / "c.png").exists()
