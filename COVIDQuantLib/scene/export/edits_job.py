"""The edit record of a reading, made in the background and stored with its segmentation."""

from __future__ import annotations

from collections.abc import Mapping

from COVIDQuantLib.readers.edit_record import EditRecord, edit_record_from
from COVIDQuantLib.scene.export.export_job import snapshot_of
from COVIDQuantLib.scene.reading_session import Reading
from COVIDQuantLib.worker.function_job import BackgroundJob

_FUNCTION = "COVIDQuantLib.worker.jobs.export:edits_of_snapshot"


class EditsJob:
    """What lies between the AI's result and the segments as they are at the start.

    Args:
        reading: the result; the segments as last counted are compared.
        environment: of the process, in Slicer ``slicer.util.startupEnvironment()``.

    Raises:
        UnfitInputError: the CT or the segments cannot be read.
        WorkerError: the process cannot be started, or there is too little memory to share.
    """

    def __init__(self, reading: Reading, environment: Mapping[str, str] | None = None) -> None:
        reading.update()
        self._reading = reading
        self._job = BackgroundJob(_FUNCTION, snapshot_of(reading, {}), environment)
        self.is_done = False

    def poll(self) -> EditRecord | None:
        """None while the job is running, then the record, now stored with the segmentation; never blocks.

        Also None, with ``is_done``, if the AI's result was not kept.

        Raises:
            COVIDQuantError: the comparison failed.
            WorkerError: the process failed.
        """
        self._job.poll()
        if not self._job.is_done:
            return None
        self.is_done = True
        if self._job.result is None:
            return None
        made = edit_record_from(self._job.result, self._reading.segmentation.GetName())
        self._reading.readers.keep_edits(made)
        return made

    def cancel(self) -> None:
        """Cancel the job; does nothing if it is over."""
        self._job.cancel()
