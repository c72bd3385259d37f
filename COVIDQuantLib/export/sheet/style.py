"""The look of the sheet: colours and sizes shared by its tiles and its margin."""

from __future__ import annotations

from typing import Any

DPI = 150
BACKGROUND = "#0f1316"
STRONG = "#f2f4f5"
PLAIN = "#c3cad0"
FAINT = "#8a949c"
LINE = "#2b3238"
WARN = "#e8b04b"
ALARM = "#f2705f"
FINE = "#7fbf8e"
TEXT_SIZE = 8.0


# Keeps small text readable on any background.
TEXT_BACK = {"boxstyle": "round,pad=0.18", "facecolor": BACKGROUND, "edgecolor": "none", "alpha": 0.7}


def line_outline() -> list[Any]:
    """Path effects that keep a thin line visible on any background."""
    from matplotlib import patheffects

    return [patheffects.withStroke(linewidth=3.0, foreground=BACKGROUND)]
