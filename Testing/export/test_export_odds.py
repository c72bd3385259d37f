"""The networks' odds beside the segmentation: written with it, read back in their place, and those of no other one."""

import numpy as np
import pytest
import SimpleITK as sitk

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import OutputError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.exam_files import write_exam
from COVIDQuantLib.export.odds_file import ODDS_FILE, read_odds, write_odds
from COVIDQuantLib.followup.exam_result import read_result
from COVIDQuantLib.followup.lesions.exam_segmentation import read_exam_images
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.segmentation.log_odds import OddsMap
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry

SHAPE = (6, 10, 12)
DIRECTIONS = [
    (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0),
    (-1.0, 0, 0, 0, -1.0, 0, 0, 0, 1.0),
    (0, 0, 1.0, 1.0, 0, 0, 0, -1.0, 0),
    (0.8, -0.6, 0, 0.6, 0.8, 0, 0, 0, -1.0),
]


def exam(direction=DIRECTIONS[0], seed=3, *, with_odds=True):
    rng = np.random.default_rng(seed)
    geometry = Geometry(SHAPE, (0.7, 0.9, 2.0), (-20.0, 35.0, 7.0), direction)
    ct = CTVolume(rng.integers(-1000, 100, SHAPE).astype(np.int16), geometry)
    lobes = rng.integers(1, 6, SHAPE, dtype=np.uint8)
    values = rng.uniform(-14, 14, (5, 4, 7)).astype(np.float32)
    odds = {"lesions": OddsMap.of(values, (-1.5, 0.3, 2.25), (2.5, 1.5, 1.25))} if with_odds else {}
    found = Segmentation(lobes, rng.random(SHAPE) < 0.2, {"lesions": {"method": "network"}}, odds=odds)
    counts = JointHistogram.of(ct.hu, found.lobes, found.lesions, geometry.voxel_volume_ml)
    return Exam(ct, found, counts, compute_metrics(counts))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_odds_come_back_in_their_place(tmp_path, direction):
    made = exam(direction)
    files = write_exam(made, tmp_path, ["segmentation", "metrics"])
    assert tmp_path / ODDS_FILE in files
    again = read_exam_images(read_result(tmp_path)).odds
    own = made.segmentation.odds["lesions"]
    assert again.start == pytest.approx(own.start, abs=1e-4)
    assert again.step == pytest.approx(own.step)
    # Far below the cut nobody asks how far.
    assert np.array_equal(again.log_odds(), np.maximum(own.log_odds(), -6.0))


def test_slicer_shows_them_where_the_ct_is(tmp_path):
    made = exam(DIRECTIONS[0])
    write_exam(made, tmp_path, ["segmentation"])
    image, own = sitk.ReadImage(str(tmp_path / ODDS_FILE)), made.segmentation.odds["lesions"]
    assert image.GetOrigin() == pytest.approx([at + mm for at, mm in zip((-20, 35, 7), own.start[::-1], strict=True)])
    assert image.GetSpacing() == pytest.approx(own.step[::-1])


def test_they_are_of_one_segmentation_alone(tmp_path):
    made, other = exam(), exam(seed=4)
    path = tmp_path / ODDS_FILE
    write_odds(path, made.segmentation.odds["lesions"], made.ct.geometry, made.histogram)
    assert read_odds(path, made.ct.geometry, made.histogram) is not None
    assert read_odds(path, other.ct.geometry, other.histogram) is None, "another segmentation"
    turned = Geometry(SHAPE, (0.7, 0.9, 2.0), (-20.0, 35.0, 7.0), DIRECTIONS[3])
    assert read_odds(path, turned, made.histogram) is None, "another grid"
    # The folder's result was replaced by one without networks.
    write_exam(made, tmp_path, ["segmentation", "metrics"])
    write_exam(exam(seed=5, with_odds=False), tmp_path, ["segmentation", "metrics"])
    assert read_exam_images(read_result(tmp_path)).odds is None


@pytest.mark.parametrize("content", [b"", b"NRRD0004\n", b"not an image"])
def test_a_damaged_file_is_as_good_as_none(tmp_path, content):
    made = exam()
    (tmp_path / ODDS_FILE).write_bytes(content)
    assert read_odds(tmp_path / ODDS_FILE, made.ct.geometry, made.histogram) is None
    assert read_odds(tmp_path / "nowhere.nrrd", made.ct.geometry, made.histogram) is None


def test_the_same_odds_are_the_same_file(tmp_path):
    made = exam()
    for name in ("one.nrrd", "two.nrrd"):
        write_odds(tmp_path / name, made.segmentation.odds["lesions"], made.ct.geometry, made.histogram)
    assert (tmp_path / "one.nrrd").read_bytes() == (tmp_path / "two.nrrd").read_bytes()


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    made, path = exam(), tmp_path / ODDS_FILE
    path.mkdir()
    with pytest.raises(OutputError, match=ODDS_FILE):
        write_odds(path, made.segmentation.odds["lesions"], made.ct.geometry, made.histogram)


def test_without_a_segmentation_no_odds_are_written(tmp_path):
    write_exam(exam(), tmp_path, ["metrics"])
    assert not (tmp_path / ODDS_FILE).exists()
