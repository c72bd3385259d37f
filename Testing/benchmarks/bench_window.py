"""How long the window is held at a click on Quantify, by the result, and while exams are compared.

    python Testing/benchmarks/bench_window.py [--size 512 512 400]

The panel's code runs on real nodes of slicer-core, its timers fired one by one; the widgets are the stand-ins of the
tests, so drawing on the screen is not in the times. The second process is real, but answers with lobes and lesions that
are known already, as what it computes does not hold the window.
"""

from __future__ import annotations

import argparse
import platform
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from bench_edit import make_chest
from panel_world import PanelWorld

from COVIDQuantLib import pipeline
from COVIDQuantLib.scene.followup.exams import exam_of_result, set_day
from COVIDQuantLib.scene.followup.run import FollowupRun
from COVIDQuantLib.scene.nodes.volumes import node_of_ct
from COVIDQuantLib.scene.quantification_run import QuantifyRun
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.worker.worker import Worker

HERE = Path(__file__).resolve().parent


class KnowingWorker(Worker):
    """A worker whose process answers with the chest's own lobes and lesions."""

    def __init__(self) -> None:
        super().__init__()
        folders = [str(HERE.parent), str(HERE)]
        self._imports = f"sys.path[:0] = {folders!r}; import bench_window; bench_window.put_in_place()"


def put_in_place() -> None:
    """In the child."""

    def segment_ct(ct, given, progress, plan) -> Segmentation:
        _, found = make_chest(ct.geometry.shape)
        for stage in plan.stages:
            with progress.stage(stage.name):
                pass
        return found

    pipeline.segment_ct = segment_ct


Seconds = tuple[float, float]


def timed(function: object) -> Seconds:
    """Seconds of a call, by the clock and of the processors; on a busy machine the clock's are longer."""
    begin = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - begin[0], time.process_time() - begin[1]


def ticks(world: PanelWorld, done: object) -> list[Seconds]:
    """Seconds of each turn of the timers until something is done."""
    seconds: list[Seconds] = []
    while not done():
        seconds += [timed(timer.fire) for timer in world.running]
        time.sleep(0.01)
    return seconds


def told(what: str, click: Seconds, seconds: list[Seconds]) -> None:
    """Print the click and the longest turns."""
    for place, clock in enumerate(("clock", "processors")):
        worst = ", ".join(f"{1e3 * s:.0f}" for s in sorted((one[place] for one in seconds), reverse=True)[:5])
        print(f"{what}, {clock}: click {1e3 * click[place]:.0f} ms; longest of {len(seconds)} turns {worst} ms")


def quantify(world: PanelWorld, volume: object) -> None:
    """A click on Quantify until the figures are there."""
    world.panel.parameters.inputVolume = volume
    world.panel.parameters.method = "model-free"
    section = world.panel.sections[0]
    section._run.close()
    section._run = QuantifyRun(KnowingWorker)
    click = timed(world.ui.quantifyButton.click)
    seconds = ticks(world, lambda: world.panel.reading is not None)
    told("Quantify", click, seconds)


def compare(exams: list[object]) -> None:
    """The copying of two exams for their comparison, until its process begins."""
    seconds: list[Seconds] = []
    run: list[FollowupRun] = []
    click = timed(lambda: run.append(FollowupRun([exam_of_result(node) for node in exams])))
    while run[0]._current.job is None:
        seconds.append(timed(run[0].poll))
    told("Compare two exams, until the process begins", click, seconds)
    run[0].cancel()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", nargs=3, type=int, default=(512, 512, 400), metavar=("X", "Y", "Z"))
    x, y, z = parser.parse_args().size
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {x}x{y}x{z}")
    ct, _ = make_chest((z, y, x))
    world = PanelWorld()
    try:
        results = []
        for number in (1, 2):
            volume = node_of_ct(world.scene, ct, f"CT {number}")
            set_day(volume, date(2020, 2, number))
            quantify(world, volume)
            results.append(world.panel.reading.segmentation)
        assert np.isfinite(world.panel.reading.live.metrics.value("whole lung", "extent_percent"))
        compare(results)
    finally:
        world.close()


if __name__ == "__main__":
    main()
