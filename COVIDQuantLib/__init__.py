"""Quantification of COVID-19 pneumonia on chest CT: everything that runs without Slicer.

For scripts, the package itself offers the calls that most need (``docs/scripting.md``)::

    from COVIDQuantLib import quantify_ct, read_ct, write_exam

They are imported when they are first used, so that importing the package stays cheap. Not a medical device. See
``docs/`` for the definitions and the structure of the code.
"""

from importlib import import_module
from typing import Any

__version__ = "0.2.0"

# What a script needs most, and where it is defined. The library itself imports from there, never from here.
_OFFERED = {
    "read_ct": "ct.read",
    "read_label_map": "ct.masks.label_maps",
    "quantify_ct": "pipeline",
    "Plan": "pipeline",
    "GivenMasks": "pipeline",
    "Thresholds": "quantification.thresholds",
    "write_exam": "export.exam_files",
    "write_dicom_result": "dicom.write",
    "COVIDQuantError": "errors",
}
__all__ = ["__version__", *_OFFERED]  # noqa: PLE0604 - names, all of them


def __getattr__(name: str) -> Any:
    """Import an offered name on first use."""
    if name not in _OFFERED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_OFFERED[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The names of the module, those not imported yet included."""
    return sorted({*globals(), *_OFFERED})
