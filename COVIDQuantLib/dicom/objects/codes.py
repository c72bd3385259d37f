"""The codes of DICOM results: concepts of measures, units, sites, and how a result was made.

Standard codes where one says exactly what is meant; else codes of the private scheme ``99COVIDQUANT``, which every
report that uses them names and explains (Coding Scheme Identification Sequence).
"""

from __future__ import annotations

from dataclasses import dataclass

from COVIDQuantLib.anatomy import LEFT, LOBES, LUNG, OUTSIDE_LOBES, REGIONS, RIGHT, WHOLE_LUNG, Code
from COVIDQuantLib.grades import Grade
from COVIDQuantLib.review.status import Figures

SCHEME = "99COVIDQUANT"
SCHEME_NAME = "COVIDQuant measures of pneumonia on chest CT"


def private(value: str, meaning: str) -> Code:
    """A code of our own scheme; at most 16 characters and a meaning of at most 64."""
    return Code(SCHEME, value, meaning)


MILLILITRE = Code("UCUM", "mL", "mL")
GRAM = Code("UCUM", "g", "g")
PERCENT = Code("UCUM", "%", "%")
HOUNSFIELD = Code("UCUM", "[hnsf'U]", "Hounsfield unit")
SCORE = Code("UCUM", "{score}", "score")
LOBES_COUNTED = Code("UCUM", "{lobes}", "lobes")
RATIO = Code("UCUM", "1", "no units")


@dataclass(frozen=True)
class Concept:
    """A figure as DICOM names it.

    Attributes:
        name: of the figure in ``metrics.json``.
        code: its concept.
        unit: its unit in UCUM.
    """

    name: str
    code: Code
    unit: Code


MEASURE_CONCEPTS: tuple[Concept, ...] = (
    Concept("volume_ml", Code("SCT", "118565006", "Volume"), MILLILITRE),
    Concept("lesion_volume_ml", private("LESIONVOLUME", "Volume of pneumonia"), MILLILITRE),
    Concept("extent_percent", private("EXTENT", "Pneumonia in percent of the region's volume"), PERCENT),
    Concept("weight_g", private("LESIONWEIGHT", "Weight of pneumonia"), GRAM),
    Concept("ggo_volume_ml", private("GGOVOLUME", "Volume of ground-glass opacity"), MILLILITRE),
    Concept("consolidation_volume_ml", private("CONSOLVOLUME", "Volume of consolidation"), MILLILITRE),
    Concept("below_ggo_volume_ml", private("BELOWGGOVOLUME", "Volume of pneumonia below ground glass"), MILLILITRE),
    Concept("ggo_percent", private("GGOPERCENT", "Ground-glass opacity in percent of the region"), PERCENT),
    Concept("consolidation_percent", private("CONSOLPERCENT", "Consolidation in percent of the region"), PERCENT),
    Concept("mean_lesion_hu", private("MEANLESIONHU", "Mean CT number of pneumonia"), HOUNSFIELD),
    Concept("mean_lung_hu", private("MEANHU", "Mean CT number of the region"), HOUNSFIELD),
    Concept("lung_weight_g", private("WEIGHT", "Weight of the region"), GRAM),
    Concept("ct_score", private("CTSCORE", "CT severity score"), SCORE),
)
SUMMARY_CONCEPTS: tuple[Concept, ...] = (
    Concept("ct_score_total", private("CTSCORETOTAL", "Total CT severity score, 0 to 25"), SCORE),
    Concept("involved_lobes", private("INVOLVEDLOBES", "Number of lobes with pneumonia"), LOBES_COUNTED),
    Concept("hellinger_distance", private("HELLINGER", "Hellinger distance to normal lungs"), RATIO),
    Concept("histogram_iou", private("HISTOGRAMIOU", "Histogram overlap with normal lungs"), RATIO),
    Concept("ggo_hu", private("GGOTHRESHOLD", "Least CT number of ground-glass opacity"), HOUNSFIELD),
    Concept("consolidation_hu", private("CONSOLTHRESHOLD", "Least CT number of consolidation"), HOUNSFIELD),
)
CONCEPT = {concept.name: concept for concept in (*MEASURE_CONCEPTS, *SUMMARY_CONCEPTS)}

BOTH_SIDES = Code("SCT", "51440002", "Right and left")
THORAX = Code("SCT", "816094009", "Thorax")
OUTSIDE = private("OUTSIDELOBES", "Outside every lobe")
LESION_OUTSIDE = private("LESIONOUTSIDE", "Pneumonia outside every lobe")

GRADE = private("GRADE", "Grade of the result by its checks")
NOT_CHECKED = private("NOTCHECKED", "not checked")
GRADES: dict[Grade | None, Code] = {
    **{grade: private(grade.name, grade.text) for grade in Grade},
    None: NOT_CHECKED,
}
FIGURES = private("FIGURES", "Whose segments the figures are of")
FIGURES_OF: dict[Figures, Code] = {
    Figures.AI: private("AI", "as the program found them"),
    Figures.EDITED: private("EDITED", "edited by reader"),
    Figures.ACCEPTED: private("ACCEPTED", "accepted by reader"),
}
EDITED_SEGMENT = private("EDITEDSEGMENT", "Segment edited by reader")
WARNING = private("WARNING", "Warning")
FINDING = private("CHECKFINDING", "Finding of a check of the result")
QUALITATIVE = Code("UMLS", "C0034375", "Qualitative Evaluations")
CT_CHEST = Code("LN", "24627-2", "CT Chest")

ARTIFICIAL_INTELLIGENCE = Code("DCM", "123110", "Artificial Intelligence")
MORPHOLOGICAL_OPERATIONS = Code("DCM", "123104", "Morphological Operations")
MANUAL_PROCESSING = Code("DCM", "123109", "Manual Processing")


@dataclass(frozen=True)
class Site:
    """Where a region lies.

    Attributes:
        code: the anatomy.
        side: its laterality; None if it has none.
    """

    code: Code
    side: Code | None


def site_of(region: str) -> Site:
    """The anatomy of a region of the table, by its name.

    Raises:
        KeyError: there is no such region.
    """
    return _SITES[region]


def _sites() -> dict[str, Site]:
    sites = {lobe.name: Site(lobe.terminology.type, lobe.terminology.modifier) for lobe in LOBES}
    sites[WHOLE_LUNG.name] = Site(LUNG, BOTH_SIDES)
    sites[OUTSIDE_LOBES.name] = Site(THORAX, None)
    for name, side in (("right lung", RIGHT), ("left lung", LEFT)):
        sites[name] = Site(LUNG, side)
    # A zone that cuts across lobes is a part of the lung.
    return {region.name: sites.get(region.name, Site(LUNG, None)) for region in REGIONS}


_SITES = _sites()
