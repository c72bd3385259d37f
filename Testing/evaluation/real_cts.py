"""The real CTs of ``../shared/data`` by both paths: are the lungs sound, and what agrees with what is known of them.

    python -m Testing.evaluation.real_cts --out DIR [--only NAME …] [--files CT …] [--method network model-free]
        [--thickness 3 5] [--mirror] [--lobes-model B] [--lesions-model B]

A line per CT, path, thickness and way round: lung volume, extent, seconds, what lung_soundness.py measures with the
faults in words, warnings, and the tool's own grade with the checks below sound. ``--thickness`` measures each CT again
with its sections averaged to so many millimetres (what is as thick already is left out), ``--mirror`` each also with
left and right exchanged, and says how well each lung agrees with the other side's of the picture as it is. ``--files``
measures other CTs instead. On the COVID slab: the share of the published network's lesion (probability above one half)
that lies in the lungs, and Dice with it inside the lungs; on cip_ct64 the Dice of the lungs with its label map. That
network is no expert truth, see the data's README. ``DIR`` gets the lines and a sheet to look at for each.
"""

import argparse
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.anatomy import labels_of_side
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.evaluation.overlap import dice
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.grades import Grade, grade_of
from COVIDQuantLib.pipeline import METHODS, NETWORK, Plan, quantify_ct
from Testing.evaluation.lung_soundness import look, write_sheet
from Testing.evaluation.sections import mirrored, thicker

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
WHOLE = {
    "ricord_whole": "ricord1a_whole_1p4mm_ct.nrrd",
    "lidc0001": "lidc0001_ct.nrrd",
    "lidc0002": "lidc0002_1p4mm_ct.nrrd",
    "lidc0003": "lidc0003_ct.nrrd",
    "lungdx_a0001": "lungdx_a0001_soft_5mm_ct.nrrd",
    "lungdx_a0002": "lungdx_a0002_b40_8mm_ct.nrrd",
    "c3n00704": "c3n00704_wholebody_2mm_ct.nrrd",
    "cip_ct64": "cip_ct64_ct.nrrd",
    "acrinflt013": "acrinflt013_ct.nrrd",
}
# Parts of lungs, or lungs cut by the field of view: volumes and pieces say less there.
PARTS = {
    "slab": "ricord1a_dicom_slab",
    "upper": "lungfcp0001_ct_upperlungs_1mm.nrrd",
    "lower": "tcia_9328.50.1.0117_ct_lowerlungs_1mm.nrrd",
    "ts_aorta": "ts_aorta_ct_cropped.nrrd",
    "ts_pulmonary": "ts_pulmonary_ct_cropped.nrrd",
}
CTS = WHOLE | PARTS
# Part of the lungs that may lie beyond the chest where much is consolidated, by pneumonia or around a tumour at the
# hilum, for the others see lung_soundness.py.
BEYOND_SHARE = {"ricord_whole": 0.03, "lungdx_a0001": 0.01}


@dataclass(frozen=True)
class Run:
    """One way to measure one CT.

    Attributes:
        name: of ``CTS``, or the path of another CT.
        method: path.
        thickness_mm: to which the sections are averaged; None for as they are.
        mirror: with left and right exchanged.
    """

    name: str
    method: str
    thickness_mm: float | None = None
    mirror: bool = False

    @property
    def label(self) -> str:
        """A name for its sheet."""
        thick = f"-{self.thickness_mm:g}mm" if self.thickness_mm else ""
        return f"{Path(self.name).name}-{self.method}{thick}{'-mirror' if self.mirror else ''}"

    def ct(self, data: Path = DATA) -> CTVolume:
        """The CT as it is to be measured, in canonical orientation."""
        ct = read_ct(path_of(self.name, data)).canonical()[0]
        ct = thicker(ct, self.thickness_mm) if self.thickness_mm else ct
        return mirrored(ct) if self.mirror else ct


def path_of(name: str, data: Path = DATA) -> Path:
    """The file or folder of a CT of ``CTS``, or the path that the name is."""
    return data / CTS[name] if name in CTS else Path(name)


def labels(name: str) -> np.ndarray:
    """A label map of the data folder, as stored."""
    return sitk.GetArrayFromImage(sitk.DICOMOrient(sitk.ReadImage(str(DATA / name)), "LPS"))


def slab_figures(exam: Exam) -> dict[str, float]:
    """Agreement with the published network on the slab."""
    published = labels("ricord1a_slab_minisegP20_prob255.nrrd") > 127
    lungs = exam.segmentation.lobes > 0
    return {
        "published_in_lungs_percent": 100 * np.count_nonzero(published & lungs) / np.count_nonzero(published),
        "lesion_dice_in_lungs": dice(exam.segmentation.lesions, published & lungs, 0.0),
    }


def cip_figures(exam: Exam) -> dict[str, float]:
    """Agreement of the lungs with the label map of cip_ct64."""
    return {"lung_dice": dice(exam.segmentation.lobes > 0, labels("cip_ct64_lungs_L1_R2.nrrd") > 0, 0.0)}


FIGURES = {"slab": slab_figures, "cip_ct64": cip_figures}


def runs_of(arguments: argparse.Namespace) -> Iterator[Run]:
    """Every run that was asked for, those of one CT one after another."""
    for name in arguments.files or arguments.only:
        spacing = read_ct(path_of(name)).canonical()[0].geometry.spacing[2]
        thicknesses = [None, *(mm for mm in arguments.thickness if mm > 1.05 * spacing)]
        for method in arguments.method:
            for thickness in thicknesses:
                for mirror in (False, True) if arguments.mirror else (False,):
                    yield Run(name, method, thickness, mirror)


def mirror_agreement(straight: np.ndarray, turned: np.ndarray) -> dict[str, float]:
    """Dice of each lung found in the mirrored picture with the other side's in the picture as it is."""
    back = turned[:, :, ::-1]
    other = {"right": "left", "left": "right"}
    return {
        f"{side}_of_mirrored": dice(
            np.isin(back, labels_of_side(side)), np.isin(straight, labels_of_side(other[side])), 0.0
        )
        for side in other
    }


def measure(run: Run, arguments: argparse.Namespace, straight: np.ndarray | None) -> tuple[dict[str, Any], np.ndarray]:
    """One run: its line and the lobes that were found.

    Args:
        run: what to do.
        arguments: models and folder of the command line.
        straight: lobes of the same run not mirrored, if known.
    """
    ct = run.ct()
    models = (arguments.lobes_model, arguments.lesions_model) if run.method == NETWORK else (None, None)
    began = time.perf_counter()
    exam = quantify_ct(ct, plan=Plan(run.method, "auto", *models))
    seconds = time.perf_counter() - began
    found, seen = look(ct, exam.segmentation.lobes)
    if arguments.out is not None:
        write_sheet(seen, arguments.out / f"{run.label}.png")
    whole = exam.metrics.rows[0]
    row = {"ct": run.name, "method": run.method, "thickness_mm": ct.geometry.spacing[2], "mirror": run.mirror}
    row |= {"faults": found.faults(BEYOND_SHARE.get(run.name, 0.005)), "seconds": round(seconds, 1)}
    row |= asdict(found) | {key: whole[key] for key in ("volume_ml", "extent_percent", "weight_g", "mean_lung_hu")}
    if run.thickness_mm is None and not run.mirror:
        row |= FIGURES.get(run.name, lambda _: {})(exam)
    if run.mirror and straight is not None:
        row |= mirror_agreement(straight, exam.segmentation.lobes)
    row["warnings"] = [warning.code for warning in exam.warnings]
    checks = exam.segmentation.checks
    row["grade"] = str(grade_of(checks))
    row["doubts"] = sorted({check.code for check in checks if check.grade is not Grade.SOUND})
    return row, exam.segmentation.lobes


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="folder for the lines and the sheets")
    parser.add_argument("--only", nargs="*", choices=CTS, default=list(CTS))
    parser.add_argument("--files", nargs="+", metavar="CT", help="CTs that are not of the data folder")
    parser.add_argument("--method", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--thickness", nargs="+", type=float, default=[], metavar="MM")
    parser.add_argument("--mirror", action="store_true")
    parser.add_argument("--lobes-model")
    parser.add_argument("--lesions-model")
    arguments = parser.parse_args()
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
    rows, lobes = [], None
    for run in runs_of(arguments):
        row, lobes = measure(run, arguments, lobes if run.mirror else None)
        rows.append(row)
        print(json.dumps(row), flush=True)
        if arguments.out is not None:
            with (arguments.out / "real_cts.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
    sound = sum(not row["faults"] for row in rows)
    print(f"{sound} of {len(rows)} sound")


if __name__ == "__main__":
    main()
