"""Remove identifying information from an evaluation: hashes replace names of scans, files, folders and segments."""

from __future__ import annotations

from dataclasses import replace

from COVIDQuantLib.evaluation.evaluate import CohortAgreement, ScanAgreement
from COVIDQuantLib.evaluation.scan_pairs import Pairing, ScanPair
from COVIDQuantLib.export.anonymous import hashed, redacted


def without_names(cohort: CohortAgreement, pairing: Pairing) -> tuple[CohortAgreement, list[str]]:
    """The cohort and the pairing's warnings with hashes instead of names; values are shared.

    The same name always has the same hash, the same as ``quantify`` writes for a folder or file of that name, so that
    rows of several evaluations can be joined.

    Args:
        cohort: its scans in the order of the pairs.
        pairing: the compared scans.
    """
    scans = [_scan(scan, pair) for scan, pair in zip(cohort.scans, pairing.pairs, strict=True)]
    described = Pairing(
        pairing.pairs,
        only_predicted=[hashed(name) for name in pairing.only_predicted],
        only_reference=[hashed(name) for name in pairing.only_reference],
        ignored=[hashed(name) for name in pairing.ignored],
    )
    return replace(cohort, scans=scans), described.warnings


def _scan(scan: ScanAgreement, pair: ScanPair) -> ScanAgreement:
    sides = (pair.predicted, pair.reference)
    files = [path.name for side in sides for path in (side.segmentation, *side.maps.values()) if path is not None]
    known = sorted({name for name in files if name}, key=len, reverse=True)
    return replace(scan, name=hashed(scan.name), notes=[redacted(note, known) for note in scan.notes])
