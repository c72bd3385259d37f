"""The line above the figures: whether the result can be right, with a link to each place at fault."""

from html import escape

from COVIDQuantLib.grades import Grade
from COVIDQuantPanel.presenters.words import _

# The link that checks again.
CHECK = "check"
# More would push the figures out of sight; the worst come first.
_SHOWN = 4
_COLOUR = {Grade.SOUND: "#2e7d32", Grade.LOOK: "#b36b00", Grade.UNUSABLE: "#c62828"}


def grade_html(grade, findings, *, checking, stands):
    """The line.

    Args:
        grade: None if nothing was checked.
        findings: what is at fault, the worst first; a link names its place in them.
        checking: whether a check is under way.
        stands: whether the grade is that of the segments as they are.
    """
    parts = [_grade(grade)] if grade else []
    parts += [f'<a href="{n}">{escape(one.message)}</a>' for n, one in enumerate(findings[:_SHOWN])]
    if len(findings) > _SHOWN:
        parts.append(_("and {n} more").format(n=len(findings) - _SHOWN))
    return " · ".join([*parts, *_about_now(grade, checking=checking, stands=stands)])


def _about_now(grade, *, checking, stands):
    """Whether this is said of the segments as they are, and what can be done if not."""
    if checking:
        return [_("checking …")]
    if stands:
        return []
    if not grade:
        return [_("Not checked yet") + f' · <a href="{CHECK}">' + _("Check now") + "</a>"]
    return [_("before the last edits") + f' · <a href="{CHECK}">' + _("Check again") + "</a>"]


def _grade(grade):
    texts = {Grade.SOUND: _("Result sound"), Grade.LOOK: _("Look at this"), Grade.UNUSABLE: _("Result not usable")}
    return f'<b style="color:{_COLOUR[grade]}">{texts[grade]}</b>'
