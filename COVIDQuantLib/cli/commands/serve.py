"""``covidquant serve``: a DICOM node that quantifies the CTs it receives and sends the results."""

from __future__ import annotations

import argparse
import importlib.util
import logging
import sys
from pathlib import Path

from COVIDQuantLib.errors import UsageError

NAME = "serve"
HELP = "Receive chest CTs over DICOM or DICOMweb, quantify them, and send the results; runs until it is stopped."

# Module and what it is for, by the extra that brings it.
_PACKAGES = {"dicom": ("pynetdicom", "highdicom", "dicomweb_client"), "report": ("jinja2", "weasyprint")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the node's settings, a TOML file")
    parser.add_argument("--check", action="store_true", help="check the settings and end")
    parser.add_argument("--quiet", action="store_true", help="log only what needs attention")


def run(arguments: argparse.Namespace) -> None:
    """Do it.

    Raises:
        UsageError: the settings are wrong, or a package is missing.
        UnfitInputError: the settings cannot be read.
        OutputError: the folder or the port cannot be used.
    """
    _require_packages()
    from COVIDQuantLib.node.config import read_config

    config = read_config(arguments.config)
    if arguments.check:
        return
    from COVIDQuantLib.node.node import Node

    log = _log(quiet=arguments.quiet)
    arguments.left = "the queue is kept"
    try:
        with Node(config) as node:
            page = f"; status at http://{config.status['host']}:{node.page.port}/" if node.page else ""
            log.info("%s listens at %s:%d%s", config.node["ae_title"], config.node["host"], node.service.port, page)
            node.run()
    finally:
        for handler in list(log.handlers):
            log.removeHandler(handler)
        log.propagate = True


def _require_packages() -> None:
    for extra, names in _PACKAGES.items():
        for name in names:
            if importlib.util.find_spec(name) is None:
                raise UsageError(
                    f"the node needs a package that is not installed ({name})",
                    remedy=f'Install it: pip install "COVIDQuant[{extra}]".',
                    code="node-package",
                )


def _log(*, quiet: bool) -> logging.Logger:
    """The node's log on standard error, a line for each event; nothing in it names a patient."""
    log = logging.getLogger("COVIDQuantLib.node")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine("%(asctime)s %(levelname)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    log.propagate = False
    return log


class _OneLine(logging.Formatter):
    """What came from outside can neither begin a line nor move the cursor."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - named by logging
        return "".join(c if c.isprintable() else chr(0xFFFD) for c in super().formatMessage(record))
