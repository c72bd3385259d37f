"""What ``pip install .`` installs: every package and every resource, found from there."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Lists for CMake and packages' caches do not ship.
NOT_SHIPPED = {".cmake", ".pyc"}


@pytest.mark.slow
def test_a_wheel_holds_the_library_and_its_resources(tmp_path):
    source = tmp_path / "source"  # building leaves files behind
    for name in ("COVIDQuantLib", "Resources"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run(command, check=True)
    wheel = next(tmp_path.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    for folder, prefix in ((ROOT / "COVIDQuantLib", ""), (ROOT / "Resources", "COVIDQuantLib/")):
        files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in NOT_SHIPPED]
        missing = [str(path) for path in files if prefix + path.relative_to(ROOT).as_posix() not in held]
        assert not missing, "add to packages or package-data in pyproject.toml"
    script = "from COVIDQuantLib.quantification.reference import shipped_reference as s; print(len(s().subjects))"
    isolated = [sys.executable, "-c", script]
    found = subprocess.run(isolated, check=True, capture_output=True, text=True, cwd=tmp_path / "site")
    assert int(found.stdout) > 0
