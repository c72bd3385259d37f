"""Pair segmentations by name, reporting every one that has no partner."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.evaluation.evaluate import ScanAgreement, evaluate_scan
from COVIDQuantLib.evaluation.scan_files import (
    ScanFiles,
    check_same_grid,
    ending_of,
    name_and_content,
    read_scan,
    scan_in_folder,
    scan_of_file,
)
from COVIDQuantLib.progress import Report, part, silent

# Shares of the time of one scan.
_READ, _READ_CT = 0.2, 0.4


@dataclass
class ScanPair:
    """Two segmentations of one scan, and its CT if available."""

    name: str
    predicted: ScanFiles
    reference: ScanFiles
    ct: Path | None = None


@dataclass
class Pairing:
    """The pairs found.

    Attributes:
        pairs: scans that both sides have, by name.
        only_predicted: names without a reference.
        only_reference: names without a prediction.
        ignored: other files in the folders.
    """

    pairs: list[ScanPair]
    only_predicted: list[str] = field(default_factory=list)
    only_reference: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    @property
    def warnings(self) -> list[str]:
        """A sentence for everything that was not compared."""
        described = (
            ("only predicted, not compared", self.only_predicted),
            ("only in the reference, not compared", self.only_reference),
            ("not a segmentation, left out", self.ignored),
        )
        return [f"{text}: {', '.join(names)}" for text, names in described if names]


def find_pairs(predicted: Path, reference: Path, ct: Path | None = None, content: str | None = None) -> Pairing:
    """Pair two segmentations of one scan, or two folders of many scans by name.

    A scan is a ``.seg.nrrd``, a label map, or a folder with ``segmentation.seg.nrrd`` (as quantify writes it) or with
    ``lobes``, ``lungs`` and ``lesions`` label maps (as phantom writes them). In a folder of many, the files of one
    scan differ only by ``_lobes``, ``_lungs``, ``_lesions``.

    Args:
        predicted: file, folder of a scan, or folder of many.
        reference: the same.
        ct: the CT, or with many scans a folder of CTs of the same names.
        content: contents of label maps whose names do not say.

    Raises:
        UnfitInputError: something is missing, or no scan is on both sides; lists what was found.
        UsageError: the contents of a label map are unknown.
    """
    ignored: list[str] = []
    one, other = (_scans(path, content, ignored) for path in (predicted, reference))
    if isinstance(one, ScanFiles) and isinstance(other, ScanFiles):
        return Pairing([ScanPair(one.name, one, other, _single_ct(ct) or one.ct or other.ct)])
    if isinstance(one, ScanFiles) or isinstance(other, ScanFiles):
        single, many = (predicted, reference) if isinstance(one, ScanFiles) else (reference, predicted)
        raise UnfitInputError(
            f"this is one scan, but {many.name} is a folder of many", str(single), "Give two scans or two folders."
        )
    return _by_name(one, other, _ct_finder(ct), ignored, reference)


def _by_name(
    predicted: dict[str, ScanFiles],
    reference: dict[str, ScanFiles],
    ct_of: Callable[[str], Path | None],
    ignored: list[str],
    where: Path,
) -> Pairing:
    names = [sorted(predicted.keys() - reference.keys()), sorted(reference.keys() - predicted.keys())]
    both = sorted(predicted.keys() & reference.keys())
    if not both:
        described = [", ".join(side) or "none" for side in names]
        raise UnfitInputError(
            f"no scan is on both sides (predicted: {described[0]}; reference: {described[1]})",
            str(where),
            "Give the files or folders of one scan the same name on both sides.",
        )
    pairs = [
        ScanPair(name, one, other, ct_of(name) or one.ct or other.ct)
        for name, one, other in ((name, predicted[name], reference[name]) for name in both)
    ]
    return Pairing(pairs, names[0], names[1], ignored)


def _scans(path: Path, content: str | None, ignored: list[str]) -> ScanFiles | dict[str, ScanFiles]:
    """One scan, or the scans of a folder by name."""
    if path.is_file():
        return scan_of_file(path, content)
    if not path.is_dir():
        raise UnfitInputError("there is no such file or folder", str(path), "Check the path.")
    scan = scan_in_folder(path)
    if scan:
        return scan
    scans: dict[str, ScanFiles] = {}
    for child in sorted(path.iterdir()):
        if child.name.startswith("."):
            continue
        found = _child(child, content)
        if not found:
            if name_and_content(child)[1] != "ct":
                ignored.append(f"{path.name}/{child.name}")
        elif found.name not in scans:
            scans[found.name] = found
        else:
            _join(scans[found.name], found)
    if not scans:
        raise UnfitInputError(
            "there is no segmentation in the folder",
            str(path),
            "Give a folder written by quantify, label maps named lobes or lesions, or a folder of such.",
        )
    return scans


def _child(child: Path, content: str | None) -> ScanFiles | None:
    if child.is_dir():
        return scan_in_folder(child)
    if not ending_of(child) or name_and_content(child)[1] == "ct":
        return None
    return scan_of_file(child, content)


def _join(scan: ScanFiles, more: ScanFiles) -> None:
    """Add another file of the same scan."""
    if scan.segmentation or more.segmentation or scan.maps.keys() & more.maps.keys():
        raise UnfitInputError(
            f"{scan.where.name} and {more.where.name} are both the segmentation of {scan.name}",
            str(more.where),
            "Remove one of them.",
        )
    scan.maps.update(more.maps)


def _single_ct(ct: Path | None) -> Path | None:
    """The given CT, also inside a folder written by phantom or a study."""
    if ct is None:
        return None
    if not ct.exists():
        raise UnfitInputError("there is no such file or folder", str(ct), "Check the path given as --ct.")
    return (scan_in_folder(ct).ct or ct) if ct.is_dir() else ct


def _ct_finder(ct: Path | None) -> Callable[[str], Path | None]:
    """A function that finds a scan's CT by the scan's name."""
    if ct is None:
        return lambda name: None  # noqa: ARG005 - there is none for any
    if not ct.is_dir():
        raise UnfitInputError("many scans need a folder of CTs", str(ct), "Give a folder with one CT per scan.")
    children = {}
    for child in sorted(ct.iterdir()):
        name, content = name_and_content(child) if child.is_file() else (child.name, "ct")
        if content in {"", "ct"} and (child.is_dir() or ending_of(child)):
            children[name] = child

    def find(name: str) -> Path | None:
        return _single_ct(children.get(name))

    return find


def evaluate_pair(pair: ScanPair, *, distances: bool = True, report: Report = silent) -> ScanAgreement:
    """Read both segmentations of a scan, and its CT, and compare them.

    Raises:
        UnfitInputError: a file cannot be read, or they are not on the same grid.
    """
    predicted = read_scan(pair.predicted)
    report(_READ / 2)
    reference = read_scan(pair.reference)
    check_same_grid(reference.geometry, predicted.geometry, pair.reference.where, pair.predicted.where)
    report(_READ)
    hu: np.ndarray | None = None
    padding: np.ndarray | None = None
    if pair.ct is not None:
        ct, _ = read_ct(pair.ct, report=part(report, _READ, _READ_CT)).canonical()
        check_same_grid(reference.geometry, ct.geometry, pair.reference.where, pair.ct)
        hu, padding = ct.hu, ct.padding
    scan = evaluate_scan(
        predicted.labels,
        reference.labels,
        hu,
        reference.geometry,
        padding=padding,
        name=pair.name,
        distances=distances,
        report=part(report, _READ_CT, 1.0),
    )
    scan.notes += [*predicted.warnings, *reference.warnings]
    sides = {"predicted": predicted, "reference": reference}
    scan.excluded = "+".join(side for side, read in sides.items() if read.excluded)
    return scan
