"""Agreement of one scan and of a cohort: from label arrays to all results of ``covidquant evaluate``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

import numpy as np

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.evaluation.agreement import PairedAgreement, Spread
from COVIDQuantLib.evaluation.measures import QUANTITIES, SCORES, Side, StructureAgreement
from COVIDQuantLib.evaluation.overlap import (
    LESIONS,
    LOBE_STRUCTURES,
    STRUCTURES,
    Overlap,
    Structure,
    joint_counts,
    overlap_of,
)
from COVIDQuantLib.evaluation.surfaces import SurfaceDistances, common_box, surface_distances
from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry

# Share of the time for counting when distances are computed too.
_COUNTING = 0.2


@dataclass
class Labels:
    """A segmentation to compare, or a part of one.

    Attributes:
        lobes: label values 0..5 ``[k, j, i]``, or None. If ``lobar`` is false, any nonzero value is lung.
        lesions: nonzero in the pneumonia, or None.
        lobar: whether the lobes are distinguished.
        histogram: counts of the same voxels by CT number, if already known.
    """

    lobes: np.ndarray | None = None
    lesions: np.ndarray | None = None
    lobar: bool = True
    histogram: JointHistogram | None = None

    @property
    def tells(self) -> frozenset[str]:
        """Which of lungs, lobes and lesions it contains."""
        holds = {
            "lungs": self.lobes is not None,
            "lobes": self.lobes is not None and self.lobar,
            "lesions": self.lesions is not None,
        }
        return frozenset(name for name, there in holds.items() if there)

    @property
    def arrays(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Lobes and lesions."""
        return self.lobes, self.lesions


@dataclass
class ScanAgreement:
    """One scan in two segmentations.

    Attributes:
        name: of the scan.
        structures: structures in both, by name in the order of the tables.
        notes: what could not be computed, and why.
        excluded: ``predicted``, ``reference`` or both joined by ``+``: which of the two its readers excluded from
            quantification; empty if none.
    """

    name: str
    structures: dict[str, StructureAgreement]
    notes: list[str] = field(default_factory=list)
    excluded: str = ""

    @property
    def mean_lobe_dice(self) -> float | None:
        """Mean Dice of the lobes that the reference has; None without lobes."""
        lobes = (self.structures.get(structure.name) for structure in LOBE_STRUCTURES)
        dice = [lobe.overlap.dice for lobe in lobes if lobe is not None and lobe.in_reference]
        return fmean(value for value in dice if value is not None) if dice else None


def evaluate_scan(
    predicted: Labels | Segmentation,
    reference: Labels | Segmentation,
    hu: np.ndarray | None,
    geometry: Geometry,
    *,
    padding: np.ndarray | None = None,
    name: str = "",
    distances: bool = True,
    report: Report = silent,
) -> ScanAgreement:
    """Compare two segmentations of one scan.

    Args:
        predicted: the segmentation to evaluate.
        reference: the reference, on the same grid.
        hu: Hounsfield units ``[k, j, i]``; None if the segmentations have histograms or weight is not needed.
        geometry: the grid of both.
        padding: true where the scanner measured nothing; not counted.
        name: of the scan.
        distances: whether to compute surface distances too, which takes most of the time.
        report: progress; may raise ``Cancelled``.

    Raises:
        UnfitInputError: the two have no structure in common.
        ValueError: an array is not on the grid, or a label is not 0..5.
    """
    one, other = _plain(predicted), _plain(reference)
    for array in (*one.arrays, *other.arrays, hu, padding):
        if array is not None and array.shape != geometry.shape:
            raise ValueError(f"an array of shape {array.shape} is not on the grid of shape {geometry.shape}")
    common = _common(one, other, name)
    counting = part(report, 0.0, _COUNTING if distances else 1.0)
    counts = joint_counts(one.arrays, other.arrays, padding, counting)
    sides = (
        _side(one, counts.sum(axis=(2, 3)), hu, padding, geometry),
        _side(other, counts.sum(axis=(0, 1)), hu, padding, geometry),
    )
    apart: dict[str, SurfaceDistances | None] = {}
    if distances:
        apart = _distances(common, (one.arrays, other.arrays), geometry, part(report, _COUNTING, 1.0))
    found = [StructureAgreement(s, overlap_of(s, counts), *sides, apart.get(s.name)) for s in common]
    return ScanAgreement(name, {one.structure.name: one for one in found}, _notes(sides, (one, other)))


def _plain(labels: Labels | Segmentation) -> Labels:
    """The labels as arrays; lungs without lobes are 1 throughout."""
    if not isinstance(labels, Labels):
        return Labels(labels.lobes, labels.lesions)
    if labels.lobes is None or labels.lobar:
        return labels
    return replace(labels, lobes=(labels.lobes != 0).astype(np.uint8))


def _common(one: Labels, other: Labels, name: str) -> list[Structure]:
    common = [s for s in STRUCTURES if s.needs in one.tells and s.needs in other.tells]
    if not common:
        holds = [" and ".join(sorted(labels.tells)) or "nothing" for labels in (one, other)]
        raise UnfitInputError(
            f"the predicted segmentation holds {holds[0]}, the reference {holds[1]}: there is nothing to compare",
            name,
            "Give two segmentations that both hold lobes, lungs or lesions.",
        )
    return common


def _side(
    labels: Labels, voxels: np.ndarray, hu: np.ndarray | None, padding: np.ndarray | None, geometry: Geometry
) -> Side:
    histogram = labels.histogram
    if hu is not None and labels.lesions is not None:
        lobes = np.zeros(geometry.shape, np.uint8) if labels.lobes is None else labels.lobes
        histogram = JointHistogram.of(hu, lobes, labels.lesions, geometry.voxel_volume_ml, padding)
    side = Side(voxels, geometry.voxel_volume_ml, labels.tells, histogram)
    return side if side.fits_histogram() else Side(voxels, geometry.voxel_volume_ml, labels.tells)


def _notes(sides: Sequence[Side], labels: Sequence[Labels]) -> list[str]:
    """Why there is no weight, if there is none."""
    notes = []
    for which, side, given in zip(("predicted", "reference"), sides, labels, strict=True):
        if "lesions" not in side.tells or side.histogram is not None:
            continue
        why = "no Hounsfield units are available" if given.histogram is None else "its metrics.json counts other voxels"
        notes.append(f"weight and mean HU of the {which} lesions are left empty: {why}; give the CT with --ct")
    return notes


def _distances(
    structures: Sequence[Structure],
    sides: tuple[tuple[np.ndarray | None, np.ndarray | None], ...],
    geometry: Geometry,
    report: Report,
) -> dict[str, SurfaceDistances | None]:
    """Surface distances of every structure, each in the smallest box around both sides."""
    cropped: list[list[np.ndarray]] = []
    for arrays in zip(*sides, strict=True):
        there = [array for array in arrays if array is not None]
        box = common_box(*there) if there else None
        cropped.append([array[box] for array in there] if box else [])
    found: dict[str, SurfaceDistances | None] = {}
    for number, structure in enumerate(structures):
        report(number / len(structures))
        lobes, lesions = cropped
        masks = [a != 0 for a in lesions] if structure is LESIONS else [np.isin(a, structure.labels) for a in lobes]
        box = common_box(*masks) if masks else None
        if box is not None:
            found[structure.name] = surface_distances(masks[0][box], masks[1][box], geometry.spacing_kji)
    report(1.0)
    return found


@dataclass
class StructureSummary:
    """One structure over many scans.

    Attributes:
        structure: which.
        scans: number of scans that compare it.
        scores: spread of each score over the scans whose reference has the structure and where the score is defined.
        pooled: the overlap of all scans together in millilitres.
        quantities: agreement of each quantity over all scans where both sides have a value.
        absent: scans whose reference has none of it.
        false_positive: spread, over those scans, of what was predicted anyway, per quantity.
        missed: scans whose reference has it and whose prediction has none.
    """

    structure: Structure
    scans: int
    scores: dict[str, Spread]
    pooled: Overlap
    quantities: dict[str, PairedAgreement]
    absent: int
    false_positive: dict[str, Spread]
    missed: int


@dataclass
class CohortAgreement:
    """Many scans together.

    Attributes:
        scans: each scan's result.
        structures: the summaries by name.
        mean_lobe_dice: spread over the scans of the mean Dice of their lobes.
    """

    scans: list[ScanAgreement]
    structures: dict[str, StructureSummary]
    mean_lobe_dice: Spread


def pool(scans: Sequence[ScanAgreement]) -> CohortAgreement:
    """Summarise many scans.

    Overlap scores are averaged over the scans whose reference has the structure: on the others Dice is 0 with one
    wrong voxel and undefined with none, which says nothing about overlap. What was predicted there is reported
    separately.

    Args:
        scans: at least one; the order does not matter.
    """
    summaries = {}
    for structure in STRUCTURES:
        found = [scan.structures[structure.name] for scan in scans if structure.name in scan.structures]
        if found:
            summaries[structure.name] = _summary(structure, found)
    lobes = [value for scan in scans if (value := scan.mean_lobe_dice) is not None]
    return CohortAgreement(list(scans), summaries, Spread.of(lobes))


def _summary(structure: Structure, found: Sequence[StructureAgreement]) -> StructureSummary:
    present = [one for one in found if one.in_reference]
    absent = [one for one in found if not one.in_reference]
    scores = {score.name: Spread.of(_defined(score.of(one) for one in present)) for score in SCORES}
    quantities = {}
    for quantity in QUANTITIES:
        pairs = [both for one in found if (both := quantity.pair(one)) is not None]
        if pairs:
            quantities[quantity.name] = PairedAgreement.of([a for a, _ in pairs], [b for _, b in pairs])
    return StructureSummary(
        structure,
        len(found),
        scores,
        sum((one.overlap_ml for one in found), Overlap()),
        quantities,
        len(absent),
        {q.name: Spread.of(_defined(q.of(one.predicted, structure) for one in absent)) for q in QUANTITIES},
        sum(one.overlap.predicted == 0 for one in present),
    )


def _defined(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
