"""Reading a chest CT: a DICOM folder or file, NIfTI, NRRD or MetaImage becomes a checked :class:`CTVolume`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from COVIDQuantLib.ct.blank_slices import mend_blank_slices
from COVIDQuantLib.ct.checks.header_checks import check_header_gaps
from COVIDQuantLib.ct.checks.run import HeaderFacts, check_ct
from COVIDQuantLib.ct.dicom.dicomdir import is_directory
from COVIDQuantLib.ct.dicom.exam import acquisition_date, identity_of, patient_check
from COVIDQuantLib.ct.dicom.file_search import Findings, find_images
from COVIDQuantLib.ct.dicom.headers import is_dicom, printable
from COVIDQuantLib.ct.dicom.pixels import read_pixels
from COVIDQuantLib.ct.dicom.series.choice import choose, rate
from COVIDQuantLib.ct.dicom.series.listing import SeriesInfo, group_series
from COVIDQuantLib.ct.dicom.series.outliers import without_blank_ends
from COVIDQuantLib.ct.dicom.series.stack import Stack, stack_frames
from COVIDQuantLib.ct.files.input_files import check_input, shown
from COVIDQuantLib.ct.files.volume_files import FORMATS, read_volume_file
from COVIDQuantLib.ct.hu_normalisation import HUBuffer
from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.progress import Report, part, silent


def read_ct(path: Path, series: str | None = None, report: Report = silent) -> CTVolume:
    """Read and check a chest CT.

    Args:
        path: a folder with DICOM files (nested, several series among other things), a DICOM file, or a NIfTI, NRRD
            or MetaImage file.
        series: which DICOM series: UID, end of the UID, series number, or (part of) the description; ``#2`` after
            it names the second phase. By default the best axial chest series.
        report: progress.

    Returns:
        The CT on its own grid, with its origin in ``source`` (nothing that names the patient) and ``warnings``.

    Raises:
        UnfitInputError: the input cannot be read or is not a chest CT that can be quantified.
        UsageError: ``series`` fits no series or several.
    """
    path = Path(path)
    try:
        check_input(path, folder=True)
        if path.is_dir() or is_dicom(path):
            ct, facts = _read_dicom(path, series, part(report, 0.0, 0.9))
        else:
            if series:
                raise UsageError(
                    "a series was named, but the CT is not DICOM",
                    path.name,
                    "Leave --series out.",
                    code="series-without-dicom",
                )
            ct, facts = _read_file(path)
    except OSError as error:
        raise UnfitInputError(
            f"it cannot be read ({error.strerror or error})", shown(path), "Check its permissions.", "unreadable"
        ) from error
    except MemoryError as error:
        raise UnfitInputError(
            "it does not fit into this computer's memory",
            shown(path),
            "Close other programs, or crop the CT.",
            "too-large",
        ) from error
    report(0.9)
    mended = mend_blank_slices(ct)
    if mended:
        ct.source.facts["padding_voxels"] = _padded(ct.padding)
    ct.warnings += mended
    ct.warnings += check_ct(ct, facts)
    report(1.0)
    return ct


def _rated_series(path: Path, report: Report) -> tuple[list[SeriesInfo], Findings]:
    findings = find_images(path, report)
    if not findings.images:
        raise UnfitInputError(
            _no_images(path, findings), shown(path), f"Give a folder of DICOM images, {FORMATS}.", code="no-image"
        )
    series = group_series(findings.images)
    rate(series)
    return series, findings


def _no_images(path: Path, findings: Findings) -> str:
    if findings.damaged:
        file, why = next(iter(findings.damaged.items()))
        return f"{printable(file.name)} is truncated or damaged: {why}"
    if findings.others:
        kinds = sorted(set(findings.others.values()))
        return f"there is no image, only {', '.join(kinds[:3])}"
    return "there is no DICOM image in the folder" if path.is_dir() else "there is no image in the file"


def _read_dicom(path: Path, wanted: str | None, report: Report) -> tuple[CTVolume, HeaderFacts]:
    all_series, findings = _rated_series(path, part(report, 0.0, 0.2))
    chosen, why = choose(all_series, wanted, shown(path))
    warnings = [*chosen.warnings, *_damaged_neighbours(chosen, findings)]
    stack = stack_frames(chosen.frames, chosen.name)
    buffer = read_pixels(stack, part(report, 0.2, 1.0))
    stack, blank = without_blank_ends(stack, buffer)
    warnings += blank
    patients = {one.patient for one in all_series if not one.why_not}
    if len(patients) > 1:
        text = f"The folder holds CTs of {len(patients)} patients; {chosen.name} of one of them was used."
        warnings.append(CTWarning("several-patients", text))
    facts = _dicom_source(path, chosen, stack, buffer)
    facts["chosen_because"] = why
    facts["other_series"] = [one.as_record() for one in all_series if one is not chosen]
    facts["other_files"] = sorted(set(findings.others.values()))
    source = CTSource(facts, path, identity_of(stack.frames, stack.shifts))
    ct = CTVolume(buffer.hu, stack.geometry, buffer.padding, source, [*warnings, *stack.warnings])
    return ct, _dicom_facts(chosen, buffer, stack.geometry.spacing[2])


def _damaged_neighbours(chosen: SeriesInfo, findings: Findings) -> list[CTWarning]:
    """Damaged files beside the chosen series may be its missing slices; elsewhere they only give a warning."""
    folders = {file.path.parent for file in chosen.files}
    for file, why in findings.damaged.items():
        if file.parent in folders:
            raise UnfitInputError(
                f"the file is truncated or damaged: {why}",
                printable(file.name),
                "Copy or export the series again, or remove it.",
                code="damaged-file",
            )
    if not findings.damaged:
        return []
    names = ", ".join(printable(file.name) for file in list(findings.damaged)[:3])
    return [CTWarning("damaged-files", f"{len(findings.damaged)} damaged files in other folders left out: {names}.")]


def _dicom_source(path: Path, chosen: SeriesInfo, stack: Stack, buffer: HUBuffer) -> dict[str, Any]:
    head = chosen.head
    return {
        "name": _source_name(path),
        "format": "DICOM",
        "modality": "CT",
        "acquisition_date": acquisition_date(head),
        "patient_check": patient_check(head),
        "study_uid": head.text("StudyInstanceUID"),
        "series_uid": chosen.uid,
        "series_number": chosen.number,
        "series_description": chosen.description,
        "phase": chosen.phase,
        "manufacturer": head.text("Manufacturer"),
        "model": head.text("ManufacturerModelName"),
        "kernel": chosen.kernel,
        "contrast_agent": head.text("ContrastBolusAgent"),
        "slice_thickness_mm": chosen.thickness,
        "files": len({frame.file.path for frame in stack.frames}),
        "slices": len(stack.frames),
        "slice_shifts_pixels": [list(s) for s in stack.shifts] if any(any(s) for s in stack.shifts) else [],
        **stack.facts,
        **_clipping(buffer),
    }


def _source_name(path: Path) -> str:
    named = path.parent if is_directory(path) and not path.is_dir() else path
    return printable(named.name) or shown(path)


def _clipping(buffer: HUBuffer) -> dict[str, int]:
    return {
        "clipped_below": buffer.clipped_below,
        "clipped_above": buffer.clipped_above,
        "padding_voxels": _padded(buffer.padding),
    }


def _padded(padding: np.ndarray | None) -> int:
    return 0 if padding is None else int(np.count_nonzero(padding))


def _dicom_facts(chosen: SeriesInfo, buffer: HUBuffer, distance: float) -> HeaderFacts:
    head = chosen.head
    return HeaderFacts(
        name=chosen.name,
        thickness=chosen.thickness,
        distance=distance,
        kernel=chosen.kernel,
        contrast_agent=head.text("ContrastBolusAgent"),
        clipped_below=buffer.clipped_below,
        clipped_above=buffer.clipped_above,
        lowest=buffer.lowest,
        highest=buffer.highest,
        filler=buffer.filler,
    )


def _read_file(path: Path) -> tuple[CTVolume, HeaderFacts]:
    volume = read_volume_file(path)
    header, geometry, voxels, noticed = volume.header, volume.geometry, volume.voxels, volume.warnings
    if voxels.dtype.itemsize == 1:
        raise UnfitInputError(
            "8-bit values are not Hounsfield units",
            header.name,
            "Export the CT with its original 16-bit values.",
            "eight-bit",
        )
    warnings = [*check_header_gaps(header), *noticed]
    buffer = HUBuffer(geometry.shape)
    for k, values in enumerate(voxels):
        buffer.put(k, values)
    # The stored values are large and no longer needed.
    del volume, voxels, values
    told = {"name": header.name, "format": header.kind, "slice_thickness_mm": None, **_clipping(buffer)}
    facts = HeaderFacts(
        name=header.name,
        clipped_below=buffer.clipped_below,
        clipped_above=buffer.clipped_above,
        lowest=buffer.lowest,
        highest=buffer.highest,
        filler=buffer.filler,
    )
    return CTVolume(buffer.hu, geometry, buffer.padding, CTSource(told, path), warnings), facts
