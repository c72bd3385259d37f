"""What the panel asks of the scene: figures to read, charts, colours, places, one run at a time, estimates."""

import json

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

from scene_world import SHAPE, World, array_of
from test_scene_life import nothing_is_logged, saved_and_reloaded  # noqa: F401 - a fixture of all tests here
from worker_world import FAULTS, WorkerThat, is_running, killed, until

from COVIDQuantLib.anatomy import LOBES, REGIONS
from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.export.sheet.colours import lesion_rgb
from COVIDQuantLib.pipeline import MODEL_FREE, NETWORK, Plan
from COVIDQuantLib.progress import ProgressState
from COVIDQuantLib.quantification.measure_table import View
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.presentation import (
    as_text,
    cell,
    chosen_measures,
    headlines,
    sorted_rows,
)
from COVIDQuantLib.quantification.reference import BIN_WIDTH_HU, lung_counts, shipped_reference
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.navigation import look_at, place_of_region, voxel_of_world, world_of_voxel
from COVIDQuantLib.scene.nodes.charts import Charts
from COVIDQuantLib.scene.nodes.density_overlay import DensityOverlay, colour_numbers
from COVIDQuantLib.scene.nodes.result_links import latest_result, results_of, volume_of
from COVIDQuantLib.scene.nodes.segmentations import create_segmentation_node
from COVIDQuantLib.scene.nodes.volumes import node_of_ct
from COVIDQuantLib.scene.quantification_run import Outcome, QuantifyRun
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.box import Box
from COVIDQuantLib.worker.run_times import RunTimes, rounded_seconds

PLAN = Plan(MODEL_FREE)


@pytest.fixture
def shown():
    world = World(50)
    return world, LiveQuantification(world.volume, world.node)


def paint(world, center=(10, 14, 14), mode=None):
    mode = world.logic.MODE_MERGE_MAX if mode is None else mode
    return world.paint("pneumonia", world.ball(center, 2, 1 if mode == world.logic.MODE_MERGE_MAX else 0), mode)


# ------------------------------------------------------------------------------------------------------- figures


def test_columns_are_in_the_contracts_order_and_never_none():
    assert [m.name for m in chosen_measures(["ct_score", "volume_ml", "nonsense"])] == ["volume_ml", "ct_score"]
    for nothing in ([], ["nonsense"]):
        assert {m.name for m in chosen_measures(nothing)} == {m.name for m in MEASURES.shown_in(View.PANEL)}


def test_cells_show_the_digits_that_mean_something():
    extent = next(m for m in MEASURES if m.name == "extent_percent")
    mean = next(m for m in MEASURES if m.name == "mean_lesion_hu")
    assert [cell(extent, v) for v in (None, 0.0, 12.3456, 100.0)] == ["–", "0.00", "12.35", "100.00"]
    assert [cell(mean, v) for v in (-712.6, -0.2)] == ["-713", "0"]


def test_rows_sort_by_number_with_the_undefined_last(shown):
    metrics = shown[1].metrics
    assert [row["region"] for row in sorted_rows(metrics)] == [region.name for region in REGIONS]
    for descending in (True, False):
        rows = sorted_rows(metrics, "extent_percent", descending=descending)
        values = [row["extent_percent"] for row in rows]
        assert values[-1] is None
        assert values[:-1] == sorted(values[:-1], reverse=descending)


def test_the_clipboard_gets_every_digit(shown):
    metrics = shown[1].metrics
    measures = chosen_measures(["extent_percent", "volume_ml"])
    head, *lines = as_text(sorted_rows(metrics), measures).splitlines()
    assert head.split("\t") == ["region", "Volume mL", "Extent %"]
    for line, row in zip(lines, metrics.rows, strict=True):
        region, volume, extent = line.split("\t")
        assert region == row["region"]
        assert volume == ("" if row["volume_ml"] is None else repr(row["volume_ml"]))
        assert extent == ("" if row["extent_percent"] is None else repr(row["extent_percent"]))


def test_headlines_are_the_tables_own_figures(shown):
    metrics = shown[1].metrics
    said = {headline.title: headline.text for headline in headlines(metrics)}
    assert said["CT score"] == f"{metrics.ct_score_total} / 25"
    assert said["Extent"] == f"{metrics.value('whole lung', 'extent_percent'):.2f} %"


# -------------------------------------------------------------------------------------------------------- charts


def column(chart, name):
    table = chart.GetNodeReference("COVIDQuant.chart.data").GetTable()
    array = table.GetColumnByName(name)
    return [array.GetValue(n) for n in range(array.GetNumberOfValues())]


def test_charts_show_the_figures_and_follow_them(shown, tmp_path):
    world, live = shown
    charts = Charts(live.table, "CT")
    charts.update(live.metrics, live.histogram)
    nodes = world.scene.GetNumberOfNodes()
    for _ in range(2):
        for name, measure in (("Ground glass", "ggo_percent"), ("Consolidation", "consolidation_percent")):
            assert column(charts.lobes, name) == [live.metrics.value(lobe.name, measure) for lobe in LOBES]
        counts = lung_counts(live.histogram)
        percent = 100 * counts.reshape(-1, BIN_WIDTH_HU).sum(axis=1) / counts.sum()
        shown_bins = column(charts.histogram, "This patient")
        assert np.allclose(shown_bins, percent[: len(shown_bins)])
        assert np.allclose(column(charts.histogram, "Normal lungs"), 100 * shipped_reference().frequency[:76])
        paint(world)
        live.update()
        Charts(live.table, "CT").update(live.metrics, live.histogram)
    assert column(charts.lobes, "lobe") == [lobe.short for lobe in LOBES]
    assert world.scene.GetNumberOfNodes() == nodes, "charts are made once"
    session = saved_and_reloaded(world, tmp_path)
    table = session.scene.GetFirstNodeByName("segmentation").GetNodeReference("COVIDQuant.table")
    again = Charts(table, "CT")
    assert session.scene.GetNumberOfNodesByClass("vtkMRMLPlotChartNode") == 2
    assert again.lobes.GetNumberOfPlotSeriesNodes() == 2
    # Tables are saved with six digits.
    assert column(again.histogram, "This patient") == pytest.approx(column(charts.histogram, "This patient"), rel=1e-5)


def test_charts_of_empty_lungs_are_empty():
    world = World(51)
    world.content.RemoveAllSegments()
    live = LiveQuantification(world.volume, world.node)
    charts = Charts(live.table, "CT")
    charts.update(live.metrics, live.histogram)
    assert not any(column(charts.histogram, "This patient"))


# ------------------------------------------------------------------------------------------------------- density


def expected_density(world, live):
    _, lesions = live.labels(Box.of_shape(SHAPE))
    raw = array_of(world.volume)
    return colour_numbers(np.clip(raw, -1024, 3071), lesions & (raw >= -1500))


def test_the_density_follows_edits_and_thresholds(shown):
    world, live = shown
    overlay = DensityOverlay(live)
    numbers = array_of(overlay.volume)
    assert np.array_equal(numbers, expected_density(world, live))
    assert 0 < np.count_nonzero(numbers) < numbers.size
    for center, mode in (((10, 14, 14), None), ((5, 8, 8), world.logic.MODE_MERGE_MIN)):
        paint(world, center, mode)
        live.update()
        overlay.update()
        assert np.array_equal(array_of(overlay.volume), expected_density(world, live))
    live.update()
    overlay.update()
    assert np.array_equal(array_of(overlay.volume), expected_density(world, live))
    live.thresholds = Thresholds(-600, -200)
    overlay.recolour()
    for number in (1, 100, 255):
        # Colour numbers are 5 HU wide, from 1 at −1024 HU.
        wanted = lesion_rgb(np.array(-1024 + 5 * (number - 0.5)), live.thresholds)
        assert np.allclose(overlay.colours.GetLookupTable().GetTableValue(number)[:3], wanted, atol=0.01)
    assert overlay.colours.GetLookupTable().GetTableValue(0)[3] == 0


def test_the_density_lies_on_the_ct_is_made_once_and_is_not_saved(shown, tmp_path):
    world, live = shown
    overlay = DensityOverlay(live)
    nodes = world.scene.GetNumberOfNodes()
    assert DensityOverlay(live).volume is overlay.volume
    assert world.scene.GetNumberOfNodes() == nodes
    assert overlay.volume.GetImageData().GetDimensions() == world.volume.GetImageData().GetDimensions()
    assert np.allclose(world_of_voxel(overlay.volume, (3, 4, 5)), world_of_voxel(world.volume, (3, 4, 5)))
    session = saved_and_reloaded(world, tmp_path)
    assert session.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 1
    relive = LiveQuantification.reattach(session.scene.GetFirstNodeByName("segmentation"))
    assert np.array_equal(array_of(DensityOverlay(relive).volume), array_of(overlay.volume))


def test_denser_is_never_a_lower_number():
    hu = np.arange(-1024, 3072).reshape(1, 1, -1)
    numbers = colour_numbers(hu, np.ones(hu.shape, bool)).ravel().astype(int)
    assert numbers.min() == 1
    assert (np.diff(numbers) >= 0).all()
    assert not colour_numbers(hu, np.zeros(hu.shape, bool)).any()


def test_rendering_hides_what_is_no_pneumonia(shown):
    colour, opacity = DensityOverlay(shown[1]).rendering_functions()
    assert opacity.GetValue(0) == 0
    # Consolidation is seen through the ground glass around it.
    assert 0 < opacity.GetValue(100) < 0.25 * opacity.GetValue(200)
    assert colour.GetSize() == 255


# -------------------------------------------------------------------------------------------------------- places


def test_places_lie_in_their_regions(shown):
    world, live = shown
    lobes, lesions = live.labels(Box.of_shape(SHAPE))
    for region in REGIONS:
        inside = np.isin(lobes, region.labels) & ((lobes > 0) | lesions)
        point = place_of_region(live, region.name)
        assert (point is not None) == inside.any()
        if point is None:
            continue
        voxel = voxel_of_world(world.volume, point)
        box = np.argwhere(inside)
        assert (box.min(axis=0) <= voxel).all()
        assert (voxel <= box.max(axis=0)).all()
    assert place_of_region(live, "nowhere") is None


def test_slices_jump_there(shown):
    world, live = shown
    red = world.scene.AddNewNodeByClass("vtkMRMLSliceNode", "Red")
    red.SetDimensions(200, 100, 1)
    red.SetFieldOfView(200.0, 100.0, 1.0)
    point = place_of_region(live, "right lower lobe")
    red.JumpSliceByCentering(point[0] + 50.0, point[1] - 20.0, point[2] + 7.0)
    look_at(world.scene, point)
    assert middle_of(red) == pytest.approx((point[0] + 50.0, point[1] - 20.0, point[2])), "the chest stays in its place"
    for far in (95.0, 300.0):
        red.JumpSliceByCentering(point[0] + far, point[1], point[2] + 7.0)
        look_at(world.scene, point)
        assert middle_of(red) == pytest.approx(point), "a point at the edge or beyond is brought to the middle"


def middle_of(view):
    matrix = view.GetSliceToRAS()
    return tuple(matrix.GetElement(n, 3) for n in range(3))


# -------------------------------------------------------------------------------------------- results of each CT


def test_each_ct_keeps_its_own_results():
    world = World(52)
    second = world.scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "second")
    assert results_of(world.volume) == []
    assert latest_result(world.volume) is None
    LiveQuantification(world.volume, world.node)
    empty = Segmentation(np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, bool))
    newer = create_segmentation_node(world.scene, world.volume, empty, "newer")
    LiveQuantification(world.volume, newer)
    assert results_of(world.volume) == [world.node, newer]
    assert latest_result(world.volume) is newer
    assert latest_result(second) is None
    assert volume_of(newer) is world.volume


# ------------------------------------------------------------------------------------------------------ estimates


def test_estimates_grow_with_the_ct_and_learn_from_runs():
    times = RunTimes()
    small, large = (times.seconds(NETWORK, "cpu", n) for n in (10.0, 100.0))
    assert 0 < small < large
    assert times.seconds(NETWORK, "cuda", 100.0) is None
    times.learn(NETWORK, "cuda", 50.0, 5.0)
    times.learn(NETWORK, "cpu", 100.0, 33.0)
    again = RunTimes(times.text)
    assert 5.0 < again.seconds(NETWORK, "cuda", 100.0) < 10.0
    assert again.seconds(NETWORK, "cpu", 100.0) == pytest.approx(33.0)
    again.learn(NETWORK, "cpu", 100.0, 43.0)
    assert again.seconds(NETWORK, "cpu", 100.0) == pytest.approx(38.0)


def test_what_the_first_run_loads_is_learnt_apart_from_the_work():
    times = RunTimes()
    work = times.seconds(NETWORK, "cpu", 100.0)
    assert times.seconds(NETWORK, "cpu", 100.0, first=True) > work
    times.learn(NETWORK, "cpu", 100.0, work + 44.0, first=True)
    assert times.seconds(NETWORK, "cpu", 100.0) == pytest.approx(work), "loading does not slow later runs"
    small = RunTimes().seconds(NETWORK, "cpu", 10.0)
    assert small > work / 10, "a small CT takes more than its share"
    assert times.seconds(NETWORK, "cpu", 10.0, first=True) == pytest.approx(small + 44.0)
    times.learn(NETWORK, "cpu", 100.0, 2 * work)
    assert RunTimes(times.text).seconds(NETWORK, "cpu", 100.0, first=True) == pytest.approx(2 * work + 44.0)
    times.learn(NETWORK, "cuda", 100.0, 30.0, first=True)
    assert times.seconds(NETWORK, "cuda", 100.0, first=True) == pytest.approx(30.0)


@pytest.mark.parametrize("text", ["", "x", "[1]", '{"a": "b"}', '{"a": -1}', "null"])
def test_garbled_run_times_count_as_none(text):
    assert json.loads(RunTimes(text).text) == {}


def test_later_runs_on_an_unknown_device_are_not_estimated_from_a_first_one():
    times = RunTimes()
    times.learn(NETWORK, "auto", 16.0, 190.0, first=True)
    assert times.seconds(NETWORK, "auto", 16.0, first=True) == pytest.approx(190.0)
    assert times.seconds(NETWORK, "auto", 16.0) is None


def test_estimates_are_told_with_few_digits():
    assert [rounded_seconds(s) for s in (0.2, 7.4, 34.4, 137.0, 1234.0)] == [1, 7, 34, 140, 1200]


# ----------------------------------------------------------------------------------------------------------- runs


@pytest.fixture(scope="module")
def phantom(once):
    return once.phantom(seed=1, thickness_mm=10.0, matrix=64, extent_percent=10.0).ct


@pytest.fixture
def ct(phantom):
    world = World(54)
    return world.scene, node_of_ct(world.scene, phantom, "CT")


def outcome_of(run):
    def ended():
        state = run.poll()
        return state if isinstance(state, Outcome) else None

    return until(ended)


def test_a_run_ends_with_a_segmentation_and_can_be_followed_by_another(ct):
    run = QuantifyRun(lambda: WorkerThat("answer"))
    for _ in range(2):
        run.start(ct[1], "result", PLAN)
        assert run.is_running
        assert run.volume is ct[1]
        with pytest.raises(RuntimeError, match="running"):
            run.start(ct[1], "result", PLAN)
        outcome = outcome_of(run)
        assert outcome.segmentation.GetSegmentation().GetNumberOfSegments() == 6
        assert (outcome.error, outcome.cancelled, outcome.plan) == (None, False, PLAN)
        assert outcome.megavoxels == pytest.approx(ct[1].GetImageData().GetNumberOfPoints() / 1e6)
        assert run.poll() is None
        assert not run.is_running
    run.close()


@pytest.mark.parametrize("end", ["cancel", "remove the CT", "close the scene", "close"])
def test_a_run_that_is_ended_leaves_no_process_and_no_node(ct, end):
    scene, volume = ct
    workers = []

    def make():
        workers.append(WorkerThat("linger"))
        return workers[0]

    array_of(volume)[0, 0, 0] = 0
    run = QuantifyRun(make)
    before = scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")
    run.start(volume, "result", PLAN)
    pid = until(lambda: workers[0].pid)
    assert isinstance(run.poll(), ProgressState)
    {"cancel": run.cancel, "remove the CT": lambda: scene.RemoveNode(volume), "close the scene": lambda: scene.Clear(0),
     "close": run.close}[end]()  # fmt: skip
    assert not is_running(pid)
    outcome = run.poll()
    assert outcome is None if end == "close" else outcome.cancelled
    assert not run.is_running
    assert scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") in {0, before}
    run.close()


def test_an_unfit_ct_and_a_crash_are_told_and_the_next_run_works(ct):
    _, volume = ct
    run = QuantifyRun(lambda: WorkerThat("meet_with_a_fault"))
    array_of(volume)[0, 0, 0] = FAULTS.index(killed)
    run.start(volume, "result", PLAN)
    outcome = outcome_of(run)
    assert isinstance(outcome.error, COVIDQuantError)
    assert outcome.segmentation is None
    array_of(volume)[0, 0, 0] = -1000
    run.start(volume, "result", PLAN)
    assert outcome_of(run).segmentation is not None
    array_of(volume)[:] = 40
    with pytest.raises(COVIDQuantError):
        run.start(volume, "result", PLAN)
    assert not run.is_running
    run.close()
