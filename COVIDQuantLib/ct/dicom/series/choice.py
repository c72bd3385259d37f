"""Choose which series of a folder is quantified: the user's, or the best axial chest series by a documented score."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from COVIDQuantLib.ct.checks.image_checks import lung_share
from COVIDQuantLib.ct.checks.sharp_kernels import is_sharp
from COVIDQuantLib.ct.dicom.pixels import peek
from COVIDQuantLib.ct.dicom.series.fitness import is_axial
from COVIDQuantLib.ct.dicom.series.listing import SeriesInfo
from COVIDQuantLib.ct.dicom.series.stack import stack_frames
from COVIDQuantLib.errors import UnfitInputError, UsageError

# A chest is about this long; more (with the abdomen) earns no points.
_CHEST_MM = 250.0
_CHEST_WORDS = ("CHEST", "THORA", "LUNG", "PULM", "COVID", "TORAX", "THX", "BRUST", "POUMON")
_OTHER_WORDS = ("HEAD", "BRAIN", "SKULL", "NECK", "SPINE", "PELVIS", "ABDOMEN", "KNEE", "FOOT", "HAND", "SINUS", "KOPF")
# Below this share of lung-like voxels in every sampled slice, it is not a chest.
_LUNG_SHARE = 0.05
_EXPIRATION = re.compile(r"\bEXP(IR|\b)", re.IGNORECASE)
# Points by section thickness: up to so many millimetres.
_THICKNESS_POINTS = ((1.5, 20.0, "thin sections"), (3.0, 12.0, "medium sections"), (5.0, 6.0, "5 mm sections"))


def _axial(series: SeriesInfo) -> tuple[float, str]:
    return (40.0, "axial") if is_axial(series.frames[0]) else (0.0, "a coronal, sagittal or oblique reformat")


def _original(series: SeriesInfo) -> tuple[float, str]:
    return (15.0, "original") if "ORIGINAL" in series.frames[0].image_type else (0.0, "derived")


def _coverage(series: SeriesInfo) -> tuple[float, str]:
    positions = np.array([frame.position for frame in series.frames if frame.position is not None])
    covered = float(np.linalg.norm(positions.max(axis=0) - positions.min(axis=0))) if len(positions) else 0.0
    return 30.0 * min(covered, _CHEST_MM) / _CHEST_MM, f"covers {covered:.0f} mm"


def _body_part(series: SeriesInfo) -> tuple[float, str]:
    head = series.head
    for text in (head.text("SeriesDescription"), head.text("BodyPartExamined"), head.text("ProtocolName")):
        words = text.upper()
        if any(word in words for word in _CHEST_WORDS):
            return 10.0, "named chest"
        if any(word in words for word in _OTHER_WORDS):
            return -30.0, f"named {text.lower()}"
    return 0.0, ""


def _thin(series: SeriesInfo) -> tuple[float, str]:
    thickness = series.thickness
    if thickness is None or thickness <= 0:
        return 3.0, "thickness unknown"
    for limit, points, words in _THICKNESS_POINTS:
        if thickness <= limit + 1e-3:
            return points, f"{words} ({thickness:g} mm)"
    return 0.0, f"thick sections ({thickness:g} mm)"


def _kernel(series: SeriesInfo) -> tuple[float, str]:
    kernel = series.kernel
    if not kernel:
        return 5.0, "kernel unknown"
    return (0.0, f"sharp kernel {kernel}") if is_sharp(kernel) else (10.0, f"standard kernel {kernel}")


def _breath(series: SeriesInfo) -> tuple[float, str]:
    return (-10.0, "expiration") if _EXPIRATION.search(series.description) else (0.0, "")


def _contrast(series: SeriesInfo) -> tuple[float, str]:
    return (0.0, "contrast") if series.head.text("ContrastBolusAgent") else (2.0, "")


def _regular(series: SeriesInfo) -> tuple[float, str]:
    try:
        stack_frames(series.frames, series.name)
    except UnfitInputError as error:
        return -60.0, error.what
    return 0.0, ""


def shows_lungs(series: SeriesInfo) -> bool | None:
    """Whether one of three slices shows lungs; None if their pixels cannot be read."""
    frames = series.frames
    try:
        share = lung_share(peek([frames[len(frames) * n // 4] for n in (1, 2, 3)]))
    except (UnfitInputError, ValueError):
        return None
    return bool(share >= _LUNG_SHARE)


def _lungs_seen(series: SeriesInfo) -> tuple[float, str]:
    seen = shows_lungs(series)
    if seen is None:
        return 0.0, "pixels cannot be read"
    return (30.0, "lungs seen") if seen else (0.0, "no lungs found in three slices")


# Characters of a name that fits no series shown in the message.
_NAME_TOLD = 60
# The score is the sum of these points; each rule also gives its reason in words.
RULES: tuple[Callable[[SeriesInfo], tuple[float, str]], ...] = (
    _axial,
    _original,
    _coverage,
    _body_part,
    _thin,
    _kernel,
    _breath,
    _contrast,
    _regular,
)


def rate(series: Sequence[SeriesInfo]) -> None:
    """Score every usable series; if there are several, three slices of each are examined."""
    fit = [one for one in series if not one.why_not]
    rules = (*RULES, _lungs_seen) if len(fit) > 1 else RULES
    for one in fit:
        earned = [rule(one) for rule in rules]
        one.score = sum(points for points, _ in earned)
        one.points = [words for _, words in earned if words]


def choose(series: Sequence[SeriesInfo], wanted: str | None, where: str) -> tuple[SeriesInfo, str]:
    """The series to quantify, and the reason.

    Args:
        series: all series, rated.
        wanted: the user's choice: UID, its end, series number, or description; ``#n`` after it names a phase.
        where: the folder, for messages.

    Raises:
        UsageError: the user's choice matches none or several.
        UnfitInputError: no series is usable, or the best series holds several phases.
    """
    if wanted:
        chosen = _named(series, wanted.strip(), where)
        if chosen.why_not:
            raise UnfitInputError(chosen.why_not, chosen.name, "Name another series.", code="unfit-series")
        return chosen, "named by the user"
    fit = sorted((one for one in series if not one.why_not), key=lambda s: (-s.score, -len(s.frames)))
    if not fit:
        short = any(one.why_not.startswith("only ") for one in series)
        remedy = "Give the folder with the whole series." if short else "Give a chest CT in Hounsfield units."
        raise UnfitInputError(_nothing_fit(series), where, remedy, code="no-fit-series")
    best = fit[0]
    if best.phase_number:
        phases = [one for one in series if one.uid == best.uid]
        described = ", ".join(f"{one.number or one.uid}#{one.phase_number} ({one.phase})" for one in phases)
        raise UnfitInputError(
            f"{best.description or 'the series'} holds {len(phases)} phases at the same positions: {described}",
            where,
            f"Name one with --series, e.g. --series {best.number or best.uid}#1.",
            code="several-phases",
        )
    return best, _why(best, len(fit))


def _why(best: SeriesInfo, fit: int) -> str:
    words = ", ".join(best.points)
    if fit == 1:
        return f"the only usable series: {words}"
    return f"best of {fit} usable series with {best.score:.0f} points: {words}"


def _nothing_fit(series: Sequence[SeriesInfo]) -> str:
    if len(series) == 1:
        return f"{series[0].name} cannot be quantified: {series[0].why_not}"
    described = "; ".join(f"{one.name}: {one.why_not}" for one in series[:4])
    more = f"; and {len(series) - 4} more" if len(series) > 4 else ""
    return f"no series can be quantified ({described}{more})"


def _named(series: Sequence[SeriesInfo], wanted: str, where: str) -> SeriesInfo:
    base, _, phase = wanted.rpartition("#") if re.search(r"#[0-9]+$", wanted) else (wanted, "", "")
    # Compared as text: a number may have more digits than an integer takes.
    pool = [one for one in series if not phase or str(one.phase_number) == phase.lstrip("0")]
    described = wanted if len(wanted) <= _NAME_TOLD else f"{wanted[:_NAME_TOLD]}…"
    tests: tuple[Callable[[SeriesInfo], bool], ...] = (
        lambda s: s.uid == base,
        lambda s: s.number == base,
        lambda s: s.description.lower() == base.lower(),
        lambda s: base.replace(".", "").isdigit() and s.uid.endswith(base),
        lambda s: base.lower() in s.description.lower(),
    )
    for test in tests:
        found = [one for one in pool if test(one)]
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(
                f"“{described}” matches {len(found)} series: {_listed(found)}",
                where,
                "Name one by its UID, or by number#phase.",
                code="several-series",
            )
    raise UsageError(f"no series is “{described}”", where, f"There are: {_listed(series)}.", code="no-such-series")


def _listed(series: Sequence[SeriesInfo]) -> str:
    described = [f"{one.name} {one.key}" for one in series[:12]]
    return "; ".join(described) + (f"; and {len(series) - 12} more" if len(series) > 12 else "")
