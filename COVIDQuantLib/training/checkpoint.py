"""Checkpoints, written atomically, with the state of every random generator."""

from __future__ import annotations

import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from COVIDQuantLib.errors import OutputError, UnfitInputError
from COVIDQuantLib.system.atomic_files import write_atomically


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values with ``torch.save``, atomically.

    Raises:
        OutputError: it cannot be written; an earlier file of the name is as it was.
    """
    try:
        write_atomically(path, lambda target: torch.save(state, target))
    except RuntimeError as error:
        # torch reports a full disk as a RuntimeError of its zip writer.
        what = f"the checkpoint cannot be written ({error})"
        raise OutputError(what, str(path), "Free some space or choose another folder.", "cannot-write") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU without executing anything in it.

    Raises:
        UnfitInputError: it is missing, damaged, or contains more than tensors and plain values.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UnfitInputError(
            "there is no checkpoint to resume from", str(path), "Train without --resume first."
        ) from error
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError) as error:
        raise UnfitInputError(
            "the checkpoint is damaged or from another program", str(path), "Train again without --resume."
        ) from error


def random_state() -> dict[str, Any]:
    """The state of Python's, NumPy's and torch's random generators as tensors and plain values."""
    name, keys, position, has_gauss, gauss = np.random.get_state(legacy=True)  # noqa: NPY002 - MONAI draws from it
    version, numbers, next_gauss = random.getstate()
    return {
        "python": [version, list(numbers), next_gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys, np.int64)), int(position), int(has_gauss), float(gauss)],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Restore the state of every random generator from :func:`random_state`."""
    version, numbers, next_gauss = state["python"]
    random.setstate((version, tuple(numbers), next_gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002 - MONAI draws from it
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
