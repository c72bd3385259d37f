"""Packages that the networks need: offered, and installed by a click alone."""

import sys
import types
from pathlib import Path

import pytest

pytest.importorskip("slicer", reason="slicer-core is not installed")

import slicer


def test_missing_packages_are_offered_and_only_installed_by_a_click(world, phantom, monkeypatch):
    from COVIDQuantPanel import installing

    monkeypatch.setattr(installing, "missing_packages", lambda: ["torch"])
    asked = []
    monkeypatch.setattr(installing, "install", lambda: asked.append(1) or "Restart Slicer.")
    world.add_ct(phantom)
    world.leave()
    world.open()
    assert not world.ui.quantifyButton.enabled
    assert world.ui.installButton.visible
    assert asked == []
    world.ui.installButton.click()
    assert asked == [1]
    assert world.ui.progressLabel.text == "Restart Slicer."
    world.ui.methodCombo.currentIndex = 1
    assert world.ui.quantifyButton.enabled
    assert not world.ui.installButton.visible


def test_a_failed_installation_is_told_and_what_it_brought_is_seen(world, phantom, monkeypatch):
    from COVIDQuantPanel import installing

    missing = ["torch"]

    def install():
        missing.clear()
        raise RuntimeError("no network")

    monkeypatch.setattr(installing, "missing_packages", lambda: list(missing))
    monkeypatch.setattr(installing, "install", install)
    world.add_ct(phantom)
    world.leave()
    world.open()
    assert not world.ui.quantifyButton.enabled
    with pytest.raises(RuntimeError, match="no network"):
        world.ui.installButton.click()
    assert "no network" in world.errors.pop()
    assert world.ui.quantifyButton.enabled
    assert not world.ui.installButton.visible


@pytest.fixture
def packages(world, monkeypatch):
    """Slicer's installer, which notes what it is asked for; ``there`` names the packages that are installed."""
    from COVIDQuantPanel import installing

    told = types.SimpleNamespace(there=set(), pip=[], torch=[])
    monkeypatch.setattr(installing.importlib.util, "find_spec", lambda name: name in told.there or None)

    def pip_ensure(requirements, constraints, requester):
        told.pip.append((requirements, constraints.read_text(encoding="utf-8"), requester))
        told.there |= {"monai", "safetensors"}

    packaging = types.ModuleType("slicer.packaging")
    packaging.load_requirements = lambda path: Path(path).read_text(encoding="utf-8").splitlines()
    packaging.pip_ensure = pip_ensure
    monkeypatch.setitem(sys.modules, "slicer.packaging", packaging)
    monkeypatch.setattr(slicer, "packaging", packaging, raising=False)

    class Torch:
        def installTorch(self, **wanted):
            told.torch.append(wanted)
            told.there.add("torch")
            return object()

    told.extension = types.SimpleNamespace(PyTorchUtilsLogic=Torch)
    return told


def test_packages_are_installed_without_replacing_slicers_own(world, packages, monkeypatch):
    from COVIDQuantPanel import installing

    monkeypatch.setitem(sys.modules, "PyTorchUtils", packages.extension)
    assert installing.missing_packages() == ["torch", "monai", "safetensors"]
    assert "Installed" in installing.install()
    assert installing.missing_packages() == []
    assert len(packages.torch) == 1
    ((requirements, held, _),) = packages.pip
    assert any(line.startswith("monai>=") for line in requirements)
    assert {"numpy", "SimpleITK", "torch"} <= {line.split("==")[0] for line in held.split()}
    assert "Installed" in installing.install()
    assert len(packages.torch) == 1


@pytest.mark.parametrize("agrees", [True, False])
def test_without_the_pytorch_extension_it_is_offered(world, packages, monkeypatch, agrees):
    from COVIDQuantPanel import installing

    monkeypatch.setitem(sys.modules, "PyTorchUtils", None)
    asked = []
    manager = types.SimpleNamespace(installExtensionFromServer=lambda *wanted: asked.append(wanted) or True)
    slicer.app.extensionsManagerModel = lambda: manager
    world.answer = agrees
    text = installing.install()
    assert asked == ([("PyTorch", True)] if agrees else [])
    assert ("Restart" if agrees else "not installed") in text
    assert packages.pip == []
