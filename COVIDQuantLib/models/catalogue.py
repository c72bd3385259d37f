"""Find bundles: those shipped with COVIDQuant and the user's own."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.models.bundle import Bundle, read_bundle
from COVIDQuantLib.resources import resource_path
from COVIDQuantLib.system.staging import settle

# The default bundle of each task.
DEFAULTS = {"lobes": "lobes-unet-3d", "lesions": "lesions-default"}
ENVIRONMENT = "COVIDQUANT_MODELS"


@dataclass(frozen=True)
class Listed:
    """A bundle that was found, usable or not.

    Attributes:
        path: its folder.
        shipped: whether it is shipped with COVIDQuant.
        bundle: None if it cannot be read.
        refused: why it cannot be read; empty if it can.
    """

    path: Path
    shipped: bool
    bundle: Bundle | None
    refused: str = ""

    @property
    def name(self) -> str:
        """The name to select it by."""
        return self.path.name


def user_folder() -> Path:
    """The folder of the user's own bundles, existing or not; the variable ``COVIDQUANT_MODELS`` takes precedence."""
    chosen = os.environ.get(ENVIRONMENT)
    if chosen:
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        data = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        data = Path.home() / "Library" / "Application Support"
    else:
        data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "COVIDQuant" / "Models"


def shipped_folder() -> Path | None:
    """The folder of the shipped bundles; None if the installation has none."""
    try:
        return resource_path("Models")
    except FileNotFoundError:
        return None


def list_bundles() -> list[Listed]:
    """Every bundle, the shipped ones first, by name; damaged ones with the reason."""
    found = []
    for folder, shipped in ((shipped_folder(), True), (user_folder(), False)):
        if folder is not None and folder.is_dir():
            _settle(folder)
            paths = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
            found += [_listed(path, shipped=shipped) for path in paths]
    return found


def _listed(path: Path, *, shipped: bool) -> Listed:
    try:
        return Listed(path, shipped, read_bundle(path))
    except UnfitInputError as error:
        return Listed(path, shipped, None, error.what)
    except (OSError, ValueError, TypeError) as error:
        # An error in one bundle must not hide the others.
        return Listed(path, shipped, None, f"it cannot be read ({error})")


def _settle(folder: Path) -> None:
    """Complete an interrupted installation; a read-only folder has no user bundles."""
    with suppress(OSError):
        settle(folder)


def find_bundle(name_or_path: str | Path, task: str | None = None) -> Bundle:
    """Find a bundle by its installed name or its folder.

    Args:
        name_or_path: a shipped bundle takes precedence over the user's of the same name, and a name over a folder.
        task: the required task; None accepts any.

    Raises:
        UnfitInputError: there is none, or it is unusable; with the reason.
    """
    path = installed_path(str(name_or_path))
    if path is not None:
        return read_bundle(path, task)
    if os.path.isdir(name_or_path):  # noqa: PTH112 - a name too long for the system matches nothing
        return read_bundle(name_or_path, task)
    names = ", ".join(sorted({listed.name for listed in list_bundles()})) or "none"
    raise UnfitInputError("there is no such model bundle", f"{name_or_path!s:.200}", f"Installed are {names}.")


def installed_path(name: str) -> Path | None:
    """The folder of the bundle installed under a name; None if there is none."""
    if not is_plain(name):
        return None
    for folder in (shipped_folder(), user_folder()):
        if folder is not None:
            _settle(folder)
            if os.path.isdir(folder / name):  # noqa: PTH112 - a name too long for the system matches nothing
                return folder / name
    return None


def is_plain(name: str) -> bool:
    """Whether a text is the name of an entry in a folder, not a path out of it or the folder itself."""
    return Path(name).name == name and name not in {"", ".", ".."}


def default_bundle(task: str) -> Bundle:
    """The default bundle of a task.

    Raises:
        UnfitInputError: no bundle is shipped for the task, or the installation is damaged.
    """
    if task not in DEFAULTS:
        raise UnfitInputError(
            f"no model for {task} is shipped", remedy="Choose a bundle; see `covidquant models list`."
        )
    folder = shipped_folder()
    if folder is None or not (folder / DEFAULTS[task]).is_dir():
        what = f"the model {DEFAULTS[task]} is missing from the installation"
        raise UnfitInputError(what, remedy="Install COVIDQuant again, or choose another bundle.")
    return read_bundle(folder / DEFAULTS[task], task)
