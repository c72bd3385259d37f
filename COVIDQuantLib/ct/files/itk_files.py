"""Read files with SimpleITK without ITK printing to the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import SimpleITK as sitk

from COVIDQuantLib.system.quiet_stderr import HeldText, held_stderr


@contextmanager
def itk_silent() -> Iterator[HeldText]:
    """Suppress ITK's warnings and anything its libraries print themselves.

    Returns:
        What GDCM and its codecs printed meanwhile, to explain an error.
    """
    shown = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        with held_stderr() as held:
            yield held
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(shown)


def image_reader(path: Path, image_io: str = "") -> sitk.ImageFileReader:
    """A reader of one file, by the named ITK reader or the one that claims the file."""
    reader = sitk.ImageFileReader()
    if image_io:
        reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    return reader


def first_reason(error: Exception) -> str:
    """The reason that an exception gives, without SimpleITK's source line before it; at most 160 characters."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:160]
