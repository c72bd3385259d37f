"""Run the table of checks on a result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from COVIDQuantLib.checks.bounds import Bounds, bounds_of
from COVIDQuantLib.checks.evidence import Evidence
from COVIDQuantLib.checks.record import Check, Measured
from COVIDQuantLib.checks.table import CHECKS
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.grades import CheckResult, Grade
from COVIDQuantLib.segmentation.log_odds import OddsMap


def run_checks(
    ct: CTVolume,
    lobes: np.ndarray,
    lesions: np.ndarray,
    bounds: Bounds | None = None,
    odds: Mapping[str, OddsMap] | None = None,
    checks: Iterable[Check] = CHECKS,
) -> list[CheckResult]:
    """Run the checks; returns all measurements, including sound ones, in the order of the table.

    Args:
        ct: the CT, canonical.
        lobes: uint8 label values ``[k, j, i]`` on its voxels.
        lesions: bool, same shape.
        bounds: bounds of patient and chest; computed if None.
        odds: the networks' odds of ``lungs`` and ``lesions``, if networks were used.
        checks: which to run.

    Raises:
        ValueError: the arrays do not have the CT's shape.
    """
    if not ct.hu.shape == lobes.shape == lesions.shape:
        raise ValueError(f"CT {ct.hu.shape}, lobes {lobes.shape} and lesions {lesions.shape} differ in shape")
    evidence = Evidence(ct, lobes, lesions, bounds or bounds_of(ct), odds)
    results = []
    for check in checks:
        if check.whole and evidence.is_cut:
            continue
        results += [_result(check, measured, evidence) for measured in check.measure(evidence)]
    return results


def check_labels(ct: CTVolume, lobes: np.ndarray, lesions: np.ndarray) -> list[CheckResult]:
    """:func:`run_checks` of a CT in any orientation."""
    upright, turn = ct.canonical()
    return run_checks(upright, turn.apply(lobes), turn.apply(lesions))


def _result(check: Check, measured: Measured, evidence: Evidence) -> CheckResult:
    grade = check.grade(measured.value)
    # Finding a place costs a pass over the blocks, and is needed only for values that are not sound.
    wanted = grade is not Grade.SOUND and measured.where is not None
    place = evidence.place(measured.where) if wanted and measured.where is not None else None
    value = round(float(measured.value), 4)
    # Findings have a message; sound results only the check's name.
    message = f"{check.text}: {measured.value:.3g} {check.unit}" if grade is Grade.SOUND else measured.message
    return CheckResult(check.code, grade, message, measured.region, place, value, check.unit)
