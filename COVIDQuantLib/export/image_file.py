"""A SimpleITK image as a file that appears complete or not at all."""

from __future__ import annotations

from pathlib import Path

import SimpleITK as sitk

from COVIDQuantLib.errors import OutputError
from COVIDQuantLib.system.atomic_files import write_atomically


def write_image(image: sitk.Image, path: Path, what: str, remedy: str) -> None:
    """Write an image, compressed; the extension decides the format.

    Args:
        image: the image.
        path: the file.
        what: said of it where it cannot be written.
        remedy: said then, too.

    Raises:
        OutputError: the file cannot be written.
    """

    def write(target: Path) -> None:
        try:
            sitk.WriteImage(image, str(target), useCompression=True)
        except RuntimeError as error:
            raise OutputError(f"{what} cannot be written", str(path), remedy) from error

    write_atomically(path, write)
