"""How long the panel's own thread is busy after a brush stroke: figures, statuses, charts, colours, table.

    python Testing/benchmarks/bench_panel.py [--size 512 512 400] [--strokes 20]

The panel's code runs on real nodes of slicer-core; the widgets are the stand-ins of the tests, so drawing on the screen
is not in the times. Stroke by stroke with the density colours off and on.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench_edit import STROKES_IN, make_chest, sphere
from panel_world import PanelWorld

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.scene.nodes.volumes import node_of_ct
from COVIDQuantLib.scene.quantification_job import _add_segmentation
from COVIDQuantLib.segmentation.result import Segmentation


def timed(function: object) -> float:
    """Seconds of a call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def open_result(world: PanelWorld, ct: CTVolume, found: Segmentation) -> float:
    """Seconds from a finished segmentation to figures on the panel, the keeping of the AI result included."""
    volume = node_of_ct(world.scene, ct, "CT")
    world.panel.parameters.inputVolume = volume

    def take() -> None:
        node = _add_segmentation(volume, "CT pneumonia", ct, found)
        world.panel.parameters.segmentation = node

    return timed(take)


def strokes(world: PanelWorld, count: int, segment_id: str, seed: int) -> list[float]:
    """Seconds of the panel after each of some strokes."""
    rng = np.random.default_rng(seed)
    reading, logic = world.panel.reading, world.session.segmentations
    shape = reading.volume.GetImageData().GetDimensions()[::-1]
    seconds = []
    for _ in range(count):
        center = [int(rng.uniform(*span) * size) for span, size in zip(STROKES_IN, shape, strict=True)]
        ball = sphere(reading.volume, center, max(2, shape[1] // 50))
        logic.SetBinaryLabelmapToSegment(
            ball, reading.segmentation, segment_id, logic.MODE_MERGE_MAX, ball.GetExtent(), False, []
        )
        seconds.append(timed(world.panel.update))
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", nargs=3, type=int, default=(512, 512, 400), metavar=("X", "Y", "Z"))
    parser.add_argument("--strokes", type=int, default=20)
    options = parser.parse_args()
    x, y, z = options.size
    ct, found = make_chest((z, y, x))
    world = PanelWorld()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, {x}x{y}x{z}")
    print(f"result -> figures on the panel: {1e3 * open_result(world, ct, found):.0f} ms")
    kept = world.panel.reading.segmentation.GetNodeReference("COVIDQuant.original").GetText()
    print(f"AI result kept in {len(kept) / 1e6:.2f} MB")
    for colours in (False, True):
        made = timed(lambda on=colours: setattr(world.panel.parameters, "densityColours", on))
        times = strokes(world, options.strokes, "pneumonia", seed=7 + colours)
        label = "on" if colours else "off"
        print(
            f"lesion stroke -> panel, density colours {label} (switched in {1e3 * made:.0f} ms): best "
            f"{1e3 * min(times):.1f}, median {1e3 * statistics.median(times):.1f}, worst {1e3 * max(times):.1f} ms"
        )
    print(f"click on a lobe's row: {1e3 * timed(lambda: world.panel.sections[1].on_row(7, 0)):.0f} ms")
    print(f"all back to the AI result: {1e3 * timed(world.panel.reading.back_to_original):.0f} ms")
    world.close()


if __name__ == "__main__":
    main()
