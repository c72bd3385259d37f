"""What a comparison says, from its record: the pairs of exams, the changes of a region, the lesions and their fates."""

from dataclasses import dataclass, replace
from html import escape

from COVIDQuantLib.followup.changes import PATIENT_FIGURES
from COVIDQuantLib.followup.lesions.change_map import CHANGE_COLOURS, CHANGE_LABELS, NEW, PERSISTING, RESOLVED
from COVIDQuantLib.followup.lesions.records import FATES, LESION_ML
from COVIDQuantLib.followup.time_course import charted_measures
from COVIDQuantLib.quantification.measure_table import View
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.presentation import cell
from COVIDQuantPanel.presenters.controls import Control
from COVIDQuantPanel.presenters.findings import signed
from COVIDQuantPanel.presenters.tables import plain_table
from COVIDQuantPanel.presenters.words import _

_FIGURES = {figure.name: figure for figure in (*MEASURES, *PATIENT_FIGURES)}
_NOTHING = "–"
_CASE_TEXT = {
    "zero baseline": lambda: _("from zero"),
    "undefined before": lambda: _("none before"),
    "undefined after": lambda: _("none after"),
    "region absent": lambda: _("region absent"),
}
_VERDICT_TEXT = {
    "within": lambda: _("within error"),
    "unclear": lambda: _("unclear"),
    "beyond": lambda: _("exceeds error"),
}
_FATE_TEXT = {
    "new": lambda: _("new"),
    "grown": lambda: _("grown"),
    "unchanged": lambda: _("unchanged"),
    "shrunk": lambda: _("shrunk"),
    "resolved": lambda: _("resolved"),
    "merged": lambda: _("merged"),
    "split": lambda: _("split"),
    "merged and split": lambda: _("merged and split"),
}
_CHANGE_TEXT = {PERSISTING: lambda: _("persisting"), NEW: lambda: _("new"), RESOLVED: lambda: _("resolved")}
# Red for more disease, blue for less, black where it cannot be said; the words say it, too.
MORE, LESS = "#b3261e", "#00639b"
_FATE_COLOUR = {"new": MORE, "grown": MORE, "shrunk": LESS, "resolved": LESS}


@dataclass(frozen=True)
class PairChoice:
    """Two exams that can be looked at.

    Attributes:
        text: what they are called.
        pair: their entry in the record.
        followed: the entry of the lesions between them; None if they were not followed.
    """

    text: str
    pair: dict
    followed: dict | None

    @property
    def earlier(self):
        """The number of the earlier exam."""
        return self.pair["before"]

    @property
    def later(self):
        """The number of the later exam."""
        return self.pair["after"]

    @property
    def is_consecutive(self):
        """Whether one exam is the next after the other, so that they can be shown side by side."""
        return self.pair["after"] == self.pair["before"] + 1


def pair_choices(record):
    """The pairs of exams, the last ones first: the reader looks at the newest exam."""
    followed = {(one["before"], one["after"]): one for one in (record.get("lesions") or {}).get("pairs", ())}
    choices = [
        PairChoice(_pair_text(record, pair), pair, followed.get((pair["before"], pair["after"])))
        for pair in record["pairs"]
    ]
    return sorted(choices, key=lambda one: (-one.pair["after"], not one.is_consecutive))


def next_pair(choices, place):
    """The place of the next two consecutive exams, the first after the last."""
    following = [number for number, one in enumerate(choices) if one.is_consecutive and number > place]
    return following[0] if following else next(n for n, one in enumerate(choices) if one.is_consecutive)


def _pair_text(record, pair):
    days = {exam["exam"]: exam["date"] for exam in record["exams"]}
    text = _("{before} → {after} ({days} days)")
    return text.format(before=days[pair["before"]], after=days[pair["after"]], days=pair["interval_days"])


def region_names(pair):
    """The regions of a pair, the whole lung first."""
    return [region["region"] for region in pair["regions"]]


def change_headings():
    """Headings of the table of changes."""
    return (_("Measure"), _("Before"), _("After"), _("Change"), "%", _("Error"))


def change_rows(pair, region):
    """The rows of the table of changes, a text per heading."""
    entry = next(one for one in pair["regions"] if one["region"] == region)
    shown = [measure.name for measure in MEASURES.shown_in(View.TERMINAL) if measure.name in entry["changes"]]
    shown += [figure.name for figure in PATIENT_FIGURES if figure.name in entry["changes"]]
    return [_change_cells(_FIGURES[name], entry["changes"][name]) for name in shown]


def change_table(pair, region):
    """The table of changes; without rows if there is no such region."""
    there = pair is not None and region in region_names(pair)
    return plain_table(change_headings(), change_rows(pair, region) if there else [])


def _change_cells(figure, change):
    title = f"{figure.title}, {figure.unit}" if figure.unit else figure.title
    delta = _NOTHING if change["change"] is None else signed(change["change"], figure.decimals)
    case = _CASE_TEXT.get(change["case"])
    percent = change["change_percent"]
    relative = signed(percent, 1) if percent is not None else case() if case else _NOTHING
    return [title, cell(figure, change["before"]), cell(figure, change["after"]), delta, relative, _verdict(change)]


def _verdict(change):
    limits = change.get("site_limits") or change.get("limits")
    return _VERDICT_TEXT[limits["verdict"]]() if limits else ""


def overview(pair):
    """The signs in the paper's words, and whether inspiration was the same."""
    lines = [f"<b>{escape(sign['words'])}</b>" for sign in pair["signs"].values()]
    breath = pair["inspiration"]
    if breath["differs"]:
        text = _("Lung volume differs by {percent} %: rely on {measures}, which depend least on inspiration.")
        names = ", ".join(_FIGURES[name].title.lower() for name in breath["less_sensitive"])
        lines.append(text.format(percent=signed(breath["lung_volume_change_percent"], 0), measures=names))
    return "<br>".join(lines)


def lesion_headings():
    """Headings of the table of lesions."""
    return (_("Lesion"), _("Fate"), _("Lobe"), _("Before\nmL"), _("After\nmL"), _("Change\nmL"))


def lesions_of(followed):
    """The lesions between two exams, those that changed most first and the unchanged last."""
    lesions = (followed or {}).get("lesions") or []
    return sorted(lesions, key=lambda one: (one["fate"] == "unchanged", -abs(one["change_ml"])))


def lesion_cells(lesion):
    """The texts of a lesion's row."""
    volumes = [f"{lesion[f'{exam}_volume_ml']:.1f}" for exam in ("baseline", "followup")]
    where = lesion["region"] or _("outside lobes")
    fate = _FATE_TEXT[lesion["fate"]]() + (" †" if lesion.get("found_at_lower_cut") else "")
    return [str(lesion["lesion"]), fate, where, *volumes, signed(lesion["change_ml"], 1)]


def lesion_table(lesions):
    """The table of lesions, with the words of their fates in colour."""
    table = plain_table(lesion_headings(), map(lesion_cells, lesions))
    rows = [(name, replace(fate, colour=fate_colour(one)), *more) for one, (name, fate, *more) in
            zip(lesions, table.rows, strict=True)]  # fmt: skip
    return replace(table, rows=tuple(rows))


def fate_colour(lesion):
    """The colour of a fate's word; empty for that of other text."""
    return _FATE_COLOUR.get(lesion["fate"], "")


def lesions_text(followed):
    """How many lesions of each fate, and how good the registration is."""
    if followed is None:
        return _("Lesions are followed from exam to exam and from the first to the last: choose two such exams.")
    if followed["lesions"] is None:
        return _("The lesions could not be followed; the warnings say why. The figures do not depend on it.")
    counts = [f"{n} {_FATE_TEXT[fate]()}" for fate in FATES if (n := followed["counts"][fate])]
    quality = followed["registration"]
    word = _("good") if quality["quality"] == "good" else _("poor")
    fissures = quality["fissure_distance_mm"]
    apart = "" if fissures is None else _(", fissures {mm:.1f} mm apart").format(mm=fissures)
    told = _("Registration {word} (lung Dice {dice:.3f}{apart}).")
    small = followed.get("too_small_count")
    more = _("{n} too small to follow (below {ml:g} mL). ").format(n=small, ml=LESION_ML) if small else ""
    if any(lesion.get("found_at_lower_cut") for lesion in followed["lesions"]):
        more += _("† in one exam found at a lower cut only, since the other one shows it. ")
    quality_text = told.format(word=word, dice=quality["lung_dice"], apart=apart)
    return f"{', '.join(counts) or _('No lesion')}. {more}{quality_text}"


def warnings_text(record, *, stale):
    """What must be known about the comparison, a line each."""
    first = [_("The segments were edited since: compare again.")] if stale else []
    return "\n".join([*first, *(warning["message"] for warning in record["warnings"])])


def course_names():
    """Name → title of each measure with a chart of its course."""
    return {measure.name: measure.title for measure in charted_measures()}


def course_control(*, has_chart, has_onset):
    """The button that shows the time course."""
    tip = _("Show the patient's time course with the published curves behind it")
    without = _("Show the patient's time course; enter the onset and compare again for the published curves")
    return Control("" if has_chart else _("Compare exams first"), tip if has_onset else without)


def side_by_side_control(choice, *, can_be_shown):
    """The button that shows two exams side by side.

    Args:
        choice: the chosen pair; None if there is no comparison.
        can_be_shown: whether they were registered and a CT of either is in the scene.
    """
    tip = _("Show both exams in linked views, the earlier one in the space of the later one")
    if choice is None:
        return Control(_("Compare exams first"), tip)
    if not choice.is_consecutive:
        return Control(_("Choose an exam and the next one"), tip)
    return Control("" if can_be_shown else _("The exams could not be registered, or no CT is in the scene"), tip)


def change_map_control(choice, *, has_map):
    """The box that shows the change map of two exams."""
    tip = _("Colour where disease persists, is new or has gone, over the later exam; results show outlines meanwhile")
    if choice is None:
        return Control(_("Compare exams first"), tip)
    if choice.followed is None:
        return Control(_("Choose an exam and the next one, or the first and the last"), tip)
    return Control("" if has_map else _("The exams could not be registered, or neither has disease"), tip)


def change_legend(followed):
    """The colours of the change map and how much there is of each, as rich text."""
    volumes = followed["change_map_ml"]
    return " ".join(
        f'<span style="color:{colour}">■</span>\u00a0{_CHANGE_TEXT[value]()} {volumes[CHANGE_LABELS[value]]:.1f} mL'
        for value, colour in CHANGE_COLOURS.items()
    )


def has_onset(record):
    """Whether the days since the onset are known."""
    return all(exam["days_since_onset"] is not None for exam in record["exams"])
