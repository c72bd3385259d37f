"""Accuracy of the model-free path on phantom seeds never used in tuning, and exactness of the figures given the truth.

    python Testing/evaluation/phantom_accuracy.py --seeds 0-39 --thickness 1 5 --out accuracy.csv

Seeds 0–99 are kept for this; tuning uses 1000 and up. One line of the CSV is one phantom; the summary goes to the
terminal. Several runs may share the work by seeds and append to files of their own.
"""

import argparse
import csv
import sys
import time
from pathlib import Path

import numpy as np

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.evaluation.overlap import dice
from COVIDQuantLib.pipeline import GivenMasks, quantify_ct
from COVIDQuantLib.simulation.phantom import Phantom, PhantomSettings, make_phantom


def worst_figure_error(phantom: Phantom) -> float:
    """Largest relative difference of any figure, truth labels given, to the phantom's own brute-force truth."""
    exam = quantify_ct(phantom.ct, GivenMasks(lobes=phantom.lobes, lesions=phantom.lesions))
    worst = 0.0
    for truth, row in zip(phantom.truth["regions"], exam.metrics.rows, strict=True):
        assert truth["region"] == row["region"]
        for name, value in row.items():
            expected = truth[name]
            if isinstance(value, str) or (expected is None and value is None):
                continue
            if expected is None or value is None:
                return float("inf")
            worst = max(worst, abs(value - expected) / max(abs(expected), 1e-12))
    return worst


def assess(seed: int, thickness: float) -> dict[str, float]:
    """One phantom through the whole job, against its truth."""
    phantom = make_phantom(PhantomSettings(seed=seed, thickness_mm=thickness))
    started = time.perf_counter()
    exam = quantify_ct(phantom.ct)
    seconds = time.perf_counter() - started
    found, truth = exam.segmentation, phantom.lobes
    lobes = {f"dice_{lobe.short}": dice(found.lobes == lobe.label, truth == lobe.label, 1.0) for lobe in LOBES}
    return {
        "seed": seed,
        "thickness_mm": thickness,
        "dice_lungs": dice(found.lobes > 0, truth > 0, 1.0),
        "dice_lobes_mean": float(np.mean(list(lobes.values()))),
        **lobes,
        "dice_lesions": dice(found.lesions, phantom.lesions, 1.0),
        "true_extent": 100.0 * phantom.lesions.sum() / (truth > 0).sum(),
        "found_extent": exam.metrics.value("whole lung", "extent_percent") or 0.0,
        "worst_figure_error": worst_figure_error(phantom),
        "seconds": seconds,
    }


def summarise(rows: list[dict[str, float]]) -> None:
    """Mean and range of every column by thickness."""
    for thickness in sorted({row["thickness_mm"] for row in rows}):
        chosen = [row for row in rows if row["thickness_mm"] == thickness]
        print(f"\n{thickness} mm, {len(chosen)} phantoms")
        for name in list(chosen[0])[2:]:
            values = np.array([row[name] for row in chosen])
            print(f"  {name:20} mean {values.mean():9.4g}  min {values.min():9.4g}  max {values.max():9.4g}")
        lesions = [row for row in chosen if row["true_extent"] >= 1]
        if lesions:
            mean = np.mean([row["dice_lesions"] for row in lesions])
            print(f"  lesion Dice of the {len(lesions)} with a true extent of at least 1 %: {mean:.4f}")


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0-39", help="first-last")
    parser.add_argument("--thickness", type=float, nargs="+", default=[1.0, 5.0])
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    first, last = (int(part) for part in arguments.seeds.split("-"))
    rows: list[dict[str, float]] = []
    with arguments.out.open("w", newline="") as file:
        for seed in range(first, last + 1):
            for thickness in arguments.thickness:
                row = assess(seed, thickness)
                if not rows:
                    writer = csv.DictWriter(file, row.keys())
                    writer.writeheader()
                rows.append(row)
                writer.writerow(row)
                file.flush()
                print(f"seed {seed} {thickness} mm: lungs {row['dice_lungs']:.3f} lobes {row['dice_lobes_mean']:.3f} "
                      f"lesions {row['dice_lesions']:.3f} ({row['seconds']:.0f} s)", flush=True)  # fmt: skip
    summarise(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
