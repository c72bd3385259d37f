"""What became of each lesion along courses of made patients, from the networks' masks and from the true ones.

    python -m Testing.evaluation.course_fates --out DIR [--seeds 41 42 …] [--lobes-model B] [--lesions-model B]

Three exams a patient, each compared with the others. A true lesion of at least 0.5 mL is right if the found one that
shares most voxels with it has the same fate. ``DIR/fates.jsonl`` gets a line per lesion, and a run that was stopped
goes on with the next patient.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import ndimage

from COVIDQuantLib.evaluation.overlap import dice
from COVIDQuantLib.followup.lesions.fates import find_fates
from COVIDQuantLib.followup.lesions.records import LesionPart, LesionRecord
from COVIDQuantLib.followup.registration.exam_images import ExamImages
from COVIDQuantLib.followup.registration.register import register
from COVIDQuantLib.pipeline import Plan, quantify_ct
from COVIDQuantLib.simulation.phantom import PhantomSettings
from COVIDQuantLib.simulation.phantom.course import COURSES, make_course

_USUAL = (4, 14, 30)
# Course, days and scanner by seed. Those below 40 served to choose limits and cuts, the others to measure.
PATIENTS: dict[int, tuple[str, tuple[int, ...], int, float]] = {
    31: ("moderate", _USUAL, 224, 2.5),
    32: ("severe", _USUAL, 224, 2.5),
    33: ("moderate", _USUAL, 224, 2.5),
    34: ("severe", _USUAL, 224, 2.5),
    41: ("moderate", _USUAL, 224, 2.5),
    42: ("severe", _USUAL, 224, 2.5),
    43: ("moderate", (5, 12, 24), 192, 3.0),
    51: ("severe", _USUAL, 224, 2.5),
    52: ("moderate", _USUAL, 224, 2.5),
    53: ("severe", _USUAL, 224, 2.5),
}
MEASURED = (41, 42, 43, 51, 52, 53)
_FILE = "fates.jsonl"


def exams_of(seed: int, plan: Plan) -> Iterator[tuple[ExamImages, ExamImages]]:
    """The exams of a patient with true masks, and with the networks' and their odds."""
    course, days, matrix, thickness = PATIENTS[seed]
    settings = PhantomSettings(seed=seed, matrix=matrix, thickness_mm=thickness)
    for exam in make_course(settings, COURSES[course], days):
        made, geometry = exam.phantom, exam.phantom.ct.geometry
        found = quantify_ct(made.ct, plan=plan).segmentation
        odds = found.odds.get("lesions")
        yield (
            ExamImages(made.lobes, made.lesions, geometry),
            ExamImages(found.lobes, found.lesions, geometry, odds=odds),
        )


class Side(NamedTuple):
    """One exam's true and found lesions, numbered in label maps.

    Attributes:
        true: label map of the true ones.
        found: of the found ones.
        common: voxels that each true one (row) has in common with each found one (column); row and column 0 are none.
    """

    true: np.ndarray
    found: np.ndarray
    common: np.ndarray

    @classmethod
    def of(cls, true: np.ndarray, found: np.ndarray) -> "Side":
        """From two masks on one grid."""
        (own, rows), (other, columns) = ndimage.label(true != 0), ndimage.label(found != 0)
        pairs = own.astype(np.int64) * (columns + 1) + other
        common = np.bincount(pairs.ravel(), minlength=(rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
        common[0], common[:, 0] = 0, 0
        return cls(own, other, common)


def numbers(parts: tuple[LesionPart, ...], labels: np.ndarray) -> list[int]:
    """The numbers of an exam's own parts, by where the first voxel of each lies."""
    places = [tuple(map(int, part.id.split("-"))) for part in parts if not part.at_lower_cut]
    return [int(labels[place]) for place in places]


def shared(true: LesionRecord, record: LesionRecord, sides: tuple[Side, Side]) -> int:
    """Voxels that a true and a found lesion have in common, in both exams."""
    parts = ((true.baseline, record.baseline), (true.followup, record.followup))
    return sum(
        int(side.common[np.ix_(numbers(one, side.true), numbers(other, side.found))].sum())
        for (one, other), side in zip(parts, sides, strict=True)
    )


def compare(before: tuple[ExamImages, ExamImages], after: tuple[ExamImages, ExamImages]) -> Iterator[dict[str, Any]]:
    """Each true lesion of two exams with what was said of it."""
    records = []
    for one, other in zip(before, after, strict=True):
        records.append(find_fates(one, other, register(one, other)).records)
    sides = (Side.of(*(exam.lesions for exam in before)), Side.of(*(exam.lesions for exam in after)))
    for true in records[0]:
        common = [shared(true, record, sides) for record in records[1]]
        best = int(np.argmax(common)) if any(common) else None
        yield {
            "true": true.fate,
            "true_ml": [round(true.baseline_ml, 2), round(true.followup_ml, 2)],
            "found": None if best is None else records[1][best].fate,
            "found_ml": None
            if best is None
            else [round(records[1][best].baseline_ml, 2), round(records[1][best].followup_ml, 2)],
        }


def summarise(rows: list[dict[str, Any]]) -> None:
    """Right, by patient and of all."""
    for seed in [*dict.fromkeys(row["seed"] for row in rows), None]:
        some = [row for row in rows if seed in (None, row["seed"])]
        right = sum(row["true"] == row["found"] for row in some)
        unseen = sum(row["found"] is None for row in some)
        who = "all" if seed is None else seed
        print(f"{who}: {right} of {len(some)} right ({right / max(1, len(some)):.0%}), {unseen} found in neither exam")
    wrong = Counter((row["true"], row["found"]) for row in rows if row["true"] != row["found"])
    print("  " + ", ".join(f"{true} said to be {found}: {count}" for (true, found), count in wrong.most_common()))


def measure(arguments: argparse.Namespace) -> None:
    """Make what is wanting, measure, tell."""
    plan = Plan("network", lobes_model=arguments.lobes_model, lesions_model=arguments.lesions_model)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / _FILE
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    done = {row["seed"] for row in rows}
    for seed in (seed for seed in arguments.seeds if seed not in done):
        exams = list(exams_of(seed, plan))
        overlaps = [dice(found.lesions != 0, true.lesions != 0, 1.0) for true, found in exams]
        print(f"{seed}: Dice of the lesions {' '.join(f'{value:.3f}' for value in overlaps)}", flush=True)
        own = [
            {"seed": seed, "exams": [a + 1, b + 1], **row}
            for a, b in combinations(range(len(exams)), 2)
            for row in compare(exams[a], exams[b])
        ]
        with path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in own)
        rows += own
        summarise(own)
    summarise([row for row in rows if row["seed"] in arguments.seeds])


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", choices=PATIENTS, default=list(MEASURED))
    parser.add_argument("--lobes-model")
    parser.add_argument("--lesions-model")
    measure(parser.parse_args())
    return 0


if __name__ == "__main__":
    sys.exit(main())
