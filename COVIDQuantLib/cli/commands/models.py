"""``covidquant models``: list, verify and import trained models."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from COVIDQuantLib.cli.terminal import console, progress_bar, shown
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.models.bundle import Bundle
from COVIDQuantLib.models.catalogue import DEFAULTS, Listed, find_bundle, list_bundles, user_folder
from COVIDQuantLib.models.import_lungmask import KNOWN_NAMES, import_lungmask
from COVIDQuantLib.models.install import import_bundle, remove_bundle
from COVIDQuantLib.progress import Stage

NAME = "models"
HELP = "List, show, verify, import and remove trained models."

BUNDLE_FORMAT, LUNGMASK_FORMAT = "bundle", "lungmask"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of each action."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = _action(actions, "list", "List the shipped models and those you imported.", _list)
    _add_json(listing)
    show = _action(actions, "show", "Show a model's architecture, training data and measured accuracy.", _show)
    show.add_argument("model", metavar="MODEL", help="a name from the list, or a bundle's folder")
    _add_json(show)
    verify = _action(actions, "verify", "Check weights against their SHA-256 and their architecture.", _verify)
    verify.add_argument("models", nargs="*", metavar="MODEL", help="names or folders; default: all listed models")
    importing = _action(
        actions, "import", "Install a model from a folder, a zip file, or weights of another program.", _import
    )
    importing.add_argument(
        "source", type=Path, metavar="PATH", help="a bundle's folder or zip file, or a file of weights"
    )
    importing.add_argument(
        "--format",
        choices=(BUNDLE_FORMAT, LUNGMASK_FORMAT),
        default=BUNDLE_FORMAT,
        help="type of PATH: a bundle, or weights as published by the program lungmask",
    )
    importing.add_argument("--name", choices=KNOWN_NAMES, help="which lungmask model the file holds")
    importing.add_argument("--replace", action="store_true", help="replace an imported model of the same name")
    remove = _action(actions, "remove", "Remove a model that you imported.", _remove)
    remove.add_argument("model", metavar="MODEL", help="its name")


def _action(actions: Any, name: str, text: str, do: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=text, description=text)
    parser.set_defaults(do=do)
    return parser


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for scripts")


def run(arguments: argparse.Namespace) -> None:
    """Do the action.

    Raises:
        UnfitInputError: there is no such model, or it is damaged, altered or of a newer format.
        UsageError: the model is a shipped one, or the name is taken.
        OutputError: it cannot be written or removed.
    """
    arguments.do(arguments)


def _list(arguments: argparse.Namespace) -> None:
    listed = list_bundles()
    if arguments.json:
        _print_json([_entry(item) for item in listed])
        return
    table = Table(header_style="bold")
    for title in ("model", "task", "version", "from", "MB", ""):
        table.add_column(title, no_wrap=bool(title), justify="right" if title == "MB" else "left")
    for item in listed:
        entry = _entry(item)
        table.add_row(
            shown(entry["name"]),
            entry["task"] or "",
            shown(entry["version"] or ""),
            "COVIDQuant" if item.shipped else "you",
            _megabytes(entry["bytes"]),
            Text(shown(f"damaged: {item.refused}"), "red") if item.refused else "default" if entry["default"] else "",
        )
    screen = console()
    screen.print(table if listed else "no models")
    screen.print(f"Your models are in {user_folder()}", soft_wrap=True)


def _entry(item: Listed) -> dict[str, Any]:
    bundle = item.bundle
    return {
        "name": item.name,
        "version": bundle and bundle.version,
        "task": bundle and bundle.task,
        "default": item.shipped and item.name in DEFAULTS.values(),
        "shipped": item.shipped,
        "path": str(item.path),
        "bytes": bundle and _bytes(bundle),
        "refused": item.refused,
    }


def _bytes(bundle: Bundle) -> int | None:
    """The size of its weights; None if they were removed meanwhile."""
    try:
        return sum(network.weights.stat().st_size for network in bundle.networks.values())
    except OSError:
        return None


def _megabytes(size: int | None) -> str:
    return "" if size is None else f"{size / 1e6:.1f}"


def _show(arguments: argparse.Namespace) -> None:
    bundle = find_bundle(arguments.model)
    if arguments.json:
        _print_json({"path": str(bundle.path), **bundle.metadata})
        return
    ours = bundle.metadata["covidquant"]
    screen = console()
    about = f" {bundle.version}, for {bundle.task}, {_megabytes(_bytes(bundle))} MB"
    screen.print(Text.assemble((bundle.name, "bold"), shown(about)))
    screen.print(bundle.metadata["description"])
    for title, text in (
        ("licence", ours["licence"]),
        ("trained on", bundle.metadata["data_source"]),
        ("folder", bundle.path),
        *((f"network {n.role}", f"{n.architecture}, SHA-256 {n.sha256}") for n in bundle.networks.values()),
    ):
        screen.print(f"{title}: {text}", soft_wrap=True)
    _show_measured(ours["measured"])
    screen.print("Not a medical device.")


def _show_measured(figures: list[dict[str, Any]]) -> None:
    if not figures:
        return
    columns = ("measure", "value", "n", "data", "machine")
    table = Table(*columns, header_style="bold")
    for figure in figures:
        table.add_row(*(shown(figure[column]) for column in columns))
    console().print(table)


def _verify(arguments: argparse.Namespace) -> None:
    names = arguments.models or [str(item.path) for item in list_bundles()]
    refused: list[UnfitInputError] = []
    screen = console()
    with progress_bar([Stage(name, 1.0) for name in dict.fromkeys(names)]) as progress:
        for name in dict.fromkeys(names):
            with progress.stage(name) as report:
                try:
                    bundle = find_bundle(name)
                    bundle.verify(report)
                    screen.print(f"{bundle.name} {bundle.version}: complete and unaltered", soft_wrap=True)
                except UnfitInputError as error:
                    refused.append(error)
                    described = Text.assemble(f"{shown(Path(name).name)}: ", (shown(error.what), "red"))
                    screen.print(described, soft_wrap=True)
    if refused:
        raise refused[0]


def _import(arguments: argparse.Namespace) -> None:
    with progress_bar([Stage("checking", 1.0)]) as progress, progress.stage("checking") as report:
        if arguments.format == LUNGMASK_FORMAT:
            bundle = import_lungmask(arguments.source, arguments.name, replace=arguments.replace, report=report)
        else:
            bundle = import_bundle(arguments.source, replace=arguments.replace, report=report)
    console().print(f"{bundle.name} {bundle.version} is installed for {bundle.task}: {bundle.path}", soft_wrap=True)


def _remove(arguments: argparse.Namespace) -> None:
    console().print(f"removed {remove_bundle(arguments.model)}", soft_wrap=True)


def _print_json(record: Any) -> None:
    sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=False) + "\n")
