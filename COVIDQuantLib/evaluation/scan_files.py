"""Read one scan's segmentation files onto the canonical grid."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from COVIDQuantLib.anatomy import LABEL_COUNT, LESION, LOBES
from COVIDQuantLib.ct.files.volume_files import FORMATS, read_header
from COVIDQuantLib.ct.masks.label_maps import read_label_map
from COVIDQuantLib.ct.masks.slicer_segments import is_of
from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.evaluation.evaluate import Labels
from COVIDQuantLib.export.exam_files import SEGMENTATION_FILE
from COVIDQuantLib.export.reader_records import gate_warnings
from COVIDQuantLib.export.segmentation_file import read_segmentation
from COVIDQuantLib.export.table_file import JSON_FILE, read_metrics
from COVIDQuantLib.system.atomic_files import settle_results
from COVIDQuantLib.voxels.geometry import Geometry, Reorientation

# Contents of a label map, and the file name for each.
CONTENTS = ("lobes", "lungs", "lesions")
SEGMENTATION_ENDING = ".seg.nrrd"
VOLUME_ENDINGS = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
ENDINGS = (SEGMENTATION_ENDING, *VOLUME_ENDINGS)
_CT = "ct"
# Corners may differ by this share of a voxel: NIfTI stores positions in single precision (as in
# ct/masks/label_maps.py).
SAME_VOXELS = 0.02


@dataclass
class ScanFiles:
    """The files of one scan on one side.

    Attributes:
        name: the name for pairing.
        segmentation: a ``.seg.nrrd``, if there is one.
        maps: label maps by content.
        metrics: ``metrics.json`` beside the segmentation.
        ct: the CT beside it.
    """

    name: str
    segmentation: Path | None = None
    maps: dict[str, Path] = field(default_factory=dict)
    metrics: Path | None = None
    ct: Path | None = None

    def __bool__(self) -> bool:
        """Whether there is anything to compare."""
        return self.segmentation is not None or bool(self.maps)

    @property
    def where(self) -> Path:
        """A file to name in messages."""
        return self.segmentation or next(iter(self.maps.values()))


def ending_of(path: Path) -> str:
    """The extension that marks a file as a segmentation or volume; empty if it is neither."""
    return next((ending for ending in ENDINGS if path.name.lower().endswith(ending)), "")


def name_and_content(path: Path) -> tuple[str, str]:
    """Name of the scan and contents of the file, e.g. ``p1_lobes.nii.gz`` → ``p1``, ``lobes``; content may be empty."""
    stem = path.name[: len(path.name) - len(ending_of(path))]
    for content in (*CONTENTS, _CT):
        if stem.lower() == content:
            return "", content
        if stem.lower().endswith(content) and stem[-len(content) - 1] in "_-. ":
            return stem[: -len(content) - 1], content
    return stem, ""


def scan_in_folder(folder: Path) -> ScanFiles:
    """The scan whose files are in a folder under their usual names; empty if there is none.

    A segmentation, as quantify writes it, takes precedence over label maps in the same folder.
    """
    settle_results(folder)
    scan = ScanFiles(folder.name)
    for path in sorted(folder.iterdir()):
        name, content = name_and_content(path)
        if not ending_of(path) or name:
            continue
        if content == _CT:
            scan.ct = path
        else:
            scan.maps[content] = path
    segmentation = folder / SEGMENTATION_FILE
    if segmentation.is_file():
        scan.segmentation, scan.maps = segmentation, {}
        metrics = folder / JSON_FILE
        scan.metrics = metrics if metrics.is_file() else None
    return scan


def scan_of_file(path: Path, content: str | None) -> ScanFiles:
    """The scan of one file.

    Args:
        path: a ``.seg.nrrd`` or a label map.
        content: contents of a label map; None if its name says.

    Raises:
        UnfitInputError: it is another type of file.
        UsageError: neither the name nor the argument gives the contents of a label map.
    """
    ending = ending_of(path)
    if not ending:
        raise UnfitInputError("this is not a segmentation", str(path), f"Give .seg.nrrd, {FORMATS}.")
    name, described = name_and_content(path)
    if path.name == SEGMENTATION_FILE:
        return scan_in_folder(path.parent)
    if ending == SEGMENTATION_ENDING:
        return ScanFiles(name or path.parent.name, segmentation=path)
    content = content or described
    if content not in CONTENTS:
        raise UsageError(
            "the name does not say whether this label map contains lobes, lungs or lesions",
            str(path),
            "Use --content, or name it …_lobes, …_lungs or …_lesions.",
        )
    return ScanFiles(name or path.parent.name, maps={content: path})


@dataclass
class ReadScan:
    """A segmentation in memory.

    Attributes:
        geometry: its canonical grid.
        labels: its labels, on that grid.
        warnings: from reading.
        excluded: whether its readers excluded it from quantification.
    """

    geometry: Geometry
    labels: Labels
    warnings: list[str] = field(default_factory=list)
    excluded: bool = False


def read_scan(scan: ScanFiles) -> ReadScan:
    """Read a scan's segmentation and reorder its axes to the canonical orientation, exactly.

    Raises:
        UnfitInputError: a file cannot be read, or the files of the scan are on different grids.
    """
    return _read_segmentation(scan, scan.segmentation) if scan.segmentation else _read_maps(scan)


def _read_segmentation(scan: ScanFiles, path: Path) -> ReadScan:
    file = read_segmentation(path)
    turn = Reorientation.of(file.geometry)
    figures = read_metrics(scan.metrics) if scan.metrics else None
    lobes = any(is_of(segment, lobe) for segment in file.segments for lobe in LOBES)
    lesions = any(is_of(segment, LESION) for segment in file.segments)
    return ReadScan(
        turn.canonical,
        Labels(
            np.ascontiguousarray(turn.apply(file.segmentation.lobes)) if lobes else None,
            np.ascontiguousarray(turn.apply(file.segmentation.lesions)) if lesions else None,
            histogram=figures.histogram if figures else None,
        ),
        [] if figures is None else [one.message for one in gate_warnings(figures.readers.rating, figures.identity)],
        figures is not None and figures.readers.rating is not None and figures.readers.rating.excludes,
    )


def _read_maps(scan: ScanFiles) -> ReadScan:
    arrays: dict[str, np.ndarray] = {}
    warnings: list[str] = []
    grid: Geometry | None = None
    for content, path in scan.maps.items():
        geometry = _geometry(path)
        labels, noticed = read_label_map(path, geometry, content)
        warnings += [_described(warning) for warning in noticed]
        turn = Reorientation.of(geometry)
        if grid is not None:
            check_same_grid(grid, turn.canonical, scan.where, path)
        grid = grid or turn.canonical
        arrays[content] = np.ascontiguousarray(turn.apply(labels))
    if grid is None:
        raise UnfitInputError("there is no segmentation of this scan", scan.name)
    lobes = arrays.get("lobes")
    if lobes is not None and lobes.max(initial=0) >= LABEL_COUNT:
        order = ", ".join(f"{lobe.label} {lobe.name}" for lobe in LOBES)
        raise UnfitInputError(f"{lobes.max()} is not a lobe label", str(scan.maps["lobes"]), f"Expected {order}.")
    return ReadScan(
        grid,
        Labels(arrays.get("lungs") if lobes is None else lobes, arrays.get("lesions"), lobar=lobes is not None),
        warnings,
    )


def _described(warning: CTWarning) -> str:
    """A warning's text with the segment names, which come last, marked as names."""
    head, mark, names = warning.message.rpartition(": ")
    if not mark or not warning.code.startswith("segment"):
        return warning.message
    return head + mark + ", ".join(f"“{name.rstrip('.')}”" for name in names.split(", "))


def _geometry(path: Path) -> Geometry:
    return read_header(path).geometry


def check_same_grid(one: Geometry, other: Geometry, first: Path, second: Path) -> None:
    """Refuse to compare segmentations on different grids.

    Raises:
        UnfitInputError: the canonical grids differ; with the difference.
    """
    if one.same_grid(other, SAME_VOXELS):
        return
    differences: tuple[tuple[str, Callable[[Geometry], tuple[float, ...]], str], ...] = (
        ("shape", lambda g: g.shape, "voxels"),
        ("spacing", lambda g: g.spacing_kji, "mm"),
        ("origin", lambda g: g.origin, "mm"),
        ("direction", lambda g: g.direction, ""),
    )
    described = next(
        (
            f"{name} {_numbers(of(one))} and {_numbers(of(other))} {unit}"
            for name, of, unit in differences
            if not np.allclose(of(one), of(other), rtol=1e-4, atol=1e-2)
        ),
        "positions",
    )
    raise UnfitInputError(
        f"{first.name} and {second.name} are on different grids ({described.rstrip()})",
        str(second),
        "Compare segmentations of the same CT, exported on its whole grid.",
    )


def _numbers(values: tuple[float, ...]) -> str:
    return "×".join(f"{value:.6g}" for value in values)
