"""The section of the readers: what can be rated, and rating, edits and reading aids in words."""

from html import escape

from COVIDQuantLib.anatomy import WHOLE_LUNG
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.quantification.measure_table import View
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.readers.rating import initials_of
from COVIDQuantLib.readers.reading_aids import brief_groups, percentile_text, reading_aids, title_of
from COVIDQuantLib.readers.scale import ENDS, HIGHEST, LOWEST
from COVIDQuantLib.readers.words import rating_lines
from COVIDQuantPanel.presenters.controls import Control, needs_result
from COVIDQuantPanel.presenters.tables import Cell, Table
from COVIDQuantPanel.presenters.words import _


def score_texts():
    """The entries of the list of scores; the first stands for none."""
    texts = [_("choose")]
    for score in range(LOWEST, HIGHEST + 1):
        end = ENDS.get(score)
        texts.append(f"{score}: {_(end)}" if end else str(score))
    return texts


def score_of_place(place):
    """The score of an entry of the list; None for the first."""
    return place - 1 + LOWEST if place > 0 else None


def known_reader(initials):
    """Initials as they are stored; empty if they are none."""
    try:
        return initials_of(initials)
    except UsageError:
        return ""


def is_change(rating, reader, segments):
    """Whether a reader has rated these segments before."""
    rounds = rating.rounds if rating is not None else ()
    return any(one.of.is_surely(segments) and one.by(reader) is not None for one in rounds)


def rate_control(*, is_there, initials, score, change):
    """The button that stores a score.

    Args:
        is_there: whether there is a result.
        initials: as typed.
        score: the chosen one; None if none is chosen.
        change: whether this reader has rated these segments before.
    """
    reason = needs_result(is_there)
    if not reason and not known_reader(initials):
        reason = _("Give your initials first: one to eight letters or digits")
    if not reason and score is None:
        reason = _("Choose a score first")
    return Control(reason, text=_("Change my rating") if change else _("Rate"))


def edits_control(*, is_there, has_original, comparing):
    """The button that makes the edit record."""
    kept = "" if has_original else _("This segmentation was not made by COVIDQuant")
    busy = _("The comparison is under way") if comparing else ""
    return Control(needs_result(is_there) or kept or busy)


def rating_text(rating, segments, problem):
    """What the rating has come to; a score of a reader who is alone so far is not in it."""
    lines = rating_lines(rating, segments) if rating is not None else [_("Nobody has rated these segments yet.")]
    return "\n".join([*lines, *([problem] if problem else ())])


def edits_text(edits, segments, *, comparing=False):
    """An edit record in a few lines; empty without one.

    Args:
        edits: the record; None if there is none.
        segments: those there are now.
        comparing: whether a new one is being made.
    """
    if comparing:
        return _("comparing with the AI result …")
    if edits is None:
        return ""
    lesion = edits.change()
    dice = _("not defined") if lesion["lesion_dice"] is None else f"{lesion['lesion_dice']:.3f}"
    lines = [
        _("Pneumonia: {added:.1f} mL added, {removed:.1f} mL removed, Dice with the AI {dice}.").format(
            added=lesion["lesion_added_ml"], removed=lesion["lesion_removed_ml"], dice=dice
        ),
        _("Lungs: {added:.1f} mL added, {removed:.1f} mL removed.").format(
            added=edits.change(WHOLE_LUNG.name)["added_ml"], removed=edits.change(WHOLE_LUNG.name)["removed_ml"]
        ),
        _figures_line(edits),
        _("{n} parts removed as artefact; {time} of active work.").format(
            n=len(edits.removed), time=time_text(edits.seconds)
        ),
    ]
    if not edits.final.is_surely(segments):
        lines.append(_("Recorded before the last edits."))
    return "\n".join(lines)


def _figures_line(edits):
    before, after = ({row["region"]: row for row in rows}[WHOLE_LUNG.name] for rows in (edits.before, edits.after))
    told = []
    for measure in MEASURES.shown_in(View.BRIEF):
        values = (_number(row[measure.name], measure.decimals) for row in (before, after))
        told.append(f"{measure.title} {' → '.join(values)} {measure.unit}".strip())
    return "; ".join(told) + "."


def time_text(seconds):
    """Seconds of work in minutes."""
    minutes = round(seconds / 60)
    return _("less than a minute") if seconds < 60 else _("{n} min").format(n=minutes)


# The column with the longest texts.
_AMONG = 2


def aid_headings():
    """The headings of the reading aids."""
    return [_("This exam"), _("lies"), _("among")]


def aid_rows(metrics):
    """The rows of the reading aids: cells, and a tooltip that says whom it describes and what it does not say."""
    aids = reading_aids(metrics)
    rows = [*map(_cut_off_row, aids["cut_offs"]), _score_row(aids["ct_score"])]
    return rows + [_group_row(one) for one in brief_groups(aids)]


def aid_table(metrics):
    """The reading aids; without rows if there are no figures."""
    rows = aid_rows(metrics) if metrics is not None else []
    cells = (tuple(Cell(text, tip) for text in texts) for texts, tip in rows)
    return Table(tuple(map(Cell, aid_headings())), tuple(cells), wraps=_AMONG)


def aid_notice(metrics):
    """What has to be said about all of them."""
    return reading_aids(metrics)["notice"]


def _cut_off_row(one):
    ratio, low, high = one["odds_ratio"]
    outcome = one["what"].partition(": ")[2]
    said = _("{outcome}: odds ratio {ratio:.1f} ({low:.1f}–{high:.1f}).").format(
        outcome=outcome, ratio=ratio, low=low, high=high
    )
    published = f"{one['cut_off']:g} {one['unit']}: {outcome}"
    cells = [_figure(one["measure"], one["value"]), _(one["position"] or ""), _sourced(published, one["source"])]
    return cells, escape(f"{said} {one['population']}. {one['says_not']}")


def _score_row(score):
    conversion = score["conversion"]
    expected = conversion["expected_percent"]
    told = _("not defined") if expected is None else f"{expected:.1f} %"
    published = _("{told}, the extent of a CT score of {n}").format(n=score["score"], told=told)
    tip = f"{conversion['formula']}. {conversion['says_not']} {score['correction']}"
    measured = _figure("extent_percent", conversion["measured_percent"])
    return [measured, _("beside"), _sourced(published, conversion["source"])], escape(tip)


def _group_row(one):
    tip = _("Median with quartiles, or mean ± SD; n {n}.").format(n=one["n"])
    if one["percentile_if_normal"] is not None:
        percentile = percentile_text(one["percentile_if_normal"])
        tip += " " + _("Percentile {n} of a normal distribution.").format(n=percentile)
    published = f"{one['group']}: {one['published']}"
    cells = [_figure(one["measure"], one["value"]), one["position"] or "", _sourced(published, one["source"])]
    return cells, escape(tip)


def _sourced(published, source):
    """What was published and where, without the source's remarks."""
    return f"{published}; {source.partition(' (')[0]}"


def _figure(measure, value):
    title, unit = title_of(measure)
    return f"{title} {_number(value, MEASURES.named(measure).decimals)} {unit}".strip()


def _number(value, decimals):
    return "–" if value is None else f"{value:.{decimals}f}"
