"""Install and remove the user's own bundles, with all checks. Shipped bundles are never changed."""

from __future__ import annotations

import shutil
from pathlib import Path

from COVIDQuantLib.errors import OutputError, UnfitInputError, UsageError
from COVIDQuantLib.models.archive import opened
from COVIDQuantLib.models.bundle import Bundle, read_bundle
from COVIDQuantLib.models.catalogue import is_plain, shipped_folder, user_folder
from COVIDQuantLib.models.metadata import INFERENCE, METADATA, refuse_outside
from COVIDQuantLib.models.write import new_folder
from COVIDQuantLib.progress import Report, silent
from COVIDQuantLib.system.staging import Staging, clear_gone

# Besides metadata, weights and docs; scripts and pickles of an untrusted bundle are not copied.
_TEXTS = ("LICENSE", "LICENSE.txt", "README.md")
_DOCUMENTS = {".md", ".txt", ".png"}


def import_bundle(source: str | Path, *, replace: bool = False, report: Report = silent) -> Bundle:
    """Install a bundle from a folder or zip into the user's folder.

    Args:
        source: the bundle's folder, or a zip file of it.
        replace: replace the user's bundle of the same name.
        report: progress.

    Raises:
        UnfitInputError: it is not a complete, unaltered bundle that this version can run.
        UsageError: the name is taken by a shipped bundle, or by one of the user's and ``replace`` is not set.
        OutputError: it cannot be written.
    """
    with opened(Path(source)) as folder:
        bundle = read_bundle(folder)
        target = place_for(bundle.name)
        with new_folder(target, replace=replace) as staging:
            for relative in _wanted(bundle):
                refuse_outside(folder / relative, folder)
                (staging / relative).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(folder / relative, staging / relative)
            # The copy is checked, not the source, which may change meanwhile.
            _verify(staging, Path(source), report)
    return read_bundle(target)


def _verify(staging: Path, source: Path, report: Report) -> None:
    try:
        read_bundle(staging).verify(report)
    except UnfitInputError as error:
        raise UnfitInputError(error.what, str(source), error.remedy, error.code) from error


def place_for(name: str) -> Path:
    """The folder for the user's bundle of a name.

    Raises:
        UsageError: a shipped bundle has this name.
    """
    shipped = shipped_folder()
    if shipped is not None and (shipped / name).is_dir():
        raise UsageError(f"a bundle named {name} is shipped with COVIDQuant", remedy="Use another name for yours.")
    return user_folder() / name


def _wanted(bundle: Bundle) -> list[Path]:
    """The files of a bundle to copy, relative to its folder; links are skipped."""
    needed = [Path(METADATA), *(network.weights.relative_to(bundle.path) for network in bundle.networks.values())]
    documents = (path for path in (bundle.path / "docs").glob("*") if path.suffix in _DOCUMENTS)
    optional = [bundle.path / INFERENCE, *(bundle.path / name for name in _TEXTS), *documents]
    return [*needed, *(path.relative_to(bundle.path) for path in optional if _is_own_file(path, bundle.path))]


def _is_own_file(path: Path, folder: Path) -> bool:
    """Whether it is a file, and neither it nor any parent folder is a link."""
    ways = [path, *(parent for parent in path.parents if parent.is_relative_to(folder) and parent != folder)]
    return path.is_file() and not any(way.is_symlink() for way in ways)


def remove_bundle(name: str) -> Path:
    """Remove one of the user's bundles, usable or damaged; returns the removed folder.

    Raises:
        UsageError: it is shipped with COVIDQuant.
        UnfitInputError: the user has no such bundle.
        OutputError: it cannot be removed.
    """
    own = user_folder()
    path = own / name
    # Require a plain name with metadata inside: a wrong folder variable must not delete other folders.
    if not is_plain(name) or not (path / METADATA).is_file():
        shipped = shipped_folder()
        if shipped is not None and is_plain(name) and (shipped / name).is_dir():
            raise UsageError(
                f"{name} is shipped with COVIDQuant and cannot be removed",
                remedy="Only imported bundles can be removed.",
            )
        raise UnfitInputError("you have no model bundle of this name", name, f"Yours are in {own}.")
    try:
        if path.is_symlink():
            path.unlink()
            return path
        clear_gone(own)
        # Renamed first, so that it is never found half removed.
        doomed = Staging(own)
        try:
            path.rename(doomed.files / name)
        finally:
            doomed.remove()
    except OSError as error:
        what = f"the bundle cannot be removed ({error.strerror or error})"
        raise OutputError(what, str(path), "Close programs that use it.", "bundle-in-use") from error
    return path
