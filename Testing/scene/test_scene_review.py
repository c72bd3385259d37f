"""What a reader does to segments, and the way back: edits by code, the kept AI result, statuses, undo, reload."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
import vtk
from scene_world import ALL_IDS, LOBE_IDS, SHAPE, World
from test_scene_life import nothing_is_logged, saved_and_reloaded  # noqa: F401 - a fixture of all tests here

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.review.ai_result import (
    ORIGINAL_ROLE,
    component_at,
    has_original,
    keep_original,
    original_labels,
    restore_all,
    restore_at,
)
from COVIDQuantLib.scene.review.segment_edits import add_to_lesion, remove_from_lesion, take_from_other_lobes
from COVIDQuantLib.scene.review.segment_status import (
    Figures,
    Status,
    StatusFollower,
    accept,
    status_record,
    statuses_of,
    take_back_acceptance,
    whose_figures,
)
from COVIDQuantLib.voxels.box import Box
from COVIDQuantLib.voxels.label_codec import decode_labels, encode_labels

WHOLE = Box.of_shape(SHAPE)


def reviewed(seed):
    """A world with its AI result kept, live figures and a follower of statuses."""
    world = World(seed)
    live = LiveQuantification(world.volume, world.node)
    keep_original(world.node, *live.labels(WHOLE), live.histogram)
    return world, live, StatusFollower(world.node, live.histogram)


def edit(live, follower, change):
    change()
    live.update()
    follower.update(live.histogram)


def paint(world, center=(10, 14, 14), radius=2):
    return world.paint("pneumonia", world.ball(center, radius), world.logic.MODE_MERGE_MAX)


@pytest.mark.parametrize("seed", range(6))
def test_labels_survive_text(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(1, 12, 3))
    labels = rng.integers(0, 14, shape).astype(np.uint8) * (rng.random(shape) < 0.5)
    assert np.array_equal(decode_labels(encode_labels(labels)), labels)


@pytest.mark.parametrize("labels", [np.zeros((2, 3, 4), np.uint8), np.ones((3, 2, 2), bool)])
def test_plain_labels_survive_text(labels):
    assert np.array_equal(decode_labels(encode_labels(labels)), labels)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": "covidquant-labels/1", "shape": [1, 1, 1], "box": 3}'])
def test_damaged_text_is_refused_in_words(text):
    with pytest.raises(UnfitInputError, match="damaged"):
        decode_labels(text)


def test_a_chest_takes_little_room():
    k, j, i = np.ogrid[:100, :256, :256]
    labels = ((j - 128) ** 2 + (i - 128) ** 2 < 90**2).astype(np.uint8) * (1 + (k > 50)).astype(np.uint8)
    assert len(encode_labels(labels)) < labels.size // 100


@pytest.mark.parametrize("seed", range(4))
def test_voxels_are_removed_and_added_exactly(seed):
    world = World(seed)
    rng = np.random.default_rng(seed)
    before, lobes = world.exported("pneumonia"), [world.exported(name) for name in LOBE_IDS]
    box = Box((2, 3, 4), (9, 12, 13))
    mask = rng.random(box.shape) < 0.4
    remove_from_lesion(world.node, world.volume, mask, box)
    expected = before.copy()
    expected[box.slices] &= ~mask
    assert np.array_equal(world.exported("pneumonia"), expected)
    add_to_lesion(world.node, world.volume, mask, box)
    expected[box.slices] |= mask
    assert np.array_equal(world.exported("pneumonia"), expected)
    assert all(np.array_equal(world.exported(n), lobe) for n, lobe in zip(LOBE_IDS, lobes, strict=True))


def test_edits_lie_right_under_a_transform():
    world = World(7)
    turn = world.scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, 30.0)
    turn.SetMatrixTransformToParent(matrix)
    world.volume.SetAndObserveTransformNodeID(turn.GetID())
    world.node.SetAndObserveTransformNodeID(turn.GetID())
    box = Box((3, 4, 5), (5, 6, 7))
    before = world.exported("pneumonia")
    remove_from_lesion(world.node, world.volume, np.ones(box.shape, bool), box)
    expected = before.copy()
    expected[box.slices] = False
    assert np.array_equal(world.exported("pneumonia"), expected)


def test_without_pneumonia_there_is_nothing_to_remove_from():
    world = World(8)
    world.content.RemoveSegment("pneumonia")
    with pytest.raises(UnfitInputError, match="pneumonia"):
        remove_from_lesion(world.node, world.volume, np.ones((1, 1, 1), bool), Box((0, 0, 0), (1, 1, 1)))


def test_a_painted_lobe_takes_from_its_neighbours():
    world = World(9)
    ball = world.ball((6, 7, 9), 3)
    world.paint("right_upper_lobe", ball, world.logic.MODE_MERGE_MAX)
    live = LiveQuantification(world.volume, world.node)
    assert "lobes-overlap" in {warning.code for warning in live.warnings()}
    mask = world.exported("right_upper_lobe")
    take_from_other_lobes(world.node, world.volume, "right_upper_lobe", mask, WHOLE)
    live.update()
    assert "lobes-overlap" not in {warning.code for warning in live.warnings()}
    assert np.array_equal(world.exported("right_upper_lobe"), mask)


def test_the_whole_ai_result_comes_back_even_for_deleted_segments():
    world, live, follower = reviewed(10)
    before = {name: world.exported(name) for name in ALL_IDS}
    counts = live.histogram.counts.copy()
    paint(world)
    world.paint("right_upper_lobe", world.ball((6, 7, 9), 3), world.logic.MODE_MERGE_MAX)
    world.content.RemoveSegment("left_lower_lobe")
    world.content.RemoveSegment("pneumonia")
    live.update()
    assert not np.array_equal(live.histogram.counts, counts)
    restore_all(live)
    live.update()
    follower.update(live.histogram)
    assert np.array_equal(live.histogram.counts, counts)
    for name, mask in before.items():
        assert np.array_equal(world.exported(name), mask), name
    assert set(statuses_of(world.node).values()) == {Status.UNTOUCHED}
    assert live.warnings() == []


def test_one_place_comes_back_and_others_stay_edited():
    world, live, _ = reviewed(11)
    _, before = original_labels(world.node)
    paint(world, (11, 15, 16), 1)
    remove_from_lesion(world.node, world.volume, np.ones((2, 2, 2), bool), Box((4, 6, 7), (6, 8, 9)))
    live.update()
    now = world.exported("pneumonia")
    assert restore_at(live, (11, 15, 16)) > 0
    live.update()
    expected = now.copy()
    expected[9:14, 13:18, 14:19] = before[9:14, 13:18, 14:19]
    assert np.array_equal(world.exported("pneumonia"), expected)
    assert restore_at(live, (4, 6, 7)) == 8
    live.update()
    assert np.array_equal(world.exported("pneumonia"), before)
    assert restore_at(live, (4, 6, 7)) == 0
    assert restore_at(live, (0, 0, 0)) == 0
    assert restore_at(live, (99, 0, 0)) == 0


@pytest.mark.parametrize("size", [5, 70])
def test_a_component_is_found_whole_however_far_it_reaches(size):
    mask = np.zeros((12, size + 4, 8), bool)
    mask[3, 1 : size + 1, 2] = True
    mask[9, :, 6] = True
    part, box = component_at(mask, (3, 1, 2))
    found = np.zeros_like(mask)
    found[box.slices] = part
    expected = mask.copy()
    expected[9] = False
    assert np.array_equal(found, expected)


def test_another_ct_refuses_the_kept_result():
    world, live, _ = reviewed(12)
    labels = np.zeros((3, 3, 3), np.uint8)
    keep_original(world.node, labels, labels.astype(bool), live.histogram)
    with pytest.raises(UnfitInputError, match="not the one"):
        restore_all(live)


def test_without_a_kept_result_it_says_so():
    world = World(13)
    live = LiveQuantification(world.volume, world.node)
    assert not has_original(world.node)
    with pytest.raises(UnfitInputError, match="not kept"):
        restore_all(live)
    assert whose_figures(world.node, live.histogram) is Figures.AI


def test_the_kept_result_and_statuses_survive_a_scene_bundle(tmp_path):
    world, live, follower = reviewed(14)
    kept = original_labels(world.node)
    edit(live, follower, lambda: paint(world))
    session = saved_and_reloaded(world, tmp_path)
    again = session.scene.GetFirstNodeByName("segmentation")
    assert again.GetNodeReference(ORIGINAL_ROLE).GetHideFromEditors()
    assert all(np.array_equal(one, other) for one, other in zip(kept, original_labels(again), strict=True))
    assert statuses_of(again) == statuses_of(world.node)
    relive = LiveQuantification.reattach(again)
    assert whose_figures(again, relive.histogram) is Figures.EDITED
    restore_all(relive)
    relive.update()
    assert whose_figures(again, relive.histogram) is Figures.AI


def test_statuses_follow_every_edit_and_only_the_edited_segment():
    world, live, follower = reviewed(15)
    assert whose_figures(world.node, live.histogram) is Figures.AI
    edit(live, follower, lambda: paint(world))
    statuses = statuses_of(world.node)
    assert statuses.pop("pneumonia") is Status.IN_PROGRESS
    assert set(statuses.values()) == {Status.UNTOUCHED}
    assert whose_figures(world.node, live.histogram) is Figures.EDITED
    accept(world.node, live.histogram)
    assert whose_figures(world.node, live.histogram) is Figures.ACCEPTED
    assert status_record(world.node, live.histogram)["segments"]["pneumonia"] == "accepted"
    take_back_acceptance(world.node, live.histogram)
    assert statuses_of(world.node)["pneumonia"] is Status.IN_PROGRESS
    assert statuses_of(world.node)["right_upper_lobe"] is Status.UNTOUCHED
    accept(world.node, live.histogram)
    edit(live, follower, lambda: paint(world, (3, 14, 4)))
    assert statuses_of(world.node)["pneumonia"] is Status.IN_PROGRESS
    assert statuses_of(world.node)["right_upper_lobe"] is Status.ACCEPTED
    assert whose_figures(world.node, live.histogram) is Figures.EDITED


def test_undo_brings_acceptance_back_and_can_itself_be_undone():
    world, live, follower = reviewed(18)
    edit(live, follower, lambda: paint(world))
    accept(world.node, live.histogram)
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(world.content)
    history.SaveState()
    edit(live, follower, lambda: paint(world, (3, 14, 4)))
    assert whose_figures(world.node, live.histogram) is Figures.EDITED
    edit(live, follower, history.RestorePreviousState)
    assert whose_figures(world.node, live.histogram) is Figures.ACCEPTED
    assert history.IsRestoreNextStateAvailable()
    edit(live, follower, history.RestoreNextState)
    assert whose_figures(world.node, live.histogram) is Figures.EDITED
    edit(live, follower, history.RestorePreviousState)
    # What was accepted is not what the AI had found.
    edit(live, follower, lambda: restore_all(live))
    assert whose_figures(world.node, live.histogram) is Figures.AI
    assert statuses_of(world.node)["pneumonia"] is Status.UNTOUCHED


def test_undo_of_an_edit_by_slicers_history_makes_it_the_ais_again():
    world, live, follower = reviewed(16)
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(world.content)
    history.SaveState()
    edit(live, follower, lambda: remove_from_lesion(world.node, world.volume, np.ones(SHAPE, bool), WHOLE))
    assert live.metrics.value("whole lung", "extent_percent") == 0
    edit(live, follower, history.RestorePreviousState)
    assert whose_figures(world.node, live.histogram) is Figures.AI
    assert statuses_of(world.node)["pneumonia"] is Status.UNTOUCHED
    edit(live, follower, history.RestoreNextState)
    assert whose_figures(world.node, live.histogram) is Figures.EDITED
    assert live.metrics.value("whole lung", "extent_percent") == 0
