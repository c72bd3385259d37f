"""Export in the background: writes the state at the click, whatever is edited meanwhile."""

from __future__ import annotations

import weakref
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from COVIDQuantLib.dicom.files import DICOM, names_of
from COVIDQuantLib.errors import Cancelled, COVIDQuantError, OutputError, UsageError
from COVIDQuantLib.export.exam_files import EXPORTS
from COVIDQuantLib.progress import ProgressState
from COVIDQuantLib.scene.export.node_exam import provenance_of_reading
from COVIDQuantLib.scene.nodes.node_geometry import geometry_of
from COVIDQuantLib.scene.nodes.volumes import source_of_node
from COVIDQuantLib.scene.reading_session import Reading
from COVIDQuantLib.scene.shared_copy import share_labels
from COVIDQuantLib.system.atomic_files import OutputFolder, Writer
from COVIDQuantLib.worker.frame import SharedArguments
from COVIDQuantLib.worker.function_job import BackgroundJob
from COVIDQuantLib.worker.jobs.export import Snapshot

_FUNCTION = "COVIDQuantLib.worker.jobs.export:write_snapshot"
_WITH_DICOM = "COVIDQuantLib.dicom.panel_job:write_snapshot_and_dicom"
# In the staging folder, separate from what OutputFolder keeps there.
_MADE = "made"


class SnapshotJob:
    """Files made from a reading by a background process; either all of them appear or none.

    The voxels, labels and figures are copied before the constructor returns. No node is accessed later, so the scene
    may be edited or closed meanwhile. If the job is cancelled, garbage-collected or fails, or this process is killed,
    the folder is left unchanged.

    Args:
        reading: the result to write.
        folder: created if missing; earlier files of the same names are replaced.
        names: of the files that may be written.
        function: ``module:name``; called with the snapshot's voxels, ``snapshot``, ``folder``, ``report`` and these:
        arguments: by name.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.

    Raises:
        OutputError: the folder cannot be written.
        UnfitInputError: the CT or the segments cannot be read.
        WorkerError: the process cannot be started, or there is too little memory to share.
    """

    def __init__(
        self,
        reading: Reading,
        folder: Path,
        names: Collection[str],
        function: str,
        arguments: Mapping[str, object],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.names = list(names)
        self.folder = folder
        self._over = False
        reading.update()
        out = OutputFolder(folder)
        out.__enter__()
        try:
            self._made = out.staging / _MADE
            shared = snapshot_of(reading, {**arguments, "folder": self._made})
            job = BackgroundJob(function, shared, environment, folders=(out.staging,))
        except BaseException:
            _abandon(None, out)
            raise
        self._out, self._job = out, job
        self._abandon = weakref.finalize(self, _abandon, job, out)

    @property
    def pid(self) -> int | None:
        """The process ID; None once the process has ended."""
        return self._job.pid

    def poll(self) -> ProgressState | list[Path]:
        """The progress and the current file, or the files once they are in place; never blocks.

        Raises:
            OutputError: they cannot be written; the folder is unchanged.
            WorkerError: the process failed; the folder is unchanged.
            Cancelled: the job was cancelled.
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
            raise self._about_target(error) from error

    def cancel(self) -> None:
        """Cancel the job and remove partial files; does nothing if it is over."""
        self._over = True
        self._abandon()

    def _commit(self) -> list[Path]:
        written = self._written(self._job.result)
        for name in written:
            self._out.write(name, _mover(self._made / name))
        self._over = True
        self._abandon.detach()
        self._out.__exit__(None, None, None)
        return [self.folder / name for name in written]

    def _written(self, result: Any) -> list[str]:
        """The names of the files that were written, by what the function returned."""
        return list(result)

    def _about_target(self, error: COVIDQuantError) -> COVIDQuantError:
        """An error about a staged file as one about the file the reader expects."""
        if not isinstance(error, OutputError) or not error.where:
            return error
        name = Path(error.where).name
        where = self.folder / name if name in self.names else self.folder
        return OutputError(error.what, str(where), error.remedy, error.code)


class ExportJob(SnapshotJob):
    """The wanted exports of a reading.

    Args:
        reading: the result to export.
        folder: created if missing; earlier files of the same names are replaced.
        wanted: names of ``export.exam_files.EXPORTS``, and ``dicom``.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.
        images: the files of the images that the CT was loaded from; needed for ``dicom`` alone.

    Raises:
        UsageError: nothing is wanted.
        OutputError, UnfitInputError, WorkerError: as for every :class:`SnapshotJob`.
    """

    def __init__(
        self,
        reading: Reading,
        folder: Path,
        wanted: Collection[str],
        environment: Mapping[str, str] | None = None,
        images: Sequence[Path] = (),
    ) -> None:
        known = [name for name in (*(export.name for export in EXPORTS), DICOM.name) if name in wanted]
        if not known:
            raise UsageError("nothing was chosen to be written", remedy="Choose what to export.")
        with_dicom = {"images": list(images)} if DICOM.name in known else {}
        function = _WITH_DICOM if with_dicom else _FUNCTION
        super().__init__(reading, folder, names_of(known), function, {"wanted": known, **with_dicom}, environment)


def snapshot_of(reading: Reading, arguments: Mapping[str, object]) -> SharedArguments:
    """The current voxels, labels, figures and readers' notes, beside other arguments of a process's function.

    Raises:
        UnfitInputError: the CT or the segments cannot be read.
        WorkerError: there is too little memory to share.
    """
    live = reading.live
    if live.metrics is None:
        raise RuntimeError("the figures were never computed")
    snapshot = Snapshot(
        geometry_of(live.volume),
        source_of_node(live.volume),
        provenance_of_reading(reading),
        reading.warnings,
        live.histogram,
        live.metrics,
        reading.checks.checks if reading.is_checked else (),
        reading.readers.notes(),
    )
    return share_labels(live, {**arguments, "snapshot": snapshot})


def _mover(made: Path) -> Writer:
    """A writer that moves a finished file from the same disk."""

    def move(path: Path) -> None:
        made.replace(path)

    return move


def _abandon(job: BackgroundJob | None, out: OutputFolder) -> None:
    """End the process, then restore the folder."""
    if job is not None:
        job.cancel()
    out.__exit__(Cancelled, Cancelled(), None)
