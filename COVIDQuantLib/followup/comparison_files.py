"""Files written by ``covidquant compare``: changes as CSV, everything as JSON, and the time course as an image."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from COVIDQuantLib.errors import OutputError, UnfitInputError
from COVIDQuantLib.export.anonymous import hashed
from COVIDQuantLib.export.csv_file import Cell, write_rows
from COVIDQuantLib.export.table_file import software_versions, write_json
from COVIDQuantLib.followup.changes import Change, RegionChange
from COVIDQuantLib.followup.comparison import Comparison, ExamPair
from COVIDQuantLib.followup.inspiration import DIFFERS_PERCENT
from COVIDQuantLib.followup.lesions.course import map_file
from COVIDQuantLib.followup.lesions.table import LESIONS_FILE, TAIL, lesion_rows
from COVIDQuantLib.followup.limits import USED, Fit, LimitsVerdict, PlainLimits, SquareRootLimits, published_fits
from COVIDQuantLib.followup.sequence import DatedExam, followed_pairs
from COVIDQuantLib.followup.signs import Sign
from COVIDQuantLib.followup.time_course import at_curves
from COVIDQuantLib.followup.time_course_chart import write_time_course
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.quantification.time_courses import CURVES, Curve
from COVIDQuantLib.readers.scale import Verdict
from COVIDQuantLib.system.atomic_files import OutputFolder
from COVIDQuantLib.system.json_file import read_json

CHANGES_FILE = "changes.csv"
JSON_FILE = "comparison.json"
CHART_FILE = "time_course.png"
FILES = (CHANGES_FILE, JSON_FILE, CHART_FILE)
FORMAT = "covidquant-comparison/1"
_FORMATS = "covidquant-comparison/"

COLUMNS = {
    "exam_before": "number of the earlier exam, 1 for the baseline",
    "exam_after": "number of the later exam",
    "compared": "`consecutive`, `from baseline`, or both joined by `+`",
    "interval_days": "days between the two",
    "region": "row of the table of measurements",
    "disease": "change of the region's pneumonia: `none`, `new`, `present`, `vanished`, or `region absent …`",
    "measure": "column of the table of measurements, or `involved_lobes`, `hellinger_distance`, `histogram_iou`",
    "unit": "of the four values",
    "before": "value in the earlier exam",
    "after": "value in the later exam",
    "change": "after − before",
    "change_percent": "100 × change / |before|",
    "case": "why the change is, or is not, defined",
    "limit_one": "half-width of the published 95 % limits of one measurement, at the mean of both exams",
    "limit_two": "the same of a change, √2 × `limit_one`",
    "beyond_limits": "`within`, `unclear` or `beyond`",
    "site_limit_one": "as `limit_one`, by the site's own limits",
    "site_limit_two": "as `limit_two`, by the site's own limits",
    "beyond_site_limits": "as `beyond_limits`, by the site's own limits",
    "lung_volume_differs": f"`yes` where the lung volume differs by more than {DIFFERS_PERCENT:.0f} %, else `no`",
} | TAIL


def change_rows(comparison: Comparison) -> Iterator[list[Cell]]:
    """The rows of ``changes.csv``, header first: a row per pair of exams, region and measure."""
    yield list(COLUMNS)
    for pair in comparison.pairs:
        head: list[Cell] = [pair.before.number, pair.after.number, "+".join(pair.kinds), pair.interval_days]
        breath = "yes" if pair.inspiration.differs else "no"
        excluded = " ".join(str(exam.number) for exam in (pair.before, pair.after) if exam.result.is_excluded)
        for region in pair.regions:
            for name, change in region.changes.items():
                judged = (known[region.region].get(name) for known in (pair.published, pair.site))
                cells = [cell for judgement in judged for cell in _judgement_cells(judgement)]
                yield [*head, region.region, region.disease, *_change_cells(change), *cells, breath, excluded]


def _change_cells(change: Change) -> list[Cell]:
    figure = change.figure
    values: tuple[Cell, ...] = (change.before, change.after, change.change, change.percent, change.case)
    return [figure.name, figure.unit, *values]


def _judgement_cells(judgement: LimitsVerdict | None) -> list[Cell]:
    return [judgement.one, judgement.two, judgement.verdict] if judgement else [None, None, None]


def comparison_record(comparison: Comparison, *, identify: bool = False) -> dict[str, Any]:
    """The contents of ``comparison.json`` as plain values; days are relative, and dates are included only on request.

    Args:
        comparison: the comparison.
        identify: include folder names instead of hashes, and dates.
    """
    site = comparison.site
    return {
        "format": FORMAT,
        "software": software_versions(),
        "thresholds": comparison.thresholds.as_record(),
        "exams": [
            _exam_record(exam, identify=identify) | {"regions": list(table.rows)} | table.summary()
            for exam, table in zip(comparison.exams, comparison.tables, strict=True)
        ],
        "pairs": [_pair_record(pair) for pair in comparison.pairs],
        "limits": {
            "formula": "mean difference ± slope × √level; of a change √2 × slope × √(mean of both exams)",
            "published": [_fit_record(one) for one in published_fits()],
            "site": None if site is None else _site_record(site.scans, site.limits),
        },
        "time_course": {
            "curves": [_curve_record(curve) for curve in CURVES],
            "trajectory": [
                {"exam": point.exam, "days": point.days, "days_since_onset": point.onset_days, **point.values}
                | {"published_on_that_day": at_curves(point), "excluded": point.excluded}
                for point in comparison.trajectory
            ],
        },
        "lesions": comparison.lesions,
        "warnings": [{"code": warning.code, "message": warning.message} for warning in comparison.warnings],
    }


def _exam_record(exam: DatedExam, *, identify: bool) -> dict[str, Any]:
    result = exam.result
    return {
        "exam": exam.number,
        "name": result.name if identify else hashed(result.name),
        "date": exam.day if identify else None,
        "days": exam.days,
        "days_since_onset": exam.onset_days,
        "grade": result.grade,
        "quality_gate": Verdict.NOT_RATED if result.rating is None else result.rating.verdict,
        "rating_mean": None if result.rating is None else result.rating.mean,
        "notices": list(result.notices),
        "own_thresholds": result.thresholds.as_record(),
        "methods": dict(result.methods),
        "software": result.software,
        "series": result.series,
        "segmentation": result.segmentation is not None,
    }


def _pair_record(pair: ExamPair) -> dict[str, Any]:
    breath = pair.inspiration
    return {
        "before": pair.before.number,
        "after": pair.after.number,
        "compared": list(pair.kinds),
        "interval_days": pair.interval_days,
        "signs": {sign.biomarker.name: _sign_record(sign) for sign in pair.signs},
        "inspiration": {
            "lung_volume_change_percent": breath.volume.percent,
            "differs": breath.differs,
            "less_sensitive": [change.figure.name for change in breath.less_sensitive],
        },
        "regions": [_region_record(pair, region) for region in pair.regions],
    }


def _sign_record(sign: Sign) -> dict[str, Any]:
    return {"sign": sign.sign, "words": sign.words, "lobes_up": list(sign.up), "lobes_down": list(sign.down)}


def _region_record(pair: ExamPair, region: RegionChange) -> dict[str, Any]:
    changes = {}
    for name, change in region.changes.items():
        described: dict[str, Any] = {
            "unit": change.figure.unit,
            "before": change.before,
            "after": change.after,
            "change": change.change,
            "change_percent": change.percent,
            "case": change.case,
        }
        for key, known in (("limits", pair.published), ("site_limits", pair.site)):
            judgement = known[region.region].get(name)
            described |= {key: asdict(judgement)} if judgement else {}
        changes[name] = described
    return {"region": region.region, "disease": region.disease, "changes": changes}


def _fit_record(one: Fit) -> dict[str, Any]:
    points = [
        {
            "level": point.level,
            "lower": point.lower,
            "upper": point.upper,
            "residual_lower": low,
            "residual_upper": high,
        }
        for point, (low, high) in zip(one.points, one.residuals, strict=True)
    ]
    return {
        "source": "Yoo 2022, Table 1",
        "data_set": one.data_set,
        "measure": one.measure,
        "used": one.data_set == USED,
        "mean": one.limits.bias,
        "slope": one.limits.slope,
        "points": points,
    }


def _site_record(scans: int, limits: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    described = []
    for (region, measure), one in limits.items():
        shape = {"slope": one.slope} if isinstance(one, SquareRootLimits) else {}
        shape |= {"half_width": one.half} if isinstance(one, PlainLimits) else {}
        described.append({"region": region, "measure": measure, "mean": one.bias, **shape})
    return {"scans": scans, "limits": described}


def _curve_record(curve: Curve) -> dict[str, Any]:
    day, value = curve.computed_peak
    return asdict(curve) | {"computed_peak_day": day, "computed_peak_value": value, "readable_days": list(curve.span)}


def expected_files(exams: int, *, lesions: bool) -> list[str]:
    """The names of all files that the comparison of so many exams may write."""
    of_lesions = [LESIONS_FILE, *(map_file(*pair) for pair in followed_pairs(range(1, exams + 1)))]
    return [*FILES, *(of_lesions if lesions else ())]


def earlier_files(folder: Path, written: Collection[str]) -> list[str]:
    """Files of compare in a folder that this run did not replace."""
    of_lesions = sorted(path.name for path in folder.glob("change_map_[0-9][0-9]*.nrrd"))
    return [name for name in (*FILES, LESIONS_FILE, *of_lesions) if name not in written and (folder / name).exists()]


def refuse_others_files(folder: Path, names: Collection[str] = FILES) -> None:
    """Refuse a folder in which a file with one of our names was not written by compare.

    Args:
        folder: the folder for the results.
        names: of the files that will be written.

    Raises:
        OutputError: if so.
    """
    taken = [name for name in names if (folder / name).exists()]
    if taken and not _is_ours(folder / JSON_FILE):
        what = f"{', '.join(taken)} there was not written by compare, and would be overwritten"
        raise OutputError(what, str(folder), "Choose another folder, or move it away.", code="not-ours")


def _is_ours(path: Path) -> bool:
    try:
        record = read_json(path, "")
    except (FileNotFoundError, UnfitInputError):
        return False
    return isinstance(record, dict) and str(record.get("format", "")).startswith(_FORMATS)


def put_comparison(
    comparison: Comparison, out: OutputFolder, report: Report = silent, *, identify: bool = False, chart: bool = True
) -> list[Path]:
    """Write the files of a comparison into a set that is already open; they appear when its block ends.

    Args:
        comparison: the comparison.
        out: the set.
        report: progress; may raise ``Cancelled``.
        identify: include folder names and dates.
        chart: whether to draw the time course.

    Returns:
        The files.

    Raises:
        OutputError: a file cannot be written.
        UsageError: matplotlib is not installed.
    """
    out.write(CHANGES_FILE, lambda path: write_rows(path, change_rows(comparison)))
    report(0.2)
    record = comparison_record(comparison, identify=identify)
    out.write(JSON_FILE, lambda path: write_json(path, record))
    names = [CHANGES_FILE, JSON_FILE]
    lesions = comparison.lesions
    if lesions is not None:
        excluded = {exam.number for exam in comparison.exams if exam.result.is_excluded}
        out.write(LESIONS_FILE, lambda path: write_rows(path, lesion_rows(lesions, excluded)))
        # The change maps are in the set already: each was written when it was made.
        names += [LESIONS_FILE, *(pair["change_map"] for pair in lesions["pairs"] if pair["change_map"])]
    report(0.5)
    if chart:
        out.write(CHART_FILE, lambda path: write_time_course(path, comparison.trajectory))
        names.append(CHART_FILE)
    report(1.0)
    return [out.path / name for name in names]
