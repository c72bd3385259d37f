"""``covidquant train``: train a model bundle by a recipe on a folder of CT and mask pairs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from COVIDQuantLib.cli.output_options import add_out, add_quiet
from COVIDQuantLib.cli.terminal import console, progress_bar
from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.inference.device import DEVICES
from COVIDQuantLib.system.atomic_files import OutputFolder

NAME = "train"
HELP = "Train a network by a recipe on a folder of CT and mask pairs, and write a model bundle."

if TYPE_CHECKING:
    from COVIDQuantLib.training.site.run import Trained


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "recipe", metavar="CONFIG", help="a recipe file (JSON), or the name of a shipped one: yoo-2022 …"
    )
    add_out(parser, "bundle and checkpoints")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="folder of cases, instead of the recipe's; for label-free recipes, of the atlas and CTs",
    )
    parser.add_argument("--resume", action="store_true", help="continue the training in --out")
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where to train")
    add_quiet(parser, "measurements")


def run(arguments: argparse.Namespace) -> None:
    """Do it; errors as in :func:`COVIDQuantLib.training.site.run.train_site`."""
    try:
        import ignite  # noqa: F401 - checked here, before anything is read
    except ImportError as error:
        raise UsageError("training needs pytorch-ignite", remedy="Install COVIDQuant[train].") from error
    from COVIDQuantLib.training.recipe import LABEL_FREE, kind_of, read_document

    document, where = read_document(arguments.recipe)
    start = _label_free if kind_of(document) == LABEL_FREE else _site
    # Checked before the work: whether the folder is writable and holds no other training. It is not a set of files:
    # each epoch's checkpoint is moved into place by itself.
    with OutputFolder(arguments.out):
        arguments.left = "finished epochs are kept, --resume continues from there"
        trained = start(document, where, arguments)
    arguments.written = True
    if not arguments.quiet:
        screen = console()
        for figure in trained.measured:
            screen.print(f"{figure['data']}: {figure['measure']} {figure['value']:.3f} (n = {figure['n']})")
        screen.print(str(trained.bundle.path), soft_wrap=True)


def _site(document: Any, where: str, arguments: argparse.Namespace) -> Trained:
    from COVIDQuantLib.training.recipe import check_recipe
    from COVIDQuantLib.training.site.run import STAGES, train_site

    recipe = check_recipe(document, where)
    folder = arguments.data
    if folder is None:
        if recipe["data"]["folder"] is None:
            raise UsageError("no cases to train on", arguments.recipe, "Use --data, or set data.folder in the recipe.")
        folder = Path(where).parent / recipe["data"]["folder"]
    with progress_bar(STAGES, quiet=arguments.quiet, log=True) as progress:
        return train_site(recipe, folder, arguments.out, arguments.device, progress, resume=arguments.resume)


def _label_free(document: Any, where: str, arguments: argparse.Namespace) -> Trained:
    from COVIDQuantLib.training.label_free.recipe import check_label_free
    from COVIDQuantLib.training.label_free.run import STAGES, train_label_free

    recipe = check_label_free(document, where)
    with progress_bar(STAGES, quiet=arguments.quiet, log=True) as progress:
        return train_label_free(
            recipe, arguments.data, arguments.out, arguments.device, progress, resume=arguments.resume
        )
