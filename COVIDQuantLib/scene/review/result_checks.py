"""The checks of a segmentation node: kept with it, together with what they were made of, so that an edit is seen.

The checks take seconds, so they never run while a reader paints: an edit only makes them those of an earlier state, and
:class:`ChecksJob` makes new ones in a process of its own when the reader accepts or asks.
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
from COVIDQuantLib.scene.live.live_quantification import LiveQuantification
from COVIDQuantLib.scene.navigation import Point
from COVIDQuantLib.scene.nodes.node_geometry import geometry_of
from COVIDQuantLib.scene.nodes.segments import roles_of
from COVIDQuantLib.scene.nodes.tables import CHECKS_ATTRIBUTE, write_checks
from COVIDQuantLib.scene.shared_copy import share_labels
from COVIDQuantLib.segment_roles import LESION_ROLE
from COVIDQuantLib.worker.function_job import BesideJob

_FUNCTION = "COVIDQuantLib.worker.jobs.check_result:checked"


@dataclass(frozen=True)
class KeptChecks:
    """The checks that a segmentation node carries.

    Attributes:
        checks: what they said; empty if it was never checked.
        digest: of the counts they were made of.
    """

    checks: tuple[CheckResult, ...] = ()
    digest: str = ""

    @property
    def grade(self) -> Grade | None:
        """The worst that a check says; None if nothing was checked."""
        return grade_of(self.checks)

    def stands(self, histogram: JointHistogram) -> bool:
        """Whether they are of segments with these counts."""
        return bool(self.checks) and self.digest == digest_of(histogram)


def digest_of(histogram: JointHistogram) -> str:
    """A short text that is another for other counts."""
    return hashlib.sha256(histogram.counts.astype("<i8").tobytes()).hexdigest()[:16]


def keep_checks(segmentation: Any, checks: Sequence[CheckResult], histogram: JointHistogram) -> None:
    """Keep checks with a segmentation node, and the counts they were made of by their digest."""
    record = {"digest": digest_of(histogram), "checks": [check.as_record() for check in checks]}
    segmentation.SetAttribute(CHECKS_ATTRIBUTE, json.dumps(record))


def kept_checks(segmentation: Any) -> KeptChecks:
    """The checks that a node carries; none if it carries none that can be read."""
    try:
        record = json.loads(segmentation.GetAttribute(CHECKS_ATTRIBUTE) or "{}")
        checks = tuple(CheckResult.from_record(entry) for entry in record.get("checks", ()))
        return KeptChecks(checks, str(record.get("digest", "")))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        # What was said about segments is not worth refusing them.
        return KeptChecks()


def point_of(check: CheckResult) -> Point | None:
    """Where a finding is, RAS millimetres; None if it is nowhere in particular."""
    if check.place is None:
        return None
    left, back, up = check.place
    return -left, -back, up


def segment_of(check: CheckResult, segmentation: Any) -> str:
    """ID of the segment at fault; empty if it is none in particular or not there."""
    wanted = {lobe.name: lobe.label for lobe in LOBES} | {LESION.name: LESION_ROLE}
    role = wanted.get(check.region)
    roles = roles_of(segmentation.GetSegmentation())
    return next((segment_id for segment_id, of in roles.items() if of == role), "")


class ChecksJob:
    """The checks of segments as they are now, made beside the application.

    Args:
        live: the figures of the segments; what was last counted is checked.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.

    Raises:
        UnfitInputError: the CT cannot be read.
        WorkerError: the process cannot be started, or there is too little memory to share.
    """

    def __init__(self, live: LiveQuantification, environment: Mapping[str, str] | None = None) -> None:
        self._live = live
        # A copy: edits go on meanwhile.
        self._histogram = JointHistogram(live.histogram.voxel_volume_ml, live.histogram.counts.copy())
        self._job = BesideJob(_FUNCTION, share_labels(live, {"geometry": geometry_of(live.volume)}), environment)

    def poll(self) -> KeptChecks | None:
        """None while it is under way, then the checks, which the nodes keep from then on; never waits.

        Raises:
            COVIDQuantError: they failed, with their own reason.
            WorkerError: the process failed.
        """
        self._job.poll()
        if not self._job.is_done:
            return None
        keep_checks(self._live.segmentation, self._job.result, self._histogram)
        kept = kept_checks(self._live.segmentation)
        write_checks(self._live.table, kept.checks)
        return kept

    def cancel(self) -> None:
        """End it; nothing happens if it is over."""
        self._job.cancel()
