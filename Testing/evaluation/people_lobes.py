"""Lungs, lobes and lesions found on CTs painted from real people's lobes (see people_ct.py), against their truth.

    python -m Testing.evaluation.people_lobes --cache FOLDER [--people s0004 s0011 …] [--limit N] [--out FILE.jsonl]
        [--method network|model-free] [--lobes-model B] [--lesions-model B] [--data FOLDER] [--only-make]

Without ``--people`` those held out of the training. A line per person as it is done, at the end the means and the bars;
``--out`` gets a JSON line per person, and a run that was stopped goes on where it was.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree

from COVIDQuantLib.anatomy import FISSURE, LOBES
from COVIDQuantLib.evaluation.overlap import dice
from COVIDQuantLib.grades import Grade
from COVIDQuantLib.pipeline import METHODS, Plan, quantify_ct
from COVIDQuantLib.training.label_free.people import HELD_OUT
from Testing.evaluation.people_ct import PaintedCT, painted_ct

_FAR_MM = 100.0
_DENSE_HU = -350
_PIECE_ML = 1.0
_GRADE = "grade"
_SHOWN = (
    "lungs",
    "mean lobe",
    "worst lobe",
    "pieces",
    "fissures mm",
    "lesion",
    "dense recall",
    "true %",
    "found %",
    _GRADE,
    "s",
)
# What is asked of the held-out people: figure, how their figures are summed up, the bar.
BARS = (("lungs", "mean", 0.985), ("mean lobe", "mean", 0.96), ("worst lobe", "least", 0.90))


def faces(lobes: np.ndarray, above: tuple[int, ...], below: tuple[int, ...], spacing: tuple) -> np.ndarray:
    """Middles (mm, ``[n, 3]`` z, y, x) of the voxel faces between two groups of lobes."""
    group = np.zeros(256, np.uint8)
    group[list(above)], group[list(below)] = 1, 2
    parts, found = group[lobes], []
    for axis in range(3):
        low, high = (np.take(parts, range(start, parts.shape[axis] - 1 + start), axis) for start in (0, 1))
        places = np.argwhere((low != high) & (low > 0) & (high > 0)).astype(np.float32)
        places[:, axis] += 0.5
        found.append(places)
    return np.concatenate(found) * np.array(spacing, np.float32)


def fissure_distance(found: np.ndarray, true: np.ndarray, spacing: tuple, name: str) -> float:
    """Mean millimetres from the true border of a fissure to the found one, and back; 100 if it was not found."""
    places = [faces(lobes, FISSURE[name].above, FISSURE[name].below, spacing)[::3] for lobes in (true, found)]
    if not len(places[0]):
        return float("nan")
    if not len(places[1]):
        return _FAR_MM
    ways = [cKDTree(places[1 - n]).query(places[n])[0].mean() for n in (0, 1)]
    return float(np.mean(ways))


def pieces(mask: np.ndarray, voxel_ml: float) -> int:
    """Parts of a mask larger than a millilitre."""
    labels, _ = ndimage.label(mask, np.ones((3, 3, 3)))
    return int((np.bincount(labels.ravel())[1:] * voxel_ml > _PIECE_ML).sum())


def assess(made: PaintedCT, plan: Plan) -> dict[str, Any]:
    """One person through the whole job, against the truth."""
    began = time.perf_counter()
    exam = quantify_ct(made.ct, plan=plan)
    seconds = time.perf_counter() - began
    found, geometry = exam.segmentation, made.ct.geometry
    by_lobe = {lobe.short: dice(found.lobes == lobe.label, made.lobes == lobe.label, 1.0) for lobe in LOBES}
    parts = {lobe.short: pieces(found.lobes == lobe.label, geometry.voxel_volume_ml) for lobe in LOBES}
    apart = {name: fissure_distance(found.lobes, made.lobes, geometry.spacing_kji, name) for name in FISSURE}
    return {
        "person": made.name,
        "lungs": dice(found.lobes > 0, made.lobes > 0, 1.0),
        "mean lobe": float(np.mean(list(by_lobe.values()))),
        "worst lobe": min(by_lobe.values()),
        "lobes": by_lobe,
        "pieces": max(parts.values()),
        "pieces of lobes": parts,
        "fissures mm": float(np.nanmean(list(apart.values()))),
        "fissures": apart,
        **lesion_figures(found.lesions, found.lobes, made),
        "warnings": [warning.code for warning in found.warnings],
        _GRADE: str(exam.grade),
        "doubts": sorted({check.code for check in exam.checks if check.grade is not Grade.SOUND}),
        "s": round(seconds, 1),
        "recipe": made.recipe,
    }


def lesion_figures(lesions: np.ndarray, lobes: np.ndarray, made: PaintedCT) -> dict[str, float | None]:
    """Dice, extents, and what was found of the lesion as dense as soft tissue; None where there is no lesion."""
    dense = made.lesions & (made.ct.hu > _DENSE_HU)
    sick, much = bool(made.lesions.any()), int(dense.sum())
    return {
        "lesion": dice(lesions, made.lesions, 1.0) if sick else None,
        "dense recall": float((lesions & dense).sum() / much) if much else None,
        "dense in lungs": float(((lobes > 0) & dense).sum() / much) if much else None,
        "true %": 100.0 * float(made.lesions.sum() / (made.lobes > 0).sum()),
        "found %": 100.0 * float(lesions.sum() / max(1, (lobes > 0).sum())),
    }


def show(row: dict[str, Any]) -> None:
    """A line of the table."""
    cells = (
        "–" if row[name] is None else f"{row[name]:.3f}" if isinstance(row[name], float) else str(row[name])
        for name in _SHOWN
    )
    thick = row["recipe"]["thickness_mm"] if "recipe" in row else 0.0
    print(f"{row['person']:8}{thick:4.1f}" + "".join(f"{cell:>14}" for cell in cells), flush=True)


def summarise(rows: list[dict[str, Any]]) -> None:
    """Means, worst, and the bars."""
    means = {
        name: float(np.mean(known)) if (known := [row[name] for row in rows if row[name] is not None]) else None
        for name in _SHOWN
        if name != _GRADE
    }
    show({"person": "mean", _GRADE: None, **means})
    for name, how, bar in BARS:
        values = [row[name] for row in rows]
        value = float(np.mean(values) if how == "mean" else np.min(values))
        print(f"  {how} of {name}: {value:.4f}, asked {bar}: {'met' if value >= bar else 'NOT met'}")
    short = [row["person"] for row in rows if row["worst lobe"] < 0.90]
    split = [row["person"] for row in rows if row["pieces"] > 1]
    print(f"  a lobe below 0.90: {' '.join(short) or 'nobody'}\n  lobes in pieces: {' '.join(split) or 'nobody'}")


def kept_rows(out: Path | None) -> dict[str, dict[str, Any]]:
    """Lines of a run before, by person."""
    if out is None or not out.is_file():
        return {}
    rows = (json.loads(line) for line in out.read_text(encoding="utf-8").splitlines())
    return {row["person"]: row for row in rows}


def measure(arguments: argparse.Namespace) -> None:
    """Make what is wanting, measure, tell."""
    plan = Plan(arguments.method, lobes_model=arguments.lobes_model, lesions_model=arguments.lesions_model)
    done, rows = kept_rows(arguments.out), []
    print(f"{'person':8}{'mm':>4}" + "".join(f"{name:>14}" for name in _SHOWN))
    for person in arguments.people[: arguments.limit]:
        if person not in done:
            began = time.perf_counter()
            made = painted_ct(arguments.data / "ts_lobes", person, arguments.cache)
            seconds = time.perf_counter() - began
            if arguments.only_make:
                print(f"{person}: {seconds:.0f} s", flush=True)
                continue
            done[person] = assess(made, plan) | {"make s": round(seconds, 1)}
            if arguments.out is not None:
                with arguments.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(done[person]) + "\n")
        rows.append(done[person])
        show(rows[-1])
    if rows:
        summarise(rows)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the painted CTs")
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared" / "data")
    parser.add_argument("--people", nargs="+", default=sorted(HELD_OUT), help="names as in s0004")
    parser.add_argument("--limit", type=int, help="only the first so many")
    parser.add_argument("--method", choices=METHODS, default="network")
    parser.add_argument("--lobes-model")
    parser.add_argument("--lesions-model")
    parser.add_argument("--out", type=Path, help="JSON lines; people in it are not measured again")
    parser.add_argument("--only-make", action="store_true", help="paint the CTs, measure nothing")
    measure(parser.parse_args())
    return 0


if __name__ == "__main__":
    sys.exit(main())
