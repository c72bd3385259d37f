"""Weights of the motion-artefact review, fitted on phantoms and measured on others.

    python -m Testing.evaluation.review_phantoms look --seeds 1000 1160 --out FOLDER
    python -m Testing.evaluation.review_phantoms fit FOLDER --table Resources/Review/suspicion.json
    python -m Testing.evaluation.review_phantoms measure FOLDER

``look`` makes phantoms (those with motion; ``--motion`` forces it, ``--cache`` takes ``<seed>.npz`` files made before),
and writes per seed what the cues say of every component: of the artefacts and of the lesions each by themselves
(``apart``), of both together as one mask (``together``: a component is an artefact if most of it is), and with
``--network`` of what the shipped network calls lesion. ``fit`` never sees what ``measure`` is given: the seeds are kept
apart by the caller and written down in the table.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.pipeline import DEFAULT_PLAN
from COVIDQuantLib.review.components import find_components
from COVIDQuantLib.review.cue_scores import CueScorer
from COVIDQuantLib.review.cue_weights import FORMAT, shipped_cue_weights
from COVIDQuantLib.review.cues import CUES
from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom
from COVIDQuantLib.voxels.geometry import Geometry

NAMES = [cue.name for cue in CUES]
# The bars of the default list: of the artefacts' volume, and of the lesions'.
CAUGHT_AT_LEAST, LOST_AT_MOST = 0.80, 0.05
RIDGE = 1.0
# No cue counts for nothing: each is named by the papers, and the reader is told of it.
LEAST_WEIGHT = 0.2
FITTED = ("apart", "together")
THICKNESSES_MM = (1.25, 1.5, 1.5, 5.0)


@dataclass
class Case:
    """A chest with truth, arrays ``[k, j, i]``."""

    hu: np.ndarray
    lobes: np.ndarray
    lesions: np.ndarray
    artefacts: np.ndarray
    spacing: tuple[float, float, float]


def load(path: Path) -> Case | None:
    """A chest made before; None if it did not move, as all without artefacts."""
    with np.load(path) as file:
        if not file["artefacts"].any():
            return None
        k, j, i = (float(mm) for mm in file["spacing"])
        return Case(file["hu"], file["lobes"], file["lesions"], file["artefacts"], (k, j, i))


def make(seed: int, *, motion: bool | None) -> Case | None:
    """A new chest, thin or thick sections by the seed; None if it did not move."""
    phantom = make_phantom(PhantomSettings(seed=seed, motion=motion, thickness_mm=THICKNESSES_MM[seed % 4]))
    if not phantom.artefacts.any():
        return None
    return Case(phantom.ct.hu, phantom.lobes, phantom.lesions, phantom.artefacts, phantom.ct.geometry.spacing_kji)


def rows_of(case: Case, mode: str, mask: np.ndarray) -> list[dict[str, Any]]:
    """One record per component of a mask: cues, volumes of it that are artefact and lesion."""
    scorer = CueScorer(case.hu, case.lobes, case.spacing)
    found = find_components(mask, case.lobes, case.spacing)
    rows = []
    for component, seen in (pair for whole in found for pair in scorer.looks(whole)):
        voxel_ml = component.volume_ml / np.count_nonzero(component.mask)
        artefact, lesion = (
            float(np.count_nonzero(truth[component.box] & component.mask)) * voxel_ml
            for truth in (case.artefacts, case.lesions)
        )
        cues = {name: round(look.value, 6) for name, look in seen.items()}
        rows.append({"mode": mode, "ml": component.volume_ml, "artefact_ml": artefact, "lesion_ml": lesion, **cues})
    return rows


def network_lesions(case: Case) -> np.ndarray:
    """What the shipped network calls lesion in the true lobes."""
    k, j, i = case.spacing
    ct = CTVolume(case.hu, Geometry(case.hu.shape, (i, j, k)))
    return DEFAULT_PLAN.networks().lesions(ct, case.lobes, [])


def look(case: Case, *, network: bool) -> dict[str, Any]:
    """Everything that is kept of a chest."""
    rows = rows_of(case, "apart", case.artefacts) + rows_of(case, "apart", case.lesions)
    rows += rows_of(case, "together", case.artefacts | case.lesions)
    if network:
        rows += rows_of(case, "network", network_lesions(case))
    ml = float(np.prod(case.spacing)) / 1000
    totals = {"artefact_ml": np.count_nonzero(case.artefacts) * ml, "lesion_ml": np.count_nonzero(case.lesions) * ml}
    return {**totals, "spacing": case.spacing, "rows": rows}


def look_at_all(options: argparse.Namespace) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    for seed in range(*options.seeds):
        path = options.out / f"{seed}.json"
        cached = options.cache / f"{seed}.npz" if options.cache else None
        if path.exists() or (cached and not cached.exists()):
            continue
        begin = time.perf_counter()
        case = load(cached) if cached else make(seed, motion=True if options.motion else None)
        if case is not None:
            made = time.perf_counter() - begin
            path.write_text(json.dumps(look(case, network=options.network)), encoding="utf-8")
            print(f"{seed}: {made:.1f} s + {time.perf_counter() - begin - made:.1f} s", flush=True)


# ---------------------------------------------------------------------------------------------------------- figures


def read(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def is_artefact(row: dict[str, Any]) -> bool | None:
    """What most of a component is; None for what is neither, which only a network finds."""
    known = row["artefact_ml"] + row["lesion_ml"]
    return None if known < 0.5 * row["ml"] else row["artefact_ml"] > row["lesion_ml"]


def area_under_curve(scores: np.ndarray, truth: np.ndarray) -> float:
    ranks = rankdata(scores)
    ones = int(truth.sum())
    zeros = len(truth) - ones
    return float((ranks[truth].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def design(rows: list[dict[str, Any]]) -> np.ndarray:
    return np.array([[row[name] for name in NAMES] for row in rows])


def fit_weights(values: np.ndarray, truth: np.ndarray, ml: np.ndarray) -> tuple[float, np.ndarray]:
    """Logistic regression whose weights are positive; large components count more, both kinds alike."""
    importance = np.clip(np.sqrt(ml), 0.5, 10.0)
    for kind in (truth, ~truth):
        importance[kind] *= len(truth) / 2 / importance[kind].sum()
    sign = np.where(truth, 1.0, -1.0)

    def loss(theta: np.ndarray) -> tuple[float, np.ndarray]:
        margin = sign * (theta[0] + values @ theta[1:])
        slope = -importance * sign * expit(-margin)
        ridge = np.concatenate([[0.0], RIDGE * theta[1:]])
        value = float(importance @ np.logaddexp(0, -margin)) + 0.5 * float(ridge @ theta)
        return value, np.concatenate([[slope.sum()], values.T @ slope]) + ridge

    start = np.zeros(1 + values.shape[1])
    bounds = [(None, None)] + [(LEAST_WEIGHT, None)] * values.shape[1]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), found.x[1:]


def best_threshold(scores: np.ndarray, rows: list[dict[str, Any]], chests: list[dict[str, Any]]) -> float:
    """The score furthest from both bars, in shares of the room that each leaves, in the worse of the modes."""
    candidates = np.arange(0.3, 0.96, 0.01)
    return float(max(candidates, key=lambda cut: min(_room(scores >= cut, rows, chests, mode) for mode in FITTED)))


def _room(listed: np.ndarray, rows: list[dict[str, Any]], chests: list[dict[str, Any]], mode: str) -> float:
    def share(key: str) -> float:
        held = sum(row[key] for row, on in zip(rows, listed, strict=True) if on and row["mode"] == mode)
        return held / sum(chest[key] for chest in chests)

    return min((share("artefact_ml") - CAUGHT_AT_LEAST) / (1 - CAUGHT_AT_LEAST), 1 - share("lesion_ml") / LOST_AT_MOST)


def fit(options: argparse.Namespace) -> None:
    chests = read(options.folder)
    rows = [row for chest in chests.values() for row in chest["rows"] if row["mode"] in FITTED]
    truth = np.array([bool(is_artefact(row)) for row in rows])
    values = design(rows)
    intercept, weights = fit_weights(values, truth, np.array([row["ml"] for row in rows]))
    scores = expit(intercept + values @ weights)
    record = {
        "format": FORMAT,
        "intercept": round(intercept, 3),
        "weights": {name: round(float(weight), 3) for name, weight in zip(NAMES, weights, strict=True)},
        "threshold": round(best_threshold(scores, rows, list(chests.values())), 3),
        "source": {
            "fitted_on": "components of known motion artefacts and of known lesions, apart and in one mask, in made "
            "chests with motion (COVIDQuantLib.simulation.phantom)",
            "seeds": [int(seed) for seed in chests],
            "components": {"artefact": int(truth.sum()), "lesion": int((~truth).sum())},
            "method": "logistic regression, weights of at least 0.2, ridge 1; threshold: on these chests as far as "
            "can be from listing less than 80 % of the artefacts' or more than 5 % of the lesions' volume",
            "script": "Testing/evaluation/review_phantoms.py",
        },
    }
    options.table.parent.mkdir(parents=True, exist_ok=True)
    options.table.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: record[key] for key in ("intercept", "weights", "threshold")}, indent=1))


def measure(options: argparse.Namespace) -> None:
    chests = read(options.folder)
    judgement = shipped_cue_weights()
    overlap = {int(seed) for seed in chests} & set(judgement.source["seeds"])
    print(f"{len(chests)} chests, {len(overlap)} of them also fitted on")
    for mode in ("apart", "together", "network"):
        pairs = [(row, seed) for seed, chest in chests.items() for row in chest["rows"] if row["mode"] == mode]
        if not pairs:
            continue
        rows = [row for row, _ in pairs]
        seen = [chests[seed] for seed in {seed for _, seed in pairs}]
        print(f"{mode}: {describe(rows, seen, judgement)}")


def describe(rows: list[dict[str, Any]], chests: list[dict[str, Any]], judgement: Any) -> str:
    scores = np.array([judgement.score(row) for row in rows])
    kinds = [is_artefact(row) for row in rows]
    known = np.array([kind is not None for kind in kinds])
    truth = np.array([bool(kind) for kind in kinds])
    listed = scores >= judgement.threshold
    artefact, lesion = (np.array([row[key] for row in rows]) for key in ("artefact_ml", "lesion_ml"))
    whole_artefact, whole_lesion = (sum(c[key] for c in chests) for key in ("artefact_ml", "lesion_ml"))
    return (
        f"{int(truth.sum())} artefact and {int((known & ~truth).sum())} lesion components"
        f" ({int((~known).sum())} neither), AUC {area_under_curve(scores[known], truth[known]):.3f};"
        f" the list holds {100 * artefact[listed].sum() / artefact.sum():.1f} % of the artefact volume in components"
        f" ({100 * artefact[listed].sum() / whole_artefact:.1f} % of all {whole_artefact:.0f} mL) and"
        f" {100 * lesion[listed].sum() / lesion.sum():.1f} % of the lesion volume"
        f" ({100 * lesion[listed].sum() / whole_lesion:.1f} % of all {whole_lesion:.0f} mL)"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(required=True)
    looker = verbs.add_parser("look")
    looker.add_argument("--seeds", type=int, nargs=2, required=True, metavar=("FROM", "UNTIL"))
    looker.add_argument("--out", type=Path, required=True)
    looker.add_argument("--cache", type=Path)
    looker.add_argument("--motion", action="store_true")
    looker.add_argument("--network", action="store_true")
    looker.set_defaults(do=look_at_all)
    fitter = verbs.add_parser("fit")
    fitter.add_argument("folder", type=Path)
    fitter.add_argument("--table", type=Path, required=True)
    fitter.set_defaults(do=fit)
    measurer = verbs.add_parser("measure")
    measurer.add_argument("folder", type=Path)
    measurer.set_defaults(do=measure)
    options = parser.parse_args()
    options.do(options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
