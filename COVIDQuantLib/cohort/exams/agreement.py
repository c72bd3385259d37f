"""Agreement of a result with label maps that people drew of the same exam, as ``covidquant evaluate`` measures it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from COVIDQuantLib.cohort.exams.fingerprint import stamp_of
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.evaluation.evaluate import evaluate_scan
from COVIDQuantLib.evaluation.scan_files import SEGMENTATION_ENDING, ScanFiles, check_same_grid, read_scan
from COVIDQuantLib.export.exam_files import SEGMENTATION_FILE
from COVIDQuantLib.export.table_file import JSON_FILE, write_json
from COVIDQuantLib.system.json_file import read_json

AGREEMENT_FILE = "agreement.json"
FORMAT = "covidquant-exam-agreement/1"


@dataclass(frozen=True)
class AgreementRecord:
    """How a result agrees with the references of its exam.

    Attributes:
        stamp: of the references and of the segmentation they were compared with.
        structures: a record per structure, keyed as the columns of ``evaluation.csv``.
        code, reason: why they could not be compared; empty if they were.
    """

    stamp: str
    structures: Sequence[Mapping[str, Any]] = field(default_factory=list)
    code: str = ""
    reason: str = ""

    def write(self, path: Path) -> None:
        """Write it; as :func:`write_json`."""
        write_json(path, {"format": FORMAT, **asdict(self)})

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The record in an exam's folder; None if there is none that can be read."""
        try:
            record = read_json(folder / AGREEMENT_FILE, "")
            if record["format"] != FORMAT:
                return None
            return cls(*(record[name] for name in ("stamp", "structures", "code", "reason")))
        except (FileNotFoundError, NotADirectoryError, UnfitInputError, KeyError, TypeError):
            return None


def agreement_stamp(folder: Path, references: Mapping[str, Path]) -> str:
    """A text that changes when a reference or the result's segmentation does; empty if one cannot be read."""
    try:
        parts = [stamp_of(folder / SEGMENTATION_FILE)]
        parts += [f"{kind} {stamp_of(path)}" for kind, path in sorted(references.items())]
    except UnfitInputError:
        return ""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def agreement_of(folder: Path, references: Mapping[str, Path], ct_path: Path, series: str | None) -> AgreementRecord:
    """Compare a result with references.

    Args:
        folder: of the result.
        references: label maps, or a ``.seg.nrrd``, by what they show.
        ct_path: the exam's images, for weights and densities.
        series: which DICOM series of them.
    """
    stamp = agreement_stamp(folder, references)
    try:
        return AgreementRecord(stamp, _structures(folder, references, ct_path, series))
    except UnfitInputError as error:
        return AgreementRecord(stamp, [], error.code or "reference-unfit", error.what)


def _structures(
    folder: Path, references: Mapping[str, Path], ct_path: Path, series: str | None
) -> list[dict[str, Any]]:
    segmentation = folder / SEGMENTATION_FILE
    predicted = read_scan(ScanFiles("result", segmentation=segmentation, metrics=folder / JSON_FILE))
    whole = next((path for path in references.values() if path.name.lower().endswith(SEGMENTATION_ENDING)), None)
    reference = read_scan(ScanFiles("reference", segmentation=whole, maps={} if whole else dict(references)))
    check_same_grid(reference.geometry, predicted.geometry, next(iter(references.values())), segmentation)
    ct, _ = read_ct(ct_path, series).canonical()
    scan = evaluate_scan(predicted.labels, reference.labels, ct.hu, reference.geometry, padding=ct.padding)
    return [{"structure": name, **found.row()} for name, found in scan.structures.items()]
