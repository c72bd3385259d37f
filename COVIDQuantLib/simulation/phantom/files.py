"""Writing a phantom to a folder."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from COVIDQuantLib.simulation.phantom.make import Phantom
from COVIDQuantLib.system.atomic_files import OutputFolder, write_atomically

# What scanners write where they measured nothing.
_FILLER_HU = -3024
TRUTH_FILE = "truth.json"
FILES = ("ct.nrrd", "lobes.nrrd", "lesions.nrrd", "artefacts.nrrd", TRUTH_FILE)


def write_phantom(phantom: Phantom, folder: Path | str) -> None:
    """Write ``ct.nrrd``, ``lobes.nrrd``, ``lesions.nrrd``, ``artefacts.nrrd`` and ``truth.json``, all or none.

    Args:
        phantom: what :func:`~COVIDQuantLib.simulation.phantom.make.make_phantom` made.
        folder: made if it does not exist.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    with OutputFolder(Path(folder)) as out:
        put_phantom(phantom, out)


def put_phantom(phantom: Phantom, out: OutputFolder) -> None:
    """As :func:`write_phantom`, into a set that was begun before; the files appear when its block ends."""
    geometry = phantom.ct.geometry
    volumes = {
        "ct.nrrd": _with_filler(phantom),
        "lobes.nrrd": phantom.lobes,
        "lesions.nrrd": phantom.lesions.astype(np.uint8),
        "artefacts.nrrd": phantom.artefacts.astype(np.uint8),
    }
    for name, array in volumes.items():
        out.write(name, partial(_write_image, geometry.to_image(array)))
    out.write(TRUTH_FILE, partial(_write_text, json.dumps(phantom.truth, indent=1, allow_nan=False) + "\n"))


def write_phantom_ct(phantom: Phantom, path: Path) -> None:
    """Write the CT alone as NRRD, whole or not at all.

    Args:
        phantom: what :func:`~COVIDQuantLib.simulation.phantom.make.make_phantom` made.
        path: the file, ending in ``.nrrd``; missing parent folders are made.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomically(path, partial(_write_image, phantom.ct.geometry.to_image(_with_filler(phantom))))


def _with_filler(phantom: Phantom) -> np.ndarray:
    """The CT numbers with scanners' usual filler where nothing was measured."""
    if phantom.ct.padding is None:
        return phantom.ct.hu
    return np.where(phantom.ct.padding, np.int16(_FILLER_HU), phantom.ct.hu)


def _write_image(image: sitk.Image, path: Path) -> None:
    try:
        sitk.WriteImage(image, str(path), useCompression=True, compressionLevel=2)
    except RuntimeError as error:
        raise OSError(str(error).strip().splitlines()[-1]) from error


def _write_text(text: str, path: Path) -> None:
    path.write_text(text, encoding="utf-8")
