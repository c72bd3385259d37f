"""Thousands of random edits: the live counts always equal a full count that shares no code with them."""

import numpy as np
import pytest

pytest.importorskip("slicer")

import slicer
import vtk
from scene_world import ALL_IDS, LOBE_IDS, World, array_of
from vtk.util.numpy_support import vtk_to_numpy

from COVIDQuantLib.anatomy import LESION, LOBES
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.nodes.tables import cell_text
from COVIDQuantLib.terminology_text import serialize


class Reader:
    """Someone who does anything to a segmentation that Slicer lets one do."""

    def __init__(self, world):
        self.world = world
        self.rng = world.rng
        self.history = slicer.vtkSegmentationHistory()
        self.history.SetSegmentation(world.content)
        self.extra = 0

    def any_segment(self):
        return self.rng.choice(self.world.ids) if self.world.ids else None

    def anywhere(self):
        """A voxel in the CT or just outside it."""
        return [int(self.rng.integers(-3, size + 3)) for size in self.world.geometry.shape]

    def paint(self):
        segment_id = self.any_segment()
        if segment_id:
            others = self.world.ids if self.rng.random() < 0.6 else []
            mode = self.rng.choice([self.world.logic.MODE_MERGE_MASK, self.world.logic.MODE_MERGE_MAX])
            self.world.paint(segment_id, self.world.ball(self.anywhere(), int(self.rng.integers(1, 4))), mode, others)

    def erase(self):
        segment_id = self.any_segment()
        if segment_id:
            ball = self.world.ball(self.anywhere(), int(self.rng.integers(1, 5)), value=0)
            self.world.paint(segment_id, ball, self.world.logic.MODE_MERGE_MIN, self.world.ids)

    def move_boundary(self):
        lobes = [segment_id for segment_id in self.world.ids if segment_id in LOBE_IDS]
        if lobes:
            first = self.anywhere()
            block = np.ones([int(n) for n in self.rng.integers(1, 7, 3)], np.uint8)
            image = self.world.labelmap(block, first)
            self.world.paint(self.rng.choice(lobes), image, self.world.logic.MODE_MERGE_MASK, self.world.ids)

    def replace(self):
        """A whole new shape, larger or smaller than the CT."""
        segment_id = self.any_segment()
        if segment_id:
            shape = [int(n) for n in self.rng.integers(2, 26, 3)]
            image = self.world.labelmap((self.rng.random(shape) < 0.3).astype(np.uint8), self.anywhere())
            self.world.paint(segment_id, image, self.world.logic.MODE_REPLACE, self.world.ids)

    def empty(self):
        segment_id = self.any_segment()
        if segment_id:
            self.world.logic.ClearSegment(self.world.node, segment_id)

    def remove(self):
        segment_id = self.any_segment()
        if segment_id:
            self.world.content.RemoveSegment(segment_id)

    def add_again(self):
        absent = [segment_id for segment_id in ALL_IDS if segment_id not in self.world.ids]
        if absent:
            self.world.content.AddEmptySegment(self.rng.choice(absent), "again")

    def add_foreign(self):
        """Someone else's segment, known by its codes alone, half the time not on the CT's voxels."""
        self.extra += 1
        segment_id = f"other_{self.extra}"
        kind = self.rng.choice([*LOBES, LESION, None])
        tag = serialize(kind.terminology) if kind is not None else None
        block = (self.rng.random([int(n) for n in self.rng.integers(2, 12, 3)]) < 0.7).astype(np.uint8)
        if self.rng.random() < 0.5:
            scale, shift = float(self.rng.uniform(0.6, 1.9)), self.rng.uniform(-3, 9, 3)
            image = self.world.labelmap(block, spacing_scale=scale, shift=shift)
        else:
            image = self.world.labelmap(block, self.anywhere())
        self.world.add(segment_id, image, tag)

    def rename(self):
        segment_id = self.any_segment()
        if segment_id:
            self.world.content.GetSegment(segment_id).SetName(f"name {self.rng.integers(99)}")

    def retag(self):
        others = [segment_id for segment_id in self.world.ids if segment_id.startswith("other_")]
        if others:
            segment_id = self.rng.choice(others)
            lobe = self.rng.choice(LOBES)
            self.world.content.GetSegment(segment_id).SetTag("TerminologyEntry", serialize(lobe.terminology))

    def reorder(self):
        if self.world.ids:
            self.world.content.SetSegmentIndex(self.any_segment(), int(self.rng.integers(len(self.world.ids))))

    def collapse(self):
        self.world.content.CollapseBinaryLabelmaps(bool(self.rng.random() < 0.2))

    def separate(self):
        segment_id = self.any_segment()
        if segment_id:
            self.world.content.SeparateSegmentLabelmap(segment_id)

    def new_label_value(self):
        """Another number for the same segment, sometimes one that needs a wider number type."""
        segment_id = self.any_segment()
        if not segment_id:
            return
        segment = self.world.content.GetSegment(segment_id)
        image = segment.GetRepresentation("Binary labelmap")
        if image.IsEmpty():
            return
        used = [self.world.content.GetNthSegment(n).GetLabelValue() for n in range(len(self.world.ids))]
        new = int(self.rng.choice([max(used) + 1, 300 + len(used)]))
        if new in used:
            return
        slicer.vtkOrientedImageDataResample.CastImageForValue(image, new)
        labels = vtk_to_numpy(image.GetPointData().GetScalars())
        labels[labels == segment.GetLabelValue()] = new
        image.GetPointData().GetScalars().Modified()
        segment.SetLabelValue(new)

    def write_voxels(self):
        """A script that writes into the label map itself."""
        segment_id = self.any_segment()
        image = self.world.content.GetSegment(segment_id).GetRepresentation("Binary labelmap") if segment_id else None
        if image is not None and not image.IsEmpty():
            labels = vtk_to_numpy(image.GetPointData().GetScalars())
            value = self.world.content.GetSegment(segment_id).GetLabelValue()
            labels[self.rng.random(labels.shape) < 0.05] = min(value, np.iinfo(labels.dtype).max)
            image.GetPointData().GetScalars().Modified()
            image.Modified()

    def undo(self):
        if self.history.IsRestorePreviousStateAvailable():
            self.history.RestorePreviousState()

    def redo(self):
        if self.history.IsRestoreNextStateAvailable():
            self.history.RestoreNextState()

    def change_ct(self):
        k, j, i = (int(self.rng.integers(size)) for size in self.world.geometry.shape)
        array_of(self.world.volume)[k : k + 4, j : j + 4, i : i + 4] += 40
        self.world.volume.GetImageData().GetPointData().GetScalars().Modified()
        self.world.volume.GetImageData().Modified()

    def move_node(self):
        """Put the segmentation under a transform, or take it out."""
        if self.world.node.GetParentTransformNode() is not None:
            self.world.node.SetAndObserveTransformNodeID(None)
            return
        transform = self.world.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
        matrix = vtk.vtkMatrix4x4()
        for axis in range(3):
            matrix.SetElement(axis, 3, float(self.rng.uniform(-3, 3)))
        transform.SetMatrixTransformToParent(matrix)
        self.world.node.SetAndObserveTransformNodeID(transform.GetID())

    OFTEN = ("paint", "erase", "move_boundary")
    SOMETIMES = (
        *("replace", "empty", "remove", "add_again", "add_foreign", "rename", "retag", "reorder", "collapse"),
        *("separate", "new_label_value", "write_voxels", "undo", "redo", "change_ct", "move_node"),
    )

    def act(self):
        name = self.rng.choice(self.OFTEN if self.rng.random() < 0.5 else self.SOMETIMES)
        if name not in ("undo", "redo"):
            self.history.SaveState()
        getattr(self, name)()
        return name


def assert_counts_are_true(world, live):
    counts, overlap = world.recount()
    assert np.array_equal(live.histogram.counts, counts)
    warned = {warning.code for warning in live.warnings()}
    assert ("lobes-overlap" in warned) == (overlap > 0)


def random_edits(seed, edits):
    world = World(seed)
    live = LiveQuantification(world.volume, world.node)
    reader = Reader(world)
    done = []
    while len(done) < edits:
        # Several edits may fall between two updates.
        done += [reader.act() for _ in range(int(world.rng.choice([1, 1, 1, 2, 3])))]
        live.update()
        try:
            assert_counts_are_true(world, live)
        except AssertionError:
            print(f"seed {seed}, after edit {len(done)}: {done[-3:]}")
            raise
    return world, live


@pytest.mark.parametrize("seed", range(8))
def test_random_edits_equal_a_full_count(seed, capfd):
    world, live = random_edits(seed, 250)
    shown = [[live.table.GetCellText(r, c) for c in range(14)] for r in range(9)]
    fresh = compute_metrics(JointHistogram(world.geometry.voxel_volume_ml, world.recount()[0]))
    assert shown == [[cell_text(row[column]) for column in fresh.columns] for row in fresh.rows]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_many_more_random_edits(seed):
    random_edits(seed, 1000)


def test_thresholds_change_figures_without_a_count():
    world = World(3)
    live = LiveQuantification(world.volume, world.node)
    before = live.metrics.value("whole lung", "ggo_volume_ml")
    live.thresholds = Thresholds(-600, -200)
    assert not live.update()
    counts, _ = world.recount()
    expected = compute_metrics(JointHistogram(world.geometry.voxel_volume_ml, counts), Thresholds(-600, -200))
    assert live.metrics.rows == expected.rows
    assert live.metrics.value("whole lung", "ggo_volume_ml") != before


def test_only_the_changed_box_is_counted():
    world = World(4)
    live = LiveQuantification(world.volume, world.node)
    world.paint(LESION.segment_id, world.ball((5, 10, 14), 2), world.logic.MODE_MERGE_MAX)
    assert live.update()
    assert live.recounted_voxels <= 5**3
    assert not live.update()
