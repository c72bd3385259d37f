"""Which sections are open: they open as the work goes on, and a reader's own choice stays until the next step."""

from enum import Enum

from COVIDQuantLib.review.status import Figures

INPUT, RESULTS, REVIEW, EXPORT = "InputSection", "ResultsSection", "ReviewSection", "ExportSection"


class Step(Enum):
    """How far the work on a CT is."""

    CHOOSE = "choose a CT and quantify it"
    READ = "read the figures and review the segments"
    HAND_ON = "everything is accepted: hand it on"


_OPEN = {
    Step.CHOOSE: {INPUT},
    Step.READ: {RESULTS, REVIEW},
    Step.HAND_ON: {RESULTS, EXPORT},
}


def step_of(figures):
    """The step of a result by whose its figures are; None for no result."""
    if figures is None:
        return Step.CHOOSE
    return Step.HAND_ON if figures is Figures.ACCEPTED else Step.READ


def opened(before, now):
    """Name of a section → whether it is open now; empty while the step is the same. Other sections stay as they are.

    Args:
        before: the step until now; None at first.
        now: the step.
    """
    if before is now:
        return {}
    return {name: name in _OPEN[now] for name in (INPUT, RESULTS, REVIEW, EXPORT)}
