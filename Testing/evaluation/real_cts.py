"""The real CTs of ``../shared/data``: agreement with what is known of them, and pictures to look at.

python Testing/evaluation/real_cts.py --out DIR [--method network|model-free] [--lobes-model B] [--lesions-model B]

Prints, per CT: lung volume, extent, seconds; on the normal CTs the extent is false; on the COVID slab the share of the
published network's lesion (probability above one half) that lies in the lungs, and Dice with it inside the lungs; on
cip_ct64 the Dice of the lungs with its label map. That network is no expert truth, see the data's README.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.export.exam import write_exam
from COVIDQuantLib.pipeline import DEFAULT_PLAN, METHODS, Plan, quantify_ct

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
CTS = {
    "slab": "ricord1a_dicom_slab",
    "cip_ct64": "cip_ct64_ct.nrrd",
    "acrinflt013": "acrinflt013_ct.nrrd",
    "upper": "lungfcp0001_ct_upperlungs_1mm.nrrd",
    "lower": "tcia_9328.50.1.0117_ct_lowerlungs_1mm.nrrd",
    "ts_aorta": "ts_aorta_ct_cropped.nrrd",
    "ts_pulmonary": "ts_pulmonary_ct_cropped.nrrd",
}


def dice(a, b):
    return 2 * np.count_nonzero(a & b) / max(1, np.count_nonzero(a) + np.count_nonzero(b))


def labels(name):
    return sitk.GetArrayFromImage(sitk.ReadImage(str(DATA / name)))


def slab_figures(exam):
    published = labels("ricord1a_slab_minisegP20_prob255.nrrd") > 127
    lungs = exam.segmentation.lobes > 0
    return {
        "published_in_lungs_percent": 100 * np.count_nonzero(published & lungs) / np.count_nonzero(published),
        "lesion_dice_in_lungs": dice(exam.segmentation.lesions, published & lungs),
    }


def cip_figures(exam):
    return {"lung_dice": dice(exam.segmentation.lobes > 0, labels("cip_ct64_lungs_L1_R2.nrrd") > 0)}


FIGURES = {"slab": slab_figures, "cip_ct64": cip_figures}


def measure(name, plan, out):
    ct = read_ct(DATA / CTS[name])
    began = time.perf_counter()
    exam = quantify_ct(ct, plan=plan)
    seconds = time.perf_counter() - began
    if out is not None:
        write_exam(exam, out / name, ["picture", "metrics", "segmentation"])
    whole = exam.metrics.rows[0]
    row = {"ct": name, "seconds": round(seconds, 1)}
    row |= {key: whole[key] for key in ("volume_ml", "extent_percent", "mean_lung_hu")}
    row |= FIGURES.get(name, lambda _: {})(exam)
    row["warnings"] = [warning.code for warning in exam.warnings]
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only", nargs="*", choices=CTS, default=list(CTS))
    parser.add_argument("--method", choices=METHODS, default=DEFAULT_PLAN.method)
    parser.add_argument("--lobes-model")
    parser.add_argument("--lesions-model")
    arguments = parser.parse_args()
    plan = Plan(arguments.method, "auto", arguments.lobes_model, arguments.lesions_model)
    rows = []
    for name in arguments.only:
        rows.append(measure(name, plan, arguments.out))
        print(json.dumps(rows[-1]), flush=True)
    if arguments.out is not None:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "real_cts.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
