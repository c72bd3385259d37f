"""``covidquant reference``: rebuild the normal reference from a folder of normal CTs (papers.md row P4)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from COVIDQuantLib.cli.terminal import progress_bar, show_warnings
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.anonymous import hashed
from COVIDQuantLib.export.table_file import write_json
from COVIDQuantLib.pipeline import MODEL_FREE, Plan, quantify_ct
from COVIDQuantLib.progress import Report, Stage, StagedProgress, part
from COVIDQuantLib.quantification.reference import NormalReference, lung_counts
from COVIDQuantLib.system.atomic_files import check_file

NAME = "reference"
HELP = "Rebuild the distribution of normal lungs from a folder of normal chest CTs."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="one normal CT per file or subfolder")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="the JSON file to write")
    parser.add_argument("--identify", action="store_true", help="write the names of the CTs instead of hashes")
    parser.add_argument("--licence", default="", metavar="TEXT", help="the licence of the CTs")


def run(arguments: argparse.Namespace) -> None:
    """Do it.

    Raises:
        UnfitInputError: the folder holds no CT, or one of them is unfit.
        OutputError: the file cannot be written.
    """
    if not arguments.folder.is_dir():
        raise UnfitInputError("not a folder", str(arguments.folder), "Give a folder with one CT per file or subfolder.")
    paths = sorted(path for path in arguments.folder.iterdir() if not path.name.startswith("."))
    if not paths:
        raise UnfitInputError("the folder is empty", str(arguments.folder), "Put one CT per file or subfolder in it.")
    check_file(arguments.out)
    counts: list[np.ndarray] = []
    subjects: list[dict[str, Any]] = []
    warnings: list[CTWarning] = []
    with progress_bar([Stage(path.name, 1.0) for path in paths]) as progress:
        for path in paths:
            with progress.stage(path.name) as report:
                lungs, record, noticed = _subject(path, report)
            name = path.name if arguments.identify else hashed(path.name)
            counts.append(lungs)
            warnings += noticed
            subjects.append({"name": name, "licence": arguments.licence, **record})
    reference = NormalReference.of(counts, subjects).as_record()
    write_json(arguments.out, reference)
    arguments.written = True
    show_warnings(warnings)


def _subject(path: Path, report: Report) -> tuple[np.ndarray, dict[str, Any], list[CTWarning]]:
    """One normal CT's lung voxels by HU, its record, and what was noticed."""
    ct = read_ct(path, report=part(report, 0.0, 0.2))
    rest = part(report, 0.2, 1.0)
    # Model-free, so that the reference does not depend on the installed models.
    plan = Plan(MODEL_FREE)
    progress = StagedProgress(plan.stages, lambda state: rest(state.fraction))
    exam = quantify_ct(ct, progress=progress, plan=plan)
    lungs = lung_counts(exam.histogram)
    record = {
        "lung_volume_ml": round(float(lungs.sum()) * ct.geometry.voxel_volume_ml, 1),
        "lungs": exam.segmentation.provenance["lungs"]["method"],
    }
    return lungs, record, list(exam.warnings)
