"""Show on the terminal what became of the lesions: counts per fate, and those that changed most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from COVIDQuantLib.cli.terminal import console
from COVIDQuantLib.followup.lesions import FATES
from COVIDQuantLib.followup.registration.quality import GOOD
from COVIDQuantLib.followup.sequence import CONSECUTIVE, FROM_BASELINE

_MOST_ROWS = 8
LOWER_CUT_NOTE = "† found in one of the two exams at a lower cut only, since the other one shows it"


def show_lesions(record: Mapping[str, Any]) -> None:
    """Print the lesions of a comparison.

    Args:
        record: ``Comparison.lesions``.
    """
    screen = console()
    _show_counts(record, screen)
    _show_largest(record, screen)


def _show_counts(record: Mapping[str, Any], screen: Console) -> None:
    pairs = record["pairs"]
    title = f"what became of each lesion (registered by {record['registration']})"
    table = Table(header_style="bold", title=title)
    table.add_column("exams", no_wrap=True)
    for fate in FATES:
        table.add_column(fate.replace(" and ", "\nand "), justify="right")
    table.add_column(f"below\n{record['limits']['lesion_ml']:g} mL", justify="right")
    table.add_column("registration")
    for pair in pairs:
        counts = pair["counts"] or {}
        cells = [str(counts[fate]) if fate in counts else "" for fate in FATES]
        small = pair["too_small_count"]
        table.add_row(_exams(pair), *cells, "" if small is None else str(small), _quality(pair))
    screen.print(table)


def _exams(pair: Mapping[str, Any]) -> str:
    since = "" if CONSECUTIVE in pair["compared"] else f" ({FROM_BASELINE})"
    return f"{pair['before']} → {pair['after']}{since}"


def _quality(pair: Mapping[str, Any]) -> Text:
    quality = pair["registration"]
    if quality is None:
        return Text("failed", "bold red")
    fissures = quality["fissure_distance_mm"]
    apart = "" if fissures is None else f", fissures {fissures:.1f} mm"
    word = quality["quality"]
    return Text(f"{word} (Dice {quality['lung_dice']:.3f}{apart})", "" if word == GOOD else "bold yellow")


def _show_largest(record: Mapping[str, Any], screen: Console) -> None:
    """The lesions whose volume changed most from one exam to the next; from the baseline they would be told twice."""
    pairs = [pair for pair in record["pairs"] if CONSECUTIVE in pair["compared"]]
    found = [(pair, lesion) for pair in pairs for lesion in pair["lesions"] or ()]
    changed = sorted((one for one in found if one[1]["fate"] != "unchanged"), key=lambda one: -abs(one[1]["change_ml"]))
    if not changed:
        return
    shown = changed[:_MOST_ROWS]
    caption = LOWER_CUT_NOTE if any(lesion["found_at_lower_cut"] for _, lesion in shown) else None
    title = "largest changes" if len(shown) == len(changed) else f"largest changes, {len(shown)} of {len(changed)}"
    table = Table(header_style="bold", title=title, caption=caption)
    table.add_column("exams", no_wrap=True)
    table.add_column("lesion", justify="right")
    table.add_column("fate", no_wrap=True)
    table.add_column("region")
    for heading in ("before\nmL", "after\nmL", "change\nmL", "%"):
        table.add_column(heading, justify="right", no_wrap=True)
    for pair, lesion in shown:
        percent = lesion["change_percent"]
        table.add_row(
            _exams(pair),
            str(lesion["lesion"]),
            lesion["fate"] + (" †" if lesion["found_at_lower_cut"] else ""),
            lesion["region"],
            f"{lesion['baseline_volume_ml']:.1f}",
            f"{lesion['followup_volume_ml']:.1f}",
            f"{lesion['change_ml']:+.1f}",
            "" if percent is None else f"{percent:+.0f}",
        )
    screen.print(table)
