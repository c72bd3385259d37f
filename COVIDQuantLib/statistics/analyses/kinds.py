"""Every kind of analysis, by name; a new one is one more module with its ``KIND``."""

from __future__ import annotations

from COVIDQuantLib.statistics.analyses import (
    agreement,
    changes,
    correlation,
    groups,
    progression,
    risk,
    roc,
    table_one,
    time_course,
)
from COVIDQuantLib.statistics.analyses.kind import Kind

KINDS: dict[str, Kind] = {
    module.KIND.name: module.KIND
    for module in (table_one, groups, changes, correlation, time_course, agreement, progression, roc, risk)
}
