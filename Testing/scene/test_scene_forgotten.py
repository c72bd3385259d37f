"""Figures that nobody closes: whatever goes first, scene, nodes or figures, nothing crashes.

In processes of their own, for a crash would take the other tests along.
"""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

HERE = Path(__file__).resolve().parents[1]
BEGIN = """
import gc, sys
sys.path[:0] = [{here!r}, {root!r}]
from scene_world import World
from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.reading_session import Reading


def begin():
    world = World(3)
    reading = Reading(world.volume, world.node)
    reading.density_overlay()
    return world, LiveQuantification(world.volume, world.node, immediately=True), reading


"""
ORDERS = {
    "the scene is dropped under them": "del world; gc.collect(); reading.update(); live.recount()",
    "they are dropped, then the scene": "del live, reading; gc.collect(); world.volume.Modified()",
    "the nodes outlive the scene and are edited": """
        node, volume = world.node, world.volume
        del world
        gc.collect()
        node.GetSegmentation().RemoveSegment("pneumonia")
        volume.Modified()
        reading.update()
        del live, reading
        gc.collect()
        node.Modified()
    """,
    "the scene is closed and dropped": """
        world.scene.Clear(0)
        assert not live.is_attached
        assert not reading.is_attached
        del world
        gc.collect()
        reading.figures
    """,
    "the CT leaves the scene that is then dropped": """
        world.scene.RemoveNode(world.volume)
        del world
        gc.collect()
        try:
            reading.update()
        except COVIDQuantError:
            pass
    """,
    "they hold each other": "world.session.one = live; live.two = world; reading.three = world",
    "the scene's owner holds the figures": "world.one, world.two = live, reading",
    "the figures hold the scene's owner": "live.one = reading.two = world; world.three = live",
}
ENDS = ("kept = begin()", "_, live, reading = begin()")


def run(code):
    code = BEGIN.format(here=str(HERE), root=str(HERE.parent)) + code
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ERR|" not in done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout.splitlines()


def test_forgotten_figures_do_not_crash():
    code = ""
    for number, (order, acts) in enumerate(ORDERS.items()):
        body = textwrap.indent(textwrap.dedent(acts).strip(), "    ")
        code += f"def order_{number}():\n    world, live, reading = begin()\n{body}\n\n\n"
        code += f"print({order!r}, flush=True)\norder_{number}()\ngc.collect()\n"
    assert run(code) == list(ORDERS)


@pytest.mark.parametrize("code", ENDS)
def test_figures_left_to_the_end_of_python_do_not_crash(code):
    assert run(code) == []
