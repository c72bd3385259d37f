"""How long the list of suspected motion artefacts takes on a 512×512×300 CT with 60 components.

    python Testing/benchmarks/bench_review.py [--size 512 512 300] [--parts 60] [--repeats 3] [--json FILE]

The chest is made: ellipsoid lungs on domes beside a heart, four lobes, round lesions of all sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.review.components import find_components
from COVIDQuantLib.review.cue_scores import CueScorer
from COVIDQuantLib.review.suspicion import rank
from COVIDQuantLib.voxels.geometry import Triple

# A chest of 360×360×300 mm whatever the number of voxels.
CHEST_MM = (300.0, 360.0, 360.0)


def make_chest(shape: tuple[int, int, int], parts: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Triple]:
    """CT numbers, lobes, lesions and spacing; one lesion in six is large."""
    rng = np.random.default_rng(1)
    spacing = tuple(extent / size for extent, size in zip(CHEST_MM, shape, strict=True))
    axes = [(np.arange(size) - (size - 1) / 2) * step for size, step in zip(shape, spacing, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    lobes = np.zeros(shape, np.uint8)
    dome = -70 + 40 * np.exp(-(((np.abs(x) - 85) / 45) ** 2) - (y / 60) ** 2)
    for side, upper, lower in ((-1, 1, 3), (1, 4, 5)):
        lung = ((x - side * 85) / 70) ** 2 + (y / 95) ** 2 + (z / 135) ** 2 < 1
        lung &= (z > dome) & ((x - 15) ** 2 + (y + 25) ** 2 + (z + 40) ** 2 > 55**2)
        lobes[lung] = upper
        lobes[lung & (z - 0.7 * y < 0)] = lower
    lesions = np.zeros(shape, bool)
    where = np.argwhere(lobes[::8, ::8, ::8] > 0) * 8
    for number in range(parts):
        at = where[rng.integers(len(where))]
        radius = rng.uniform(15, 30) if number % 6 == 0 else rng.uniform(4, 9)
        box = tuple(
            slice(max(0, int(c - radius / mm) - 1), int(c + radius / mm) + 2) for c, mm in zip(at, spacing, strict=True)
        )
        squares = [(axes[axis][box[axis]] - axes[axis][at[axis]]) ** 2 for axis in range(3)]
        lesions[box] |= sum(np.meshgrid(*squares, indexing="ij", sparse=True)) < radius**2
    lesions &= lobes > 0
    hu = np.where(lobes > 0, -860, 40) + np.where(lesions, 330, 0)
    hu = hu + rng.integers(-60, 61, shape, dtype=np.int16)
    return hu.astype(np.int16), lobes, lesions, (spacing[0], spacing[1], spacing[2])


def timed(work: object, repeats: int) -> tuple[float, float]:
    """Least seconds of a call on the clock, and of the processor."""
    clock, processor = [], []
    for _ in range(repeats):
        begin, began = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - begin)
        processor.append(time.process_time() - began)
    return min(clock), min(processor)


def run(shape: tuple[int, int, int], parts: int, repeats: int) -> dict[str, float]:
    """All measurements, seconds."""
    hu, lobes, lesions, spacing = make_chest(shape, parts)
    found = find_components(lesions, lobes, spacing)
    scorer = CueScorer(hu, lobes, spacing)
    histogram = JointHistogram.of(hu, lobes, lesions, float(np.prod(spacing)) / 1000)
    work = {
        "components": lambda: find_components(lesions, lobes, spacing),
        "chest": lambda: CueScorer(hu, lobes, spacing),
        "cues": lambda: [scorer.looks(component) for component in found],
        "list": lambda: rank(hu, lesions, lobes, spacing, histogram=histogram),
        "list_uncounted": lambda: rank(hu, lesions, lobes, spacing),
    }
    record: dict[str, float] = {"parts": len(found)}
    for name, call in work.items():
        record[f"{name}_s"], record[f"{name}_processor_s"] = timed(call, repeats)
    return record


ROWS = (
    ("components", "components of the mask"),
    ("chest", "chest in blocks, heart and diaphragm"),
    ("cues", "parting, and every cue of every part"),
    ("list", "whole list, histogram at hand"),
    ("list_uncounted", "whole list, histogram counted"),
)


def main(arguments: list[str] | None = None) -> dict[str, float]:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=(512, 512, 300), metavar=("I", "J", "K"))
    parser.add_argument("--parts", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    options = parser.parse_args(arguments)
    i, j, k = options.size
    record = run((k, j, i), options.parts, options.repeats)
    print(f"{i}×{j}×{k} voxels, {record['parts']:.0f} components; {platform.system()} {platform.machine()},")
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, numpy {np.__version__}")
    print(f"  {'least of ' + str(options.repeats):45}{'clock':>10}{'processor':>12}")
    for name, title in ROWS:
        print(f"  {title:45}{record[f'{name}_s']:>8.2f} s{record[f'{name}_processor_s']:>10.2f} s")
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return record


if __name__ == "__main__":
    main()
