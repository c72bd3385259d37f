"""What can be exported, and what is said about it."""

from html import escape

from COVIDQuantLib.dicom.files import DICOM
from COVIDQuantLib.export.exam_files import EXPORTS
from COVIDQuantPanel.presenters.controls import Control, needs_result
from COVIDQuantPanel.presenters.words import _

# All that can be chosen.
CHOICES = (*EXPORTS, DICOM)
# Packages that an export needs beside what Slicer brings.
NEEDS = {"picture": "matplotlib", DICOM.name: "highdicom"}
# And what a report needs.
REPORT_NEEDS = ("matplotlib", "jinja2")
# No choice at all means the usual files; this is the choice of none.
_NOTHING = "nothing"


def choice_control(export, *, can_be_written, images=True):
    """The box of an export.

    Args:
        export: one of ``CHOICES``.
        can_be_written: whether the packages that it needs are installed.
        images: whether the CT's DICOM files are at hand, or no CT is chosen yet.
    """
    reason = ""
    if not can_be_written:
        package = NEEDS.get(export.name)
        reason = _("{package} is not installed: install the packages for networks").format(package=package)
    elif export is DICOM and not images:
        reason = _("This CT was not loaded from Slicer's DICOM database; the segmentation file holds the same result")
    return Control(reason, ", ".join(export.files))


def image_files(uids, file_of):
    """The files of a volume's DICOM images; none if any is not in the database.

    Args:
        uids: SOP Instance UIDs as Slicer keeps them with a volume, separated by blanks; None or empty without DICOM.
        file_of: the database's file of a UID, empty if it has none.
    """
    files = [file_of(uid) for uid in (uids or "").split()]
    return files if all(files) else []


def chosen(names):
    """The exports that are chosen, the usual ones if no choice was made."""
    return set(names) or {export.name for export in CHOICES if export.default}


def as_choice(wanted):
    """Exports as the parameter node keeps them."""
    return list(wanted) or [_NOTHING]


def export_control(*, running, has_result, has_folder, wants_any, other_runs=False):
    """The button that writes, or stops writing."""
    if running:
        return Control(tip=_("Cancel; partial files are removed"), text=_("Cancel"))
    reason = needs_result(has_result)
    if not reason and other_runs:
        reason = _("Wait until the report is done")
    if not reason and not has_folder:
        reason = _("Choose a folder first")
    if not reason and not wants_any:
        reason = _("Choose what to write")
    return Control(reason, _("Write the chosen files, all of them or none"), _("Export"))


def report_control(*, running, other_runs, has_result, has_folder, missing=()):
    """The button that writes a report, or stops writing it."""
    if running:
        return Control(tip=_("Cancel; partial files are removed"), text=_("Cancel"))
    reason = needs_result(has_result)
    if not reason and missing:
        reason = _("{package} is not installed: install the packages for networks").format(package=", ".join(missing))
    if not reason and not has_folder:
        reason = _("Choose a folder first")
    if not reason and other_runs:
        reason = _("Wait until the export is done")
    return Control(reason, _report_tip(), _("Report…"))


def _report_tip():
    return _(
        "Write a report to hand on, as HTML and PDF, without the patient's name; with a page on the follow-up if this "
        "exam was compared with earlier ones"
    )


def question(earlier):
    """Whether files that are there may be replaced."""
    return _("These files already exist. Replace them?") + "\n\n" + "\n".join(path.name for path in earlier)


def progress_text(name, stage):
    """What is being written."""
    return _("{result}: writing {name}").format(result=name, name=stage)


def done_text(name, files, folder):
    """What was written, with a link to where."""
    link = f'<a href="{folder.absolute().as_uri()}">{folder}</a>'
    names = ", ".join(path.name for path in files)
    return _("{result}: written {names} in {folder}").format(result=name, names=names, folder=link)


def report_text(name, files, warnings):
    """What was written, with a link that opens it, and what is to be said with it."""
    links = ", ".join(f'<a href="{path.absolute().as_uri()}">{path.name}</a>' for path in files)
    return "<br>".join([_("{result}: written {names}").format(result=name, names=links), *map(escape, warnings)])


def stopped_text():
    """Said after the reader stopped an export."""
    return _("Stopped. Nothing was written.")
