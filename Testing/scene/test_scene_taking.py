"""How a result of the background process enters the scene: complete, at once, and hidden until it is taken up."""

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
import vtk
from worker_world import WorkerThat, until

from COVIDQuantLib.anatomy import LESION, LOBES
from COVIDQuantLib.pipeline import MODEL_FREE, Plan
from COVIDQuantLib.progress import ProgressState
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.nodes.segmentations import LESION_FILL, LOBE_FILL
from COVIDQuantLib.scene.nodes.volumes import node_of_ct
from COVIDQuantLib.scene.quantification_run import Outcome, QuantifyRun

PLAN = Plan(MODEL_FREE)
KIND = "vtkMRMLSegmentationNode"


@pytest.fixture(scope="module")
def ct(once):
    return once.phantom(seed=1, thickness_mm=8.0, matrix=80, slices=15, extent_percent=10.0).ct


@pytest.fixture
def scene():
    return HeadlessScene().scene


@pytest.fixture(scope="module")
def worker():
    """Answers at once, whatever the CT."""
    with WorkerThat("answer") as worker:
        yield worker


def started(volume, worker):
    run = QuantifyRun(lambda: worker)
    run.start(volume, "result", PLAN)
    return run


@pytest.fixture
def run(scene, ct, worker):
    return started(node_of_ct(scene, ct, "CT"), worker)


def arrived(scene, run):
    """Poll until the result is in the scene; the node."""

    def look():
        assert isinstance(run.poll(), ProgressState), "it is handed over by a later poll"
        return scene.GetFirstNodeByClass(KIND)

    return until(look)


def test_no_observer_meets_half_a_result(scene, run):
    seen = []

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def look(_scene, _event, node):
        if node.IsA(KIND):
            display = node.GetDisplayNode()
            seen.append((node.GetSegmentation().GetNumberOfSegments(), bool(display.GetVisibility())))

    scene.AddObserver(scene.NodeAddedEvent, look)
    node = arrived(scene, run)
    assert seen == [(len(LOBES) + 1, False)]
    display = node.GetDisplayNode()
    assert not display.GetVisibility()
    fills = [display.GetSegmentOpacity2DFill(kind.segment_id) for kind in (*LOBES, LESION)]
    assert fills == pytest.approx([LOBE_FILL] * len(LOBES) + [LESION_FILL])
    assert [display.GetSegmentColor(kind.segment_id) for kind in LOBES] == [pytest.approx(k.colour) for k in LOBES]
    outcome = run.poll()
    assert isinstance(outcome, Outcome)
    assert outcome.segmentation is node
    assert run.poll() is None


@pytest.mark.parametrize("end", ["remove", "close"])
def test_a_result_that_is_removed_before_it_is_handed_over_is_none(scene, run, end):
    node = arrived(scene, run)
    assert run.is_running
    scene.Clear(0) if end == "close" else scene.RemoveNode(node)
    outcome = run.poll()
    assert (outcome.segmentation, outcome.cancelled, outcome.error) == (None, True, None)
    assert not run.is_running


def test_it_stays_where_a_cancel_comes_too_late(scene, run):
    node = arrived(scene, run)
    run.cancel()
    assert run.poll().segmentation is node
    assert scene.IsNodePresent(node)


def test_a_moved_cts_result_is_in_its_place(scene, ct, worker):
    transform, matrix = slicer.vtkMRMLLinearTransformNode(), vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 30.0)
    scene.AddNode(transform)
    transform.SetMatrixTransformToParent(matrix)
    volume = node_of_ct(scene, ct, "CT")
    volume.SetAndObserveTransformNodeID(transform.GetID())
    node = arrived(scene, started(volume, worker))
    assert node.GetParentTransformNode() is transform
    assert node.GetNodeReference(node.GetReferenceImageGeometryReferenceRole()) is volume
