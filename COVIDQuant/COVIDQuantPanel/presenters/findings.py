"""The list of suspected artefacts: cells, reasons in words, what can be done."""

from COVIDQuantLib.quantification.measure_table import View
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.review.status import FindingStatus
from COVIDQuantPanel.presenters.controls import Control
from COVIDQuantPanel.presenters.tables import Cell, Table
from COVIDQuantPanel.presenters.words import _

# Column of the statuses.
STATUS = 4


def headings():
    """The headings of the columns."""
    return [_("No."), _("Suspicion"), _("mL"), _("HU"), _("Status"), _("Where")]


def cells(finding, status):
    """The cells of a row."""
    return [
        str(finding.number),
        f"{finding.score:.2f}",
        f"{finding.volume_ml:.1f}",
        f"{finding.mean_hu:.0f}",
        status_text(status),
        ", ".join(finding.lobes),
    ]


def table(placed, status_of):
    """The list.

    Args:
        placed: the findings that are listed.
        status_of: the decision on one of them.
    """
    rows = (tuple(map(Cell, cells(one.finding, status_of(one)))) for one in placed)
    return Table(tuple(map(Cell, headings())), tuple(rows), grows=STATUS)


def status_text(status):
    """The decision in one word."""
    return {FindingStatus.UNTOUCHED: _("open"), FindingStatus.KEPT: _("kept"), FindingStatus.REMOVED: _("removed")}[
        status
    ]


def shown(found, *, only_suspected):
    """The placed findings that are listed."""
    return [placed for placed in found if placed.finding.suspected or not only_suspected]


def summary(findings):
    """How many there are, after a search."""
    suspected = sum(finding.suspected for finding in findings)
    text = _("{n} of {all} parts of the pneumonia look like motion artefacts.")
    return text.format(n=suspected, all=len(findings))


def all_decided():
    """Text for when every finding has a decision."""
    return _("All suspected parts have a decision.")


def explanation(finding):
    """A text with the reasons for suspicion and the effect of removal."""
    reasons = [_(reason.template).format(**reason.values) for reason in finding.reasons]
    changes = [
        f"{signed(finding.effect[measure.name], measure.decimals)} {measure.unit}"
        for measure in MEASURES.shown_in(View.BRIEF)
        if measure.name in finding.effect
    ]
    effect = _("Removing it changes extent and weight by {changes}.").format(changes=", ".join(changes))
    return " ".join([*(reasons or [_("Nothing suggests an artefact.")]), effect])


def decide_control(*, is_selected):
    """Keep, remove and reopen."""
    return Control("" if is_selected else _("Select a part in the list first"))


def next_control(*, are_shown):
    """Go on to the next."""
    return Control("" if are_shown else _("Look for motion artefacts first"))


def search_text(fraction=None, *, running=False):
    """Text of the button that starts or stops the search."""
    if not running:
        return _("Look for motion artefacts")
    if fraction is None:
        return _("Stop looking")
    return _("Stop looking ({n} %)").format(n=round(100 * fraction))


def signed(value, digits):
    """A change with its sign, without one if it rounds to zero."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else f"±{text[1:]}"
