"""The panel as every test of it meets it: empty, or with a result that is followed."""

import pytest
from worker_world import blocks_left


@pytest.fixture
def world(capfd):
    """The panel on an empty scene; afterwards nothing was logged, shown as an error or left running unexpectedly."""
    pytest.importorskip("slicer", reason="slicer-core is not installed")
    from panel_world import PanelWorld

    world = PanelWorld()
    yield world
    world.close()
    assert world.errors == []
    assert world.running == []
    assert all(one.close.called for one in world.dialogs)
    assert blocks_left() == []
    assert [line for line in capfd.readouterr().err.splitlines() if "ERR|" in line or "Traceback" in line] == []


@pytest.fixture(scope="module")
def phantom(once):
    return once.phantom(seed=3, thickness_mm=6.0, matrix=96, extent_percent=8.0, motion=True)


@pytest.fixture
def read(world, phantom):
    """A result that is followed."""
    world.add_result(phantom, world.add_ct(phantom))
    return world
