"""What the tests of bundles share; nothing is imported where torch is not installed, so that they can be skipped."""

import shutil

import pytest


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    from models_world import write

    return write(tmp_path_factory.mktemp("bundles") / "toy").path


@pytest.fixture
def bundle_folder(original, tmp_path):
    """A copy to be spoilt."""
    return shutil.copytree(original, tmp_path / "toy")


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The user's folder, empty."""
    from COVIDQuantLib.models import catalogue

    folder = tmp_path / "own"
    monkeypatch.setenv(catalogue.ENVIRONMENT, str(folder))
    return folder


@pytest.fixture
def shipped(original, tmp_path, monkeypatch):
    """A folder in place of the shipped bundles, with one in it."""
    from COVIDQuantLib.models import catalogue, install

    folder = tmp_path / "shipped"
    shutil.copytree(original, folder / "toy")
    for module in (catalogue, install):
        monkeypatch.setattr(module, "shipped_folder", lambda: folder)
    return folder
