"""Lesion components ranked by how much they look like motion artefacts (papers.md rows C5, Y3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from COVIDQuantLib.progress import Report, part, silent
from COVIDQuantLib.quantification.histogram import JointHistogram
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds
from COVIDQuantLib.review.components import MIN_ML, Component, find_components
from COVIDQuantLib.review.cue_scores import CueScorer
from COVIDQuantLib.review.cue_weights import CueWeights, shipped_cue_weights
from COVIDQuantLib.review.cues import CUES, CueValue
from COVIDQuantLib.review.removal_effect import effect_of_removal, figures, without
from COVIDQuantLib.voxels.box import Slices
from COVIDQuantLib.voxels.geometry import Triple

# A cue with at least this value is shown to the reader.
_SHOWN_FROM = 0.35
# Fractions done after each step.
_FOUND, _CHEST_READ, _SCORED, _COUNTED = 0.1, 0.4, 0.8, 0.9


@dataclass(frozen=True)
class Reason:
    """A sentence for the reader; the panel translates ``template`` and fills in ``values``.

    Attributes:
        cue: name of the cue it describes.
        template: English sentence with placeholders.
        values: numbers for the placeholders.
    """

    cue: str
    template: str
    values: dict[str, float]

    def __str__(self) -> str:
        """The sentence in English."""
        return self.template.format(**self.values)


@dataclass(frozen=True)
class Finding:
    """One component of the lesions and the evidence that it is an artefact.

    Attributes:
        number: rank in the list, from 1.
        id: ``Component.id``; does not change unless this component is edited.
        box: slices ``k, j, i`` of the smallest box around it.
        centroid_kji: its middle, in voxels.
        volume_ml: its volume.
        mean_hu: its mean HU.
        lobes: names of its lobes, largest share first.
        score: 0 looks like lesion, 1 like artefact.
        suspected: whether it is on the default list.
        cues: value 0..1 of every cue.
        reasons: sentences, most important first; empty if nothing indicates an artefact.
        effect: change of the whole lung's figures if it is removed, by measure (``extent_percent``, ``weight_g``,
            ``ct_score`` and the others of the table); figures that are undefined before or after are left out.
        component: the component itself.
    """

    number: int
    id: str
    box: Slices
    centroid_kji: tuple[float, float, float]
    volume_ml: float
    mean_hu: float
    lobes: tuple[str, ...]
    score: float
    suspected: bool
    cues: dict[str, float]
    reasons: tuple[Reason, ...]
    effect: dict[str, float]
    component: Component = field(repr=False, compare=False)

    def mask(self) -> np.ndarray:
        """Its voxels within the box, bool."""
        return self.component.mask


def rank(
    ct_hu: np.ndarray,
    lesions: np.ndarray,
    lobes: np.ndarray,
    spacing_kji: Triple,
    *,
    histogram: JointHistogram | None = None,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    judgement: CueWeights | None = None,
    report: Report = silent,
) -> list[Finding]:
    """Every component of the lesions with its score, most suspicious first.

    Where a layer along heart or diaphragm is attached to a lesion, the two are separate findings
    (``component.part_of`` names the component).

    A component's score depends only on the CT, the lungs and itself, not on other lesions.

    Args:
        ct_hu: integer HU ``[k, j, i]`` in canonical orientation (k to the head, j to the back, i to the left).
        lesions: nonzero in lesion, same shape.
        lobes: lobe labels 0..5, same shape; a bool array if only the lungs are known.
        spacing_kji: millimetres between voxels along ``k, j, i``.
        histogram: the exam's counts; computed here if not given.
        thresholds: bounds of ground glass and consolidation, for the effects.
        judgement: weights of the cues; by default those that are shipped.
        report: called with the fraction done; may raise ``Cancelled``.

    Raises:
        ValueError: the shapes differ.
    """
    if ct_hu.shape != lesions.shape:
        raise ValueError(f"CT and lesions differ in shape: {ct_hu.shape}, {lesions.shape}")
    components = find_components(lesions, lobes, spacing_kji, MIN_ML)
    if not components:
        return []
    judgement = judgement or shipped_cue_weights()
    report(_FOUND)
    scorer = CueScorer(ct_hu, lobes, spacing_kji)
    scored = _scored(scorer, components, part(report, _CHEST_READ, _SCORED))
    if histogram is None:
        voxel_ml = float(np.prod(sorted(spacing_kji))) / 1000.0
        histogram = JointHistogram.of(ct_hu, lobes.astype(np.uint8, copy=False), lesions, voxel_ml)
    report(_COUNTED)
    lobes_known = lobes.dtype != bool
    before = figures(histogram, thresholds, lobes_known=lobes_known)
    found = []
    for component, cues in scored:
        inside = ct_hu[component.box][component.mask]
        labels = lobes[component.box][component.mask]
        after = figures(without(histogram, inside, labels), thresholds, lobes_known=lobes_known)
        found.append(_finding(component, inside, cues, judgement, effect_of_removal(before, after)))
    found.sort(key=lambda finding: (-finding.score, -finding.volume_ml, finding.id))
    report(1.0)
    return [replace(finding, number=number) for number, finding in enumerate(found, start=1)]


def _scored(
    scorer: CueScorer, components: Sequence[Component], report: Report
) -> list[tuple[Component, dict[str, CueValue]]]:
    """Every component, or the parts it is split into, with the values of the cues."""
    scored = []
    for number, component in enumerate(components, start=1):
        scored += scorer.scored_parts(component)
        report(number / len(components))
    return scored


def _finding(
    component: Component, hu: np.ndarray, cues: dict[str, CueValue], judgement: CueWeights, effect: dict[str, float]
) -> Finding:
    """A finding whose rank is not known yet."""
    values = {name: cue.value for name, cue in cues.items()}
    score = judgement.score(values)
    return Finding(
        0,
        component.id,
        component.box,
        component.centroid_kji,
        component.volume_ml,
        float(hu.mean(dtype=np.float64)),
        component.lobes,
        score,
        score >= judgement.threshold,
        values,
        _reasons(cues, judgement),
        effect,
        component,
    )


def _reasons(cues: dict[str, CueValue], judgement: CueWeights) -> tuple[Reason, ...]:
    """The sentences of the cues that are clearly present and have a weight, most important first."""
    shown = [cue for cue in CUES if cues[cue.name].value >= _SHOWN_FROM and judgement.weights[cue.name] > 0]
    shown.sort(key=lambda cue: -cues[cue.name].value * judgement.weights[cue.name])
    return tuple(Reason(cue.name, cue.reason, cues[cue.name].numbers) for cue in shown)
