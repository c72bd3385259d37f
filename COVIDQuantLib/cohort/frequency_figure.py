"""The lesion frequency map as a section of a study: projections of the mean lungs, and a table by place."""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from COVIDQuantLib.anatomy import SIDES
from COVIDQuantLib.cohort.frequency_map import DrawnLungs, FrequencyMap, frequency_map, in_mean_lungs, segmentations_in
from COVIDQuantLib.cohort.result_names import results_of_exams
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.statistics.context import StudyContext
from COVIDQuantLib.statistics.figures.style import FAINT, PAGE, new_figure
from COVIDQuantLib.statistics.report.numbers import counted, number
from COVIDQuantLib.statistics.report.sections import Figure, Section, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

TITLE = "Lesion frequency"
_THIRDS = {
    "z": ("lower third", "middle third", "upper third"),
    "y": ("front third", "middle third", "back third"),
}


def frequency_section(study: StudyContext, report: Report = silent) -> Section:
    """Map the exams of a study whose results lie in the folder that it names.

    Raises:
        UnfitInputError: the folder holds no segmentation that can be mapped.
    """
    settings = study.config["frequency_map"]
    folder = study.folder / settings["results"]
    paths = segmentations_in(folder)
    section = Section(TITLE, "frequency-map")
    if study.data is not None:
        wanted = study.at(settings["time"])[["patient", "exam"]].astype(str)
        exams = list(wanted.itertuples(index=False, name=None))
        names = results_of_exams(list(paths), exams, str(folder))
        section.note_missing("figures that count in the study", len(paths) - len(names), "results")
        section.note_missing("a segmentation in the folder of results", len(exams) - len(names))
        paths = {name: paths[name] for name in sorted(names.values())}
    found = frequency_map(_some(paths, folder), settings["cells"], report)
    # Without their names, which may be patients'.
    reasons = Counter(reason for _, reason in found.left_out)
    section.left_out += [f"{counted(count, 'results')} that cannot be mapped: {why}" for why, count in reasons.items()]
    section.tables.append(_table(found))
    drawn = in_mean_lungs(found)
    caption = (
        f"Share of {found.exams} exams in which each place is ill, averaged through the depth of the lungs. Each lung "
        "is mapped to common walls and diaphragm, and shown in the mean shape. The patient's right is on the left."
    )
    section.figures.append(Figure(TITLE, caption, lambda: draw_frequency(drawn), _records(found)))
    section.methods.append(
        "Each lung is placed in the frame of the fissure atlas. In each cell of its lattice an exam counts with the "
        "share of its own lung there that is ill. Cells that fewer than half of the exams reach are left blank."
    )
    return section


def _some(paths: dict[str, Path], folder: Path) -> dict[str, Path]:
    if not paths:
        remedy = "The folders of results must be named PATIENT/EXAM, or EXAM, as in the table."
        raise UnfitInputError("no result belongs to an exam of the study", str(folder), remedy, code="no-segmentations")
    return paths


def draw_frequency(lungs: DrawnLungs) -> Drawing:
    """Coronal, axial and the two sagittal projections, with one scale."""
    views = _projections(lungs)
    tall = max(values.shape[0] for _, values, _ in views)
    wide = sum(values.shape[1] for _, values, _ in views)
    figure = new_figure(PAGE, PAGE * tall / wide + 1.0)
    axes = figure.subplots(1, len(views), width_ratios=[values.shape[1] for _, values, _ in views])
    top = max(float(np.nanmax(values, initial=0.0)) for _, values, _ in views) or 1.0
    image: Any = None
    for ax, (title, values, ends) in zip(axes, views, strict=True):
        image = ax.imshow(values, cmap="inferno_r", vmin=0.0, vmax=top, interpolation="nearest", aspect="equal")
        _dress(ax, title, ends)
    bar = figure.colorbar(image, ax=list(axes), orientation="horizontal", shrink=0.5, aspect=40, pad=0.03)
    bar.set_label("Exams with a lesion there (%), mean through the depth")
    return figure


def _projections(lungs: DrawnLungs) -> list[tuple[str, np.ndarray, tuple[str, str]]]:
    """Titles, pictures (head or front up) and the letters at their left and right edges."""
    half = lungs.percent.shape[2] // 2
    parts = (
        ("Coronal", lungs.percent, 1, ("R", "L")),
        ("Axial", lungs.percent, 0, ("R", "L")),
        ("Right lung", lungs.percent[:, :, :half], 2, ("A", "P")),
        ("Left lung", lungs.percent[:, :, half:], 2, ("A", "P")),
    )
    views = []
    for title, values, axis, ends in parts:
        with warnings.catch_warnings():
            # Columns without lung are blank.
            warnings.simplefilter("ignore", RuntimeWarning)
            flat = np.nanmean(values, axis=axis)
        views.append((title, flat if axis == 0 else flat[::-1], ends))
    return views


def _dress(ax: Axes, title: str, ends: tuple[str, str]) -> None:
    ax.set_title(title)
    ax.set_xticks([])
    ax.set_yticks([])
    for side in ax.spines.values():
        side.set_visible(False)
    for text, place, align in ((ends[0], 0.0, "left"), (ends[1], 1.0, "right")):
        ax.text(place, -0.02, text, transform=ax.transAxes, ha=align, va="top", fontsize=7, color=FAINT)


def _records(found: FrequencyMap) -> list[dict[str, Any]]:
    """Mean frequency by side and thirds of height and depth."""
    records = []
    for side in SIDES:
        values = found.percent[side]
        for z, height in enumerate(np.array_split(np.arange(values.shape[0]), 3)):
            for y, depth in enumerate(np.array_split(np.arange(values.shape[1]), 3)):
                part = values[height][:, depth]
                mean = float(np.nanmean(part)) if np.isfinite(part).any() else None
                place = {"lung": side, "height": _THIRDS["z"][z], "depth": _THIRDS["y"][y]}
                records.append({**place, "exams": found.exams, "percent": mean})
    return records


def _table(found: FrequencyMap) -> Table:
    records = _records(found)
    rows = []
    for side in SIDES:
        for height in reversed(_THIRDS["z"]):
            cells = [r["percent"] for r in records if r["lung"] == side and r["height"] == height]
            rows.append([f"{side.capitalize()} lung, {height}", *(number(value, 1) for value in cells)])
    notes = [f"Percentage of {found.exams} exams in which a place is ill, averaged over the places of each part."]
    return Table(TITLE, ["", *_THIRDS["y"]], rows, records, notes)
