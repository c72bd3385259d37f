"""The report of a reading, written in the background: of the state at the click, whatever is edited meanwhile.

Where the scene holds a comparison whose last exam this is, the report has the page of the follow-up, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from COVIDQuantLib.report.write import FILES, PDF_FILE, ReportFiles
from COVIDQuantLib.scene.export.export_job import SnapshotJob
from COVIDQuantLib.scene.followup.report_comparison import comparison_for_report
from COVIDQuantLib.scene.reading_session import Reading

_FUNCTION = "COVIDQuantLib.report.job:write_snapshot_report"


class ReportJob(SnapshotJob):
    """The report of a reading as HTML, and as PDF where that can be made.

    Args:
        reading: the result.
        folder: created if missing; an earlier report in it is replaced.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.
        label: a text for the report's heading.

    Attributes:
        warnings: of the writing, in sentences; complete once the files are there.

    Raises:
        OutputError, UnfitInputError, WorkerError: as for every :class:`SnapshotJob`.
    """

    def __init__(
        self, reading: Reading, folder: Path, environment: Mapping[str, str] | None = None, label: str = ""
    ) -> None:
        self.warnings: list[str] = []
        reading.update()
        compared, self._left_out = comparison_for_report(reading)
        arguments = {"label": label, "compared": compared}
        super().__init__(reading, folder, FILES, _FUNCTION, arguments, environment)

    def _written(self, result: Any) -> list[str]:
        files: ReportFiles = result
        self.warnings = [*([self._left_out] if self._left_out else []), *(one.message for one in files.warnings)]
        names = [path.name for path in files.paths]
        if PDF_FILE not in names and (self.folder / PDF_FILE).exists():
            self.warnings.append(f"{PDF_FILE} in the folder is from an earlier run; left unchanged.")
        return names


def reports_in_the_way(folder: Path) -> list[Path]:
    """The files that a report would replace."""
    return [folder / name for name in FILES if (folder / name).exists()]
