"""A CT node quantified by a worker while the scene stays in use, on real MRML nodes."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from worker_world import WorkerThat, blocks_left, is_running, until

from COVIDQuantLib.errors import Cancelled, UnfitInputError
from COVIDQuantLib.pipeline import MODEL_FREE, Plan
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.navigation import place_of_region
from COVIDQuantLib.scene.nodes.segmentations import segmentation_of_node
from COVIDQuantLib.scene.nodes.volumes import node_of_ct, voxels_of
from COVIDQuantLib.scene.quantification_job import VolumeJob, quantify_volume, warnings_of_node
from COVIDQuantLib.worker.worker import Worker

PLAN = Plan(MODEL_FREE)


@pytest.fixture(scope="module")
def phantom(once):
    return once.phantom(seed=1, thickness_mm=10.0, matrix=64, extent_percent=10.0).ct


@pytest.fixture
def world(phantom):
    world = HeadlessScene()
    return world, node_of_ct(world.scene, phantom, "CT")


@pytest.fixture(scope="module")
def worker():
    with Worker() as worker:
        yield worker


@pytest.fixture(scope="module")
def quick():
    """Answers at once, whatever the CT."""
    with WorkerThat("answer") as worker:
        yield worker


def node_of(job):
    return until(lambda: job.poll()[1]).segmentation


def test_the_node_is_that_of_the_job_done_here(world, worker):
    scene, volume = world[0].scene, world[1]
    nodes = scene.GetNumberOfNodes()
    job = VolumeJob(volume, "CT pneumonia", worker, PLAN)
    state, node = job.poll()
    assert node is None
    assert 0.0 <= state.fraction < 1.0
    assert scene.GetNumberOfNodes() == nodes, "nothing is added before it is done"
    voxels_of(volume)[0, 0, 0] += 1
    there = node_of(job)
    voxels_of(volume)[0, 0, 0] -= 1
    taken = job.poll()[1]
    here = quantify_volume(volume, "CT pneumonia", plan=PLAN)
    assert taken.segmentation is there
    live = LiveQuantification(volume, here)
    assert np.array_equal(taken.counts, live.histogram.counts), "it is counted where it was made"
    assert taken.place == pytest.approx(place_of_region(live, "whole lung"))
    live.close()
    assert there.GetName() != here.GetName()
    one, other = (segmentation_of_node(node, volume) for node in (here, there))
    assert np.array_equal(one.lobes, other.lobes)
    assert np.array_equal(one.lesions, other.lesions)
    assert one.provenance == other.provenance
    assert warnings_of_node(there) == warnings_of_node(here)
    assert warnings_of_node(there)


def test_a_scene_that_closes_cancels_the_job(world, worker):
    scene, volume = world[0].scene, world[1]
    job = VolumeJob(volume, "CT pneumonia", worker, PLAN)
    pid = worker.pid
    until(lambda: job.poll()[0].stage != "waiting")
    scene.Clear()
    job.cancel()
    assert not is_running(pid)
    assert blocks_left() == []
    with pytest.raises(Cancelled):
        job.poll()
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


@pytest.mark.parametrize("change", ["removed", "moved"])
def test_a_ct_that_is_gone_or_elsewhere_gets_no_segments(world, quick, change):
    scene, volume = world[0].scene, world[1]
    job = VolumeJob(volume, "CT pneumonia", quick, PLAN)
    if change == "removed":
        scene.RemoveNode(volume)
    else:
        volume.SetOrigin(1.0, 2.0, 3.0)
    with pytest.raises(UnfitInputError, match=change):
        node_of(job)
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0


def test_a_ct_that_is_none_is_refused_in_words(world, worker):
    voxels_of(world[1])[:] = 40
    with pytest.raises(UnfitInputError):
        node_of(VolumeJob(world[1], "x", worker, PLAN))
