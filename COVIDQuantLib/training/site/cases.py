"""A site's folder of CT and mask pairs: which cases there are, and which train, tune and validate."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.training.recipe import PARTS, Recipe

# ``.seg.nrrd`` comes first: its last ending is that of a plain NRRD.
_ENDINGS = (".seg.nrrd", ".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd")
_CT, _CT_FOLDERS = "ct", ("ct", "dicom")
_MASKS = ("lesions", "lungs", "lobes")
# An empty file of this name says that the CT shows no pneumonia, instead of a mask of zeros.
_LESION_FREE = "lesion-free"
# Which of a case's files hold the target of a task, the first that is there.
_TARGETS = {"lesions": ("lesions",), "lungs": ("lungs", "lobes")}

Split = dict[str, list["Case"]]


@dataclass(frozen=True)
class Case:
    """One CT with its masks.

    Attributes:
        name: of its folder.
        files: path by ``ct``, ``lesions``, ``lungs``, ``lobes``.
        lesion_free: whether it is marked to show no pneumonia.
    """

    name: str
    files: Mapping[str, Path] = field(hash=False)
    lesion_free: bool = False

    def target(self, task: str) -> Path | None:
        """The file with what is to be segmented; None if the case is marked to show none."""
        return next((self.files[name] for name in _TARGETS[task] if name in self.files), None)

    def stamps(self) -> dict[str, list[Any]]:
        """Path, size and time of change of every file: when they are the same, so is the case."""
        return {name: _stamp(path) for name, path in self.files.items()}


def find_cases(folder: Path, task: str) -> list[Case]:
    """Every case of a folder, by name.

    A case is a folder that holds ``ct.nii.gz`` (or ``.nii``, ``.nrrd``, ``.mha``, or a DICOM folder ``ct`` or
    ``dicom``) and the mask ``lesions.*`` (or an empty file ``lesion-free``); ``lungs.*`` or ``lobes.*`` if there are.

    Args:
        folder: holds the cases' folders.
        task: ``lesions`` or ``lungs``.

    Raises:
        UnfitInputError: no folder, no case, a case without a target, or two files for one thing.
    """
    if not folder.is_dir():
        raise UnfitInputError("there is no such folder of cases", str(folder), "Give one with --data.")
    cases = []
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith("."):
            case = _case(path)
            if case is not None:
                cases.append(_with_target(case, task, path))
    if not cases:
        raise UnfitInputError(
            "there are no cases",
            str(folder),
            "Each is a folder with ct.nii.gz and lesions.nii.gz; see docs/training.md.",
        )
    return cases


def _case(path: Path) -> Case | None:
    there = {name: found for name in (_CT, *_MASKS) if (found := _one_file(path, name)) is not None}
    for name in _CT_FOLDERS:
        if (path / name).is_dir() and _CT not in there:
            there[_CT] = path / name
    if _CT not in there:
        return None
    return Case(path.name, there, any(file.stem == _LESION_FREE for file in path.iterdir()))


def _one_file(path: Path, name: str) -> Path | None:
    found = [path / f"{name}{ending}" for ending in _ENDINGS if (path / f"{name}{ending}").is_file()]
    if len(found) > 1:
        raise UnfitInputError(f"there are {found[0].name} and {found[1].name}", str(path), "Leave one of them.")
    return found[0] if found else None


def _with_target(case: Case, task: str, path: Path) -> Case:
    if case.target(task) is None and not (task == "lesions" and case.lesion_free):
        wanted = " or ".join(f"{name}.nii.gz" for name in _TARGETS[task])
        raise UnfitInputError(f"the case has no {wanted}", str(path), f"Add it (or, without disease, {_LESION_FREE}).")
    return case


def split_cases(cases: Sequence[Case], recipe: Recipe) -> Split:
    """Which cases train, tune and validate, by the recipe's lists or, drawn by its seed, by its shares.

    Raises:
        UsageError: a case or a patient would be in two parts, a listed case is not there, or nothing is left to
            train on.
    """
    data = recipe["data"]
    groups = _groups(cases, data["group"], recipe.where)
    if data["lists"] is not None:
        return listed_split(cases, data["lists"], groups, recipe.where)
    names = sorted(set(groups.values()))
    random.Random(recipe["training"]["seed"]).shuffle(names)  # noqa: S311 - a draw, not a secret
    share, edges = 0.0, [0]
    for part in PARTS:
        share += data["shares"][part]
        edges.append(round(share * len(names)))
    chosen = {name: part for part, a, b in zip(PARTS, edges, edges[1:], strict=False) for name in names[a:b]}
    split: Split = {part: [case for case in cases if chosen.get(groups[case.name]) == part] for part in PARTS}
    if not split["train"]:
        raise UsageError("no case is left to train on", recipe.where, "Give more cases, or a larger data.shares.train.")
    return split


def listed_split(
    cases: Sequence[Case], lists: Mapping[str, Sequence[str]], groups: Mapping[str, str], where: str
) -> Split:
    """The split by lists of names; arguments and errors as in :func:`split_cases`."""
    by_name = {case.name: case for case in cases}
    part_of: dict[str, str] = {}
    split: Split = {part: [] for part in PARTS}
    for part, names in lists.items():
        for name in names:
            if name not in by_name:
                raise UsageError(f"data.lists.{part}: there is no case {name}", where, "Mend the list.")
            for key in (f"case {name}", f"patient {groups[name]}"):
                if part_of.setdefault(key, part) != part or (key.startswith("case") and by_name[name] in split[part]):
                    raise UsageError(
                        f"{key} is in {part_of[key]} and again in {part}", where, "Each belongs to one part, once."
                    )
            split[part].append(by_name[name])
    return split


def _groups(cases: Sequence[Case], pattern: str | None, where: str) -> dict[str, str]:
    """The patient of each case; the case itself where nothing tells."""
    if pattern is None:
        return {case.name: case.name for case in cases}
    groups = {}
    for case in cases:
        found = re.search(pattern, case.name)
        if found is None:
            raise UsageError(f"data.group does not fit the case {case.name}", where, "Mend the expression.")
        groups[case.name] = found.group(1)
    return groups


def describe_split(split: Split) -> dict[str, Any]:
    """The data in a bundle's metadata: how many cases, and a hash of file names and sizes, which tells no path."""
    lines = sorted(
        json.dumps([part, case.name, name, path.name, _stamp(path)[1]])
        for part, cases in split.items()
        for case in cases
        for name, path in case.files.items()
    )
    return {
        "cases": {part: len(cases) for part, cases in split.items()},
        "sha256_of_names_and_sizes": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    }


def _stamp(path: Path) -> list[Any]:
    """Path, size in bytes and newest time of change of a file or of all files of a folder."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    states = [file.stat() for file in files]
    return [str(path.absolute()), sum(s.st_size for s in states), max((s.st_mtime_ns for s in states), default=0)]
