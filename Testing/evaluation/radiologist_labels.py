"""Pneumonia on CTs of the COVID-CT-MD collection against its radiologists, lobe by lobe and slice by slice.

    python -m Testing.evaluation.radiologist_labels FOLDER --out DIR [--patients P001 …] [--least-mm2 15]
        [--lobes-model B] [--lesions-model B]

FOLDER is a copy of the collection (Afshar et al., Sci Data 2021, doi:10.1038/s41597-021-00900-3) or of its sample, with
``Index.csv`` and the label files beside the patients' folders; it is in no part of this project. The labels say for
each slice in which lobes there is infection, not its outline. A lobe in a slice is positive here if its pneumonia
covers more than ``--least-mm2`` there. A line per patient: the area under the ROC curve of that area, sensitivity and
specificity over the lobes seen in each slice, and the same over slices. DIR gets the results, so that another size is
quick to ask for; give other models a folder of their own.
"""

import argparse
import csv
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.pipeline import NETWORK, Plan, quantify_ct
from COVIDQuantLib.statistics.methods.roc import roc_of

# The last axis of the collection's lobe labels.
LABEL_ORDER = ("LLL", "LUL", "RLL", "RML", "RUL")
_NUMBER = {lobe.short: lobe.label for lobe in LOBES}
# A lobe with less area than this in a slice is left out, unless the radiologists marked it there.
_SEEN_MM2 = 100.0


@dataclass(frozen=True)
class Agreement:
    """How well marked lobes agree with the radiologists'.

    Attributes:
        marked: lobes in slices that the radiologists marked.
        auc: area under the ROC curve; NaN if all or none are marked.
        sensitivity: share of the marked ones that are found.
        specificity: share of the others that are not.
    """

    marked: int
    auc: float
    sensitivity: float
    specificity: float


def agreement(area: np.ndarray, marked: np.ndarray, least: float) -> Agreement:
    """Of areas with marks of the same shape, bool; found is an area above ``least``."""
    area, marked = area.ravel(), marked.ravel()
    found, curve = area > least, roc_of(marked, area)
    share = [float((hit & of).sum() / of.sum()) if of.any() else float("nan")
             for hit, of in ((found, marked), (~found, ~marked))]  # fmt: skip
    return Agreement(int(marked.sum()), float("nan") if curve is None else curve.area, share[0], share[1])


def areas(lobes: np.ndarray, lesions: np.ndarray, pixel_mm2: float) -> tuple[np.ndarray, np.ndarray]:
    """Area of pneumonia and of all lung, mm², ``[slices from the head, lobes in LABEL_ORDER]``.

    Args:
        lobes: labels ``[k, j, i]``, canonical (k to the head).
        lesions: bool on the same grid.
        pixel_mm2: area of a pixel.
    """
    own = [lobes == _NUMBER[short] for short in LABEL_ORDER]
    sick, whole = (
        np.stack([part.sum(axis=(1, 2)) for part in parts], axis=1)[::-1] * pixel_mm2
        for parts in ([lobe & lesions for lobe in own], own)
    )
    return sick, whole


class Collection:
    """A copy of COVID-CT-MD or of its sample."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with (folder / "Index.csv").open(encoding="utf-8") as file:
            self.number = {row["Folder/ID"]: int(row["Label Index"]) for row in csv.DictReader(file)}
        updated = folder / "Lobe-level-labels-updated-1.npy"
        self._labels = np.load(updated if updated.is_file() else folder / "Lobe-level-labels.npy")

    def patients(self) -> list[str]:
        """Those with labels whose CTs are there."""
        return sorted(name for name in self.number if self._find(name) is not None)

    def _find(self, name: str) -> Path | None:
        return next((path for path in sorted(self._folder.rglob(name)) if path.is_dir()), None)

    def ct(self, name: str) -> Path:
        """A patient's DICOM folder."""
        found = self._find(name)
        if found is None:
            raise SystemExit(f"no folder {name} in {self._folder}")
        return found

    def marks(self, name: str, slices: int) -> np.ndarray:
        """The radiologists' marks, bool ``[slices from the head, lobes in LABEL_ORDER]``."""
        return np.asarray(self._labels[self.number[name], :slices] > 0)


def quantified(collection: Collection, name: str, plan: Plan, out: Path) -> tuple[np.ndarray, np.ndarray]:
    """Areas of a patient's pneumonia and lungs, kept in ``out``."""
    file = out / f"{name}.npz"
    if not file.is_file():
        ct = read_ct(collection.ct(name))
        found = quantify_ct(ct, plan=plan).segmentation
        upright, turn = ct.canonical()
        pixel = float(np.prod(upright.geometry.spacing_kji[1:]))
        sick, whole = areas(turn.apply(found.lobes), turn.apply(found.lesions), pixel)
        np.savez_compressed(file, sick=sick, whole=whole)
    with np.load(file) as kept:
        return kept["sick"], kept["whole"]


def measure(collection: Collection, names: list[str], plan: Plan, out: Path, least: float) -> None:
    """A line per patient, and one of all."""
    every: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"lobes in slices": [], "slices": []}
    print(f"{'':10}{'':18}{'marked':>8}{'AUC':>8}{'sens.':>8}{'spec.':>8}")
    for name in names:
        sick, whole = quantified(collection, name, plan, out)
        marks = collection.marks(name, len(sick))
        seen = (whole > _SEEN_MM2) | marks
        pairs = {"lobes in slices": (sick[seen], marks[seen]), "slices": (sick.sum(axis=1), marks.any(axis=1))}
        for what, (area, marked) in pairs.items():
            every[what].append((area, marked))
            show(name, what, agreement(area, marked, least), out)
    for what, all_pairs in every.items():
        area, marked = (np.concatenate(parts) for parts in zip(*all_pairs, strict=True))
        show("all", what, agreement(area, marked, least), out)


def show(name: str, what: str, found: Agreement, out: Path) -> None:
    """Print a line, and keep it."""
    print(f"{name:10}{what:18}{found.marked:8}{found.auc:8.3f}{found.sensitivity:8.3f}{found.specificity:8.3f}")
    with (out / "agreement.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"patient": name, "of": what, **asdict(found)}) + "\n")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--patients", nargs="+", help="as in P001; all that are there by default")
    parser.add_argument("--least-mm2", type=float, default=15.0)
    parser.add_argument("--lobes-model")
    parser.add_argument("--lesions-model")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    collection = Collection(given.folder)
    names = given.patients or collection.patients()
    if not names:
        raise SystemExit(f"no patient with labels in {given.folder}")
    plan = Plan(NETWORK, lobes_model=given.lobes_model, lesions_model=given.lesions_model)
    measure(collection, names, plan, given.out, given.least_mm2)


if __name__ == "__main__":
    main()
