"""The phantom bars of the networks: seeds never used in training or tuning, thin and thick, with and without motion.

    python Testing/evaluation/networks_phantom.py --seeds 40-99 --out DIR [--method network|model-free] [--cache DIR]

Even seeds have 1.5 mm sections, odd ones 5 mm; motion goes by the parity of seed // 2, so that both are crossed. If the
seeds draw fewer than eight lesion-free patients, those ending in 9 are made once more without lesions; they count for
the false-positive extent alone. ``DIR/phantoms.csv`` gets a line per phantom as it is done; a run that was stopped goes
on where it was, and several may share the work by seeds and be summarised together with ``--summarise DIR DIR …``.
"""

import argparse
import csv
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.evaluation.agreement import PairedAgreement
from COVIDQuantLib.evaluation.evaluate import Labels, evaluate_scan
from COVIDQuantLib.pipeline import Plan, quantify_ct
from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom
from COVIDQuantLib.voxels.geometry import Geometry

THIN_MM, THICK_MM = 1.5, 5.0
LEAST_LESION_FREE = 8
ROWS_FILE, SUMMARY_FILE = "phantoms.csv", "bars.json"
# Issue 3, Done when: what is measured, the least or the most that is asked.
BARS = (
    ("mean lung Dice", "at least", 0.985),
    ("mean lobe Dice", "at least", 0.95),
    ("mean lesion Dice", "at least", 0.85),
    ("ICC of extent", "at least", 0.99),
    ("ICC of weight", "at least", 0.99),
    ("largest false-positive extent, %", "below", 0.5),
)


@dataclass(frozen=True)
class Case:
    """One phantom to be made."""

    seed: int
    thickness_mm: float
    motion: bool
    extra: bool = False
    matrix: int = 256

    @property
    def key(self) -> str:
        """Its name in the table and in the cache."""
        marks = ("thin" if self.thickness_mm == THIN_MM else "thick", "motion" if self.motion else "still")
        return "-".join((str(self.seed), *marks, *(("lesion-free",) if self.extra else ())))

    def settings(self) -> PhantomSettings:
        """What makes it."""
        extent = 0.0 if self.extra else None
        return PhantomSettings(
            self.seed, self.thickness_mm, matrix=self.matrix, motion=self.motion, extent_percent=extent
        )


def case_of(seed: int, matrix: int) -> Case:
    """The phantom of a seed."""
    return Case(seed, THICK_MM if seed % 2 else THIN_MM, (seed // 2) % 2 == 0, matrix=matrix)


def extra_case(seed: int, matrix: int) -> Case:
    """The same patient without lesions; thickness and motion crossed by other digits, for these seeds are all odd."""
    return Case(seed, THICK_MM if (seed // 10) % 2 else THIN_MM, (seed // 20) % 2 == 0, extra=True, matrix=matrix)


def phantom_of(case: Case, cache: Path | None) -> tuple[CTVolume, np.ndarray, np.ndarray]:
    """CT, lobes and lesions, made or taken from the cache."""
    path = cache and cache / f"{case.key}-{case.matrix}.npz"
    if path and path.exists():
        with np.load(path) as kept:
            grid = json.loads(str(kept["grid"]))
            geometry = Geometry(*(tuple(grid[name]) for name in ("shape", "spacing", "origin", "direction")))
            padding = kept["padding"] if kept["padding"].size else None
            return CTVolume(kept["hu"], geometry, padding), kept["lobes"], kept["lesions"]
    phantom = make_phantom(case.settings())
    if path:
        grid = {name: getattr(phantom.ct.geometry, name) for name in ("shape", "spacing", "origin", "direction")}
        padding = np.zeros(0, bool) if phantom.ct.padding is None else phantom.ct.padding
        arrays = {"hu": phantom.ct.hu, "lobes": phantom.lobes, "lesions": phantom.lesions, "padding": padding}
        partial = path.with_suffix(f".{os.getpid()}.npz")
        np.savez_compressed(partial, grid=json.dumps(grid), **arrays)
        partial.replace(path)
    return phantom.ct, phantom.lobes, phantom.lesions


def plan_text(plan: Plan, matrix: int) -> str:
    """How a line of the table was made, so that lines made otherwise are not mixed with it."""
    models = (
        f"{name}: {model}" for name, model in (("lobes", plan.lobes_model), ("lesions", plan.lesions_model)) if model
    )
    return "; ".join((plan.method, *models, f"matrix {matrix}"))


def assess(case: Case, plan: Plan, cache: Path | None) -> dict[str, object]:
    """One phantom through the whole job, against its truth."""
    ct, lobes, lesions = phantom_of(case, cache)
    started = time.perf_counter()
    exam = quantify_ct(ct, plan=plan)
    seconds = time.perf_counter() - started
    truth = Labels(lobes, lesions)
    scan = evaluate_scan(
        exam.segmentation, truth, ct.hu, ct.geometry, padding=ct.padding, name=case.key, distances=False
    )
    found = scan.structures["lesions"]
    figures = ("predicted_extent_percent", "reference_extent_percent", "predicted_weight_g", "reference_weight_g")
    return {
        "phantom": case.key,
        "plan": plan_text(plan, case.matrix),
        "thickness_mm": case.thickness_mm,
        "motion": int(case.motion),
        "extra": int(case.extra),
        "dice_lungs": scan.structures["whole lung"].overlap.dice,
        "dice_lobes": scan.mean_lobe_dice,
        **{f"dice_{lobe.short}": scan.structures[lobe.name].overlap.dice for lobe in LOBES},
        "dice_lesions": found.overlap.dice if found.in_reference else None,
        "sensitivity_lesions": found.overlap.sensitivity,
        "ppv_lesions": found.overlap.ppv,
        **{name: found.value(name) for name in figures},
        "seconds": seconds,
    }


def read_rows(folder: Path) -> list[dict[str, str]]:
    """The lines of a folder's table; none if there is no table yet."""
    path = folder / ROWS_FILE
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def add_row(folder: Path, row: dict[str, object]) -> None:
    """Append a line, with the heading if it is the first."""
    path = folder / ROWS_FILE
    new = not path.exists()
    with path.open("a", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, row.keys())
        if new:
            writer.writeheader()
        writer.writerow({name: "" if value is None else value for name, value in row.items()})


def numbers(rows: list[dict[str, str]], name: str) -> np.ndarray:
    """A column without its empty cells."""
    return np.array([float(row[name]) for row in rows if row[name] != ""])


def summary_of(rows: list[dict[str, str]]) -> dict[str, object]:
    """Every bar's figure, and what stands behind it."""
    seeds = [row for row in rows if row["extra"] == "0"]
    free = [row for row in rows if float(row["reference_extent_percent"]) == 0]
    ill = [row for row in seeds if float(row["reference_extent_percent"]) > 0]
    agreements = {
        name: PairedAgreement.of(numbers(seeds, f"predicted_{column}"), numbers(seeds, f"reference_{column}"))
        for name, column in (("extent", "extent_percent"), ("weight", "weight_g"))
    }
    false_positive = numbers(free, "predicted_extent_percent")
    figures = {
        "mean lung Dice": numbers(seeds, "dice_lungs").mean(),
        "mean lobe Dice": numbers(seeds, "dice_lobes").mean(),
        "mean lesion Dice": numbers(ill, "dice_lesions").mean() if ill else None,
        **{f"ICC of {name}": found.icc and found.icc.value for name, found in agreements.items()},
        "largest false-positive extent, %": false_positive.max() if free else None,
    }
    at_least_1 = [row for row in ill if float(row["reference_extent_percent"]) >= 1]
    return {
        "phantoms": len(seeds),
        "with lesions": len(ill),
        "lesion-free, with extra ones": len(free),
        "figures": figures,
        "bars met": {name: meets(figures[name], how, bar) for name, how, bar in BARS},
        "mean false-positive extent, %": false_positive.mean() if free else None,
        "mean lesion Dice where the true extent is at least 1 %": [
            len(at_least_1),
            numbers(at_least_1, "dice_lesions").mean() if at_least_1 else None,
        ],
        "agreement": {name: agreement_record(found) for name, found in agreements.items()},
        "groups": {name: means(group) for name, group in groups_of(seeds).items()},
        "worst": {name: numbers(seeds, name).min() for name in ("dice_lungs", "dice_lobes")},
    }


def meets(value: float | None, how: str, bar: float) -> bool | None:
    """Whether a figure meets its bar; None if there is no figure."""
    if value is None:
        return None
    return bool(value >= bar if how == "at least" else value < bar)


def agreement_record(found: PairedAgreement) -> dict[str, object]:
    """ICC with its interval, bias and limits."""
    icc, difference = found.icc, found.bland_altman
    return {
        "ICC(A,1), 95 % interval": icc and [icc.value, icc.lower, icc.upper],
        "mean difference": difference and difference.mean,
        "95 % limits": difference and list(difference.limits),
    }


def groups_of(rows: list[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """The phantoms by thickness and by motion."""
    tests = (
        ("1.5 mm", "thickness_mm", THIN_MM),
        ("5 mm", "thickness_mm", THICK_MM),
        ("motion", "motion", 1.0),
        ("still", "motion", 0.0),
    )
    groups = {name: [row for row in rows if float(row[column]) == value] for name, column, value in tests}
    return {name: group for name, group in groups.items() if group}


def means(rows: list[dict[str, str]]) -> dict[str, object]:
    """Number and means of a group."""
    names = ("dice_lungs", "dice_lobes", *(f"dice_{lobe.short}" for lobe in LOBES), "dice_lesions", "seconds")
    return {"n": len(rows), **{name: v.mean() for name in names if (v := numbers(rows, name)).size}}


def show(summary: dict[str, object]) -> None:
    """The bars and the groups on the terminal."""
    print(f"\n{summary['phantoms']} phantoms, {summary['with lesions']} with lesions; "
          f"{summary['lesion-free, with extra ones']} lesion-free with the extra ones")  # fmt: skip
    words = {True: "met", False: "NOT met", None: "not measured"}
    for name, how, bar in BARS:
        value, met = summary["figures"][name], words[summary["bars met"][name]]
        print(f"  {name:34} {'–' if value is None else f'{value:.4f}':>8}  {how} {bar}: {met}")
    for name, group in summary["groups"].items():
        told = "  ".join(f"{key} {value:.3f}" for key, value in group.items() if key != "n")
        print(f"  {name:7} n {group['n']:3}  {told}")


def write_summary(folder: Path, rows: list[dict[str, str]]) -> None:
    """Show the summary and write it as JSON."""
    summary = summary_of(rows)
    (folder / SUMMARY_FILE).write_text(json.dumps(summary, indent=1, default=float) + "\n", encoding="utf-8")
    show(summary)


def measure(arguments: argparse.Namespace) -> None:
    """Every phantom of the seeds, then the extra ones that are wanting."""
    first, last = (int(part) for part in arguments.seeds.split("-"))
    seeds = range(first, last + 1)
    plan = Plan(arguments.method, arguments.device, arguments.lobes, arguments.lesions)
    for folder in (arguments.out, arguments.cache):
        if folder:
            folder.mkdir(parents=True, exist_ok=True)

    if {row["plan"] for row in read_rows(arguments.out)} - {plan_text(plan, arguments.matrix)}:
        sys.exit(f"{arguments.out / ROWS_FILE} was made otherwise: choose another --out")

    def run(case: Case) -> None:
        if case.key in {row["phantom"] for row in read_rows(arguments.out)}:
            return
        row = assess(case, plan, arguments.cache)
        add_row(arguments.out, row)
        shown = {name: row[name] for name in ("dice_lungs", "dice_lobes", "dice_lesions") if row[name] is not None}
        told = "  ".join(f"{name} {value:.3f}" for name, value in shown.items())
        extent = f"{row['predicted_extent_percent']:.2f} of {row['reference_extent_percent']:.2f} %"
        print(f"{case.key}: {told}  extent {extent}  ({row['seconds']:.1f} s)", flush=True)

    for seed in seeds:
        run(case_of(seed, arguments.matrix))
    for seed in (seed for seed in seeds if seed % 10 == 9):
        free = [row for row in read_rows(arguments.out) if float(row["reference_extent_percent"]) == 0]
        if len(free) < arguments.lesion_free:
            run(extra_case(seed, arguments.matrix))
    write_summary(arguments.out, read_rows(arguments.out))


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="40-99", help="first-last; seeds 0-99 are kept for evaluation")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--method", choices=("network", "model-free"), default="network")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--lobes", help="bundle for lungs and lobes, by name or folder; the shipped one by default")
    parser.add_argument("--lesions", help="bundle for lesions")
    parser.add_argument("--cache", type=Path, help="keep the made phantoms here")
    parser.add_argument("--matrix", type=int, default=256, help="pixels along a side")
    parser.add_argument("--lesion-free", type=int, default=LEAST_LESION_FREE, help="at least so many without lesions")
    parser.add_argument("--summarise", type=Path, nargs="+", metavar="DIR", help="only sum up these folders together")
    arguments = parser.parse_args()
    if arguments.summarise:
        arguments.out.mkdir(parents=True, exist_ok=True)
        rows = {row["phantom"]: row for folder in arguments.summarise for row in read_rows(folder)}
        write_summary(arguments.out, list(rows.values()))
    else:
        measure(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
