"""The history of a training run by epoch: CSV table, JSON document and plotted curves."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass, field
from pathlib import Path

from COVIDQuantLib.system.atomic_files import write_atomically

Row = dict[str, float]


@dataclass
class History:
    """One row per epoch.

    Attributes:
        rows: ``epoch``, ``iteration``, ``seconds`` since the start, ``learning_rate`` at the end of the epoch, mean
            training ``loss`` and the validation's figures where the epoch was validated.
        best_epoch: the epoch with the best weights; 0 before the first.
        best_value: its validation figure.
        stopped_by: ``epochs``, ``time`` or ``patience``; empty while it runs.
    """

    rows: list[Row] = field(default_factory=list)
    best_epoch: int = 0
    best_value: float | None = None
    stopped_by: str = ""

    def write(self, folder: Path) -> None:
        """Write ``history.csv`` and ``history.json``.

        Raises:
            OutputError: they cannot be written.
        """
        write_atomically(folder / "history.csv", self._write_csv)
        document = {
            "best_epoch": self.best_epoch,
            "best_value": self.best_value,
            "stopped_by": self.stopped_by,
            "epochs": self.rows,
        }
        text = json.dumps(document, indent=1) + "\n"
        write_atomically(folder / "history.json", lambda path: _write_text(path, text))

    def _write_csv(self, path: Path) -> None:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, columns, restval="")
            table.writeheader()
            table.writerows(self.rows)

    def draw(self, folder: Path) -> None:
        """Write ``curves.png``: the loss (log scale), the validation's figures, and the learning rate by epoch.

        Raises:
            OutputError: it cannot be written.
        """
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        if not self.rows:
            return
        fixed = {"epoch", "iteration", "seconds", "learning_rate", "loss"}
        figures = list(dict.fromkeys(name for row in self.rows for name in row if name not in fixed))
        figure = Figure(figsize=(12, 3.6), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, 3)
        for panel, title, names in zip(
            panels,
            ("training loss", "validation", "learning rate"),
            (["loss"], figures, ["learning_rate"]),
            strict=True,
        ):
            for name in names:
                points = [(row["epoch"], row[name]) for row in self.rows if name in row]
                panel.plot(*zip(*points, strict=True), label=name, marker=".")
            panel.set(title=title, xlabel="epoch")
            panel.grid(alpha=0.3)
        if all(row["loss"] > 0 for row in self.rows):
            panels[0].set_yscale("log")
        if figures:
            panels[1].legend(fontsize="small")
        if self.best_epoch:
            panels[1].axvline(self.best_epoch, linestyle=":", color="grey")
        write_atomically(folder / "curves.png", lambda path: figure.savefig(path, dpi=100))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
