"""``covidquant train``: from a recipe and a folder of cases to a bundle, and its complaints."""

import json
import subprocess
import sys

import pytest
import torch
import training_site as site
from safetensors.torch import load_file

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.inference.networks import Networks
from COVIDQuantLib.models.catalogue import find_bundle


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return site.make_site(tmp_path_factory.mktemp("site") / "cases")


def write_recipe(path, **changes):
    path.write_text(json.dumps(site.recipe(**changes)), encoding="utf-8")
    return str(path)


def train(recipe, out, *more):
    return main(["train", recipe, "--out", str(out), "--device", "cpu", "--quiet", *map(str, more)])


def test_it_trains_stops_and_resumes_to_the_same_weights(folder, tmp_path, capsys):
    whole = write_recipe(tmp_path / "whole.json", training__epochs=3)
    half = write_recipe(tmp_path / "half.json", training__epochs=2)
    assert train(whole, tmp_path / "a", "--data", folder) == 0
    assert train(half, tmp_path / "b", "--data", folder) == 0
    assert train(whole, tmp_path / "b", "--data", folder) == 2
    assert "holds a training already" in capsys.readouterr().err
    assert train(whole, tmp_path / "b", "--data", folder, "--resume") == 0
    a, b = (load_file(tmp_path / name / "tiny" / "models" / "slices.safetensors") for name in "ab")
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert find_bundle(tmp_path / "b" / "tiny").task == "lesions"
    other = write_recipe(tmp_path / "other.json", training__epochs=3, training__learning_rate=0.5)
    assert train(other, tmp_path / "b", "--data", folder, "--resume") == 2
    assert "training.learning_rate is not that of the run" in capsys.readouterr().err


def test_lungs_are_trained_from_the_data_beside_the_recipe(tmp_path, capsys):
    site.make_site(tmp_path / "cases", 2)
    recipe = write_recipe(
        tmp_path / "lungs.json",
        task="lungs",
        name="lungs-tiny",
        network={"architecture": "changsha-unet-2d-lungs", "settings": {"width": 2}},
        input={"pixel_mm": 9, "crop": "none"},
        data={"folder": "cases", "slices": "all", "shares": {"train": 0.5, "tune": 0, "validate": 0.5}},
        training__keep="last",
        training__epochs=1,
    )
    assert main(["train", recipe, "--out", str(tmp_path / "out"), "--device", "cpu"]) == 0
    shown = capsys.readouterr()
    assert "the site's own validate cases: dice" in shown.out
    lesions = write_recipe(tmp_path / "r.json", data__shares={"train": 1, "tune": 0, "validate": 0}, training__epochs=1)
    assert train(lesions, tmp_path / "out2", "--data", tmp_path / "cases") == 0
    networks = Networks(str(tmp_path / "out" / "lungs-tiny"), str(tmp_path / "out2" / "tiny"), "cpu")
    ct = read_ct(tmp_path / "cases" / "p0_scan" / "ct.nrrd").canonical()[0]
    lungs = networks.lobes(ct, [])
    assert lungs.shape == networks.lesions(ct, lungs, []).shape == ct.hu.shape
    assert not networks.finds_lobes


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        ("{", 3, "not JSON"),
        ("[]", 2, "the file is not an object"),
        (json.dumps(site.recipe(training__epochs="many")), 2, "training.epochs cannot be 'many'"),
        (json.dumps(site.recipe()), 2, "no cases to train on"),
        (json.dumps(site.recipe(data__folder="nowhere")), 3, "no such folder of cases"),
    ],
)
def test_mistakes_are_one_line_and_a_status(tmp_path, capsys, text, status, said):
    path = tmp_path / "recipe.json"
    path.write_text(text, encoding="utf-8")
    assert train(str(path), tmp_path / "out") == status
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_no_such_recipe_names_those_that_ship(tmp_path, capsys):
    assert train("yoo-1999", tmp_path / "out") == 3
    assert "yoo-2022" in capsys.readouterr().err


def test_an_unreadable_case_is_named(tmp_path, capsys):
    broken = site.make_site(tmp_path / "cases", 3) / "p2_scan" / "ct.nrrd"
    broken.write_bytes(broken.read_bytes()[:300])
    assert train(write_recipe(tmp_path / "r.json"), tmp_path / "out", "--data", tmp_path / "cases") == 3
    error = capsys.readouterr().err
    assert "p2_scan" in error
    assert error.count("\n") == 1


def test_help_does_not_load_torch():
    code = "import sys; from COVIDQuantLib.cli.main import make_parser; make_parser(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
