"""Training without manual labels, from recipe to bundle (``covidquant train``); the shipped networks are made so."""

from __future__ import annotations

import json
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from COVIDQuantLib import __version__
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.inference.device import Device, choose_device
from COVIDQuantLib.models import find_bundle
from COVIDQuantLib.models.write import TrainedNetwork, write_bundle
from COVIDQuantLib.networks.registry import build_network, checked_settings
from COVIDQuantLib.progress import Report, Stage, StagedProgress, part
from COVIDQuantLib.system.atomic_files import make_folder, write_atomically
from COVIDQuantLib.training.engine import BEST, LAST, fit
from COVIDQuantLib.training.history import History
from COVIDQuantLib.training.label_free.chests import TUNING, ChestStore
from COVIDQuantLib.training.label_free.measure import measure
from COVIDQuantLib.training.label_free.recipe import GROUPS, LabelFreeRecipe
from COVIDQuantLib.training.label_free.roles import DICE, ROLES, tuned
from COVIDQuantLib.training.settings import FitSettings
from COVIDQuantLib.training.site.run import Trained

STAGES = (Stage("making chests", 45.0), Stage("training", 50.0), Stage("measuring", 5.0))
_PLAN = "run.json"
_PACKAGES = ("torch", "monai", "pytorch-ignite", "numpy")


def train_label_free(
    recipe: LabelFreeRecipe,
    data: Path | None,
    out: Path,
    device: str = "auto",
    progress: StagedProgress | None = None,
    *,
    resume: bool = False,
) -> Trained:
    """Make the chests, train every network of the recipe, measure, and write the bundle.

    Args:
        recipe: how.
        data: folder with the lobe atlas and the real CTs that may be trained on; without it phantoms alone serve.
        out: gets the bundle's folder ``<name>``, a folder for each network, and the chests.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        progress: called with the stages of ``STAGES``; may raise ``Cancelled``.
        resume: go on with the training in ``out``.

    Raises:
        UsageError: a training is there already, or another recipe's.
        UnfitInputError: nothing to resume, or unreadable data.
        OutputError: ``out`` cannot be written.
        TrainingError: the loss became NaN.
    """
    progress = progress or StagedProgress(STAGES)
    chosen = choose_device(device)
    store = ChestStore(recipe, data, out / "cache", device)
    for role in recipe.roles:
        _drawn(recipe, role, store.groups)
    _begin(recipe, out, resume=resume)
    with progress.stage("making chests") as report:
        store.prepare(report)
    networks, histories = {}, {}
    with progress.stage("training") as report:
        shares = [recipe["networks"][role]["max_seconds"] for role in recipe.roles]
        done = 0.0
        for role, share in zip(recipe.roles, shares, strict=True):
            span = part(report, done, done + share / sum(shares))
            networks[role], histories[role] = _train_role(recipe, role, store, out, chosen, span)
            done += share / sum(shares)
    with progress.stage("measuring") as report:
        machine = f"{platform.system()} {platform.machine()}, {chosen.describe()}"
        seeds = store.tuning_seeds()
        name = f"phantom seeds {seeds.start}..{seeds.stop - 1} (used to pick the epoch)"
        inputs = {role: _input(recipe, role) for role in recipe.roles}
        scores = measure(recipe["task"], networks, inputs, store.tuning_chests(), chosen, report)
        measured = [{"data": name, **score, "machine": machine} for score in scores]
    return _finished(recipe, networks, histories, measured, store, out)


def _train_role(
    recipe: LabelFreeRecipe, role: str, store: ChestStore, out: Path, device: Device, report: Report
) -> tuple[nn.Module, History]:
    plan, channels = recipe["networks"][role], recipe.network_settings(role)["in_channels"]
    views = store.views(role)
    groups = _drawn(recipe, role, set(views))
    drawn = [(view, plan["draws"][group]) for group in groups for view in views[group]]
    how = ROLES[role]
    settings: FitSettings = recipe.fit_settings(role, device, how.loss(), DICE)
    torch.manual_seed(plan["seed"])
    network = build_network(plan["architecture"], **plan["settings"])
    if recipe["start"]:
        network.load_state_dict(_begun(recipe, role))
    batches = how.batches([view for view, _ in drawn], [often for _, often in drawn], plan, channels)
    validation = tuned(views[TUNING], role, channels, settings.autocast)
    folder = out / role
    history = fit(network, batches, validation, settings, folder, report, resume=(folder / LAST).is_file())
    network.load_state_dict(load_file(folder / BEST))
    return network, history


def _begun(recipe: LabelFreeRecipe, role: str) -> dict[str, torch.Tensor]:
    """The initial weights of a role."""
    bundle, plan = find_bundle(recipe["start"]), recipe["networks"][role]
    record = bundle.networks.get(role)
    wanted = (plan["architecture"], recipe.network_settings(role))
    if record is None or (record.architecture, checked_settings(record.architecture, record.settings)) != wanted:
        raise UsageError(f"start: its bundle has no such network for {role}", recipe.where, "Name another, or null.")
    return dict(bundle.load(role).state_dict())


def _drawn(recipe: LabelFreeRecipe, role: str, there: set[str]) -> list[str]:
    """The groups of chests that a role draws from, of those that are there."""
    draws = recipe["networks"][role]["draws"]
    groups = [group for group in GROUPS if group in there and draws[group] > 0]
    if not groups:
        raise UsageError(f"networks.{role}.draws leave nothing to train on", recipe.where, "Draw the phantoms.")
    return groups


def _begin(recipe: LabelFreeRecipe, out: Path, *, resume: bool) -> None:
    plan = out / _PLAN
    if resume:
        try:
            before = json.loads(plan.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UnfitInputError(
                "there is no training to resume", str(out), "Train without --resume first."
            ) from error
        if _without_time(before) != _without_time(json.loads(json.dumps(dict(recipe.values)))):
            raise UsageError(
                "the recipe is not that of the run", recipe.where, "Resume with its recipe, or train from the start."
            )
    elif any((out / role / LAST).exists() for role in recipe.roles):
        raise UsageError("the folder holds a training already", str(out), "Use --resume, or choose another folder.")
    make_folder(out)
    text = json.dumps(dict(recipe.values), indent=1, ensure_ascii=False) + "\n"
    write_atomically(plan, lambda path: path.write_text(text, encoding="utf-8"))


def _without_time(values: dict[str, Any]) -> dict[str, Any]:
    networks = {role: {**plan, "max_seconds": None} for role, plan in values["networks"].items()}
    return {"task": values["task"], "chests": values["chests"], "networks": networks}


def _input(recipe: LabelFreeRecipe, role: str) -> dict[str, Any]:
    return ROLES[role].input(recipe.network_settings(role)["in_channels"], recipe["networks"][role])


def _finished(
    recipe: LabelFreeRecipe,
    networks: dict[str, nn.Module],
    histories: dict[str, History],
    measured: list[dict[str, object]],
    store: ChestStore,
    out: Path,
) -> Trained:
    trained = {
        role: TrainedNetwork(
            recipe["networks"][role]["architecture"],
            recipe.network_settings(role),
            network,
            _input(recipe, role),
            half=True,
        )
        for role, network in networks.items()
    }
    bundle = write_bundle(
        out / recipe["name"],
        networks=trained,
        replace=True,
        name=recipe["name"],
        version="1.0.0",
        task=recipe["task"],
        description=recipe["description"],
        licence=recipe["licence"],
        data_source=_data_source(recipe, store),
        training=_record(recipe, histories),
        measured=measured,
        references=[recipe["source"]] if recipe["source"] else [],
    )
    return Trained(bundle, histories[recipe.roles[-1]], measured)


def _data_source(recipe: LabelFreeRecipe, store: ChestStore) -> str:
    """Description of the training data."""
    chests = recipe["chests"]
    parts = [f"{chests['phantoms']} phantom CTs (seeds from {chests['first_phantom']}) made by this project's code"]
    if store.painted and chests["painted"] and chests["painted_variants"]:
        parts.append(
            f"{chests['painted']} painted chests, lung shapes and fissures from the lobe atlas of the Chest Imaging "
            "Platform (BSD-style)"
        )
    if chests["real_variants"]:
        parts += [f"the real CT {Path(real.file).stem} ({real.licence})" for real in store.reals]
    if chests["whole_variants"]:
        parts += [f"the whole real CT {Path(whole.file).stem} ({whole.licence})" for whole in store.whole]
    if store.people and chests["people"] and chests["people_variants"]:
        parts.append(
            f"{chests['people']} chests painted around lobes of {min(len(store.people), chests['people'])} people of "
            "TotalSegmentator's training set (CC BY 4.0)"
        )
    if recipe["start"]:
        parts.append(f"begun with the weights of {find_bundle(recipe['start']).name}")
    alone = " alone" if len(parts) == 1 else ""
    return f"{'; '.join(parts)}{alone}. Synthetic lesions; no drawn label of any disease."


def _record(recipe: LabelFreeRecipe, histories: dict[str, History]) -> dict[str, Any]:
    return {
        "recipe": {name: value for name, value in recipe.values.items() if name not in {"description", "licence"}},
        "networks": {
            role: {
                "epochs": int(history.rows[-1]["epoch"]),
                "iterations": int(history.rows[-1]["iteration"]),
                "seconds": history.rows[-1]["seconds"],
                "stopped_by": history.stopped_by,
                "kept_epoch": history.best_epoch,
                "tuning_dice": history.best_value,
            }
            for role, history in histories.items()
        },
        "versions": {"COVIDQuant": __version__, **{name: version(name) for name in _PACKAGES}},
        "python": platform.python_version(),
    }
