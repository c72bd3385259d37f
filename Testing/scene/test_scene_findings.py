"""Suspected artefacts on nodes: found, kept, removed, undone; export and statistics of a reading."""

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer
from scene_world import ALL_IDS, World, array_of
from test_scene_life import nothing_is_logged, saved_and_reloaded  # noqa: F401 - a fixture of all tests here
from worker_world import blocks_left, is_running, until

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import Cancelled, OutputError, UnfitInputError, UsageError
from COVIDQuantLib.export.table_file import read_metrics
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.review.status import Figures, FindingStatus
from COVIDQuantLib.review.suspicion import rank
from COVIDQuantLib.scene.export.node_exam import export_reading, files_in_the_way
from COVIDQuantLib.scene.headless_scene import HeadlessScene
from COVIDQuantLib.scene.live.segment_measures import SegmentMeasures
from COVIDQuantLib.scene.navigation import voxel_of_world
from COVIDQuantLib.scene.nodes.volumes import node_of_ct
from COVIDQuantLib.scene.quantification_job import _add_segmentation
from COVIDQuantLib.scene.reading_session import Reading
from COVIDQuantLib.scene.review.ai_result import ORIGINAL_ROLE, has_original
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation


@pytest.fixture(scope="module")
def phantom(once):
    return once.phantom(seed=3, thickness_mm=6.0, matrix=96, extent_percent=8.0, motion=True)


_readings = []


@pytest.fixture(autouse=True, scope="module")
def readings_are_closed():
    """A scene that is thrown away with observers on it may call them when they are half gone."""
    yield
    for reading in _readings:
        reading.close()


def followed(volume, node):
    _readings.append(Reading(volume, node))
    return _readings[-1]


class Case:
    """A reading of the phantom's truth with its artefacts as pneumonia, on a CT stored in any order of axes."""

    def __init__(self, phantom, axes=(0, 1, 2), flips=(1, 1, 1)):
        turn = _turned(phantom.ct.geometry, axes, flips)

        def apply(array):
            return np.ascontiguousarray(np.transpose(array, axes)[tuple(slice(None, None, flip) for flip in flips)])

        self.session = HeadlessScene()
        self.scene = self.session.scene
        hu = apply(phantom.ct.hu)
        ct = CTVolume(hu, turn)
        self.volume = node_of_ct(self.scene, ct, "CT")
        self.lobes = apply(phantom.lobes).astype(np.uint8)
        self.lesions = apply(phantom.lesions | phantom.artefacts).astype(bool)
        result = Segmentation(self.lobes, self.lesions, {"lobes": {"method": "given"}})
        self.node = _add_segmentation(self.volume, "result", ct, result)
        self.reading = followed(None, self.node)
        self.ct = ct

    def found(self):
        job = self.reading.findings.search()

        def ended():
            state = job.poll()
            return [state] if isinstance(state, list) else None

        self.reading.findings.take(until(ended)[0])
        return self.reading.findings.found


def _turned(geometry, axes, flips):
    """The grid of an array transposed and then flipped."""
    origin = np.array(geometry.origin)
    steps = np.reshape(geometry.direction, (3, 3)) * geometry.spacing
    of_axis = {0: steps[:, 2], 1: steps[:, 1], 2: steps[:, 0]}
    shape, spacing, columns = [], [], []
    for axis, flip in zip(axes, flips, strict=True):
        size, step = geometry.shape[axis], of_axis[axis]
        shape.append(size)
        spacing.append(float(np.linalg.norm(step)))
        if flip < 0:
            origin = origin + step * (size - 1)
            step = -step
        columns.append(step / np.linalg.norm(step))
    direction = np.stack(columns[::-1], axis=1)
    return Geometry(tuple(shape), tuple(spacing[::-1]), tuple(map(float, origin)), tuple(map(float, direction.ravel())))


@pytest.fixture(scope="module")
def case(phantom):
    case = Case(phantom)
    case.found()
    return case


def test_the_second_process_finds_what_is_found_here(case):
    turn = Reorientation.of(case.ct.geometry)
    here = rank(turn.apply(case.ct.hu), turn.apply(case.lesions), turn.apply(case.lobes), turn.canonical.spacing_kji)
    found = case.reading.findings.found
    assert [p.finding for p in found] == here
    assert found
    assert blocks_left() == []


@pytest.mark.parametrize(
    ("axes", "flips"), [((0, 1, 2), (-1, 1, -1)), ((2, 0, 1), (1, -1, 1)), ((1, 2, 0), (-1, -1, 1))]
)
def test_findings_lie_on_the_lesions_whatever_the_order_of_axes(phantom, case, axes, flips):
    turned = Case(phantom, axes, flips)
    plain = {p.finding.id: p for p in case.reading.findings.found}
    found = turned.found()
    assert [p.finding.id for p in found] == list(plain)
    for placed in found:
        assert turned.lesions[placed.box.slices][placed.mask].all()
        assert placed.point == pytest.approx(plain[placed.finding.id].point, abs=1e-6)
        k, j, i = voxel_of_world(turned.volume, placed.point)
        assert turned.lesions[k, j, i]


def test_removing_keeping_and_undo(phantom):
    case = Case(phantom)
    reading, findings = case.reading, case.reading.findings
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(case.node.GetSegmentation())
    before = reading.live.metrics.value("whole lung", "lesion_volume_ml")
    found = case.found()
    worst = findings.next_open(None) or found[0]
    assert findings.status(worst) is FindingStatus.UNTOUCHED
    history.SaveState()
    findings.remove(worst)
    reading.update()
    assert findings.status(worst) is FindingStatus.REMOVED
    assert reading.figures is Figures.EDITED
    after = reading.live.metrics.value("whole lung", "lesion_volume_ml")
    outside = worst.finding.volume_ml + worst.finding.effect["lesion_volume_ml"]
    assert before - after == pytest.approx(worst.finding.volume_ml - outside)
    history.RestorePreviousState()
    reading.update()
    assert findings.status(worst) is FindingStatus.UNTOUCHED
    assert reading.figures is Figures.AI
    findings.remove(worst)
    reading.update()
    findings.keep(worst)
    reading.update()
    assert findings.status(worst) is FindingStatus.KEPT
    assert reading.live.metrics.value("whole lung", "lesion_volume_ml") == before
    assert findings.next_open(None) is not worst
    findings.reopen(worst)
    assert findings.status(worst) is FindingStatus.UNTOUCHED
    reading.close()


def test_undo_takes_marks_and_removals_back_in_the_order_of_the_acts(phantom):
    case = Case(phantom)
    reading, findings = case.reading, case.reading.findings
    history = slicer.vtkSegmentationHistory()
    history.SetSegmentation(case.node.GetSegmentation())
    first, second, third = case.found()[:3]
    woken = []
    reading.live._wake = lambda: woken.append(1)

    def shown():
        reading.update()
        return tuple(findings.status(placed) for placed in (first, second, third))

    acts = [(findings.keep, first), (findings.remove, second), (findings.keep, third), (findings.remove, first)]
    states = [shown()]
    for act, placed in acts:
        history.SaveState()
        act(placed)
        states.append(shown())
    assert len(set(states)) == len(states)
    for state in reversed(states[:-1]):
        woken.clear()
        history.RestorePreviousState()
        assert woken
        assert shown() == state
    for state in states[1:]:
        history.RestoreNextState()
        assert shown() == state
    assert [record["status"] for record in findings.record()][:3] == [str(status) for status in states[-1]]
    reading.close()


def test_going_through_the_list_ends(case):
    findings = case.reading.findings
    suspected = [p for p in findings.found if p.finding.suspected]
    seen, placed = [], findings.next_open(None)
    while placed is not None and placed not in seen:
        seen.append(placed)
        findings.keep(placed)
        placed = findings.next_open(placed)
    assert seen == suspected
    for placed in suspected:
        findings.reopen(placed)


def test_the_list_and_its_marks_are_the_same_after_reloading_and_editing(phantom, tmp_path):
    case = Case(phantom)
    found = case.found()
    case.reading.findings.keep(found[0])
    case.reading.findings.remove(found[-1])
    case.reading.update()
    world = type("W", (), {"scene": case.scene})
    session = saved_and_reloaded(world, tmp_path)
    again = followed(None, session.scene.GetFirstNodeByName("result"))
    other = Case.__new__(Case)
    other.reading = again
    assert [p.finding.id for p in other.found()] == [p.finding.id for p in found]
    assert again.findings.status(again.findings.found[0]) is FindingStatus.KEPT
    assert again.findings.status(again.findings.found[-1]) is FindingStatus.REMOVED


@pytest.mark.parametrize("copied", [False, True])
def test_a_search_can_be_ended_and_leaves_nothing(case, copied):
    job = case.reading.findings.search()
    assert job.poll() < 0.1
    pid = until(lambda: job.poll() and job.pid) if copied else None
    job.cancel()
    job.cancel()
    assert job.pid is None
    assert pid is None or not is_running(pid)
    assert blocks_left() == []
    with pytest.raises(Cancelled):
        job.poll()


def test_without_a_kept_result_the_segments_as_they_are_are_searched(phantom, case):
    other = Case(phantom)
    kept = other.node.GetNodeReference(ORIGINAL_ROLE)
    kept.SetText("no result")
    with pytest.raises(UnfitInputError, match="damaged"):
        other.reading.findings.search()
    other.scene.RemoveNode(kept)
    assert not has_original(other.node)
    assert [(p.finding.id, p.box) for p in other.found()] == [(p.finding.id, p.box) for p in case.found()]


# -------------------------------------------------------------------------------------------------------- reading


def test_a_result_is_kept_when_it_is_made_and_comes_back(phantom):
    case = Case(phantom)
    assert has_original(case.node)
    assert case.reading.figures is Figures.AI
    before = case.reading.live.histogram.counts.copy()
    case.node.GetSegmentation().RemoveSegment("pneumonia")
    case.reading.update()
    assert case.reading.figures is Figures.EDITED
    case.reading.density_overlay()
    case.reading.back_to_original()
    assert case.reading.figures is Figures.AI
    assert np.array_equal(case.reading.live.histogram.counts, before)
    assert np.array_equal(array_of(case.reading.density.volume) > 0, case.lesions)


def test_thresholds_change_figures_at_once(case):
    before = case.reading.live.metrics.value("whole lung", "consolidation_volume_ml")
    case.reading.set_thresholds(Thresholds(-750, -600))
    assert case.reading.live.metrics.value("whole lung", "consolidation_volume_ml") > before
    case.reading.set_thresholds(Thresholds())
    assert case.reading.live.metrics.value("whole lung", "consolidation_volume_ml") == before


def test_a_reading_ends_with_its_scene(phantom):
    case = Case(phantom)
    case.scene.Clear(0)
    assert not case.reading.is_attached


# --------------------------------------------------------------------------------------------------------- export


def test_the_exported_figures_are_those_shown_and_say_what_was_reviewed(case, tmp_path):
    files = export_reading(case.reading, tmp_path / "new", ["segmentation", "metrics", "nifti"])
    assert all(path.is_file() for path in files)
    record = read_metrics(tmp_path / "new")
    assert list(record.metrics.rows) == list(case.reading.live.metrics.rows)
    review = record.record["segmentation"]["review"]
    assert review["figures"] == "AI"
    assert set(review["segments"]) == set(ALL_IDS)
    assert len(review["findings"]) == len(case.reading.findings.found)
    assert sorted(files_in_the_way(tmp_path / "new", ["metrics"])) == sorted((tmp_path / "new").glob("metrics.*"))
    assert files_in_the_way(tmp_path / "other", ["metrics"]) == []


def test_a_failed_export_leaves_what_was_there(case, tmp_path):
    export_reading(case.reading, tmp_path, ["metrics"])
    before = (tmp_path / "metrics.csv").read_bytes()
    (tmp_path / "segmentation.seg.nrrd").mkdir()
    with pytest.raises(OutputError):
        export_reading(case.reading, tmp_path, ["metrics", "segmentation"])
    assert (tmp_path / "metrics.csv").read_bytes() == before
    file = tmp_path / "file"
    file.write_text("x", encoding="utf-8")
    with pytest.raises(OutputError):
        export_reading(case.reading, file, ["metrics"])
    for nothing in ([], ["nonsense"]):
        with pytest.raises(UsageError):
            export_reading(case.reading, tmp_path, nothing)


# ----------------------------------------------------------------------------------------------------- statistics


def test_single_segments_have_the_tables_figures():
    world = World(70)
    reading = followed(world.volume, world.node)
    measures = SegmentMeasures(world.volume, world.node)
    metrics = reading.live.metrics
    for lobe in LOBES:
        of_lobe = measures.of_segment(lobe.segment_id)
        row = metrics.row(lobe.name)
        assert of_lobe == {m.name: float(row[m.name]) for m in MEASURES if row[m.name] is not None}
    whole, outside = metrics.row("whole lung"), metrics.row("outside lobes")
    lesion = measures.of_segment("pneumonia")
    assert lesion["weight_g"] == pytest.approx(whole["weight_g"] + outside["weight_g"])
    assert lesion["extent_percent"] == whole["extent_percent"]
    assert "ct_score" not in lesion
    assert measures.of_segment("nonsense") == {}
    world.content.RemoveSegment("pneumonia")
    assert measures.of_segment("right_upper_lobe")["extent_percent"] == 0


def test_a_segmentation_without_a_ct_of_its_own_takes_the_chosen_one():
    world = World(71)
    reading = followed(world.volume, world.node)
    reading.close()
    assert followed(None, world.node).volume is world.volume
    assert not has_original(world.node)
