"""Rating, edit record and seconds of work on real nodes: kept with the scene, in files, and brought back from each."""

import json

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
import vtk
from scene_world import SHAPE, World, array_of, raw_node
from test_scene_export_job import done
from test_scene_files import load
from test_scene_life import nothing_is_logged, saved_and_reloaded  # noqa: F401 - a fixture of all tests here
from worker_world import until

from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.export.reader_records import GATE_CODE, OUTDATED_CODE
from COVIDQuantLib.export.segmentation_file import read_segmentation
from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.table import compute_metrics
from COVIDQuantLib.readers.scale import Verdict
from COVIDQuantLib.review.components import Component
from COVIDQuantLib.review.suspicion import Finding, Reason
from COVIDQuantLib.scene.export.edits_job import EditsJob
from COVIDQuantLib.scene.export.export_job import ExportJob
from COVIDQuantLib.scene.export.node_exam import exam_of_reading, export_reading
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.nodes.node_geometry import geometry_of
from COVIDQuantLib.scene.reading_session import Reading
from COVIDQuantLib.scene.review.ai_result import keep_original
from COVIDQuantLib.scene.review.reader_desk import EDITS_ATTRIBUTE, RATING_ATTRIBUTE, WORK_ATTRIBUTE
from COVIDQuantLib.voxels.box import Box
from COVIDQuantLib.voxels.geometry import Reorientation

WHOLE = Box.of_shape(SHAPE)
QUICK = ["segmentation", "metrics"]
NASTY = 'vessels | at "the" heart: 100 % \\n ü; a:b'


@pytest.fixture
def world():
    """A case with its AI result kept, being read."""
    world = World(60)
    world.reading = Reading(world.volume, world.node)
    world.ai = world.reading.live.labels(WHOLE)
    keep_original(world.node, *world.ai, world.reading.live.histogram)
    yield world
    world.reading.close()


def paint(world):
    world.paint("pneumonia", world.ball((10, 14, 14), 2), world.logic.MODE_MERGE_MAX)
    world.reading.update()


def rate(reading, one=2, other=3):
    reading.readers.rate("AB", one, comment=NASTY)
    reading.readers.rate("CD", other)


def comparable(edits):
    """Without the seconds, which go on."""
    return {key: value for key, value in edits.as_record().items() if key != "active_seconds"}


def edits_of(reading):
    job = EditsJob(reading)
    return until(job.poll)


# ------------------------------------------------------------------------------------------------------ in the scene


def test_the_gate_follows_two_readers(world):
    readers = world.reading.readers
    readers.rate("ab", 1)
    assert readers.rating.verdict is Verdict.WAITING
    with pytest.raises(UnfitInputError, match="already"):
        readers.rate("AB", 2)
    with pytest.raises(UsageError):
        readers.rate("CD", "4.5")
    assert readers.rate("CD", 3).excludes
    with pytest.raises(UnfitInputError, match="third"):
        readers.rate("EF", 3)
    assert readers.rating.is_about(readers.segments)


def test_editing_after_the_rating_needs_another_round_and_undo_does_not(world):
    reading = world.reading
    rate(reading)
    before = world.exported("pneumonia")
    paint(world)
    assert not reading.readers.rating.is_about(reading.readers.segments)
    for warnings in (reading.warnings, exam_of_reading(reading).warnings):
        codes = [warning.code for warning in warnings]
        assert (codes.count(GATE_CODE), codes.count(OUTDATED_CODE)) == (1, 1)
    reading.readers.rate("AB", 5)
    reading.readers.rate("CD", 4)
    assert reading.readers.rating.verdict is Verdict.ADEQUATE
    assert len(reading.readers.rating.rounds) == 2
    world.paint("pneumonia", world.labelmap(before.astype(np.uint8)), world.logic.MODE_REPLACE)
    reading.update()
    assert reading.readers.rating.rounds[0].of.is_surely(reading.readers.segments)


def test_undo_and_a_restored_segment_take_no_rating_away(world, tmp_path):
    reading = world.reading
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(world.content)
    history.SaveState()
    paint(world)
    rate(reading)
    history.RestorePreviousState()
    reading.update()
    storage = world.scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(tmp_path / "undone.seg.nrrd"))
    assert storage.WriteData(world.node)
    assert '"verdict": "excluded from quantification"' in read_segmentation(tmp_path / "undone.seg.nrrd").told
    world.content.RemoveSegment("pneumonia")
    reading.back_to_original()
    assert storage.WriteData(world.node)
    assert read_segmentation(tmp_path / "undone.seg.nrrd").told


def test_the_edit_record_is_that_of_the_voxels(world):
    reading = world.reading
    reading.readers.name_reader("ab")
    reading.readers.clock.seconds = 75.0
    paint(world)
    edits = edits_of(reading)
    raw = array_of(world.volume)
    # Voxels that were not measured count nowhere.
    after, before = reading.live.labels(WHOLE)[1] & (raw >= -1500), world.ai[1] & (raw >= -1500)
    ml = reading.live.histogram.voxel_volume_ml
    row = edits.change()
    assert row["lesion_added_ml"] == pytest.approx(np.count_nonzero(after & ~before) * ml)
    assert row["lesion_removed_ml"] == 0
    both, total = np.count_nonzero(after & before), np.count_nonzero(after) + np.count_nonzero(before)
    assert row["lesion_dice"] == pytest.approx(2 * both / total)
    ct = exam_of_reading(reading).ct
    counts = JointHistogram.of(ct.hu, *world.ai, ml, raw < -1500)
    assert edits.before == list(compute_metrics(counts).rows)
    assert edits.after == list(reading.live.metrics.rows)
    assert (edits.reader, edits.seconds) == ("AB", 75.0)
    exported = exam_of_reading(reading).records["edit_record"]
    assert {key: value for key, value in exported.items() if key != "active_seconds"} == comparable(edits)


def test_without_an_ai_result_there_is_no_edit_record():
    world = World(61)
    reading = Reading(world.volume, world.node)
    job = EditsJob(reading)
    until(lambda: job.poll() or job.is_done)
    assert reading.readers.edits is None
    rate(reading)
    records = exam_of_reading(reading).records
    assert "edit_record" not in records
    assert records["rating"]["verdict"] == "excluded from quantification"
    reading.close()


def test_what_was_removed_as_artefact_is_told_with_its_reasons(world, tmp_path):
    """Also after the scene was reloaded, before the artefacts are looked for again."""
    reading = world.reading
    lesions = Reorientation.of(geometry_of(world.volume)).apply(world.ai[1])
    place = np.argwhere(lesions)
    k, j, i = (slice(int(a), int(b) + 1) for a, b in zip(place.min(axis=0), place.max(axis=0), strict=True))
    lobes = ("left lower lobe",)
    component = Component("3-4-5", (k, j, i), lesions[k, j, i], 1.5, (5.0, 8.0, 8.0), lobes)
    reason = Reason("heart_border", "{percent:.0f} % lies at the heart", {"percent": 90.0})
    found = Finding(
        number=1, id="3-4-5", box=component.box, centroid_kji=component.centroid_kji, volume_ml=1.5, mean_hu=-600.0,
        lobes=lobes, score=0.9, suspected=True, cues={}, reasons=(reason,), effect={}, component=component,
    )  # fmt: skip
    reading.findings.take([found])
    reading.findings.remove(reading.findings.found[0])
    reading.update()
    (told,) = exam_of_reading(reading).records["edit_record"]["removed_as_artefact"]
    assert (told["id"], told["lobes"]) == ("3-4-5", ["left lower lobe"])
    assert told["reasons"] == ["90 % lies at the heart"]
    session = saved_and_reloaded(world, tmp_path)
    again = Reading(None, session.scene.GetFirstNodeByName("segmentation"))
    (still,) = exam_of_reading(again).records["edit_record"]["removed_as_artefact"]
    assert still == told
    again.close()


# ------------------------------------------------------------------------------------------------------- round trips


def test_a_saved_scene_brings_everything_back(world, tmp_path):
    reading = world.reading
    rate(reading)
    paint(world)
    edits = edits_of(reading)
    reading.readers.clock.seconds = 321.0
    reading.readers.write_work()
    session = saved_and_reloaded(world, tmp_path)
    again = Reading(None, session.scene.GetFirstNodeByName("segmentation"))
    assert again.readers.problem == ""
    assert again.readers.rating == reading.readers.rating
    assert again.readers.rating.rounds[0].by("AB").scores[0].comment == NASTY
    assert again.readers.edits == edits
    assert again.readers.clock.seconds == 321.0
    # The AI's masks came back too: the record can be made again, and is the same but for the rounding of spacings.
    made = edits_of(again)
    assert (made.ai, made.final) == (edits.ai, edits.final)
    for one, other in zip(made.changes, edits.changes, strict=True):
        for name, value in one.items():
            assert value == (other[name] if other[name] is None or name == "region" else pytest.approx(other[name]))
    again.close()


@pytest.mark.parametrize("in_background", [False, True])
def test_exported_files_bring_everything_back(world, tmp_path, in_background):
    reading = world.reading
    paint(world)
    rate(reading)
    reading.readers.clock.seconds = 61.0
    if in_background:
        done(ExportJob(reading, tmp_path / "case", QUICK))
    else:
        export_reading(reading, tmp_path / "case", QUICK)
    told = read_metrics(tmp_path / "case").readers
    assert told.rating.verdict is Verdict.EXCLUDED
    assert told.rating == reading.readers.rating.__class__(told.edits.ai, reading.readers.rating.rounds)
    assert told.edits.seconds >= 61.0
    assert GATE_CODE in {one["code"] for one in read_metrics(tmp_path / "case").record["warnings"]}
    path = tmp_path / "case" / "segmentation.seg.nrrd"
    assert read_segmentation(path).readers() == told
    # The segmentation alone, beside the CT, in another scene.
    session = HeadlessScene()
    volume = raw_node(session.scene, array_of(world.volume), world.geometry)
    node = load(session.scene, "vtkMRMLSegmentationNode", path)
    again = Reading(volume, node)
    assert again.readers.problem == ""
    assert again.readers.rating == told.rating
    assert again.readers.edits == told.edits
    assert again.readers.clock.seconds == told.edits.seconds
    # Saved by Slicer itself, and exported once more, it is still there.
    storage = session.scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(tmp_path / "slicers.seg.nrrd"))
    assert storage.WriteData(node)
    assert read_segmentation(tmp_path / "slicers.seg.nrrd").readers() == told
    export_reading(again, tmp_path / "again", QUICK)
    assert read_metrics(tmp_path / "again").readers == told
    again.close()


def test_figures_bring_a_rating_back_to_their_own_segments_alone(world, tmp_path):
    reading = world.reading
    export_reading(reading, tmp_path / "case", QUICK)
    rate(reading)
    export_reading(reading, tmp_path / "rated", QUICK)
    other = World(62)
    second = Reading(other.volume, other.node)
    with pytest.raises(UnfitInputError) as refused:
        second.readers.take(tmp_path / "rated")
    assert refused.value.code == "rating-other-exam"
    assert second.readers.rating is None
    assert other.node.GetAttribute(RATING_ATTRIBUTE) is None
    second.close()
    reading.readers.take(tmp_path / "case")
    assert reading.readers.rating is None
    assert world.node.GetAttribute(RATING_ATTRIBUTE) is None
    reading.readers.take(tmp_path / "rated")
    assert reading.readers.rating.mean == 2.5


def test_a_file_edited_after_the_rating_opens_without_it(world, tmp_path):
    reading = world.reading
    rate(reading)
    paint(world)
    storage = world.scene.AddNewNodeByClass("vtkMRMLSegmentationStorageNode")
    storage.SetFileName(str(tmp_path / "edited.seg.nrrd"))
    assert storage.WriteData(world.node)
    session = HeadlessScene()
    volume = raw_node(session.scene, array_of(world.volume), world.geometry)
    again = Reading(volume, load(session.scene, "vtkMRMLSegmentationNode", tmp_path / "edited.seg.nrrd"))
    assert again.readers.rating is None
    assert "rating-other-exam" in again.readers.problem
    again.close()


@pytest.mark.parametrize(
    ("attribute", "text"),
    [(RATING_ATTRIBUTE, "{"), (RATING_ATTRIBUTE, "[]"), (RATING_ATTRIBUTE, '{"format": 1}'), (EDITS_ATTRIBUTE, "null"),
     (EDITS_ATTRIBUTE, "3"), (WORK_ATTRIBUTE, "[1]"), (WORK_ATTRIBUTE, '{"seconds": "long"}'),
     (WORK_ATTRIBUTE, '{"seconds": NaN}'), (RATING_ATTRIBUTE, "[" * 5000)],
)  # fmt: skip
def test_damaged_records_are_told_and_the_segments_can_be_read(world, attribute, text):
    world.reading.close()
    world.node.SetAttribute(attribute, text)
    world.reading = Reading(None, world.node)
    assert world.reading.readers.rating is None
    assert bool(world.reading.readers.problem) == (attribute != WORK_ATTRIBUTE)
    assert world.reading.live.metrics is not None


def test_the_rating_of_another_node_is_not_taken(world):
    rate(world.reading)
    other = World(63)
    reading = Reading(other.volume, other.node)
    keep_original(other.node, *reading.live.labels(WHOLE), reading.live.histogram)
    reading.close()
    other.node.SetAttribute(RATING_ATTRIBUTE, world.node.GetAttribute(RATING_ATTRIBUTE))
    again = Reading(None, other.node)
    assert again.readers.rating is None
    assert "rating-other-exam" in again.readers.problem
    again.close()


def test_the_seconds_grow_with_edits_and_are_kept(world):
    now = [100.0]
    clock = world.reading.readers.clock
    clock._now = lambda: now[0]
    for n in range(4):
        now[0] += 7.0
        world.paint("pneumonia", world.ball((8, 5 + n, 8), 1), world.logic.MODE_MERGE_MAX)
        world.reading.update()
    assert clock.seconds == 21.0
    assert json.loads(world.node.GetAttribute(WORK_ATTRIBUTE))["seconds"] == 21.0


def test_the_seconds_are_stored_without_an_event(world):
    told = []
    world.node.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: told.append(1))
    world.reading.readers.clock.seconds = 12.0
    world.reading.close()
    assert json.loads(world.node.GetAttribute(WORK_ATTRIBUTE))["seconds"] == 12.0
    assert told == [], "each event updates every slice view"
    world.node.SetAttribute("another", "told")
    assert told
