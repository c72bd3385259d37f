"""The module beside its panel: logic, Segment Statistics, Slicer's self-test, the scripts of the documentation."""

import re
import sys
import types
import unittest
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")


from COVIDQuantLib.pipeline import MODEL_FREE, Plan
from COVIDQuantLib.scene import quantification_job
from COVIDQuantLib.simulation.phantom import PhantomSettings
from COVIDQuantLib.voxels.box import Box


def test_the_logic_works_without_the_panel(world, phantom, tmp_path):
    logic = world.module.COVIDQuantLogic()
    volume = logic.makeSample(PhantomSettings(seed=1, thickness_mm=10.0, matrix=64, extent_percent=10.0))
    told = []
    segmentation, table = logic.quantify(volume, Plan(MODEL_FREE), progress=told.append)
    assert segmentation.GetSegmentation().GetNumberOfSegments() == 6
    assert table.GetNumberOfRows() == 9
    assert told
    files = logic.export(segmentation, tmp_path, ["metrics"])
    assert [path.name for path in files] == ["metrics.csv", "metrics.json"]


class StatisticsBase:
    """``SegmentStatisticsPluginBase`` as far as the plugin needs it."""

    def __init__(self):
        self.parameterNode = None

    @staticmethod
    def createMeasurementInfo(name, title, description, units):
        return {"name": name, "title": title, "description": description, "units": units}

    def getRequestedKeys(self):
        return self.defaultKeys

    def getParameterNode(self):
        return self.parameterNode


def test_segment_statistics_shows_the_tables_figures(read, monkeypatch):
    registered = []
    logic = types.SimpleNamespace(registeredPlugins=[], registerPlugin=registered.append)
    for name, content in (
        ("SegmentStatisticsPlugins", {"SegmentStatisticsPluginBase": StatisticsBase}),
        ("SegmentStatistics", {"SegmentStatisticsLogic": logic}),
    ):
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**content))
    from COVIDQuantPanel import statistics_plugin

    statistics_plugin.register()
    plugin = registered[0]
    reading = read.panel.reading
    nodes = {"ScalarVolume": reading.volume.GetID(), "Segmentation": reading.segmentation.GetID()}
    plugin.parameterNode = types.SimpleNamespace(GetParameter=nodes.get)
    shown = plugin.computeStatistics("left_lower_lobe")
    assert set(shown) == set(plugin.defaultKeys)
    for key, value in shown.items():
        assert value == reading.live.metrics.value("left lower lobe", key)
        info = plugin.getMeasurementInfo(key)
        assert info["description"]
        assert "." not in key
    assert plugin.computeStatistics("nonsense") == {}
    nodes.clear()
    assert plugin.computeStatistics("left_lower_lobe") == {}
    assert plugin.getMeasurementInfo("nonsense") is None


@pytest.mark.slow
def test_slicers_self_test_runs_through(world, monkeypatch):
    """The story that Slicer's own self-test clicks through, a real run of the model-free way included."""
    from COVIDQuantPanel import self_test

    strokes = []

    def draw_over_the_lower_half():
        editor, stop = world.ui.editor, world.lesions()[1].stop
        strokes.append((editor.logic.GetSegmentEditorNode().GetActiveEffectName(), editor.currentSegmentID()))
        world.stroke(Box((0, 0, 0), (stop[0] // 2, *stop[1:])))

    monkeypatch.setattr(self_test, "draw_in_red_view", draw_over_the_lower_half)
    world.make_views()
    test = world.module.COVIDQuantTest()
    for name in ("assertTrue", "assertFalse", "assertEqual", "assertIn", "assertNotIn", "assertIs", "assertIsNone",
                 "assertLess", "assertGreater", "assertGreaterEqual"):  # fmt: skip
        setattr(test, name, getattr(unittest.TestCase(), name))
    test.runTest()
    assert world.shown == "Test passed"
    assert strokes == [("Erase", "pneumonia")]


@pytest.mark.slow
def test_the_scripts_of_the_documentation_run(world, tmp_path, monkeypatch):
    text = (Path(__file__).resolve().parents[2] / "docs" / "scripting.md").read_text(encoding="utf-8")
    # What follows needs no Slicer and has a test of its own.
    text = text.split("## Without Slicer")[0]
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) >= 4
    make = world.module.COVIDQuantLogic.makeSample
    small = PhantomSettings(seed=3, thickness_mm=8.0, matrix=80, extent_percent=10.0, motion=True)
    monkeypatch.setattr(world.module.COVIDQuantLogic, "makeSample", lambda self: make(self, small))
    # Networks on the same story are for the tests of the job.
    monkeypatch.setattr(quantification_job, "plan_for_here", lambda: (Plan(MODEL_FREE), []))
    said, space = [], {"print": lambda *words: said.append(words)}
    for block in blocks:
        exec(compile(block.replace("/data/result", str(tmp_path / "result")), "scripting.md", "exec"), space)
        if "reading.close()" in block:
            space["reading"] = space["logic"].follow(None, space["segmentation"])
    space["reading"].close()
    assert (tmp_path / "result" / "metrics.csv").is_file()
    assert said
