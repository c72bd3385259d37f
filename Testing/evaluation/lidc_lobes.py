"""Lobes, lungs and lesions found on the made LIDC CTs (see lidc_ct.py) against their truth and the drawn fissures.

    python -m Testing.evaluation.lidc_lobes --cache FOLDER [--method network] [--lobes-model NAME] [--data FOLDER]

They serve validation only: nothing is trained or tuned on them.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from COVIDQuantLib.anatomy import FISSURE, LOBES, labels_of_side
from COVIDQuantLib.evaluation.overlap import dice
from COVIDQuantLib.pipeline import METHODS, Plan, quantify_ct
from Testing.evaluation.lidc_ct import EXTENTS, PATIENTS, MadeCT, make_cts

_FAR_MM = 100.0


def border(lobes: np.ndarray, above: tuple[int, ...], below: tuple[int, ...]) -> np.ndarray:
    """Voxel indices ``(n, 3)``, halves included, of the faces between two groups of lobes."""
    group = np.zeros(int(lobes.max()) + 1 if lobes.size else 1, np.uint8)
    lookup = np.zeros(256, np.uint8)
    lookup[: len(group)] = group
    lookup[list(above)], lookup[list(below)] = 1, 2
    parts, found = lookup[lobes], []
    for axis in range(3):
        low, high = (
            np.take(parts, range(parts.shape[axis] - 1), axis),
            np.take(parts, range(1, parts.shape[axis]), axis),
        )
        faces = np.argwhere((low > 0) & (high > 0) & (low != high)).astype(float)
        faces[:, axis] += 0.5
        found.append(faces)
    return np.concatenate(found)


def fissure_distances(lobes: np.ndarray, made: MadeCT) -> dict[str, np.ndarray]:
    """Millimetres from every drawn point to the border of that fissure, and to any border of the lung, by name.

    A fissure that was not found at all counts as 100 mm.
    """
    geometry = made.ct.geometry
    step, height = np.array(geometry.spacing_kji), geometry.origin[2]
    found = {}
    for name, points in made.fissures.items():
        own = border(lobes, FISSURE[name].above, FISSURE[name].below)
        side = labels_of_side(FISSURE[name].side)
        anyone = [border(lobes, (label,), tuple(other for other in side if other != label)) for label in side]
        for key, faces in ((name, own), (f"{name}, any", np.concatenate(anyone))):
            places = (faces * step + [height, 0, 0])[:, ::-1]
            found[key] = cKDTree(places).query(points)[0] if len(places) else np.full(len(points), _FAR_MM)
    return found


def assess(made: MadeCT, plan: Plan) -> dict[str, float]:
    """One CT through the whole job, against its truth."""
    started = time.perf_counter()
    found = quantify_ct(made.ct, plan=plan).segmentation
    seconds = time.perf_counter() - started
    lungs = made.lobes > 0
    lobes = {lobe.short: dice(found.lobes == lobe.label, made.lobes == lobe.label, 1.0) for lobe in LOBES}
    apart = fissure_distances(found.lobes, made)
    means = {name: float(values.mean()) for name, values in apart.items()}
    pooled = np.concatenate([apart[f"{name}, any"] for name in made.fissures])
    return {
        "lungs": dice(found.lobes > 0, lungs, 1.0),
        **lobes,
        "mean lobe": float(np.mean(list(lobes.values()))),
        **{f"{name} mm": means[name] for name in made.fissures},
        "same fissure mm": float(np.mean(np.concatenate([apart[name] for name in made.fissures]))),
        "any border mm": float(pooled.mean()),
        "lesion": dice(found.lesions, made.lesions, 1.0),
        "true extent %": 100.0 * made.lesions.sum() / lungs.sum(),
        "found extent %": 100.0 * found.lesions.sum() / max(int((found.lobes > 0).sum()), 1),
        "s": seconds,
    }


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder for the made CTs")
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[3] / "shared" / "data")
    parser.add_argument("--method", choices=METHODS, default="model-free")
    parser.add_argument("--lobes-model")
    parser.add_argument("--lesions-model")
    parser.add_argument("--patients", type=int, nargs="+", default=PATIENTS)
    parser.add_argument("--extents", type=float, nargs="+", default=EXTENTS, help="percent, of those made")
    arguments = parser.parse_args()
    plan = Plan(arguments.method, lobes_model=arguments.lobes_model, lesions_model=arguments.lesions_model)
    rows: list[dict[str, float]] = []
    for patient in arguments.patients:
        for made in make_cts(arguments.data, patient, arguments.cache, arguments.extents):
            row = assess(made, plan)
            if not rows:
                print(f"{'CT':10}" + "".join(f"{name:>20}" for name in row))
            rows.append(row)
            print(f"{made.name:10}" + "".join(f"{value:20.3f}" for value in row.values()), flush=True)
    print(f"{'mean':10}" + "".join(f"{np.mean([row[name] for row in rows]):20.3f}" for name in rows[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
