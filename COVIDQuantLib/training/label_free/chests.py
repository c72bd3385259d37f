"""The training chests of a label-free recipe, cached on disk as the views that the networks are trained on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from COVIDQuantLib.inference.networks import Networks
from COVIDQuantLib.models import find_bundle
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.simulation.painted.painting import draw_subject, paint_chest
from COVIDQuantLib.simulation.scanner.reconstruction import whole_hu
from COVIDQuantLib.simulation.scanner.sections import thick_sections
from COVIDQuantLib.system.atomic_files import make_folder, write_atomically
from COVIDQuantLib.training.label_free.hard_examples import mark_hard_examples
from COVIDQuantLib.training.label_free.make import (
    FIRST_SEED,
    REAL_CTS,
    RealCT,
    dense_variants,
    person_chest,
    phantom_chest,
    real_chest,
    variants,
)
from COVIDQuantLib.training.label_free.people import TUNING_PEOPLE, lobes_file, training_people
from COVIDQuantLib.training.label_free.real_cts import WHOLE_CTS, WholeCT, whole_chest
from COVIDQuantLib.training.label_free.recipe import (
    PAINTED,
    PEOPLE,
    PHANTOM_VARIANTS,
    PHANTOMS,
    REAL,
    WHOLE,
    LabelFreeRecipe,
)
from COVIDQuantLib.training.label_free.subjects import (
    Chest,
    coarse_view,
    fine_view,
    plane_view,
    slices_view,
    volume_view,
)

View = dict[str, np.ndarray]
Vary = Callable[[Chest, int, np.random.Generator], Iterator[Chest]]
TUNING = "tuning"
_VIEWS: dict[str, Callable[[Chest], View]] = {
    "coarse": coarse_view,
    "fine": fine_view,
    "slices": slices_view,
    "coronal": partial(plane_view, plane="coronal"),
    "sagittal": partial(plane_view, plane="sagittal"),
    "volume": volume_view,
}
# Roles that use another role's views.
_VIEW_OF = {"fissures": "fine"}
_ATLAS = "cip_lobe_atlas"
# Increase whenever the chests of the same recipe change.
_VERSION = 9
_VARIANT_STREAM, _THICK_SHARE = 11, 0.4
_PAINTED_MM, _THIN_MM = (1.25, 1.5, 2.0), 1.25


def painted_chest(seed: int, data: Path) -> Chest:
    """A healthy chest of real shape, lobes from the atlas in ``data``; spacing and thickness follow from the seed.

    Raises:
        UnfitInputError: the atlas is missing.
    """
    rng = np.random.default_rng(seed)
    mm = float(rng.choice(_PAINTED_MM))
    thick = rng.random() < _THICK_SHARE
    spacing = (_THIN_MM if thick else mm, mm, mm)
    lobes = draw_subject(rng, data, spacing)
    hu = paint_chest(lobes, spacing, rng)
    if thick:
        count = int(rng.integers(2, 5))
        hu, lobes = thick_sections(hu, lobes, count)
        spacing = (spacing[0] * count, mm, mm)
    return Chest(whole_hu(hu), spacing, np.ascontiguousarray(lobes), np.zeros(lobes.shape, bool))


_sick: Vary = variants


@dataclass(frozen=True)
class Subject:
    """One chest of the training set, with its variants.

    Attributes:
        name: of its files.
        number: seeds its random choices.
        make: function that makes it.
        group: of the chest itself; None if only its variants are used.
        variants: how many.
        variant_group: theirs.
        vary: function that makes them.
    """

    name: str
    number: int
    make: Callable[[], Chest]
    group: str | None
    variants: int
    variant_group: str
    vary: Vary = _sick

    def chests(self) -> Iterator[tuple[str, Chest]]:
        """The chest and its variants, with their groups."""
        chest = self.make()
        if self.group is not None:
            yield self.group, chest
        rng = np.random.default_rng([self.number, _VARIANT_STREAM])
        for variant in self.vary(chest, self.variants, rng):
            yield self.variant_group, variant


class ChestStore:
    """The views of a recipe's chests on disk.

    Args:
        recipe: which chests.
        data: folder with the lobe atlas and the real CTs that may be trained on; None for phantoms alone.
        folder: gets the views, in a folder of their own for each choice of chests.
        device: where hard examples are looked for: ``auto``, ``cpu``, ``cuda`` or ``mps``.
    """

    def __init__(self, recipe: LabelFreeRecipe, data: Path | None, folder: Path, device: str = "auto") -> None:
        self._recipe, self._data, self._device = recipe, data, device
        hard = find_bundle(recipe["start"]).record() if recipe.hard_examples else None
        key = json.dumps([_VERSION, recipe["chests"], recipe.roles, hard], sort_keys=True)
        self._folder = folder / hashlib.sha256(key.encode()).hexdigest()[:12]
        self.subjects = tuple(self._subjects())

    @property
    def painted(self) -> bool:
        """Whether there are painted chests."""
        return self._data is not None and (self._data / _ATLAS).is_dir()

    @property
    def reals(self) -> list[RealCT]:
        """The real CTs available."""
        return [] if self._data is None else [real for real in REAL_CTS if (self._data / real.file).is_file()]

    @property
    def whole(self) -> list[WholeCT]:
        """The whole real CTs available."""
        return [] if self._data is None else [whole for whole in WHOLE_CTS if (self._data / whole.file).is_file()]

    @property
    def people(self) -> list[str]:
        """The real people whose lobe maps are available and may be trained on."""
        return [] if self._data is None else training_people(self._data)

    @property
    def tuning_people(self) -> list[str]:
        """The people who are used to choose the best epoch."""
        if self._data is None:
            return []
        there = sorted(name for name in TUNING_PEOPLE if lobes_file(self._data, name).is_file())
        return there[: self._recipe["chests"]["tuning_people"]]

    @property
    def groups(self) -> set[str]:
        """The groups that its chests belong to."""
        with_variants = {subject.variant_group for subject in self.subjects if subject.variants}
        return with_variants | {subject.group for subject in self.subjects if subject.group is not None}

    def tuning_seeds(self) -> range:
        """Seeds of the phantoms used to choose the best epoch."""
        first = self._recipe["chests"]["first_tuning_phantom"]
        return range(first, first + self._recipe["chests"]["tuning_phantoms"])

    def _subjects(self) -> Iterator[Subject]:
        chests, matrix = self._recipe["chests"], self._recipe["chests"]["matrix"]
        for seed in self.tuning_seeds():
            yield Subject(f"tuning-{seed}", seed, _phantom(seed, matrix), TUNING, 0, "")
        for number, name in enumerate(self.tuning_people):
            make = partial(person_chest, name, FIRST_SEED + number, Path(self._data or ""))
            yield Subject(f"tuning-{name}", number, make, None, 1, TUNING, dense_variants)
        for seed in range(chests["first_phantom"], chests["first_phantom"] + chests["phantoms"]):
            count = chests["phantom_variants"]
            yield Subject(f"phantom-{seed}", seed, _phantom(seed, matrix), PHANTOMS, count, PHANTOM_VARIANTS)
        data = self._data
        if data is None:
            return
        if self.painted and chests["painted_variants"]:
            for seed in range(chests["first_painted"], chests["first_painted"] + chests["painted"]):
                yield Subject(f"painted-{seed}", seed, _painted(seed, data), None, chests["painted_variants"], PAINTED)
        if chests["real_variants"]:
            for number, real in enumerate(self.reals):
                name = f"real-{Path(real.file).stem}"
                yield Subject(name, number, _real(real, data), None, chests["real_variants"], REAL)
        yield from self._real_people(data)

    def _real_people(self, data: Path) -> Iterator[Subject]:
        chests, people = self._recipe["chests"], self.people
        if chests["whole_variants"]:
            for number, whole in enumerate(self.whole):
                name, count = f"whole-{Path(whole.file).stem}", chests["whole_variants"]
                yield Subject(name, number, partial(whole_chest, whole, data), WHOLE, count, WHOLE, dense_variants)
        for number in range(chests["people"] if people else 0):
            seed, name = chests["first_person"] + number, people[number % len(people)]
            make, count = partial(person_chest, name, seed, data), chests["people_variants"]
            yield Subject(f"person-{seed}-{name}", seed, make, None, count, PEOPLE, dense_variants)

    def prepare(self, report: Report = silent) -> None:
        """Make every chest that is not cached yet.

        Raises:
            OutputError: the views cannot be written.
        """
        make_folder(self._folder)
        for number, subject in enumerate(self.subjects):
            report(number / len(self.subjects))
            if not self._list_of(subject).is_file():
                self._make(subject)
        report(1.0)

    @cached_property
    def _present(self) -> Networks:
        """The networks that show what is hard."""
        return Networks(lesions=self._recipe["start"], device=self._device)

    def _make(self, subject: Subject) -> None:
        made = []
        for number, (group, chest) in enumerate(subject.chests()):
            if self._recipe["task"] == "lesions":
                planes = self._present.load_lesions() if self._recipe.hard_examples else {}
                mark_hard_examples(chest, planes, self._present.device)
            kinds = dict.fromkeys(_VIEW_OF.get(role, role) for role in self._recipe.roles)
            arrays = {f"{kind}_{name}": array for kind in kinds for name, array in _VIEWS[kind](chest).items()}
            name = f"{subject.name}-{number}.npz"
            write_atomically(self._folder / name, _saved(arrays))
            made.append([group, name])
        # Written last: a listed subject is complete.
        text = json.dumps(made)
        write_atomically(self._list_of(subject), lambda path: path.write_text(text, encoding="utf-8"))

    def _list_of(self, subject: Subject) -> Path:
        return self._folder / f"{subject.name}.json"

    def views(self, role: str) -> dict[str, list[View]]:
        """The views for a role by group of chests, in memory."""
        views: dict[str, list[View]] = {}
        for subject in self.subjects:
            for group, name in json.loads(self._list_of(subject).read_text(encoding="utf-8")):
                with np.load(self._folder / name) as arrays:
                    start = f"{_VIEW_OF.get(role, role)}_"
                    view = {key.removeprefix(start): arrays[key] for key in arrays.files if key.startswith(start)}
                views.setdefault(group, []).append(view)
        return views

    def tuning_chests(self) -> Iterator[tuple[int, Chest]]:
        """The whole phantoms used to choose the best epoch, made one at a time."""
        for seed in self.tuning_seeds():
            yield seed, phantom_chest(seed, self._recipe["chests"]["matrix"])


def _phantom(seed: int, matrix: int) -> Callable[[], Chest]:
    return lambda: phantom_chest(seed, matrix)


def _painted(seed: int, data: Path) -> Callable[[], Chest]:
    return lambda: painted_chest(seed, data)


def _real(real: RealCT, data: Path) -> Callable[[], Chest]:
    return lambda: real_chest(real, data)


def _saved(arrays: View) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    return write
