"""The package as a script uses it: the calls it offers, what importing it costs, and the documented example."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import COVIDQuantLib
from COVIDQuantLib.simulation.phantom import PhantomSettings, make_phantom
from COVIDQuantLib.simulation.phantom.files import write_phantom

ROOT = Path(__file__).resolve().parents[1]
LIGHT = "import sys, COVIDQuantLib\nprint(*sorted({name.split('.')[0] for name in sys.modules}))"


def test_importing_the_package_imports_nothing_else():
    result = subprocess.run([sys.executable, "-c", LIGHT], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"numpy", "scipy", "SimpleITK", "pydicom", "torch", "monai", "matplotlib"} & set(result.stdout.split())


def test_what_every_worker_loads_does_not_wait_for_files_networks_or_optimisers():
    code = LIGHT.replace("COVIDQuantLib", "COVIDQuantLib.pipeline").replace(".split('.')[0]", "")
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"pydicom", "scipy.optimize", "torch", "matplotlib"} & set(result.stdout.split())


def test_every_call_offered_is_there_and_is_the_one_defined_below():
    for name in COVIDQuantLib.__all__:
        assert getattr(COVIDQuantLib, name) is not None
    assert set(COVIDQuantLib.__all__) <= set(dir(COVIDQuantLib))
    from COVIDQuantLib import quantify_ct
    from COVIDQuantLib.pipeline import quantify_ct as defined

    assert quantify_ct is defined
    with pytest.raises(AttributeError, match="no attribute 'quantify'"):
        COVIDQuantLib.quantify  # noqa: B018


def test_the_example_of_the_documentation_runs_on_a_phantom(tmp_path, capsys):
    phantom = make_phantom(PhantomSettings(seed=1, thickness_mm=10.0, matrix=64, extent_percent=10.0))
    write_phantom(phantom, tmp_path)
    text = (ROOT / "docs" / "scripting.md").read_text(encoding="utf-8").split("## Without Slicer")[1]
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == 2
    space = {}
    for block in blocks:
        exec(compile(block.replace("/data", str(tmp_path)), "scripting.md", "exec"), space)
    assert {"metrics.csv", "metrics.json", "segmentation.seg.nrrd"} <= {path.name for path in space["files"]}
    assert all(path.is_file() for path in space["files"])
    # The masks were the phantom's own: so are the volumes.
    exam = space["exam"]
    truth = {record["region"]: record for record in phantom.truth["regions"]}
    for region in ("whole lung", "left lower lobe"):
        assert exam.metrics.value(region, "lesion_volume_ml") == pytest.approx(truth[region]["lesion_volume_ml"])
    assert "left lower lobe" in capsys.readouterr().out
