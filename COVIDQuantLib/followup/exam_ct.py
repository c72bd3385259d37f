"""The CT that is given with a result: which DICOM series of a folder it is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from COVIDQuantLib.ct.dicom.file_search import find_images
from COVIDQuantLib.ct.dicom.headers import is_dicom
from COVIDQuantLib.ct.dicom.series.choice import choose
from COVIDQuantLib.ct.dicom.series.listing import SeriesInfo, group_series
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.export.anonymous import hashed
from COVIDQuantLib.followup.exam_result import ExamResult

_SERIES_TOLD = 6


@dataclass(frozen=True)
class ExamCT:
    """A CT that is given for an exam.

    Attributes:
        path: anything that quantify reads.
        series: the user's choice among several DICOM series, as in ``read_ct``; None for the one that the result
            records.
    """

    path: Path
    series: str | None = None

    def read(self, result: ExamResult) -> CTVolume:
        """The CT of an exam.

        Raises:
            UnfitInputError: it cannot be read; or no series is the result's own, or the result does not say which of
                several it is (``ct-other-series``, ``ct-several-series``).
            UsageError: ``series`` fits no series or several, or the CT is not DICOM.
        """
        return read_ct(self.path, self._wanted(result))

    def _wanted(self, result: ExamResult) -> str | None:
        """The key of the series; what cannot be listed is left to ``read_ct``, which says why."""
        if not self.path.exists() or not (self.path.is_dir() or is_dicom(self.path)):
            return self.series
        found = group_series(find_images(self.path).images)
        if self.series:
            chosen, _ = choose(found, self.series, str(self.path)) if found else (None, "")
            if chosen is not None and result.series and _recorded(chosen) != result.series:
                raise self._other(f"{chosen.name} is not the series that was quantified", found, result)
            return self.series
        own = [one for one in found if result.series and _recorded(one) == result.series]
        if own:
            return own[0].key
        fit = [one for one in found if not one.why_not]
        if len(fit) > 1 and result.series:
            raise self._other("none of its series is the one that was quantified", found, result)
        if len(fit) > 1:
            raise UnfitInputError(
                f"it holds {len(fit)} series, and the result does not say which was quantified ({_listed(fit)})",
                str(self.path),
                "Name it with --series, or give its folder alone.",
                code="ct-several-series",
            )
        # One series under another UID may be a copy without names: its numbers tell.
        return None

    def _other(self, what: str, found: list[SeriesInfo], result: ExamResult) -> UnfitInputError:
        own = [one for one in found if _recorded(one) == result.series]
        remedy = f"Leave --series out, or name {own[0].name}." if own else "Give the CT that was quantified."
        return UnfitInputError(f"{what} (there are {_listed(found)})", str(self.path), remedy, code="ct-other-series")


def _recorded(series: SeriesInfo) -> str:
    """As ``ExamResult.series`` has it."""
    return f"{hashed(series.uid)} {hashed(series.phase)}".strip() if series.uid else ""


def _listed(series: list[SeriesInfo]) -> str:
    more = f" and {len(series) - _SERIES_TOLD} more" if len(series) > _SERIES_TOLD else ""
    return ", ".join(one.name for one in series[:_SERIES_TOLD]) + more
