"""What became of each lesion between two exams, and where disease is new, persists or has gone."""

from COVIDQuantLib.followup.lesions.change_map import CHANGE_LABELS, change_map, write_change_map
from COVIDQuantLib.followup.lesions.fates import find_fates
from COVIDQuantLib.followup.lesions.records import FATES, FateLimits, LesionFates, LesionPart, LesionRecord

__all__ = [
    "CHANGE_LABELS",
    "FATES",
    "FateLimits",
    "LesionFates",
    "LesionPart",
    "LesionRecord",
    "change_map",
    "find_fates",
    "write_change_map",
]
