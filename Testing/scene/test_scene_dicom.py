"""Export of a scene's result as DICOM: on the images that the CT came from, or refused."""

import gc

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from dicom_results import SETTINGS, written
from pydicom import dcmread
from test_scene_export_job import done
from worker_world import blocks_left

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.dicom.read import read_any_result
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.followup.lesions.exam_segmentation import read_exam_images
from COVIDQuantLib.scene.export.export_job import ExportJob
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.nodes.segmentations import create_segmentation_node
from COVIDQuantLib.scene.nodes.volumes import node_of_ct
from COVIDQuantLib.scene.reading_session import Reading
from COVIDQuantLib.scene.review.ai_result import keep_original
from COVIDQuantLib.scene.review.segment_edits import remove_from_lesion
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.box import Box


@pytest.fixture
def scene():
    """A scene in which a phantom that is stored as DICOM is quantified."""
    yield HeadlessScene()
    gc.collect()
    assert blocks_left() == []


def reading_of(scene, phantom, ct):
    volume = node_of_ct(scene.scene, ct, "CT")
    volume.SetAttribute("DICOM.instanceUIDs", " ".join(image.sop_instance for image in ct.source.dicom.images))
    made = {step: {"method": "model-free"} for step in ("lobes", "lesions")}
    node = create_segmentation_node(
        scene.scene, volume, Segmentation(phantom.lobes, phantom.lesions, made), "CT pneumonia"
    )
    reading = Reading(volume, node)
    keep_original(node, phantom.lobes, phantom.lesions, reading.live.histogram)
    return volume, reading


def test_a_result_is_written_on_its_images_and_read_back(scene, once, tmp_path):
    phantom = once.phantom(**SETTINGS)
    ct = read_ct(written(phantom, tmp_path / "ct"))
    _, reading = reading_of(scene, phantom, ct)
    kept = phantom.lesions.copy()
    kept[:, :, : kept.shape[2] // 2] = False
    removed = phantom.lesions & ~kept
    remove_from_lesion(reading.live.segmentation, reading.live.volume, removed, Box.of_shape(kept.shape))
    reading.update()
    images = sorted((tmp_path / "ct").iterdir())
    files = done(ExportJob(reading, tmp_path / "out", ["metrics", "dicom"], images=images))
    names = ["metrics.csv", "metrics.json", "segmentation.dcm", "report_sr.dcm", "overlay.dcm"]
    assert [path.name for path in files] == names
    result = read_any_result(tmp_path / "out" / "report_sr.dcm")
    images = read_exam_images(result)
    np.testing.assert_array_equal(images.lobes, phantom.lobes)
    np.testing.assert_array_equal(images.lesions, kept)
    seg = dcmread(tmp_path / "out" / "segmentation.dcm")
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == ct.source.dicom.series_uid
    assert [item.SegmentAlgorithmType for item in seg.SegmentSequence] == 5 * ["AUTOMATIC"] + ["SEMIAUTOMATIC"]
    assert ct.source.dicom.series_uid not in (tmp_path / "out" / "metrics.json").read_text(encoding="utf-8")
    reading.close()


def test_a_ct_that_was_moved_or_whose_files_are_gone_is_refused(scene, once, tmp_path):
    phantom = once.phantom(**SETTINGS)
    ct = read_ct(written(phantom, tmp_path / "ct"))
    volume, reading = reading_of(scene, phantom, ct)
    files = sorted((tmp_path / "ct").iterdir())
    origin = volume.GetOrigin()
    for images, code in ((files[:-1], "dicom-other-grid"), ([*files, tmp_path / "gone"], "dicom-changed")):
        with pytest.raises(UnfitInputError) as caught:
            done(ExportJob(reading, tmp_path / "out", ["dicom"], images=images))
        assert caught.value.code == code
    assert volume.GetOrigin() == origin
    assert not (tmp_path / "out").exists()
    reading.close()
