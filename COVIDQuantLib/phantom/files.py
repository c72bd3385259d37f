"""Writing a phantom to a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.errors import OutputError
from COVIDQuantLib.phantom.make import Phantom


def write_phantom(phantom: Phantom, folder: Path | str) -> None:
    """Write ``ct.nrrd``, ``lobes.nrrd``, ``lesions.nrrd``, ``artefacts.nrrd`` and ``truth.json``.

    Each file appears whole or not at all.

    Args:
        phantom: what :func:`~COVIDQuantLib.phantom.make.make_phantom` made.
        folder: made if it does not exist.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    folder = Path(folder)
    geometry = phantom.ct.geometry
    volumes = {
        "ct.nrrd": phantom.ct.hu,
        "lobes.nrrd": phantom.lobes,
        "lesions.nrrd": phantom.lesions.astype(np.uint8),
        "artefacts.nrrd": phantom.artefacts.astype(np.uint8),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in volumes.items():
            _replace(folder / name, partial(_write_image, geometry.to_image(array)))
        text = json.dumps(phantom.truth, indent=1, allow_nan=False) + "\n"
        _replace(folder / "truth.json", partial(_write_text, text))
    except OSError as error:
        raise OutputError(f"cannot be written ({error})", str(folder), "Choose a folder you may write to.") from error


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    """Write beside the goal, then move into place in one step."""
    temporary = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        write(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _write_image(image: sitk.Image, path: Path) -> None:
    try:
        sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=2)
    except RuntimeError as error:
        raise OSError(str(error).strip().splitlines()[-1]) from error


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")
