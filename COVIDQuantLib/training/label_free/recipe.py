"""Recipes for training without manual labels, such as those of the shipped networks."""

from __future__ import annotations

from typing import Any

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.inference.device import Device
from COVIDQuantLib.inference.lesions import PLANES, VOLUME
from COVIDQuantLib.networks.registry import ARCHITECTURES, checked_settings
from COVIDQuantLib.system import settings_schema as s
from COVIDQuantLib.training.label_free.make import FIRST_SEED
from COVIDQuantLib.training.recipe import AUTO, HEAD, CheckedRecipe
from COVIDQuantLib.training.settings import OPTIMIZERS, PRECISIONS, SCHEDULES, FitSettings, Loss

# Kinds of chests; the recipe sets how often each is drawn.
PHANTOMS, PHANTOM_VARIANTS, PAINTED, REAL = "phantoms", "phantom_variants", "painted", "real"
# Chests painted around real people's lobes, and whole real CTs.
PEOPLE, WHOLE = "people", "whole"
GROUPS = (PHANTOMS, PHANTOM_VARIANTS, PAINTED, REAL, PEOPLE, WHOLE)
ROLES = {"lobes": ("coarse", "fine", "fissures"), "lesions": (*PLANES, VOLUME)}
# A recipe may leave it out.
_OPTIONAL = {VOLUME}
_DIMENSIONS = {"coarse": 3, "fine": 3, "fissures": 3, **dict.fromkeys(PLANES, 2), VOLUME: 3}
_CHANNELS = {"coarse": (1, 2), "fine": (7,), "fissures": (1,), **dict.fromkeys(PLANES, (1, 3)), VOLUME: (2,)}


def _whole(default: Any, meaning: str, least: int = 0) -> s.Setting:
    return s.Setting(
        default,
        f"a whole number from {least}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= least,
        meaning,
    )


_NETWORK: s.Schema = {
    "settings": s.Setting({}, "an object", lambda value: isinstance(value, dict), "settings of the network"),
    "draws": {
        group: s.number(1.0, f"how often one of the {group.replace('_', ' ')} is drawn, 0 for never", 0)
        for group in GROUPS
    },
    "optimizer": s.choice("adamw", "the optimiser", *OPTIMIZERS),
    "learning_rate": s.above_zero(2e-3, "the highest rate of the schedule"),
    "weight_decay": s.number(1e-4, "decoupled decay", 0),
    "schedule": s.choice("one-cycle", "of the learning rate, over the time", *SCHEDULES),
    "max_seconds": s.above_zero(s.REQUIRED, "how long to train"),
    "batch_size": s.count(2, "chests, patches or slices in a batch"),
    "batches_per_epoch": s.count(40, "from one count of the loss to the next"),
    "validate_every": s.count(3, "epochs from one tuning to the next"),
    "clip_norm": s.or_null(s.above_zero(2.0, "largest norm of the gradient")),
    "precision": s.choice(AUTO, "auto: what the device computes fastest", AUTO, *PRECISIONS),
    "seed": _whole(1, "of every draw"),
}


def _is_stages(value: Any) -> bool:
    if not isinstance(value, list) or not all(isinstance(stage, list) and len(stage) == 3 for stage in value):
        return False
    shares = [stage[0] for stage in value]
    numbers = all(s.is_number(number) and 0 < number < 1 for stage in value for number in stage)
    return numbers and shares == sorted(shares)


# What inference is told of a slice network besides its input.
OF_SLICES: s.Schema = {
    "cut": s.number(
        0.5, "probability above which a pixel counts; of several networks the axial one's holds", 0.001, 0.999
    ),
    "piece_cut": s.or_null(
        s.number(None, "probability of the mean log odds below which a piece of 5 mL or more is dropped", 0.001, 0.999)
    ),
    "dense_piece_cut": s.or_null(
        s.number(None, "the same for such pieces with more than 35 % above -300 HU", 0.001, 0.999)
    ),
    "small_piece_cut": s.or_null(s.number(None, "the same for smaller pieces", 0.001, 0.999)),
    "core_cut": s.or_null(
        s.number(None, "probability above which a voxel counts in these means; null for all of the piece", 0.001, 0.999)
    ),
    "diseased": s.Setting(
        [],
        "a list of [share, cut, cut], shares ascending",
        _is_stages,
        "milder cuts for large and small pieces from this share of diseased lung on, by the pieces kept",
    ),
    "across_mm": s.number(0.0, "inference smooths the log odds across the slices by this Gaussian, mm", 0),
    "denser_hu": s.number(0.0, "HU above the median of healthy lung below which inference lowers the log odds", 0),
    "odds_per_hu": s.number(0.0, "by how much for each HU that is missing", 0),
    "mirrored": s.truth(False, "inference also runs on each slice mirrored left to right"),
}
# And of one that sees the lungs as a volume.
OF_VOLUMES: s.Schema = {
    "mirrored": s.truth(False, "inference also runs on the lungs mirrored left to right"),
    "weight": s.above_zero(1.0, "of its log odds in the mean; each of the others counts 1"),
}
_HEAD: s.Schema = {
    **HEAD,
    "task": s.choice(s.REQUIRED, "what is segmented", *ROLES),
    "start": s.or_null(s.text(None, "bundle whose weights training begins with, by name or folder")),
    "chests": {
        "matrix": _whole(256, "pixels along a side of the phantoms", 48),
        "phantoms": _whole(160, "how many"),
        "first_phantom": _whole(FIRST_SEED, "seed of the first", FIRST_SEED),
        "phantom_variants": _whole(1, "variants of each phantom that is well enough"),
        "painted": _whole(45, "painted chests; they need the lobe atlas in --data"),
        "first_painted": _whole(5000, "seed of the first", FIRST_SEED),
        "painted_variants": _whole(2, "variants of each"),
        "real_variants": _whole(13, "variants of each real CT in --data"),
        "people": _whole(0, "chests painted around real people's lobes in --data, by turns; none held out"),
        "first_person": _whole(9000, "seed of the first", FIRST_SEED),
        "people_variants": _whole(2, "variants of each, with dense disease"),
        "whole_variants": _whole(0, "variants of each whole real CT in --data, with dense disease"),
        "tuning_phantoms": _whole(6, "that pick the best epoch", 1),
        "first_tuning_phantom": _whole(2000, "seed of the first", FIRST_SEED),
        "tuning_people": _whole(0, "people kept for tuning, painted, that pick the best epoch as well"),
    },
}


def network_schema(role: str) -> s.Schema:
    """The keys of a role's network."""
    fit = [name for name, record in ARCHITECTURES.items() if record.spatial_dims == _DIMENSIONS[role]]
    more = OF_SLICES if role in PLANES else OF_VOLUMES if role == VOLUME else {}
    return {"architecture": s.choice(s.REQUIRED, "the network", *fit), **_NETWORK, **more}


_OF_TASK: dict[str, s.Schema] = {
    "lobes": {},
    "lesions": {
        "hard_examples": s.truth(
            False, "lesions that the bundle in start misses, and what it takes for some, are drawn more and weigh more"
        )
    },
}
_NETWORKS = {task: {role: network_schema(role) for role in roles} for task, roles in ROLES.items()}
SCHEMAS: dict[str, s.Schema] = {
    task: {**_HEAD, **_OF_TASK[task], "networks": networks} for task, networks in _NETWORKS.items()
}


class LabelFreeRecipe(CheckedRecipe):
    """A recipe for training on made chests, with the keys of its task's schema in ``SCHEMAS``."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The networks it trains."""
        return tuple(role for role in ROLES[self["task"]] if role in self["networks"])

    @property
    def hard_examples(self) -> bool:
        """Whether what its starting bundle gets wrong is drawn more and weighs more."""
        return bool(self.values.get("hard_examples"))

    def network_settings(self, role: str) -> dict[str, Any]:
        """All settings of a role's network."""
        network = self["networks"][role]
        return checked_settings(network["architecture"], network["settings"])

    def fit_settings(self, role: str, device: Device, loss: Loss, best_by: str) -> FitSettings:
        """The settings of the training loop for a role."""
        plan = self["networks"][role]
        precision = device.precision if plan["precision"] == AUTO else plan["precision"]
        return FitSettings(
            loss,
            epochs=_ENDLESS,
            iterations_per_epoch=plan["batches_per_epoch"],
            schedule_over="time",
            precision=precision,
            channels_last=True,
            device=str(device.torch),
            best_by=best_by,
            **{name: plan[name] for name in _SAME},
        )


# The run is ended by its time limit.
_ENDLESS = 1_000_000
_SAME = (
    "optimizer", "learning_rate", "weight_decay", "schedule", "max_seconds", "validate_every", "clip_norm", "seed",
)  # fmt: skip


def _schema_for(document: Any) -> s.Schema:
    """The schema of a document's task, without the optional networks that it does not name."""
    task = document.get("task") if isinstance(document, dict) else None
    if not isinstance(task, str):
        return _HEAD
    task, named = task if task in SCHEMAS else "lobes", document.get("networks")
    left_out = _OPTIONAL - named.keys() if isinstance(named, dict) else set()
    networks = {role: schema for role, schema in _NETWORKS[task].items() if role not in left_out}
    return {**SCHEMAS[task], "networks": networks}


def check_label_free(document: Any, where: str) -> LabelFreeRecipe:
    """A recipe from parsed JSON.

    Raises:
        UsageError: a key is unknown, missing, or has a value that does not fit; names its path.
    """
    values = s.checked(document, _schema_for(document), where)
    recipe = LabelFreeRecipe(values, where)
    for role in recipe.roles:
        try:
            given = recipe.network_settings(role)
        except UsageError as error:
            raise UsageError(f"networks.{role}.settings: {error.what}", where, error.remedy) from error
        if given.get("in_channels") not in _CHANNELS[role]:
            wanted = " or ".join(map(str, _CHANNELS[role]))
            raise UsageError(f"networks.{role}.settings.in_channels is not {wanted}", where, f"Give {wanted}.")
    if recipe.hard_examples and not recipe["start"]:
        raise UsageError("hard_examples without start", where, "Name the bundle that shows what is hard.")
    chests = values["chests"]
    trained = range(chests["first_phantom"], chests["first_phantom"] + chests["phantoms"])
    tuned = range(chests["first_tuning_phantom"], chests["first_tuning_phantom"] + chests["tuning_phantoms"])
    if not trained:
        raise UsageError("chests.phantoms is 0", where, "Give at least one; they need no data.")
    if trained.start < tuned.stop and tuned.start < trained.stop:
        raise UsageError("chests: phantoms to train and to tune on overlap", where, "Keep their seeds apart.")
    return recipe
