"""Cases prepared once: CT, lungs and target on the network's slices, cached on disk and memory-mapped."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.dataset import PersistentDataset
from monai.data.utils import json_hashing
from monai.transforms.transform import Transform

from COVIDQuantLib.ct.masks.label_maps import read_label_map
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.inference.lattice import Lattice, sample
from COVIDQuantLib.inference.slice_input import OUTSIDE_HU, neighbour_indices
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.segmentation.lungs.model_free import find_lungs
from COVIDQuantLib.training.recipe import Recipe
from COVIDQuantLib.training.site.cases import Case
from COVIDQuantLib.voxels.geometry import Reorientation, Triple

Item = dict[str, torch.Tensor]
# Increase whenever preparation of the same files with the same settings changes.
_VERSION = 1


@dataclass(frozen=True)
class Preparation:
    """How slices are made; all keys of a recipe's ``input`` that the cached volumes depend on.

    Attributes:
        task: ``lesions`` or ``lungs``.
        pixel_mm: in-plane size; None keeps the CT's own.
        least_section_mm: thinner sections are averaged to this distance; None keeps them.
        crop: ``none`` or ``lungs``.
        margin_mm: around the lungs' box.
        size: least rows and columns.
        masked: whether everything outside the lungs becomes −3024 HU.
        neighbour_mm: distance of neighbouring channels; None for adjacent slices.
        channels: slices given as channels.
    """

    task: str
    pixel_mm: float | None
    least_section_mm: float | None
    crop: str
    margin_mm: float
    size: tuple[int, int] | None
    masked: bool
    neighbour_mm: float | None
    channels: int

    @classmethod
    def of(cls, recipe: Recipe) -> Preparation:
        """The preparation of a recipe."""
        given = recipe["input"]
        return cls(
            recipe["task"],
            given["pixel_mm"],
            given["least_section_mm"],
            given["crop"],
            given["margin_mm"],
            tuple(given["size"]) if given["size"] else None,
            recipe.masked,
            given["neighbour_mm"],
            recipe.channels,
        )

    def neighbour_slices(self, section_mm: float) -> float:
        """Distance of neighbouring channels (mm) for slices of a given distance."""
        return 1.0 if self.neighbour_mm is None else self.neighbour_mm / section_mm

    def lattice(self, lungs: np.ndarray, spacing: Triple) -> Lattice:
        """The points of the network's slices, as in :mod:`COVIDQuantLib.inference.lesions`.

        Args:
            lungs: nonzero in the lungs, ``[k, j, i]`` of the CT.
            spacing: of the CT along ``k, j, i``, millimetres.

        Returns:
            Points at the wanted distances: in the lungs' box with its margin, or (``crop`` is ``none``) all over the
            section; perhaps beyond the CT's edge to make up the size.
        """
        step = (
            max(self.least_section_mm or 0.0, spacing[0]),
            self.pixel_mm or spacing[1],
            self.pixel_mm or spacing[2],
        )
        edges = []
        for axis, mm in enumerate(spacing):
            first, last = 0, lungs.shape[axis]
            # Slices far from the lungs would be empty where the rest is masked.
            if self.crop == "lungs" or (self.masked and axis == 0):
                there = np.flatnonzero(lungs.any(axis=tuple(n for n in range(3) if n != axis)))
                margin = round(self.margin_mm / mm)
                first, last = max(0, int(there[0]) - margin), min(last, int(there[-1]) + 1 + margin)
            edges.append(slice(first, last))
        tight = Lattice.over(lungs.shape, spacing, step, (edges[0], edges[1], edges[2]))
        return tight if self.size is None else _enlarged(tight, (1, *self.size))


def _enlarged(lattice: Lattice, least: tuple[int, int, int]) -> Lattice:
    """The lattice, extended evenly on both sides to a least number of points."""
    more = [max(0, wanted - there) for wanted, there in zip(least, lattice.shape, strict=True)]
    start = [s - (n // 2) * step for s, n, step in zip(lattice.start, more, lattice.step, strict=True)]
    k, j, i = (n + m for n, m in zip(lattice.shape, more, strict=True))
    return Lattice((start[0], start[1], start[2]), lattice.step, (k, j, i))


class PrepareCase(Transform):
    """Transform from a case's files to tensors; deterministic, so that MONAI's ``PersistentDataset`` can cache it."""

    def __init__(self, preparation: Preparation) -> None:
        self._preparation = preparation

    def __call__(self, item: Mapping[str, Any]) -> Item:
        """The case on the network's slices.

        Args:
            item: ``name``, ``files`` (path, size and time by kind), ``lesion_free``.

        Returns:
            ``hu`` int16, ``lungs`` and ``target`` uint8, all ``[k, j, i]`` on the lattice; ``lattice`` (start, step,
            shape); ``ct_lungs``, the lungs on the CT's own grid, a bit a voxel; ``fingerprint``, SHA-256 of the CT's
            numbers.

        Raises:
            UnfitInputError: a file cannot be read, or there is no lung.
        """
        ct, target, lungs = read_case(Case(item["name"], {n: Path(s[0]) for n, s in item["files"].items()}), self._task)
        spacing = ct.geometry.spacing_kji
        lattice = self._preparation.lattice(lungs, spacing)
        on_slices = {
            name: sample(array.astype(np.float32), spacing, lattice) >= 0.5
            for name, array in (("lungs", lungs > 0), ("target", target > 0))
        }
        # Resampling repeats the edge beyond the CT, which is not lung.
        inside = torch.from_numpy(_inside(lattice, ct.hu.shape, spacing))
        on_slices = {name: mask & inside for name, mask in on_slices.items()}
        hu = sample(ct.hu, spacing, lattice).round_().to(torch.int16)
        if self._preparation.masked:
            hu.masked_fill_(~on_slices["lungs"], int(OUTSIDE_HU))
            on_slices["target"] &= on_slices["lungs"]
        return {
            "hu": hu,
            **{name: mask.to(torch.uint8) for name, mask in on_slices.items()},
            "lattice": torch.tensor([lattice.start, lattice.step, lattice.shape], dtype=torch.float64),
            "ct_lungs": torch.from_numpy(np.packbits(lungs > 0)),
            "fingerprint": torch.tensor(list(hashlib.sha256(ct.hu.tobytes()).digest()), dtype=torch.uint8),
        }

    @property
    def _task(self) -> str:
        return self._preparation.task


def read_case(case: Case, task: str, *, with_lungs: bool = True) -> tuple[CTVolume, np.ndarray, np.ndarray]:
    """A case from its files, in canonical orientation.

    Args:
        case: its files.
        task: ``lesions`` or ``lungs``.
        with_lungs: whether to return the lungs; without a file they are segmented by the model-free method.

    Returns:
        The CT, the target and the lungs, nonzero inside (empty arrays if not requested).

    Raises:
        UnfitInputError: a file cannot be read, or there is no lung.
    """
    stored = read_ct(case.files["ct"])
    ct, turn = stored.canonical()
    path = case.target(task)
    target = np.zeros(ct.hu.shape, np.uint8)
    if path is not None:
        target = _mask(
            path, stored, turn, "lesions" if task == "lesions" else "lobes" if "lobes" in path.name else "lungs"
        )
    if not with_lungs:
        return ct, target, np.zeros(0, np.uint8)
    given = next((name for name in ("lungs", "lobes") if name in case.files), None)
    lungs = find_lungs(ct).mask if given is None else _mask(case.files[given], stored, turn, given)
    if not lungs.any():
        raise UnfitInputError("the case has no lung", case.name, "Correct its lung mask, or remove the case.")
    return ct, target, lungs


def _mask(path: Path, ct: CTVolume, turn: Reorientation, content: str) -> np.ndarray:
    return turn.apply(read_label_map(path, ct.geometry, content)[0])


def _inside(lattice: Lattice, shape: tuple[int, ...], spacing: Triple) -> np.ndarray:
    """Which points of a lattice are within the CT, ``[k, j, i]``."""
    lines = []
    for axis in range(3):
        places = lattice.positions(axis) / spacing[axis]
        lines.append((places > -0.5) & (places < shape[axis] - 0.5))
    return lines[0][:, None, None] & lines[1][:, None] & lines[2]


class CaseStore:
    """Prepared cases, made once by MONAI's ``PersistentDataset`` and then memory-mapped.

    Args:
        cases: the cases.
        preparation: how they are made.
        folder: where they are kept, about 4 bytes a voxel of the lungs' slices.
    """

    def __init__(self, cases: Sequence[Case], preparation: Preparation, folder: Path) -> None:
        self.cases, self.preparation = tuple(cases), preparation
        items = [
            {"name": c.name, "files": c.stamps(), "preparation": asdict(preparation), "version": _VERSION}
            for c in cases
        ]
        self._made = PersistentDataset(items, PrepareCase(preparation), folder, hash_func=json_hashing)
        self._folder = folder
        self._open: dict[int, Item] = {}

    def __len__(self) -> int:
        return len(self.cases)

    def __getstate__(self) -> dict[str, Any]:
        """State without the open files: each process maps its own."""
        return {**self.__dict__, "_open": {}}

    def __getitem__(self, number: int) -> Item:
        """A prepared case, mapped into memory."""
        if number not in self._open:
            path = self._path(number)
            try:
                self._open[number] = _mapped(path)
            except (OSError, RuntimeError, ValueError, pickle.UnpicklingError):
                # Missing, or truncated by a crash or a full disk.
                path.unlink(missing_ok=True)
                self._made[number]
                self._open[number] = _mapped(path)
        return self._open[number]

    def _path(self, number: int) -> Path:
        return self._folder / f"{json_hashing(self._made.data[number]).decode()}.pt"

    def prepare(self, report: Report = silent) -> None:
        """Prepare every case that is not cached yet.

        Raises:
            UnfitInputError: a case cannot be read.
        """
        for number, case in enumerate(self.cases):
            report(number / len(self))
            try:
                self[number]
            except RuntimeError as error:
                # MONAI wraps what a transform raises.
                if isinstance(error.__cause__, UnfitInputError):
                    cause = error.__cause__
                    raise UnfitInputError(cause.what, f"case {case.name}: {cause.where}", cause.remedy) from error
                raise
        report(1.0)


def _mapped(path: Path) -> Item:
    return torch.load(path, map_location="cpu", weights_only=True, mmap=True)


def ct_lungs(item: Item, shape: tuple[int, ...]) -> np.ndarray:
    """The lungs of a prepared case on the canonical CT's own grid, bool."""
    bits = np.unpackbits(item["ct_lungs"].numpy(), count=int(np.prod(shape)))
    return bits.reshape(shape).view(bool)


def slice_neighbours(item: Item, preparation: Preparation) -> torch.Tensor:
    """Numbers of the slices that make each slice's channels, ``[k, channels]``."""
    distance = preparation.neighbour_slices(float(item["lattice"][1, 0]))
    return neighbour_indices(item["hu"].shape[0], distance, preparation.channels)
