"""The options of how exams are quantified, the same for every command that does it."""

from __future__ import annotations

import argparse

from COVIDQuantLib.export.exam_files import EXPORTS
from COVIDQuantLib.inference.device import DEVICES
from COVIDQuantLib.pipeline import DEFAULT_PLAN, METHODS, Plan
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of method, device, models, thresholds and additional files."""
    parser.add_argument(
        "--method", choices=METHODS, default=DEFAULT_PLAN.method, help="how to find lungs, lobes and lesions"
    )
    parser.add_argument("--device", choices=DEVICES, default="auto", help="where networks run; not used by model-free")
    for step in ("lobes", "lesions"):
        parser.add_argument(
            f"--{step}-model", metavar="NAME|DIR", help=f"model bundle for the {step}; default: the shipped one"
        )
    parser.add_argument("--ggo-hu", type=int, default=DEFAULT_THRESHOLDS.ggo_hu, metavar="HU", help="default −750")
    parser.add_argument(
        "--consolidation-hu", type=int, default=DEFAULT_THRESHOLDS.consolidation_hu, metavar="HU", help="default −350"
    )
    for export in EXPORTS:
        if not export.default:
            parser.add_argument(f"--{export.name}", action="store_true", help=f"write {export.text} as well")


def plan_of(arguments: argparse.Namespace) -> tuple[Plan, Thresholds]:
    """What the options ask for.

    Raises:
        UsageError: thresholds in the wrong order or out of range.
    """
    plan = Plan(arguments.method, arguments.device, arguments.lobes_model, arguments.lesions_model)
    return plan, Thresholds(arguments.ggo_hu, arguments.consolidation_hu)
