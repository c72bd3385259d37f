"""The sample CT: made beside the window, by the panel's button, Sample Data's button and ``downloadSample``."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import sample_data
from worker_world import is_running

from COVIDQuantLib.errors import Cancelled
from COVIDQuantLib.scene.followup.exams import DATE_ATTRIBUTE
from COVIDQuantLib.scene.nodes.volumes import ct_of_node
from COVIDQuantLib.simulation.phantom import PhantomSettings, course

_ADVANCED = 6
SMALL = {"seed": 1, "thickness_mm": 10.0, "matrix": 64, "extent_percent": 10.0}


@pytest.fixture(scope="module")
def expected(once):
    """The sample's CT, parts of which no scanner measured."""
    return once.phantom(**SMALL).ct


@pytest.fixture(autouse=True)
def small(world, monkeypatch):
    from COVIDQuantPanel import sample

    monkeypatch.setattr(sample, "_SETTINGS", SMALL)


@pytest.fixture
def logic(world, monkeypatch):
    """Slicer's Sample Data with our sample registered."""
    made = type("SampleDataLogic", (sample_data.SampleDataLogic,), {"sources": [], "rules": {}, "downloads": []})
    monkeypatch.setitem(sys.modules, "SampleData", types.SimpleNamespace(SampleDataLogic=made))
    from COVIDQuantPanel import sample

    sample.register()
    return made


def same(volume, expected):
    ct = ct_of_node(volume)
    assert ct.geometry.same_grid(expected.geometry)
    assert np.array_equal(ct.padding, expected.padding)
    return np.array_equal(ct.hu, expected.hu)


def cache(world):
    """What lies in the cache, beside what Slicer itself keeps there."""
    folder = Path(world.scene.GetCacheManager().GetRemoteCacheDirectory())
    return sorted(path.name for path in folder.iterdir() if path.name != ".slicer-cache")


def test_the_panels_button_makes_it_beside_the_window(world, expected):
    red = world.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
    button = world.ui.sampleButton
    text = button.text
    button.click()
    assert "Stop" in button.text
    assert world.panel.volume is None
    world.until(lambda: world.panel.volume)
    assert button.text == text
    assert red.GetBackgroundVolumeID() == world.panel.volume.GetID()
    assert same(world.panel.volume, expected)


@pytest.mark.parametrize("end", ["click", "close the scene", "quit"])
def test_making_it_ends_with_whatever_ends_it(world, end):
    button = world.ui.sampleButton
    text = button.text
    button.click()
    pid = world.panel.sections[_ADVANCED]._samples[0]._job.pid
    ends = {"click": button.click, "close the scene": lambda: world.scene.Clear(0), "quit": world.widget.cleanup}
    ends[end]()
    assert button.text == text
    assert not is_running(pid)
    assert world.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0


def test_two_exams_of_one_patient_come_with_their_dates(world, monkeypatch):
    from COVIDQuantPanel import sample

    monkeypatch.setattr(sample, "_PATIENT", {"seed": 3, "thickness_mm": 10.0, "matrix": 64})
    world.ui.twoExamsButton.click()
    world.until(lambda: world.panel.volume)
    later = world.panel.volume
    earlier = world.scene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    days = [volume.GetAttribute(DATE_ATTRIBUTE) for volume in (earlier, later)]
    assert days == ["2020-02-01", "2020-02-10"]
    extents = course.COURSES["severe"].extent_percent
    assert extents(5.0) < extents(14.0)
    made = course.make_two_exams(PhantomSettings(seed=3, thickness_mm=10.0, matrix=64), [5.0, 14.0])
    assert all(same(volume, one.ct) for volume, one in zip((earlier, later), made, strict=True))


def test_a_reader_who_left_the_module_finds_it_later(world):
    world.ui.sampleButton.click()
    world.leave()
    world.until(lambda: world.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"))
    world.open()
    assert world.panel.volume is not None


def test_a_failure_is_told(world, monkeypatch):
    from COVIDQuantPanel import sample

    monkeypatch.setattr(sample, "_SETTINGS", SMALL | {"matrix": -5})
    world.ui.sampleButton.click()
    world.until(lambda: world.errors)
    assert len(world.errors) == 1
    assert "Stop" not in world.ui.sampleButton.text
    world.errors.clear()


def test_download_sample_makes_it_without_a_network_and_only_once(world, logic, monkeypatch, expected):
    volume = logic().downloadSample("COVIDQuantPhantom")
    assert volume.GetName() == "COVIDQuantPhantom"
    assert volume.GetStorageNode() is None
    assert same(volume, expected)
    assert logic.downloads == []
    assert cache(world) == [logic.sources[0].fileNames]
    # A second time it comes from the cache.
    from COVIDQuantPanel import sample

    monkeypatch.setattr(sample, "begin_sample", None)
    assert same(logic().downloadSample("COVIDQuantPhantom"), expected)


def test_other_addresses_stay_as_they_are(logic):
    (rule,) = logic.rules.values()
    assert rule("https://example.org/ct.nrrd") == "https://example.org/ct.nrrd"


def test_sample_datas_button_shows_it(world, logic):
    (source,) = logic.sources
    assert Path(source.thumbnailFileName).is_file()
    red = world.scene.AddNewNodeByClass("vtkMRMLSliceCompositeNode", "Red")
    (volume,) = source.customDownloader(source)
    assert red.GetBackgroundVolumeID() == volume.GetID()


def stop_soon(world):
    """The reader clicks on Cancel once the dialog is there."""
    world.shots.append(lambda: setattr(world.dialogs[-1], "wasCanceled", True))


def test_it_can_be_stopped_in_sample_data(world, logic):
    (source,) = logic.sources
    stop_soon(world)
    assert source.customDownloader(source) == []
    assert cache(world) == []
    stop_soon(world)
    with pytest.raises(Cancelled):
        logic().downloadSample("COVIDQuantPhantom")
    assert world.scene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode") == 0
