"""CTs and segmentations that Slicer itself loads from files: the same voxels, places and figures as without Slicer."""

import numpy as np
import pytest

pytest.importorskip("slicer")

from scene_world import SHAPE, oblique, raw_node

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.export.segmentation_file import write_segmentation
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.segmentations import create_segmentation_node, segmentation_of_node
from COVIDQuantLib.scene.nodes.volumes import ct_of_node
from COVIDQuantLib.segmentation.result import Segmentation


def load(scene, kind, path):
    """A node that Slicer's own storage node fills from a file."""
    storage_kind = {
        "vtkMRMLScalarVolumeNode": "vtkMRMLVolumeArchetypeStorageNode",
        "vtkMRMLSegmentationNode": "vtkMRMLSegmentationStorageNode",
    }
    node = scene.AddNewNodeByClass(kind)
    storage = scene.AddNewNodeByClass(storage_kind[kind])
    storage.SetFileName(str(path))
    assert storage.ReadData(node)
    return node


def test_our_segmentation_file_is_followed_when_slicer_loads_it(tmp_path):
    rng = np.random.default_rng(50)
    lobes, lesions = rng.integers(0, 6, SHAPE).astype(np.uint8), rng.random(SHAPE) < 0.3
    lobes[:, :2] = 0
    geometry = oblique()
    hu = rng.integers(-1000, 400, SHAPE).astype(np.int16)
    path = tmp_path / "segmentation.seg.nrrd"
    write_segmentation(path, Segmentation(lobes, lesions), geometry)
    session = HeadlessScene()
    volume = raw_node(session.scene, hu, geometry)
    node = load(session.scene, "vtkMRMLSegmentationNode", path)
    live = LiveQuantification(volume, node)
    full = JointHistogram.of(hu, lobes, lesions, geometry.voxel_volume_ml)
    assert np.array_equal(live.histogram.counts, full.counts)
    assert live.warnings() == []
    back = segmentation_of_node(node, volume)
    assert np.array_equal(back.lobes, lobes)


def test_a_file_cropped_to_the_segments_lies_on_the_cts_voxels(tmp_path):
    rng = np.random.default_rng(51)
    session = HeadlessScene()
    geometry = oblique()
    hu = rng.integers(-1000, 400, SHAPE).astype(np.int16)
    volume = raw_node(session.scene, hu, geometry)
    lobes = np.zeros(SHAPE, np.uint8)
    lobes[3:9, 4:12, 5:16] = rng.integers(1, 6, (6, 8, 11))
    node = create_segmentation_node(session.scene, volume, Segmentation(lobes, lobes == 2), "cropped")
    storage = session.scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetCropToMinimumExtent(True)
    storage.SetFileName(str(tmp_path / "cropped.seg.nrrd"))
    assert storage.WriteData(node)
    live = LiveQuantification(volume, load(session.scene, "vtkMRMLSegmentationNode", tmp_path / "cropped.seg.nrrd"))
    assert live.warnings() == []
    full = JointHistogram.of(hu, lobes, lobes == 2, geometry.voxel_volume_ml)
    assert np.array_equal(live.histogram.counts, full.counts)


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", ["cip_ct64_ct.nrrd", "acrinflt013_ct.nrrd"])
def test_real_ct_loaded_by_slicer_is_the_ct_we_read(shared_data, name):
    ours = read_ct(shared_data / name)
    session = HeadlessScene()
    volume = load(session.scene, "vtkMRMLScalarVolumeNode", shared_data / name)
    theirs = ct_of_node(volume)
    assert theirs.geometry.same_grid(ours.geometry)
    assert np.array_equal(theirs.hu, ours.hu)
    assert (theirs.padding is None) == (ours.padding is None)
    # Any lobes and lesions will do to hold the figures of both ways against each other.
    lobes = (np.indices(ours.hu.shape)[1] * 5 // ours.hu.shape[1] + 1).astype(np.uint8) * (ours.hu < -500)
    lesions = (ours.hu > -700) & (lobes > 0)
    node = create_segmentation_node(session.scene, volume, Segmentation(lobes, lesions), "real")
    live = LiveQuantification(volume, node)
    full = JointHistogram.of(ours.hu, lobes, lesions, ours.geometry.voxel_volume_ml, ours.padding)
    assert np.array_equal(live.histogram.counts, full.counts)
    assert live.metrics.value("whole lung", "weight_g") == pytest.approx(
        compute_metrics(full).value("whole lung", "weight_g"), rel=1e-6
    )


def test_ct_volume_from_values_and_a_node_agree_on_padding_and_clipping():
    rng = np.random.default_rng(52)
    raw = rng.integers(-3100, 4000, SHAPE).astype(np.int16)
    volume = raw_node(HeadlessScene().scene, raw, oblique())
    node, direct = ct_of_node(volume), CTVolume.from_values(raw, oblique())
    assert np.array_equal(node.hu, direct.hu)
    assert np.array_equal(node.padding, direct.padding)
