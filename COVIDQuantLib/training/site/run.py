"""``covidquant train``: from a recipe and a site's folder of cases to a finished bundle."""

from __future__ import annotations

import json
import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from COVIDQuantLib import __version__
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.inference.device import Device, choose_device
from COVIDQuantLib.models.bundle import Bundle
from COVIDQuantLib.models.write import TrainedNetwork, write_bundle
from COVIDQuantLib.networks.registry import build_network
from COVIDQuantLib.progress import Stage, StagedProgress, part
from COVIDQuantLib.training.checkpoint import write_whole
from COVIDQuantLib.training.engine import BEST, LAST, fit
from COVIDQuantLib.training.history import History
from COVIDQuantLib.training.recipe import Recipe
from COVIDQuantLib.training.settings import FitSettings
from COVIDQuantLib.training.site.cases import Split, describe_split, find_cases, listed_split, split_cases
from COVIDQuantLib.training.site.measure import SliceMeter
from COVIDQuantLib.training.site.prepare import CaseStore, Preparation
from COVIDQuantLib.training.site.slices import SliceBatches

STAGES = (Stage("preparing", 10.0), Stage("training", 85.0), Stage("measuring", 5.0))
ROLE = "slices"
_CACHE, _PLAN = "cache", "run.json"
# What a resumed run may change.
_FREE = ("epochs", "max_seconds", "patience", "workers")
_PACKAGES = ("torch", "monai", "pytorch-ignite", "numpy")


@dataclass
class Trained:
    """What a training made.

    Attributes:
        bundle: the finished bundle.
        history: the epochs.
        measured: the figures in the bundle.
    """

    bundle: Bundle
    history: History
    measured: list[dict[str, object]] = field(default_factory=list)


def train_site(
    recipe: Recipe,
    folder: Path,
    out: Path,
    device: str = "auto",
    progress: StagedProgress | None = None,
    *,
    resume: bool = False,
) -> Trained:
    """Train by a recipe on a folder of cases, measure, and write a bundle.

    Args:
        recipe: how.
        folder: the cases (:func:`~COVIDQuantLib.training.site.cases.find_cases`).
        out: gets the bundle's folder ``<name>``, the checkpoint, the history, the split and the prepared cases.
        device: ``auto``, ``cpu``, ``cuda``, ``mps``.
        progress: told of the stages of ``STAGES``; may raise ``Cancelled``.
        resume: go on from the checkpoint in ``out``.

    Raises:
        UnfitInputError: unreadable cases, the same CT in two parts, nothing to resume.
        UsageError: a leak in the split, a run in ``out`` already, or another recipe than the run's.
        OutputError: ``out`` cannot be written.
        TrainingError: the loss is no longer a number.
    """
    progress = progress or StagedProgress(STAGES)
    chosen = choose_device(device)
    split = _begin(recipe, folder, out, resume=resume)
    preparation = Preparation.of(recipe)
    stores = {name: CaseStore(cases, preparation, out / _CACHE) for name, cases in split.items() if cases}
    with progress.stage("preparing") as report:
        for number, store in enumerate(stores.values()):
            store.prepare(part(report, number / len(stores), (number + 1) / len(stores)))
        _refuse_copies(stores)
    settings = recipe.fit_settings(str(chosen.torch), tuned="tune" in stores)
    torch.manual_seed(settings.seed)
    network = build_network(recipe["network"]["architecture"], **recipe["network"]["settings"])
    meter = SliceMeter(stores["tune"], recipe, settings) if "tune" in stores else None
    with progress.stage("training") as report:
        batches = SliceBatches(stores["train"], recipe, pin=chosen.kind == "cuda")
        history = fit(network, batches, meter, settings, out, report, resume=resume)
    if recipe["training"]["keep"] == "best":
        network.load_state_dict(load_file(out / BEST))
    measured = []
    with progress.stage("measuring") as report:
        held_out = [name for name in ("tune", "validate") if name in stores]
        for number, name in enumerate(held_out):
            scores = SliceMeter(stores[name], recipe, settings).on_ct_grid(
                network, chosen, part(report, number / len(held_out), (number + 1) / len(held_out))
            )
            measured += scores.records(f"the site's own {name} cases", _machine(chosen))
    record = _training_record(recipe, split, history, settings)
    return Trained(_bundle(recipe, network, out, record, measured), history, measured)


def _begin(recipe: Recipe, folder: Path, out: Path, *, resume: bool) -> Split:
    """The split: drawn and written down, or that of the run that is resumed."""
    plan = out / _PLAN
    cases = find_cases(folder, recipe["task"])
    if not resume:
        if (out / LAST).exists():
            raise UsageError("the folder holds a training already", str(out), "Say --resume, or choose another folder.")
        split = split_cases(cases, recipe)
        out.mkdir(parents=True, exist_ok=True)
        document = {
            "recipe": dict(recipe.values),
            "split": {name: [case.name for case in chosen] for name, chosen in split.items()},
            "data": describe_split(split),
        }
        write_whole(plan, lambda path: _write_json(path, document))
        return split
    try:
        before = json.loads(plan.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnfitInputError("there is no training to resume", str(out), "Train without --resume first.") from error
    _same_recipe(before["recipe"], recipe)
    split = listed_split(cases, before["split"], {case.name: case.name for case in cases}, str(plan))
    if describe_split(split) != before["data"]:
        raise UnfitInputError("the cases are not those of the run", str(folder), "Train anew in another folder.")
    return split


def _same_recipe(before: dict[str, Any], recipe: Recipe) -> None:
    for name, value in recipe.values.items():
        old = before.get(name)
        if name == "training" and isinstance(old, dict):
            changed = [f"training.{key}" for key in value if key not in _FREE and old.get(key) != value[key]]
        else:
            changed = [name] if old != value and name not in {"notes", "description", "licence"} else []
        if changed:
            raise UsageError(
                f"{', '.join(changed)} is not that of the run", recipe.where, "Resume with its recipe, or train anew."
            )


def _refuse_copies(stores: dict[str, CaseStore]) -> None:
    """Refuse the same CT under two names in two parts of the split."""
    seen: dict[bytes, tuple[str, str]] = {}
    for part_name, store in stores.items():
        for number, case in enumerate(store.cases):
            key = bytes(store[number]["fingerprint"].tolist())
            other, where = seen.setdefault(key, (part_name, case.name))
            if other != part_name:
                raise UsageError(
                    f"the cases {where} ({other}) and {case.name} ({part_name}) hold the same CT",
                    remedy="Take one away, or put both into one part by data.lists.",
                )


def _training_record(recipe: Recipe, split: Split, history: History, settings: FitSettings) -> dict[str, Any]:
    last = history.rows[-1]
    return {
        "recipe": {name: value for name, value in recipe.values.items() if name not in {"description", "licence"}}
        | {"data": {**recipe["data"], "folder": None, "lists": None}},
        "data": describe_split(split),
        "seed": settings.seed,
        "precision": settings.precision,
        "epochs": int(last["epoch"]),
        "iterations": int(last["iteration"]),
        "seconds": last["seconds"],
        "stopped_by": history.stopped_by,
        "kept_epoch": history.best_epoch if recipe["training"]["keep"] == "best" else int(last["epoch"]),
        "versions": {"COVIDQuant": __version__, **{name: version(name) for name in _PACKAGES}},
        "python": platform.python_version(),
    }


def _bundle(
    recipe: Recipe, network: nn.Module, out: Path, record: dict[str, Any], measured: list[dict[str, object]]
) -> Bundle:
    name = recipe["name"]
    trained = TrainedNetwork(
        recipe["network"]["architecture"],
        recipe.network_settings,
        network,
        recipe.network_input(),
    )
    counts = record["data"]["cases"]
    return write_bundle(
        out / name,
        networks={ROLE: trained},
        replace=True,
        name=name,
        version="1.0.0",
        task=recipe["task"],
        description=recipe["description"],
        licence=recipe["licence"],
        data_source=f"A site's own CTs with masks: {counts['train']} trained, {counts['tune']} tuned, "
        f"{counts['validate']} validated.",
        training=record,
        measured=measured,
        references=[recipe["source"]] if recipe["source"] else [],
    )


def _machine(device: Device) -> str:
    return f"{platform.system()} {platform.machine()}, {device.describe()}"


def _write_json(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
