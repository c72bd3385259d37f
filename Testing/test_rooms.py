"""The rooms of the library: drawn as they are, none larger than a head can hold, the two lesion models apart."""

import subprocess
import sys

import pytest
from rooms import GUIDE, filled, imports, rooms_upwards
from test_extension_layout import LIBRARY, MODULE, ROOT, imports_of

MAX_FILES = 15
MAX_LINES = 2500
FOLDERS = sorted({path.parent for folder in (LIBRARY, MODULE) for path in folder.rglob("*.py")})


def test_the_guide_shows_the_rooms_as_they_are():
    text = GUIDE.read_text(encoding="utf-8")
    assert filled(text) == text, "run: python Testing/rooms.py"


def test_rooms_do_not_import_each_other_in_circles():
    edges = imports()
    order = rooms_upwards(edges)
    assert all(order.index(below) < order.index(room) for room in edges for below in edges[room])


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.relative_to(ROOT).as_posix())
def test_no_folder_outgrows_a_head(folder):
    files = list(folder.glob("*.py"))
    assert len(files) <= MAX_FILES, "make folders of what belongs together"
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) <= MAX_LINES


def test_what_is_trained_on_is_not_what_is_tested_on():
    """The phantom's lesions and the training's share no code but random fields and grids."""
    folder = LIBRARY / "simulation" / "lesions"
    files = {path.stem: path for path in folder.glob("*.py") if path.stem != "__init__"}
    assert {name.split("_")[0] for name in files} == {"phantom", "training"}
    for name, path in files.items():
        for module, _ in imports_of(path):
            if module.startswith("COVIDQuantLib.simulation.lesions."):
                assert module.split(".")[-1].split("_")[0] == name.split("_")[0], f"{name} imports {module}"


def test_a_phantom_needs_no_torch():
    """The sample CT is made in Slicer before torch is installed."""
    code = "import sys; import COVIDQuantLib.simulation.phantom; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
