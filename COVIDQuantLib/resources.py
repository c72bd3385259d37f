"""Locate the shipped resources: beside the library in source and in Slicer, inside it when installed by pip."""

from __future__ import annotations

from pathlib import Path

_LIBRARY = Path(__file__).resolve().parent
# A file that only we have distinguishes our folder from another package's of the same name.
_MARKER = Path("Reference", "normal_lung_histogram.json")


def resource_path(*parts: str) -> Path:
    """Path of a shipped resource, e.g. ``resource_path("Reference", "normal_lung_histogram.json")``.

    Raises:
        FileNotFoundError: the installation is incomplete.
    """
    for folder in (_LIBRARY.parent / "Resources", _LIBRARY / "Resources"):
        if (folder / _MARKER).is_file():
            path = folder.joinpath(*parts)
            if path.exists():
                return path
    raise FileNotFoundError(f"resource {'/'.join(parts)} is missing: install COVIDQuant again")
