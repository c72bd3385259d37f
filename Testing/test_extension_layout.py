"""The extension is whole: every file is packaged, imports only go down, the panel fits its code, nothing strays.

``python Testing/test_extension_layout.py`` writes the CMake lists of packaged files anew.
"""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
import xml.etree.ElementTree as ET
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LIBRARY = ROOT / "COVIDQuantLib"
MODULE = ROOT / "COVIDQuant"

AT_THE_ROOT = {
    ".ci", ".github", ".gitignore", ".pre-commit-config.yaml", "CHANGELOG.md", "CITATION.cff", "CMakeLists.txt",
    "CONTRIBUTING.md", "COVIDQuant", "COVIDQuant.json", "COVIDQuantLib", "LICENSE", "Makefile", "README.md",
    "Resources", "SECURITY.md", "Testing", "deploy", "docs", "examples", "mkdocs.yml", "pyproject.toml",
}  # fmt: skip

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONTRACTS = {contract["id"]: contract for contract in PROJECT["tool"]["importlinter"]["contracts"]}
# The lowest floor: small modules that everything may import.
BASE = {"", *CONTRACTS["floors"]["layers"][-1].split(" : ")}
# What comes from outside the library.
EVERYWHERE = {"numpy", "scipy", "SimpleITK", "pydicom"}
NETWORKS = {"torch", "monai", "safetensors"}
FOREIGN = {
    "scene": {"slicer", "vtk", "vtkmodules"},
    "dicom": {"highdicom"},
    "cli": {"ignite", "rich"},
    "export": {"matplotlib"},
    "followup": {"matplotlib"},
    "node": {"pynetdicom", "requests", "dicomweb_client"},
    "report": {"matplotlib", "jinja2", "weasyprint"},
    "networks": {*NETWORKS, "lungmask"},
    "models": {*NETWORKS, "lungmask"},
    "inference": {*NETWORKS, "lungmask"},
    "worker": NETWORKS,
    "training": {*NETWORKS, "ignite", "matplotlib"},
    "simulation": {"torch"},
    "statistics": {"matplotlib", "pandas", "statsmodels", "pingouin", "sklearn", "jinja2"},
    "cohort": {"matplotlib", "pandas"},
}
ONLY_IN_FUNCTIONS = {"matplotlib", "jinja2", "weasyprint", "highdicom"}
MAX_FUNCTION_LINES = 60
MAX_FILE_LINES = 500


def tracked(*patterns):
    """Files of the repository, those about to be added too, as paths relative to the root."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    command = [git, "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    return [Path(name) for name in listed if name and (ROOT / name).is_file()]


def python_files():
    return sorted(path for folder in (LIBRARY, MODULE) for path in folder.rglob("*.py"))


# ---------------------------------------------------------------------------------------------------- packaging


def files_to_package(folder):
    """What CMake must list for a folder, alphabetically, relative to where the list is used."""
    base = ROOT if folder.parent == ROOT and folder != MODULE else MODULE
    wanted = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    suffixes = {".py"} if folder == LIBRARY else None
    kept = (path for path in wanted if path.suffix != ".cmake" and (suffixes is None or path.suffix in suffixes))
    return sorted(path.relative_to(base).as_posix() for path in kept if path.name != ".gitkeep")


def cmake_list(path, variable):
    """The entries of ``set(variable ...)`` in a CMake file."""
    found = re.search(rf"set\({variable}\s+([^)]*)\)", path.read_text(encoding="utf-8"))
    return found.group(1).split() if found else []


LISTS = {LIBRARY: "COVIDQuantLib_FILES", ROOT / "Resources": "Resources_FILES"}


def list_text(folder):
    entries = "".join(f"  {name}\n" for name in files_to_package(folder))
    head = "# Files to package; `python Testing/test_extension_layout.py` writes this list anew.\n"
    return f"{head}set({LISTS[folder]}\n{entries}  )\n"


@pytest.mark.parametrize("folder", LISTS, ids=lambda folder: folder.name)
def test_every_file_is_listed_for_packaging(folder):
    path = folder / "files.cmake"
    listed, wanted = cmake_list(path, LISTS[folder]), files_to_package(folder)
    missing, gone = sorted(set(wanted) - set(listed)), sorted(set(listed) - set(wanted))
    where = path.relative_to(ROOT)
    assert not missing, f"Slicer would not package these; add to {where} (or run `python {Path(__file__).name}`):\n" + (
        "\n".join(f"  {name}" for name in missing)
    )
    assert not gone, f"remove from {where}, they do not exist: {gone}"
    assert listed == wanted, f"sort the list in {where}"


def test_every_resource_of_the_module_is_listed():
    listed = cmake_list(MODULE / "CMakeLists.txt", "MODULE_PYTHON_RESOURCES")
    listed = sorted(name.replace("${MODULE_NAME}", "COVIDQuant") for name in listed)
    assert listed == files_to_package(MODULE / "Resources"), "list them in COVIDQuant/CMakeLists.txt"


def test_every_script_of_the_module_is_listed():
    listed = cmake_list(MODULE / "CMakeLists.txt", "MODULE_PYTHON_SCRIPTS")
    wanted = [path for path in MODULE.rglob("*.py") if "Testing" not in path.relative_to(MODULE).parts]
    assert [name.replace("${MODULE_NAME}", "COVIDQuant") for name in listed] == sorted(
        path.relative_to(MODULE).as_posix() for path in wanted
    )
    tests = (MODULE / "Testing" / "Python" / "CMakeLists.txt").read_text(encoding="utf-8")
    for path in (MODULE / "Testing" / "Python").glob("*.py"):
        assert path.name in tests.replace("${MODULE_NAME}", "COVIDQuant")


# Slicer's build macros, as far as the extension uses them: copy to where Slicer installs, list the tests.
STAND_IN = """
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/Nothing.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/CPack.cmake")
set(Slicer_FOUND TRUE)
"""
USE_FILE = """
function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NAME)
    message(FATAL_ERROR "wrong call: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  foreach(file IN LISTS MY_SCRIPTS MY_RESOURCES)
    if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
      message(FATAL_ERROR "no such file: ${file}")
    endif()
    get_filename_component(folder "${file}" DIRECTORY)
    install(FILES "${file}" DESTINATION "qt-scripted-modules/${folder}")
  endforeach()
endfunction()
function(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "SCRIPT" "SLICER_ARGS" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT}")
    message(FATAL_ERROR "no such test: ${MY_SCRIPT}")
  endif()
endfunction()
"""
CPACK = """
foreach(name HOMEPAGE CATEGORY CONTRIBUTORS DESCRIPTION ICONURL SCREENSHOTURLS DEPENDS)
  if("${EXTENSION_${name}}" STREQUAL "")
    message(FATAL_ERROR "EXTENSION_${name} is not set")
  endif()
  file(APPEND "${CMAKE_BINARY_DIR}/extension.txt" "${name}=${EXTENSION_${name}}\\n")
endforeach()
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The extension as CMake installs it, with a stand-in for Slicer's macros."""
    cmake = shutil.which("cmake")
    if cmake is None:
        pytest.skip("cmake is not installed")
    folder = tmp_path_factory.mktemp("extension")
    for name, text in (("SlicerConfig", STAND_IN), ("UseSlicer", USE_FILE), ("CPack", CPACK), ("Nothing", "")):
        (folder / f"{name}.cmake").write_text(text, encoding="utf-8")
    build, prefix = folder / "build", folder / "installed"
    options = ["-S", ROOT, "-B", build, f"-DSlicer_DIR={folder}", f"-DCMAKE_INSTALL_PREFIX={prefix}"]
    for command in ([cmake, *options, "-DBUILD_TESTING=ON"], [cmake, "--install", build]):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        if "CMAKE_CXX_COMPILER" in done.stderr or "CMAKE_C_COMPILER" in done.stderr:
            pytest.skip("cmake finds no compiler, which Slicer's extensions configure for")
        assert done.returncode == 0, done.stdout + done.stderr
    return build, prefix / "qt-scripted-modules"


def test_what_is_installed_works_without_the_source_tree(installed, tmp_path):
    code = (
        "import sys, pkgutil, importlib; sys.path.insert(0, sys.argv[1]); import COVIDQuantLib\n"
        "from COVIDQuantLib.quantification.reference import shipped_reference; shipped_reference()\n"
        "from COVIDQuantLib.resources import resource_path\n"
        "skip = ('COVIDQuantLib.scene.', 'COVIDQuantLib.cli.', 'COVIDQuantLib.node.')\n"
        "for module in pkgutil.walk_packages(COVIDQuantLib.__path__, 'COVIDQuantLib.'):\n"
        "    if not module.name.startswith(skip) and '__main__' not in module.name:\n"
        "        importlib.import_module(module.name)\n"
        "files = [m.__file__ for n, m in sys.modules.items() if n.startswith('COVIDQuantLib')]\n"
        "assert all(f.startswith(sys.argv[1]) for f in files), files\n"
        "assert str(resource_path('Reference')).startswith(sys.argv[1])\n"
    )
    command = [sys.executable, "-B", "-c", code, str(installed[1].resolve())]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_module_lies_beside_the_library_once_installed(installed):
    for name in (
        "COVIDQuant.py",
        "COVIDQuantPanel/panel.py",
        "Resources/UI/InputSection.ui",
        "Resources/Icons/COVIDQuant.png",
        "COVIDQuantLib",
    ):
        assert (installed[1] / name).exists()


def test_the_extension_is_described(installed):
    lines = (installed[0] / "extension.txt").read_text(encoding="utf-8").splitlines()
    described = dict(line.split("=", 1) for line in lines)
    assert described["DEPENDS"] == "PyTorch"
    entry = json.loads((ROOT / "COVIDQuant.json").read_text(encoding="utf-8"))
    assert described["CATEGORY"] == entry["category"]
    assert described["DEPENDS"].split() == entry["build_dependencies"]
    assert described["SCREENSHOTURLS"]
    for url in (described["ICONURL"], *described["SCREENSHOTURLS"].split()):
        base = "https://raw.githubusercontent.com/COVIDQuant/COVIDQuant/main/"
        assert url.startswith(base)
        assert (ROOT / url.removeprefix(base)).is_file(), f"{url} is not in the repository"


# Slicer's Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json.
INDEX_FIELDS = {
    "$schema": str, "category": str, "scm_url": str, "scm_revision": str, "scm_type": str,
    "build_dependencies": list, "build_subdirectory": str, "enabled": bool, "tier": int,
}  # fmt: skip


def test_the_entry_of_the_extensions_index_is_valid():
    entry = json.loads((ROOT / "COVIDQuant.json").read_text(encoding="utf-8"))
    assert {"$schema", "category", "scm_url"} <= set(entry) <= set(INDEX_FIELDS)
    assert all(isinstance(value, INDEX_FIELDS[name]) for name, value in entry.items())
    assert entry["$schema"].endswith("/slicer-extension-catalog-entry-schema-v1.0.1.json#")
    assert entry["scm_type"] in {"git", "local"}
    assert 1 <= entry["tier"] <= 5


def test_versions_agree():
    version = re.search(r'__version__ = "(.+)"', (LIBRARY / "__init__.py").read_text(encoding="utf-8")).group(1)
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert PROJECT["project"]["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_the_root_stays_short():
    assert {path.parts[0] for path in tracked()} <= AT_THE_ROOT


def test_the_icon_is_large_enough():
    data = (MODULE / "Resources" / "Icons" / "COVIDQuant.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(data[start : start + 4], "big") for start in (16, 20))
    assert width == height >= 128


# ------------------------------------------------------------------------------------------------------ the panel


def ui_widgets(path):
    """Class of every named widget of a .ui file."""
    return {widget.get("name"): widget.get("class") for widget in ET.parse(path).getroot().iter("widget")}


@pytest.mark.parametrize("path", sorted(MODULE.rglob("*.ui")), ids=lambda path: path.name)
def test_the_panel_is_consistent(path):
    root = ET.parse(path).getroot()
    widgets = ui_widgets(path)
    assert len(widgets) == len(list(root.iter("widget"))), "two widgets share a name"
    declared = {custom.findtext("class") for custom in root.iter("customwidget")}
    used = {name for name in widgets.values() if name.startswith(("qMRML", "ctk", "qSlicer"))}
    assert used == declared
    for connection in root.iter("connection"):
        assert {connection.findtext("sender"), connection.findtext("receiver")} <= set(widgets)
    receivers = {c.findtext("receiver") for c in root.iter("connection") if "mrmlSceneChanged" in c.findtext("signal")}
    assert receivers == {name for name, kind in widgets.items() if kind.startswith("qMRML")} - {root.findtext("class")}


def test_the_module_has_the_classes_slicer_looks_for():
    tree = ast.parse((MODULE / "COVIDQuant.py").read_text(encoding="utf-8"))
    classes = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    assert {"COVIDQuant", "COVIDQuantWidget", "COVIDQuantLogic", "COVIDQuantTest"} <= classes


# --------------------------------------------------------------------------------------------------------- floors


def part_of(path):
    """The part of the library a file belongs to."""
    inside = path.relative_to(LIBRARY)
    return inside.parts[0] if len(inside.parts) > 1 else inside.stem.replace("__init__", "")


@cache
def imports_of(path):
    """Every import of a file: full module name, and whether it happens inside a function."""
    return list(_imports(ast.parse(path.read_text(encoding="utf-8"))))


def _imports(tree):
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.Lambda)) for n in ast.walk(f)}
    typing_only = {
        id(n)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for n in ast.walk(block)
    }
    for node in ast.walk(tree):
        later = id(node) in inside or id(node) in typing_only
        if isinstance(node, ast.Import):
            yield from ((alias.name, later) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole package"
            if node.module == "COVIDQuantLib":
                yield from ((f"COVIDQuantLib.{alias.name}", later) for alias in node.names)
            else:
                yield node.module, later


def test_imports_only_go_down():
    """The contracts in pyproject.toml, which import-linter also follows over detours."""
    pytest.importorskip("importlinter")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]
    options = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", sorted(LIBRARY.rglob("*.py")), ids=lambda p: p.relative_to(LIBRARY).as_posix())
def test_imports_from_outside_are_only_those_of_the_floor(path):
    part = part_of(path)
    for name, later in imports_of(path):
        top = name.split(".")[0]
        if top != "COVIDQuantLib" and top not in sys.stdlib_module_names:
            assert top in EVERYWHERE | FOREIGN.get(part, set()), f"{part} may not import {top}"
            assert later or top not in ONLY_IN_FUNCTIONS, f"{top} is imported where it is used, not with the module"


@pytest.mark.parametrize("path", python_files(), ids=lambda p: p.relative_to(ROOT).as_posix())
def test_files_and_functions_stay_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
def test_everything_compiles(version):
    """By that Python itself where it is installed, by this one's grammar of that version in any case."""
    minor = int(version.split(".")[1])
    for path in python_files():
        ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, min(minor, sys.version_info.minor)))
    python = shutil.which(f"python{version}")
    code = "import sys; [compile(open(f, encoding='utf-8').read(), f, 'exec') for f in sys.argv[1:]]; print('good')"
    files = [str(path) for path in python_files()]
    # A version manager's stub exists for versions that are not chosen, and then says only that.
    chosen = python and subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0
    if chosen:
        done = subprocess.run([python, "-c", code, *files], capture_output=True, text=True, check=False)
        assert done.stdout.strip() == "good", done.stderr


def test_the_module_calls_no_one():
    """An extension that reaches for the network while Slicer starts hangs it."""
    network = {"urllib", "http", "socket", "ssl", "ftplib", "requests", "smtplib"}
    # The node is what talks to others; nothing in Slicer imports it.
    for path in (path for path in python_files() if LIBRARY / "node" not in path.parents):
        assert not {name.split(".")[0] for name, _ in imports_of(path)} & network, path


if __name__ == "__main__":
    for listed_folder in LISTS:
        (listed_folder / "files.cmake").write_text(list_text(listed_folder), encoding="utf-8")
