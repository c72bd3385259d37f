"""The list of suspected artefacts: cells, reasons in words, what can be done."""

from COVIDQuantLib.review.status import Status
from COVIDQuantPanel.presenters.controls import Control
from COVIDQuantPanel.presenters.words import _

# Column of the statuses.
STATUS = 4
_MEASURES = (("extent_percent", "%", 2), ("weight_g", "g", 1))


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


def status_text(status):
    """What was decided, in a word."""
    return {Status.UNTOUCHED: _("open"), Status.KEPT: _("kept"), Status.REMOVED: _("removed")}[status]


def shown(found, *, only_suspected):
    """The placed findings that are listed."""
    return [placed for placed in found if placed.finding.suspected or not only_suspected]


def summary(findings):
    """How many there are, after a search."""
    suspected = sum(finding.suspected for finding in findings)
    text = _("{n} of {all} parts of the pneumonia look like motion artefacts.")
    return text.format(n=suspected, all=len(findings))


def all_decided():
    """Said where no open finding is left."""
    return _("Every suspected part was decided on.")


def explanation(finding):
    """Why it is suspected and what removing it would change, in words."""
    reasons = [_(reason.template).format(**reason.values) for reason in finding.reasons]
    changes = [
        f"{_signed(finding.effect[name], digits)} {unit}" for name, unit, digits in _MEASURES if name in finding.effect
    ]
    effect = _("Removing it changes extent and weight by {changes}.").format(changes=", ".join(changes))
    return " ".join([*(reasons or [_("Nothing speaks for an artefact.")]), effect])


def decide_control(*, is_selected):
    """Keep, remove and reopen."""
    return Control("" if is_selected else _("Select a part in the list first"))


def next_control(*, are_shown):
    """Go on to the next."""
    return Control("" if are_shown else _("Look for motion artefacts first"))


def search_text(fraction=None, *, running=False):
    """What is written on the button that searches, or stops the search."""
    if not running:
        return _("Look for motion artefacts")
    if fraction is None:
        return _("Stop looking")
    return _("Stop looking ({n} %)").format(n=round(100 * fraction))


def _signed(value, digits):
    """A change with its sign, which a change too small to show has not."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else f"±{text[1:]}"
