"""Names of reconstruction kernels that sharpen: edges overshoot and noise swells, which shifts lung densities."""

from __future__ import annotations

import re

# Names that vendors give to high-resolution kernels. Siemens puts sharpness in a number (10 smooth .. 80 sharp).
_SHARP_NAMES = (
    r"LUNG[A-Z]*",  # GE, Philips, Canon
    r"BONE[A-Z]*",
    r"EDGE[A-Z]*",
    r"ULTRA",
    r"HD ?ULTRA",
    r"DETAIL",
    r"Y[A-E]",  # Philips high resolution
    r"[DEL]",  # Philips bone and lung
    r"FC(3[0-9]|5[0-9]|8[0-9])",  # Canon/Toshiba bone, lung, high resolution
)
_SHARP = re.compile("|".join(f"^{name}" + r"(?![A-Z])" for name in _SHARP_NAMES), re.IGNORECASE)
_SIEMENS = re.compile(r"^(?:B|I|D|T|U|J|H|BR|BL|BV|BF|QR|HR|HC|UB|TR)_?(\d{2})", re.IGNORECASE)
_SIEMENS_SHARP_FROM = 55


def is_sharp(kernel: str) -> bool:
    """Whether a DICOM Convolution Kernel is a sharp one (lung, bone, edge)."""
    name = kernel.strip()
    siemens = _SIEMENS.match(name)
    if siemens:
        return int(siemens.group(1)) >= _SIEMENS_SHARP_FROM
    return bool(_SHARP.match(name))
