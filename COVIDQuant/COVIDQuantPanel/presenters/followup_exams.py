"""Which exams are compared: the list of them, the button, and what is said while they are."""

from COVIDQuantLib.followup.sequence import day_named
from COVIDQuantPanel.presenters.controls import Control, needs_result
from COVIDQuantPanel.presenters.tables import Cell, Table
from COVIDQuantPanel.presenters.words import _

EXAM, DAY = range(2)
_STAGE_TEXT = {
    "copying": lambda: _("copying the exams"),
    "comparing": lambda: _("counting, laying the lungs over each other, following the lesions"),
}


def headings():
    """Headings of the list of exams."""
    return (_("Exam"), _("Date"), _("Where"))


def cells(exam, *, is_current=False):
    """The texts of an exam's row.

    Args:
        exam: the exam.
        is_current: whether it is the one shown, with which the others are compared.
    """
    if is_current:
        return [exam.name, _day_text(exam), _("shown now")]
    where = _("scene") if exam.is_in_scene else _("folder")
    if exam.is_in_scene and not exam.patient:
        where = _("scene, patient unknown")
    return [exam.name, _day_text(exam), where]


def table(exams, ticked, current):
    """The list of exams.

    Args:
        exams: all of them; the one shown may be dated, but not left out.
        ticked: whether each is chosen.
        current: the exam shown.
    """
    rows = (_row(exam, on, is_current=exam is current) for exam, on in zip(exams, ticked, strict=True))
    return Table(tuple(map(Cell, headings())), tuple(rows))


def _row(exam, on, *, is_current):
    name, day, where = cells(exam, is_current=is_current)
    return Cell(name, ticked=on, can_be_ticked=not is_current), Cell(day, can_be_edited=True), Cell(where)


def _day_text(exam):
    return "" if exam.day is None else exam.day.isoformat()


def ticked_at_first(exam, current):
    """Whether an exam is chosen without the reader: an earlier one that is surely of the same patient.

    Args:
        exam: another exam of the scene.
        current: the exam shown.
    """
    known = bool(exam.patient) and exam.patient == current.patient
    return known and exam.day is not None and (current.day is None or exam.day <= current.day)


def day_of_cell(text):
    """The date in a cell; None if it is empty.

    Raises:
        UsageError: it is no date.
    """
    return day_named(text) if text.strip() else None


def chosen(exams, ticked, current):
    """The exams to compare, the one shown last, as the reader gave them."""
    return [*(exam for exam, on in zip(exams, ticked, strict=True) if on), current]


def next_exam(exams, current):
    """The next exam of the patient in the scene by date, the first after the last; None if there is no other."""
    there = sorted((exam for exam in exams if exam.is_in_scene), key=_by_day)
    place = next(number for number, exam in enumerate(there) if exam is current)
    following = there[(place + 1) % len(there)]
    return None if following is current else following


def _by_day(exam):
    return (exam.day is None, "" if exam.day is None else exam.day.isoformat())


def compare_control(*, running, has_result, exams):
    """The button that compares, or stops comparing.

    Args:
        running: whether a comparison is under way.
        has_result: whether there is a result to compare.
        exams: those that are to be compared.
    """
    if running:
        return Control(tip=_("Stop; nothing is changed"), text=_("Cancel"))
    return Control(_reason_not(exams, has_result=has_result), _compare_tip(), _("Compare"))


def hint(control, *, exams):
    """What is to be done before exams can be compared, said beside the list if it has more than the exam shown."""
    return control.reason_not if exams > 1 else ""


def may_change(*, running, has_result):
    """Whether exams, dates and onset can be changed: not while they are compared."""
    return has_result and not running


def _reason_not(exams, *, has_result):
    if not has_result:
        return needs_result(has_result)
    if len(exams) < 2:
        return _("Tick the earlier exams of this patient in the list, or add a result folder")
    undated = [exam.name for exam in exams if exam.day is None]
    return _("Enter the date of {names}, like 2020-02-29").format(names=", ".join(undated)) if undated else ""


def _compare_tip():
    return _("Compare the figures of the exams and follow every lesion from each exam to the next one")


def progress_text(state):
    """How far it is."""
    left = "" if state.seconds_left is None else _(", about {n} s left").format(n=max(1, round(state.seconds_left)))
    return _STAGE_TEXT[state.stage]() + left


def stopped_text():
    """Said after the reader stopped it."""
    return _("Stopped. Nothing was changed.")
