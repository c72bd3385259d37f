"""The checks of a segmentation node, stored with a digest of what was checked, so that edits are noticed.

Checks take seconds, so they never run while a reader paints: an edit only makes them outdated, and :class:`ChecksJob`
runs them again in a background process when the reader accepts the result or requests it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from COVIDQuantLib.anatomy import LESION, LOBES
from COVIDQuantLib.grades import CheckResult, Grade, grade_of
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.scene.copied_job import CopiedJob
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.navigation import Point
from COVIDQuantLib.scene.nodes.segments import roles_of
from COVIDQuantLib.scene.nodes.tables import CHECKS_ATTRIBUTE, write_checks
from COVIDQuantLib.scene.piecewise_copy import WholeLabelledCopy
from COVIDQuantLib.segment_roles import LESION_ROLE
from COVIDQuantLib.worker.jobs.check_result import Checked

_FUNCTION = "COVIDQuantLib.worker.jobs.check_result:checked"


@dataclass(frozen=True)
class KeptChecks:
    """The checks stored with a segmentation node.

    Attributes:
        checks: their results; empty if the node was never checked.
        digest: of the counts that were checked.
    """

    checks: tuple[CheckResult, ...] = ()
    digest: str = ""

    @property
    def grade(self) -> Grade | None:
        """The worst grade of the checks; None if nothing was checked."""
        return grade_of(self.checks)

    def stands(self, histogram: JointHistogram) -> bool:
        """Whether they are up to date for segments with these counts."""
        return bool(self.checks) and self.digest == digest_of(histogram)


def digest_of(histogram: JointHistogram) -> str:
    """A short digest of the counts."""
    return hashlib.sha256(histogram.counts.astype("<i8").tobytes()).hexdigest()[:16]


def keep_checks(segmentation: Any, checks: Sequence[CheckResult], histogram: JointHistogram) -> None:
    """Store checks with a segmentation node, with a digest of the counts that were checked."""
    record = {"digest": digest_of(histogram), "checks": [check.as_record() for check in checks]}
    segmentation.SetAttribute(CHECKS_ATTRIBUTE, json.dumps(record))


def kept_checks(segmentation: Any) -> KeptChecks:
    """The checks stored with a node; empty if there are none that can be read."""
    try:
        record = json.loads(segmentation.GetAttribute(CHECKS_ATTRIBUTE) or "{}")
        checks = tuple(CheckResult.from_record(entry) for entry in record.get("checks", ()))
        return KeptChecks(checks, str(record.get("digest", "")))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        # Damaged check results are no reason to refuse the segments.
        return KeptChecks()


def point_of(check: CheckResult) -> Point | None:
    """The position of a finding, RAS, mm; None if it has no particular position."""
    if check.place is None:
        return None
    left, back, up = check.place
    return -left, -back, up


def segment_of(check: CheckResult, segmentation: Any) -> str:
    """ID of the segment at fault; empty if there is no particular one or it does not exist."""
    wanted = {lobe.name: lobe.label for lobe in LOBES} | {LESION.name: LESION_ROLE}
    role = wanted.get(check.region)
    roles = roles_of(segmentation.GetSegmentation())
    return next((segment_id for segment_id, of in roles.items() if of == role), "")


class ChecksJob:
    """Checks of the current state of the segments, in the background.

    CT and segments are copied in pieces; an edit meanwhile has them copied anew, so that one state is checked.

    Args:
        live: the figures of the segments.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.

    Raises:
        UnfitInputError: the CT or the segments cannot be read.
        WorkerError: there is too little memory to share.
    """

    def __init__(self, live: LiveQuantification, environment: Mapping[str, str] | None = None) -> None:
        self._live = live
        copy = WholeLabelledCopy(live.volume, live.segmentation)
        self._job = CopiedJob(_FUNCTION, copy, {"geometry": copy.geometry}, environment)

    def poll(self) -> KeptChecks | None:
        """None while the job is running, then the checks, now stored with the nodes.

        Raises:
            COVIDQuantError: the checks failed, or the segments cannot be read.
            WorkerError: the process failed, or cannot be started.
        """
        self._job.poll()
        if not self._job.is_done:
            return None
        found: Checked = self._job.result
        counts = JointHistogram(self._live.histogram.voxel_volume_ml, found.counts)
        keep_checks(self._live.segmentation, found.checks, counts)
        kept = kept_checks(self._live.segmentation)
        write_checks(self._live.table, kept.checks)
        return kept

    def cancel(self) -> None:
        """Cancel the job; does nothing if it is over."""
        self._job.cancel()
