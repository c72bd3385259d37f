"""Write the report of an exam or of a follow-up: ``report.html`` and ``report.pdf``, the same pages.

The HTML needs Jinja2, the PDF WeasyPrint with Pango; where the latter are missing a warning says so, and the HTML is
written all the same. One exam is one A4 page, a follow-up two; what is long is shortened and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import COVIDQuantError
from COVIDQuantLib.exam import Exam
from COVIDQuantLib.export.anonymous import hashed
from COVIDQuantLib.followup.comparison import Comparison
from COVIDQuantLib.followup.exam_ct import ExamCT
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.report.exam_page import AMPLE, SCARCE, ExamPage, exam_page
from COVIDQuantLib.report.exam_pictures import draw_pictures
from COVIDQuantLib.report.followup_page import FollowupPage, draw_charts, followup_page
from COVIDQuantLib.report.identity import ReportIdentity, shortened
from COVIDQuantLib.report.pages import DENSITIES, html_of, need_packages
from COVIDQuantLib.report.pdf import failure, laid_out, pdf_maker, pdf_of
from COVIDQuantLib.report.subject import Subject, subject_of_exam, subject_of_result
from COVIDQuantLib.system.atomic_files import OutputFolder

HTML_FILE, PDF_FILE = "report.html", "report.pdf"
FILES = (HTML_FILE, PDF_FILE)
_REFERENCE_DIGITS = 8
_UNMEASURED = (1, 1)


@dataclass(frozen=True)
class ReportFiles:
    """What was written.

    Attributes:
        html: the HTML.
        pdf: the PDF; None where it cannot be made.
        warnings: why not, and what else the reader of the report should know.
    """

    html: Path
    pdf: Path | None
    warnings: tuple[CTWarning, ...] = ()

    @property
    def paths(self) -> list[Path]:
        """The files that are there."""
        return [self.html, *([self.pdf] if self.pdf else [])]


def write_report(
    exam: Exam,
    directory: Path,
    *,
    identity: ReportIdentity | None = None,
    comparison: Comparison | None = None,
    label: str = "",
    report: Report = silent,
) -> ReportFiles:
    """Write the report of an exam in memory.

    Args:
        exam: the quantified exam.
        directory: made if missing; an earlier report in it is replaced.
        identity: of the patient; None to name nobody.
        comparison: of this exam, which is its last one, with earlier ones; adds the page of the follow-up.
        label: a text of the user's in the heading, e.g. a study number.
        report: progress; may raise ``Cancelled``.

    Raises:
        OutputError: the folder cannot be written; it is unchanged.
        UsageError: Jinja2 or matplotlib is not installed.
    """
    with OutputFolder(directory) as out:
        subject = subject_of_exam(exam, identify=identity is not None)
        return put_report(subject, out, identity=identity, comparison=comparison, label=label, report=report)


def write_result_report(
    folder: Path,
    directory: Path,
    *,
    ct: Path | None = None,
    identity: ReportIdentity | None = None,
    label: str = "",
    report: Report = silent,
) -> ReportFiles:
    """Write the report of a folder that quantify wrote.

    Args:
        folder: the folder, or the ``metrics.json`` in it.
        directory: made if missing; an earlier report in it is replaced. It may be the same folder.
        ct: the exam's CT, for slices and densities; without it the slices are those of ``overlay.png``.
        identity: of the patient; None to name nobody.
        label: a text of the user's in the heading.
        report: progress; may raise ``Cancelled``.

    Raises:
        UnfitInputError: the folder is half written, damaged or of another format; the CT is not the exam's.
        OutputError, UsageError: as in :func:`write_report`.
    """
    subject = subject_of_result(folder, ct)
    with OutputFolder(directory) as out:
        return put_report(subject, out, identity=identity, label=label, report=report)


def comparison_subject(comparison: Comparison, ct: Path | ExamCT | None = None) -> Subject:
    """The last exam of a comparison, with figures by the comparison's thresholds; errors as in `subject_of_result`."""
    return subject_of_result(comparison.exams[-1].result.path, ct).with_metrics(comparison.tables[-1])


def write_comparison_report(
    comparison: Comparison,
    directory: Path,
    *,
    ct: Path | None = None,
    identity: ReportIdentity | None = None,
    label: str = "",
    report: Report = silent,
) -> ReportFiles:
    """Write the report of a follow-up, from the folders that were compared: the last exam, then the changes.

    Args:
        comparison: the comparison.
        directory: made if missing; an earlier report in it is replaced.
        ct: the CT of the last exam, for slices and densities.
        identity: of the patient; None to name nobody.
        label: a text of the user's in the heading.
        report: progress; may raise ``Cancelled``.

    Raises:
        UnfitInputError: the last exam's folder cannot be used any more; the CT is not the exam's.
        OutputError, UsageError: as in :func:`write_report`.
    """
    subject = comparison_subject(comparison, ct)
    with OutputFolder(directory) as out:
        return put_report(subject, out, identity=identity, comparison=comparison, label=label, report=report)


def put_report(
    subject: Subject,
    out: OutputFolder,
    *,
    identity: ReportIdentity | None = None,
    comparison: Comparison | None = None,
    label: str = "",
    report: Report = silent,
) -> ReportFiles:
    """Write the report into a set that is already open; the files appear when its block ends.

    Args:
        subject: the exam; of a comparison the last one.
        out: the set.
        identity: of the patient; None to name nobody.
        comparison: adds the page of the follow-up.
        label: a text of the user's in the heading.
        report: progress; may raise ``Cancelled``.

    Raises:
        OutputError: a file cannot be written.
        UsageError: Jinja2 or matplotlib is not installed.
    """
    need_packages()
    out.expect(FILES)
    title = title_of(subject, comparison, label)
    pictures = draw_pictures(subject, part(report, 0.0, 0.6))
    pages = [exam_page(subject, pictures, title, identity, room) for room in (AMPLE, SCARCE)]
    follow = None
    if comparison is not None:
        follow = followup_page(comparison, draw_charts(comparison), dates=identity is not None)
    report(0.7)
    files = put_pages(pages, out, follow)
    report(1.0)
    return replace(files, warnings=(*subject.missing, *files.warnings))


def put_pages(pages: Sequence[ExamPage], out: OutputFolder, follow: FollowupPage | None = None) -> ReportFiles:
    """Write pages into a set that is already open.

    Args:
        pages: of the exam, the fullest first; the first that fits one page is taken, or else the last.
        out: the set.
        follow: of the follow-up.

    Raises:
        OutputError: a file cannot be written.
        UsageError: Jinja2 is not installed.
    """
    html, pdf, warnings = _made(pages, follow)
    out.write(HTML_FILE, lambda path: path.write_text(html, encoding="utf-8", newline="\n"))
    if pdf is not None:
        out.write(PDF_FILE, lambda path: path.write_bytes(pdf))
    elif (out.path / PDF_FILE).exists():
        text = f"{PDF_FILE} in {out.path} is from an earlier run; left unchanged."
        warnings.append(CTWarning("earlier-files", text))
    return ReportFiles(out.path / HTML_FILE, out.path / PDF_FILE if pdf is not None else None, tuple(warnings))


def _made(pages: Sequence[ExamPage], follow: FollowupPage | None) -> tuple[str, bytes | None, list[CTWarning]]:
    """The HTML, the PDF if it can be made, and why not."""
    maker, warnings = pdf_maker()
    if maker is not None:
        try:
            html, document = _fitted(pages, follow, maker)
            return html, pdf_of(document), warnings
        except COVIDQuantError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever another program's layout stumbles over
            warnings.append(failure(error))
    # Fonts of a browser differ: somewhat denser, so that its print fits too.
    return html_of(pages[0], follow, *_UNMEASURED), None, warnings


def _fitted(pages: Sequence[ExamPage], follow: FollowupPage | None, maker: Any) -> tuple[str, Any]:
    """The HTML, as large as fits its pages, and its layout."""
    html, document, density, page = "", None, 0, pages[0]
    for density, page in [
        *((density, pages[0]) for density in DENSITIES),
        *((DENSITIES[-1], one) for one in pages[1:]),
    ]:
        html = html_of(page, density=density)
        document = laid_out(maker, html)
        if len(document.pages) == 1:
            break
    for denser in DENSITIES if follow is not None else ():
        html = html_of(page, follow, density, denser)
        document = laid_out(maker, html)
        if len(document.pages) == 2:
            break
    return html, document


def title_of(subject: Subject, comparison: Comparison | None, label: str) -> str:
    """What the page is about, without a name: the reference is the beginning of a hash in ``metrics.json``."""
    source = subject.record.get("input")
    facts = source if isinstance(source, dict) else {}
    name = str(facts.get("series_uid") or facts.get("name") or "")
    reference = hashed(name).rpartition(":")[2][:_REFERENCE_DIGITS]
    told = [shortened(label)] if label else []
    told.append(f"exam {reference}" if reference else "exam")
    if comparison is not None:
        count = len(comparison.exams)
        told.append(f"number {count} of {count}, {comparison.exams[-1].days} days after the first")
    text = ", ".join(told)
    return text[:1].upper() + text[1:]
