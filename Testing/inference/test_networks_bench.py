"""The benchmark of the networks runs on a small CT with bundles of random weights, and counts operations rightly."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from COVIDQuantLib.models import TrainedNetwork, write_bundle  # noqa: E402
from COVIDQuantLib.networks.registry import build_network  # noqa: E402

FACTS = {"version": "0.0.1", "description": "random", "licence": "none", "data_source": "none"}


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return importlib.import_module("bench_networks")


@pytest.fixture
def words(tmp_path):
    """The command line for a small CT, and bundles whose networks call everything right upper lobe and lesion."""
    hu = np.random.default_rng(1).integers(-1000, 200, (12, 40, 40)).astype(np.int16)
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((8.0, 8.0, 10.0))
    sitk.WriteImage(image, tmp_path / "ct.nrrd")
    kinds = {
        "coarse": ("lobes-unet-3d", {"features": (4, 8)}, {"spacing_mm": 10.0, "window_hu": [-1000, 400]}),
        "fine": ("lobes-unet-3d", {"features": (4, 8), "in_channels": 7}, {"spacing_mm": 8.0}),
        "slices": ("covid-lesion-net", {"width": 2}, {"window_hu": [-1350, 150], "pixel_mm": 8.0}),
    }
    made = {}
    for role, (name, settings, given) in kinds.items():
        network = build_network(name, **settings)
        torch.nn.init.zeros_(network.final.weight)
        network.final.bias.data[min(1, network.final.out_channels - 1)] = 9.0
        made[role] = TrainedNetwork(name, settings, network, given)
    for task, roles in (("lobes", ("coarse", "fine")), ("lesions", ("slices",))):
        networks = {role: made[role] for role in roles}
        write_bundle(tmp_path / task, networks=networks, name=task, task=task, **FACTS)
    bundles = ["--lobes", str(tmp_path / "lobes"), "--lesions", str(tmp_path / "lesions")]
    return ["--ct", str(tmp_path / "ct.nrrd"), "--folder", str(tmp_path), *bundles, "--device", "cpu", "--repeat", "2"]


def test_both_sides_run_small(bench, words, tmp_path, capsys):
    pytest.importorskip("lungmask", reason="the optional package lungmask is not installed")
    pytest.importorskip("fill_voids", reason="lungmask is installed without what it needs")
    records = []
    for side in bench.SIDES:
        bench.main([*words, "--side", side, "--lungmask-slices", "1", "--whole-job"])
        records.append(json.loads((tmp_path / f"{side}.json").read_text(encoding="utf-8")))
    ours, theirs = records[1:]
    assert len(ours["runs"]) == 2
    assert all(run["inside"] < run["lobes"] + run["lesions"] for run in ours["runs"])
    assert ours["lung_voxels"] == ours["lesion_voxels"] == 12 * 40 * 40
    assert (theirs["slices"], theirs["of"]) == (1, 12)
    bench.show(*records)
    printed = capsys.readouterr().out
    assert "12 × 40 × 40, 10.00 × 8.00 × 8.00 mm" in printed
    assert "timed on 1 evenly chosen ones" in printed


def test_our_side_runs_small(bench, words, tmp_path):
    bench.main([*words, "--side", "ours"])
    ours = json.loads((tmp_path / "ours.json").read_text(encoding="utf-8"))
    assert ours["gflop"] > 0
    assert ours["attainable_gflops"] > 0
    assert "whole_job" not in ours


def test_operations_are_counted_by_hand(bench):
    convolution = torch.nn.Conv2d(3, 5, 3, padding=1)
    assert bench.flops_of(convolution, (2, 3, 7, 11)) == 2 * 2 * 5 * 7 * 11 * 3 * 9
    # Half precision is counted, and the network is left as it was.
    half = torch.nn.Conv2d(3, 5, 1).bfloat16()
    assert bench.flops_of(half, (1, 3, 4, 4)) == 2 * 5 * 16 * 3
    assert half.weight.dtype == torch.bfloat16
    assert half.weight.device.type == "cpu"
