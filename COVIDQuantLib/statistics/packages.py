"""The packages of the extra ``cohort``, or one clear line that names the extra."""

from __future__ import annotations

from importlib import metadata
from importlib.util import find_spec

from COVIDQuantLib.errors import UsageError

# Package to import → the extra of pyproject.toml that installs it.
NEEDED = {
    "pandas": "cohort",
    "pyarrow": "cohort",
    "statsmodels": "cohort",
    "pingouin": "cohort",
    "sklearn": "cohort",
    "jinja2": "report",
    "matplotlib": "cohort",
}

# Those that compute, by the names under which they are installed.
_COMPUTING = ("pandas", "statsmodels", "pingouin", "scikit-learn", "matplotlib")


def computing_versions() -> dict[str, str]:
    """Versions of the packages that the results of a study depend on."""
    return {name: metadata.version(name) for name in _COMPUTING}


def require_packages() -> None:
    """Check that everything a study needs is installed, before any work.

    Raises:
        UsageError: packages are missing; names them and the extras that install them.
    """
    missing = {name: extra for name, extra in NEEDED.items() if find_spec(name) is None}
    if missing:
        extras = ",".join(sorted(set(missing.values())))
        raise UsageError(
            f"a study needs {', '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            remedy=f'Install with: pip install "COVIDQuant[{extras}]".',
            code="cohort-packages",
        )
