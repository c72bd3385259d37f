"""How often the checks see what is wrong, by kind of damage, and how often they warn of what is right.

    python Testing/evaluation/checks_injection.py --seeds 40-59 [--real CT LABELS …] [--values values.jsonl]

Phantoms' true masks (and the labels of ``--real``: a CT, and a folder with ``lobes.nii.gz`` and ``lesions.nii.gz`` that
were looked at and are right) are checked as they are and after each damage of ``damage/catalogue.py``. A damaged
result is *wrong* if its lung volume is off by more than 3 %, its extent by more than 2 points, or more than 3 % of the
lungs lie in the wrong place; a damage that changes less is counted apart.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import SimpleITK as sitk

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from COVIDQuantLib.checks.bounds import bounds_of
from COVIDQuantLib.checks.run import run_checks
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.grades import CheckResult, Grade, grade_of
from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom
from Testing.evaluation.damage.catalogue import DAMAGES
from Testing.evaluation.damage.right_masks import Right

WRONG_VOLUME, WRONG_EXTENT, WRONG_PLACE = 3.0, 2.0, 3.0
THICKNESSES = (1.5, 2.5, 5.0)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="", metavar="A-B", help="phantoms")
    parser.add_argument("--real", nargs=2, action="append", default=[], metavar=("CT", "LABELS"), type=Path)
    parser.add_argument("--values", type=Path, help="write every value of every check, a line per result")
    parser.add_argument("--kinds", nargs="*", help="only these damages")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each case takes every N-th damage in turn")
    parser.add_argument("--matrix", type=int, default=256, help="pixels along a side of a phantom")
    arguments = parser.parse_args()
    table: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    lines = arguments.values.open("w") if arguments.values else None
    for number, (case, ct) in enumerate(_cases(arguments)):
        for kind, wrong, checks in _results(case, ct, arguments.kinds, (number, arguments.every)):
            table[kind].append((wrong, grade_of(checks) is not Grade.SOUND))
            if lines:
                record = {"case": case.name, "kind": kind, "wrong": wrong, "checks": [c.as_record() for c in checks]}
                lines.write(json.dumps(record) + "\n")
                lines.flush()
        sys.stderr.write(f"{case.name}: {'sound' if not table['nothing'][-1][1] else 'WARNED OF'} as it is\n")
    _show(table)


def _cases(arguments: argparse.Namespace) -> Iterator[tuple[Right, CTVolume]]:
    first, _, last = arguments.seeds.partition("-")
    for seed in range(int(first), int(last or first) + 1) if first else ():
        thickness = THICKNESSES[seed % len(THICKNESSES)]
        phantom = make_phantom(PhantomSettings(seed=seed, thickness_mm=thickness, matrix=arguments.matrix))
        yield right_of(f"phantom {seed}", phantom.ct, phantom.lobes, phantom.lesions)
    for path, folder in arguments.real:
        ct = read_ct(path)
        lobes, lesions = (
            sitk.GetArrayFromImage(sitk.ReadImage(str(folder / f"{name}.nii.gz"))) for name in ("lobes", "lesions")
        )
        yield right_of(path.stem, ct, lobes, lesions > 0)


def right_of(name: str, ct: CTVolume, lobes: np.ndarray, lesions: np.ndarray) -> tuple[Right, CTVolume]:
    upright, turn = ct.canonical()
    bounds = bounds_of(upright)
    patient = bounds.patient
    for axis, factor in enumerate(bounds.factors):
        patient = np.repeat(patient, factor, axis=axis)
    k, j, i = upright.hu.shape
    lobes, lesions = np.ascontiguousarray(turn.apply(lobes)), np.ascontiguousarray(turn.apply(lesions))
    spacing = upright.geometry.spacing_kji
    return Right(name, upright.hu, lobes, lesions, patient[:k, :j, :i], spacing), upright


def _results(
    case: Right, ct: CTVolume, kinds: list[str] | None, turn: tuple[int, int]
) -> Iterator[tuple[str, bool, list[CheckResult]]]:
    first, every = turn
    bounds = bounds_of(ct)
    yield "nothing", False, run_checks(ct, case.lobes, case.lesions, bounds)
    for number, damage in enumerate(DAMAGES):
        kind = damage.__name__.replace("_", " ")
        if (kinds and kind not in kinds) or (number - first) % every:
            continue
        seed = [number, *case.name.encode()]
        lobes, lesions = damage(case, np.random.default_rng(seed))
        if np.array_equal(lobes, case.lobes) and np.array_equal(lesions, case.lesions):
            continue
        yield kind, is_wrong(case, lobes, lesions), run_checks(ct, lobes, lesions, bounds)


def is_wrong(case: Right, lobes: np.ndarray, lesions: np.ndarray) -> bool:
    right, found = case.lung, lobes > 0
    volume = np.count_nonzero(right)
    off = 100.0 * abs(np.count_nonzero(found) - volume) / volume
    astray = 100.0 * np.count_nonzero(found != right) / 2 / volume
    extents = [100.0 * np.count_nonzero(s & m) / max(np.count_nonzero(m), 1) for s, m in
               ((case.lesions, right), (lesions, found))]  # fmt: skip
    return bool(off > WRONG_VOLUME or abs(extents[0] - extents[1]) > WRONG_EXTENT or astray > WRONG_PLACE)


def _show(table: dict[str, list[tuple[bool, bool]]]) -> None:
    print("| damage | wrong results | of these below sound | slight ones | of these below sound |")
    print("|---|---|---|---|---|")
    for kind, results in table.items():
        cells = []
        for state in (True, False):
            seen = [below for wrong, below in results if wrong is state]
            cells += [str(len(seen)), f"{100 * np.mean(seen):.0f} %" if seen else "–"]
        print(f"| {kind} | {' | '.join(cells)} |")
    wrong = [below for kind, results in table.items() for is_wrong, below in results if is_wrong and kind != "nothing"]
    right = [below for _, below in table["nothing"]]
    print(f"\nwrong: {len(wrong)}, below sound {100 * np.mean(wrong or [0]):.1f} %")
    print(f"right: {len(right)}, below sound {100 * np.mean(right or [0]):.1f} %")


if __name__ == "__main__":
    main()
