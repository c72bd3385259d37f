"""The records of what became of each lesion, and the limits by which it is said."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from COVIDQuantLib.review.components import MIN_ML
from COVIDQuantLib.voxels.geometry import Triple

CRUMB_ML, LESION_ML = MIN_ML, 0.5
LINK_SHARE, UNCHANGED_RATIO, MEMBER_SHARE = 0.1, 1.25, 0.1
# Log odds below the network's own cut. Chosen on two made courses; see docs/follow-up.md.
LOWER_CUT, AGAIN_SHARE = -5.0, 0.2
FATES = ("new", "grown", "unchanged", "shrunk", "resolved", "merged", "split", "merged and split")

COLUMN_TEXTS = {
    "lesion": "number within the two exams, 1 for the largest",
    "fate": "one of the words above",
    "region": "lobe that holds most of it",
    "baseline_volume_ml": "volume in the earlier exam; 0 if it is new",
    "followup_volume_ml": "volume in the later exam; 0 if it has resolved",
    "change_ml": "later − earlier",
    "change_percent": "100 × change / earlier; empty if it is new",
    "overlap_percent": "how much of the smaller of both lies in the other after registration",
    "baseline_parts_count": "connected parts in the earlier exam",
    "followup_parts_count": "connected parts in the later exam",
    "found_at_lower_cut": "`baseline` or `followup`: the exam in which parts of it were found at a lower cut of the "
    "network's odds, since the other exam shows it; their volume is in no figure of that exam; else empty",
}
COLUMNS = tuple(COLUMN_TEXTS)


@dataclass(frozen=True)
class FateLimits:
    """The limits of the definitions above.

    Attributes:
        lesion_ml: least volume of a lesion; what is smaller in both exams is too small to follow.
        crumb_ml: least volume of a part that is followed at all.
        link_share: least share of either part that lies in the other, 0..1.
        unchanged_ratio: greatest ratio of the volumes of an unchanged lesion, 1 or more.
        member_share: least volume of one of several lesions that merged or came of a split, of the largest one's, 0..1.
        lower_cut_log_odds: log odds, from the network's cut, above which what the other exam shows is found again.
        again_share: least volume found again where an exam has no lesion of its own, of what the other one has, 0..1.
    """

    lesion_ml: float = LESION_ML
    crumb_ml: float = CRUMB_ML
    link_share: float = LINK_SHARE
    unchanged_ratio: float = UNCHANGED_RATIO
    member_share: float = MEMBER_SHARE
    lower_cut_log_odds: float = LOWER_CUT
    again_share: float = AGAIN_SHARE

    def least_member(self, volumes_ml: Iterable[float]) -> float:
        """Least volume (mL) of one of several lesions beside others of these volumes."""
        return max(self.lesion_ml, self.member_share * max(volumes_ml, default=0.0))

    def as_record(self) -> dict[str, float]:
        """Ready for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class LesionPart:
    """One connected part of the lesions in one exam.

    Attributes:
        id: where its first voxel lies, ``"k-j-i"``.
        volume_ml: its volume in this exam.
        lobe: name of the lobe that holds most of it; empty where it lies in none.
        centre_lps_mm: mean position of its voxels in this exam's patient coordinates.
        at_lower_cut: whether it is in no mask, and was found at a lower cut since the other exam shows it.
    """

    id: str
    volume_ml: float
    lobe: str
    centre_lps_mm: Triple
    at_lower_cut: bool = False

    def as_record(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "id": self.id,
            "volume_ml": self.volume_ml,
            "lobe": self.lobe,
            "centre_lps_mm": list(self.centre_lps_mm),
            "at_lower_cut": self.at_lower_cut,
        }


@dataclass(frozen=True)
class LesionRecord:
    """One lesion in both exams.

    Attributes:
        number: 1 for the largest (the larger of both volumes).
        fate: of ``FATES``.
        baseline: its parts in the baseline, the largest first; none if it is new.
        followup: its parts in the follow-up; none if it has resolved.
        baseline_centre_lps_mm: its middle in the baseline's patient coordinates; of a new one, where it will be.
        followup_centre_lps_mm: its middle in the follow-up's; of a resolved one, where it was.
        overlap_percent: how much of the smaller of both lies in the other one after registration, 0..100.
    """

    number: int
    fate: str
    baseline: tuple[LesionPart, ...]
    followup: tuple[LesionPart, ...]
    baseline_centre_lps_mm: Triple
    followup_centre_lps_mm: Triple
    overlap_percent: float

    @property
    def baseline_ml(self) -> float:
        """Volume in the baseline; 0 if it is new."""
        return sum(part.volume_ml for part in self.baseline)

    @property
    def followup_ml(self) -> float:
        """Volume in the follow-up; 0 if it has resolved."""
        return sum(part.volume_ml for part in self.followup)

    @property
    def change_percent(self) -> float | None:
        """Change of the volume in percent of the baseline's; None if it is new."""
        return 100.0 * (self.followup_ml / self.baseline_ml - 1.0) if self.baseline else None

    @property
    def found_at_lower_cut(self) -> str:
        """The exams in which parts were found at a lower cut; empty if there is none."""
        sides = (("baseline", self.baseline), ("followup", self.followup))
        return "+".join(name for name, parts in sides if any(part.at_lower_cut for part in parts))

    @property
    def region(self) -> str:
        """The lobe that holds most of it, by the follow-up if it is there, else by the baseline."""
        volumes: dict[str, float] = {}
        for part in self.followup or self.baseline:
            volumes[part.lobe] = volumes.get(part.lobe, 0.0) + part.volume_ml
        return max(volumes, key=lambda lobe: (volumes[lobe], lobe))

    def as_record(self) -> dict[str, Any]:
        """Ready for JSON, parts included."""
        return {
            **self.as_row(),
            "baseline_centre_lps_mm": list(self.baseline_centre_lps_mm),
            "followup_centre_lps_mm": list(self.followup_centre_lps_mm),
            "baseline_parts": [part.as_record() for part in self.baseline],
            "followup_parts": [part.as_record() for part in self.followup],
        }

    def as_row(self) -> dict[str, Any]:
        """The figures of a row of the table; what is not defined is None."""
        return {
            "lesion": self.number,
            "fate": self.fate,
            "region": self.region,
            "baseline_volume_ml": self.baseline_ml,
            "followup_volume_ml": self.followup_ml,
            "change_ml": self.followup_ml - self.baseline_ml,
            "change_percent": self.change_percent,
            "overlap_percent": self.overlap_percent,
            "baseline_parts_count": len(self.baseline),
            "followup_parts_count": len(self.followup),
            "found_at_lower_cut": self.found_at_lower_cut,
        }


@dataclass(frozen=True)
class LesionFates:
    """The lesions of two exams and what became of them.

    Attributes:
        records: the largest lesion first.
        limits: by which the words were chosen.
        too_small: how many have no record, as they have less than ``limits.lesion_ml`` in both exams.
    """

    records: tuple[LesionRecord, ...]
    limits: FateLimits
    too_small: int = 0

    def rows(self) -> list[dict[str, Any]]:
        """The table: a row for each lesion, its columns in the order of ``COLUMNS``."""
        return [record.as_row() for record in self.records]

    def counts(self) -> dict[str, int]:
        """How many lesions of each fate, every fate named."""
        return {fate: sum(record.fate == fate for record in self.records) for fate in FATES}

    def as_record(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {
            "limits": self.limits.as_record(),
            "counts": self.counts(),
            "too_small_count": self.too_small,
            "lesions": [record.as_record() for record in self.records],
        }


def fate_of(old: Sequence[LesionPart], new: Sequence[LesionPart], limits: FateLimits) -> str:
    """The word for parts in the baseline and in the follow-up."""
    if not old:
        return "new"
    if not new:
        return "resolved"
    merged, split = (_is_several(side, limits) for side in (old, new))
    if merged and split:
        return "merged and split"
    if merged or split:
        return "merged" if merged else "split"
    return _change(old, new, limits)


def _change(old: Sequence[LesionPart], new: Sequence[LesionPart], limits: FateLimits) -> str:
    """The word for one lesion that both exams show."""
    faint_before, faint_after = (all(part.at_lower_cut for part in side) for side in (old, new))
    if faint_before != faint_after:
        # The exam in which a lower cut alone shows it has less of it, whatever volume that cut draws.
        return "grown" if faint_before else "shrunk"
    before, after = (sum(part.volume_ml for part in side) for side in (old, new))
    # Products, so that exchanging the exams cannot change the side of a limit.
    if after > limits.unchanged_ratio * before:
        return "grown"
    return "shrunk" if before > limits.unchanged_ratio * after else "unchanged"


def _is_several(side: Sequence[LesionPart], limits: FateLimits) -> bool:
    """Whether parts are several lesions, beside which no other is a mere satellite."""
    least = limits.least_member(part.volume_ml for part in side)
    return sum(part.volume_ml >= least for part in side) > 1
