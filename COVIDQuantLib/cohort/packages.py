"""The optional packages that cohorts need, imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from COVIDQuantLib.errors import UsageError


def optional(name: str) -> Any:
    """Import a module of the extra ``cohort``.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        package = error.name or name
        raise UsageError(
            f"cohorts need a package that is not installed ({package})",
            remedy='Run: pip install "COVIDQuant[cohort]".',
            code="cohort-packages",
        ) from error
