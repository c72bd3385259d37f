"""The packages of the extra ``cohort``, or one clear line that names the extra."""

from __future__ import annotations

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
