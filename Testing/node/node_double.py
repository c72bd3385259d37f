"""Jobs for tests that are not about quantification: one reads the CT and writes one object, others fail."""

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import BasicTextSRStorage, ExplicitVRLittleEndian, generate_uid

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import OutputError
from COVIDQuantLib.export.table_file import write_json
from COVIDQuantLib.node.job import OUTCOME, _described
from COVIDQuantLib.system.atomic_files import write_folder_atomically
from COVIDQuantLib.worker.failures import death_of


def quantified(images, out, plan, thresholds, objects, report, warnings=()):
    """As ``job.quantified``: refuses what the reader refuses, and writes a note in place of the objects."""
    ct = read_ct(images)
    report(0.5)
    note, meta = Dataset(), FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = note.SOPClassUID = BasicTextSRStorage
    meta.MediaStorageSOPInstanceUID = note.SOPInstanceUID = generate_uid()
    note.file_meta = meta
    note.StudyInstanceUID, note.SeriesInstanceUID = ct.source.dicom.study_uid, generate_uid()
    note.Modality, note.SeriesDescription = "SR", f"{len(ct.hu)} slices"
    note.PatientName, note.PatientID = "Hidden^Herbert", "SECRET-4711"
    with write_folder_atomically(out) as folder:
        note.save_as(folder / "note.dcm", enforce_file_format=True)
        files = [_described(folder / "note.dcm")]
        write_json(folder / OUTCOME, {"files": files, "grade": "sound", "warnings": [*warnings], "seconds": 0.1})


class Noted:
    """A job without a process of its own, which is done at its first poll."""

    pid = None
    is_done = False

    def __init__(self, arguments):
        self._arguments = arguments

    def poll(self):
        if not self.is_done:
            quantified(**self._arguments, report=lambda fraction: None)
            self.is_done = True
        return 1.0

    def cancel(self):
        pass


class Stuck(Noted):
    """A job that does not come to its end."""

    def poll(self):
        return 0.25


class Crashing(Noted):
    """A job whose process ends."""

    def poll(self):
        raise death_of(-11, "Segmentation fault")


class NoRoom(Noted):
    """A job that finds the disk full."""

    def poll(self):
        raise OutputError("the disk is full", "/somewhere", "Free some space.", "disk-full")
