"""Export beside the application: what is shown at the click is written, whatever is edited meanwhile."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping
from pathlib import Path

from COVIDQuantLib.errors import Cancelled, COVIDQuantError, OutputError, UsageError
from COVIDQuantLib.export.exam_files import EXPORTS
from COVIDQuantLib.progress import ProgressState
from COVIDQuantLib.scene.export.node_exam import provenance_of_reading
from COVIDQuantLib.scene.nodes.node_geometry import geometry_of
from COVIDQuantLib.scene.nodes.volumes import source_of_node
from COVIDQuantLib.scene.reading_session import Reading
from COVIDQuantLib.scene.shared_copy import share_labels
from COVIDQuantLib.system.atomic_files import OutputFolder, Writer
from COVIDQuantLib.worker.function_job import BesideJob, SharedArrays
from COVIDQuantLib.worker.jobs.export import Snapshot

_FUNCTION = "COVIDQuantLib.worker.jobs.export:write_snapshot"
# Within the staging folder, apart from what OutputFolder keeps there.
_MADE = "made"


class ExportJob:
    """The wanted files of a reading, written by a process of its own; all of them appear or none.

    The voxels, labels and figures are copied before this returns. No node is touched later, so the scene may be
    edited or closed meanwhile. Cancelled, forgotten or failed, and even if this process is killed, it leaves the
    folder as it was.

    Args:
        reading: what is shown.
        folder: made if missing; earlier files of the same names are replaced.
        wanted: names of ``export.exam_files.EXPORTS``.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.

    Raises:
        OutputError: the folder cannot be written.
        UsageError: nothing is wanted.
        UnfitInputError: the CT or the segments cannot be read.
        WorkerError: the process cannot be started, or there is too little memory to share.
    """

    def __init__(
        self,
        reading: Reading,
        folder: Path,
        wanted: Collection[str],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        known = [export.name for export in EXPORTS if export.name in wanted]
        if not known:
            raise UsageError("nothing was chosen to be written", remedy="Choose what to export.")
        self.names = [name for export in EXPORTS if export.name in known for name in export.files]
        self.folder = folder
        self._over = False
        reading.update()
        out = OutputFolder(folder)
        out.__enter__()
        try:
            self._made = out.staging / _MADE
            shared = _snapshot(reading, {"folder": self._made, "wanted": known})
            job = BesideJob(_FUNCTION, shared, environment, folders=(out.staging,))
        except BaseException:
            _abandon(None, out)
            raise
        self._out, self._job = out, job
        self._abandon = weakref.finalize(self, _abandon, job, out)

    @property
    def pid(self) -> int | None:
        """The ID of its process; None once that has ended."""
        return self._job.pid

    def poll(self) -> ProgressState | list[Path]:
        """How far it is and with which file, or the files once they are in place; never waits for the process.

        Raises:
            OutputError: they cannot be written; all is as it was.
            WorkerError: the process failed; all is as it was.
            Cancelled: it was.
        """
        if self._over:
            raise Cancelled
        try:
            fraction = self._job.poll()
            if not self._job.is_done:
                place = min(int(fraction * len(self.names)), len(self.names) - 1)
                return ProgressState(self.names[place], fraction, None)
            return self._commit()
        except COVIDQuantError as error:
            self.cancel()
            raise self._said_for_target(error) from error

    def cancel(self) -> None:
        """End it and clear away what was begun; nothing happens if it is over."""
        self._over = True
        self._abandon()

    def _commit(self) -> list[Path]:
        for name in self.names:
            self._out.write(name, _mover(self._made / name))
        self._over = True
        self._abandon.detach()
        self._out.__exit__(None, None, None)
        return [self.folder / name for name in self.names]

    def _said_for_target(self, error: COVIDQuantError) -> COVIDQuantError:
        """An error of writing, told of the file that the reader knows."""
        if not isinstance(error, OutputError) or not error.where:
            return error
        name = Path(error.where).name
        where = self.folder / name if name in self.names else self.folder
        return OutputError(error.what, str(where), error.remedy, error.code)


def _snapshot(reading: Reading, arguments: Mapping[str, object]) -> SharedArrays:
    """Voxels, labels and figures as they are now."""
    live = reading.live
    if live.metrics is None:
        raise RuntimeError("the figures were never counted")
    snapshot = Snapshot(
        geometry_of(live.volume),
        source_of_node(live.volume),
        provenance_of_reading(reading),
        reading.warnings,
        live.histogram,
        live.metrics,
        reading.checks.checks if reading.is_checked else (),
    )
    return share_labels(live, {**arguments, "snapshot": snapshot})


def _mover(made: Path) -> Writer:
    """Writes by taking what was made on the same disk."""

    def move(path: Path) -> None:
        made.replace(path)

    return move


def _abandon(job: BesideJob | None, out: OutputFolder) -> None:
    """End the process, then put the folder back as it was."""
    if job is not None:
        job.cancel()
    out.__exit__(Cancelled, Cancelled(), None)
