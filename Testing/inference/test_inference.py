"""Networks on a CT: the shipped bundles, orientation, memory, errors, cancelling."""

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from COVIDQuantLib.anatomy import LOBES
from COVIDQuantLib.ct.source import CTSource
from COVIDQuantLib.ct.volume import CTVolume, CTWarning
from COVIDQuantLib.errors import Cancelled, UnfitInputError, UsageError
from COVIDQuantLib.evaluation.overlap import dice
from COVIDQuantLib.inference.device import CPU_INSTEAD, Device
from COVIDQuantLib.inference.lesions import LesionsNetwork, find_lesions_by_network
from COVIDQuantLib.inference.lobes import (
    LobesNetworks,
    find_lobes_by_networks,
)
from COVIDQuantLib.inference.lobes_rules import (
    leave_out_air,
    leave_out_fat,
    take_in_dense_disease,
    take_in_likely_disease,
    tidy,
)
from COVIDQuantLib.inference.networks import Networks, warm_networks
from COVIDQuantLib.models import default_bundle
from COVIDQuantLib.pipeline import DEFAULT_PLAN, MODEL_FREE, NETWORK, GivenMasks, Plan, quantify_ct
from COVIDQuantLib.progress import StagedProgress
from COVIDQuantLib.voxels.geometry import Geometry

CPU = Device("cpu")


class Part(NamedTuple):
    ct: CTVolume
    lobes: np.ndarray
    lesions: np.ndarray


@pytest.fixture(scope="module")
def phantom(once):
    return once.phantom(seed=1500, thickness_mm=5.0, matrix=128, extent_percent=15.0, motion=False)


@pytest.fixture(scope="module")
def exam(phantom, once):
    return once.value("exam-1500", lambda: quantify_ct(phantom.ct))


@pytest.fixture(scope="module")
def part(phantom):
    """The middle of the chest, where the whole would show no more and takes longer."""
    k = len(phantom.ct.hu)
    rows = slice(2 * k // 5, 3 * k // 5)
    ct = phantom.ct
    hu, padding = (np.ascontiguousarray(array[rows]) for array in (ct.hu, ct.padding))
    return Part(
        CTVolume(hu, Geometry(hu.shape, ct.geometry.spacing), padding), phantom.lobes[rows], phantom.lesions[rows]
    )


@pytest.fixture(scope="module")
def networks():
    return Networks(device="cpu")


# ------------------------------------------------------------------------------------------------- the shipped bundles


def test_the_default_is_the_shipped_networks_and_the_record_says_so(exam):
    assert DEFAULT_PLAN.method == NETWORK
    for step in ("lobes", "lesions"):
        record = exam.segmentation.provenance[step]
        assert record["method"] == NETWORK
        assert record["model"] == default_bundle(step).record()
        assert all(len(sha) == 64 for sha in record["model"]["sha256"].values())
        assert record["precision"] in {"float32", "bfloat16", "float16"}


def test_a_made_chest_is_found(phantom, exam):
    assert dice(exam.segmentation.lobes > 0, phantom.lobes > 0) > 0.95
    for lobe in LOBES:
        assert dice(exam.segmentation.lobes == lobe.label, phantom.lobes == lobe.label) > 0.7
    assert dice(exam.segmentation.lesions, phantom.lesions) > 0.6
    assert not (exam.segmentation.lesions & (exam.segmentation.lobes == 0)).any()


def test_a_turned_ct_gives_the_turned_result(part):
    ct = part.ct
    i, j, k = ct.geometry.spacing
    turned = CTVolume(
        np.ascontiguousarray(ct.hu.transpose(2, 0, 1)[:, ::-1]),
        Geometry(
            (ct.hu.shape[2], ct.hu.shape[0], ct.hu.shape[1]),
            (j, k, i),
            (ct.geometry.origin[0], ct.geometry.origin[1], ct.geometry.origin[2] + k * (ct.hu.shape[0] - 1)),
            (0, 0, 1, 1, 0, 0, 0, -1, 0),
        ),
        np.ascontiguousarray(ct.padding.transpose(2, 0, 1)[:, ::-1]),
    )
    as_it_is, found = (quantify_ct(each).segmentation for each in (ct, turned))
    assert as_it_is.lesions.any()
    assert np.array_equal(found.lobes, as_it_is.lobes.transpose(2, 0, 1)[:, ::-1])
    assert np.array_equal(found.lesions, as_it_is.lesions.transpose(2, 0, 1)[:, ::-1])


def test_bundles_hold_what_the_metadata_promise():
    for task in ("lobes", "lesions"):
        bundle = default_bundle(task)
        bundle.verify()
        ours = bundle.metadata["covidquant"]
        assert ours["not_a_medical_device"] is True
        assert ours["measured"], "a shipped bundle says what was measured"
        assert ours["training"], "and how it was trained"
        assert sum(path.stat().st_size for path in bundle.path.rglob("*") if path.is_file()) < 20e6


def test_networks_stay_warm_for_the_next_ct():
    assert warm_networks(None, None, "cpu") is warm_networks(None, None, "cpu")


def test_a_replaced_bundle_is_loaded_anew(tmp_path):
    folder = tmp_path / "mine"
    shutil.copytree(default_bundle("lesions").path, folder)
    before = warm_networks(None, str(folder), "cpu")
    version = before.bundle("lesions").version
    assert version == default_bundle("lesions").version != "9.9.9"
    metadata = folder / "configs" / "metadata.json"
    metadata.write_text(metadata.read_text(encoding="utf-8").replace(f'"version": "{version}"', '"version": "9.9.9"'))
    after = warm_networks(None, str(folder), "cpu")
    assert after is not before
    assert after.bundle("lesions").version == "9.9.9"


def test_the_record_says_that_the_cpu_took_over(networks):
    plain = networks.record("lobes")["device"]
    assert networks.record("lobes", [CTWarning(CPU_INSTEAD, "")])["device"].startswith(f"{plain}; CPU")


def test_the_precision_of_the_cpu_changes_little(part, networks):
    ct, _ = part.ct.canonical()
    record = default_bundle("lobes")
    roles = {role: record.load(role) for role in record.networks}
    inputs = {role: record.network(role).input for role in roles}
    both = [
        find_lobes_by_networks(ct, LobesNetworks.of(roles, inputs), Device("cpu", precision=precision), [])
        for precision in ("float32", "bfloat16")
    ]
    assert dice(both[0] > 0, both[1] > 0) > 0.995
    assert np.mean(both[0] != both[1]) < 0.005


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_finds_what_the_cpu_finds(phantom, exam):
    found = quantify_ct(phantom.ct, plan=Plan(NETWORK, "cuda")).segmentation
    assert np.mean(found.lobes != exam.segmentation.lobes) < 0.005
    assert dice(found.lesions, exam.segmentation.lesions) > 0.98


# ------------------------------------------------------------------------------------------------------ plan and masks


def test_masks_take_the_place_of_networks(part):
    given = GivenMasks(lobes=part.lobes, lesions=part.lesions)
    found = quantify_ct(part.ct, given).segmentation
    assert np.array_equal(found.lobes, part.lobes)
    assert np.array_equal(found.lesions, part.lesions)
    found = quantify_ct(part.ct, GivenMasks(lungs=part.lobes)).segmentation
    assert np.array_equal(found.lobes > 0, part.lobes > 0)
    assert found.provenance["lobes"]["method"] == MODEL_FREE
    assert found.provenance["lesions"]["method"] == NETWORK


def test_a_bundle_that_is_not_needed_may_be_missing(part):
    plan = Plan(NETWORK, lobes_model="no-such-bundle")
    assert quantify_ct(part.ct, GivenMasks(lobes=part.lobes), plan=plan).segmentation.lesions.any()
    with pytest.raises(UnfitInputError, match="no such model"):
        quantify_ct(part.ct, plan=plan)


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "magic"},
        {"method": MODEL_FREE, "device": "cuda"},
        {"method": MODEL_FREE, "lobes_model": "lobes-unet-3d"},
    ],
)
def test_a_plan_that_cannot_be_is_refused(wrong):
    with pytest.raises(UsageError):
        Plan(**wrong)


def test_a_bundle_for_another_task_is_refused(part):
    name = default_bundle("lobes").name
    with pytest.raises(UnfitInputError, match="for lobes, not for lesions"):
        quantify_ct(part.ct, plan=Plan(NETWORK, "cpu", None, name))


@pytest.mark.parametrize("hu", [-1000, 40])
def test_no_lungs_no_result(part, hu):
    ct = CTVolume(np.full(part.ct.hu.shape, hu, np.int16), part.ct.geometry, source=CTSource(path=Path("air.nrrd")))
    with pytest.raises(UnfitInputError, match=r"air.nrrd: no lungs"):
        quantify_ct(ct, plan=Plan(NETWORK, "cpu"))


@pytest.mark.parametrize("stop_at", [0.0, 0.2, 0.5, 0.7, 0.95])
def test_cancelling_stops_at_once(part, stop_at):
    told = []

    def show(state):
        told.append(state.fraction)
        if state.fraction >= stop_at:
            raise Cancelled

    with pytest.raises(Cancelled):
        quantify_ct(part.ct, progress=StagedProgress(DEFAULT_PLAN.stages, show))
    assert told == sorted(told)
    assert sum(fraction >= stop_at for fraction in told) == 1


# ---------------------------------------------------------------------------------------------- memory, pieces, tidying


class Hungry(nn.Module):
    """Runs out of memory above a size (slices in 2D, numbers in 3D); else says what the first channel says."""

    def __init__(self, limit, classes):
        super().__init__()
        self.limit, self.classes = limit, classes
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        if (len(x) if x.ndim == 4 else x.numel()) > self.limit:
            raise RuntimeError("CUDA out of memory (simulated)")
        lung = (x[:, :1] < -0.2) * 4.0 - 2.0
        return torch.cat([-lung, *([lung] * (self.classes - 1))], dim=1) if self.classes > 1 else lung


def box_ct(shape=(60, 48, 56), spacing=4.0):
    hu = np.full(shape, 40, np.int16)
    hu[6:-6, 10:-10, 8:24] = hu[6:-6, 10:-10, 32:48] = -850
    return CTVolume(hu, Geometry(shape, (spacing,) * 3))


def test_little_memory_changes_the_slabs_and_not_the_labels():
    ct = box_ct()
    answers, notices = [], []
    for limit in (1e12, 6.5e6):
        network = Hungry(limit, 6)
        answers.append(find_lobes_by_networks(ct, LobesNetworks(network, network), CPU, notices))
    assert np.array_equal(*answers)
    assert {notice.code for notice in notices} == {"smaller-batch"}
    assert np.array_equal(answers[0] > 0, ct.hu < -500)


class OneSided(nn.Module):
    """Says lung (mostly the last lobe) where there is air, and a little in whatever lies at the patient's right."""

    def forward(self, x):
        lung = torch.where(x[:, :1] < -0.2, 8.0, -8.0)
        right = torch.arange(x.shape[4]) < x.shape[4] // 4
        lung = torch.where((lung < 0) & right, 2.0, lung)
        return torch.cat([-lung, *([lung] * 4), lung + 1.0], dim=1)


class Agrees(nn.Module):
    """Says what the coarse probabilities say."""

    def forward(self, x):
        return torch.log(x[:, 1:].clamp(min=1e-6))


@pytest.mark.parametrize("fine", [Agrees, OneSided])
@pytest.mark.parametrize("mirrored", [False, True])
def test_what_one_side_alone_calls_lung_counts_half(mirrored, fine):
    ct = box_ct()
    found = find_lobes_by_networks(ct, LobesNetworks(OneSided(), fine(), mirrored=mirrored), CPU, [])
    air = ct.hu < -500
    assert (found[air] == 5).all()
    wrong = (found > 0) & ~air
    assert wrong.any() != mirrored


class TellsSoftTissues(nn.Module):
    """Says lung in air and, by its second channel, in what is as dense as consolidation (0 to 20 HU)."""

    def forward(self, x):
        dense = (x[:, 1:2] > -0.2) & (x[:, 1:2] < -0.1)
        lung = torch.where((x[:, :1] < -0.2) | dense, 4.0, -4.0)
        return torch.cat([-lung, *([lung] * 5)], dim=1)


def test_the_coarse_network_may_see_a_second_window():
    ct = box_ct()
    ct.hu[20:40, 16:-16, 8:14] = 10
    record = {"window_hu": [-1000, 400], "spacing_mm": 5.0}
    inputs = {"coarse": record | {"soft_window_hu": [-160, 240]}, "fine": record | {"spacing_mm": 2.0}}
    networks = LobesNetworks.of({"coarse": TellsSoftTissues(), "fine": Agrees()}, inputs)
    assert networks.soft_window_hu == (-160, 240)
    found = find_lobes_by_networks(ct, networks, CPU, []) > 0
    assert found[22:38, 18:-18, 9:13].all()
    assert not found[:, :6].any()


def test_little_memory_changes_the_batches_and_not_the_lesions():
    ct = box_ct()
    lungs = (ct.hu < -500).astype(np.uint8)
    answers, notices = [], []
    for limit in (1000, 3):
        network = LesionsNetwork(Hungry(limit, 1), window_hu=(-3000.0, 150.0))
        answers.append(find_lesions_by_network(ct, lungs, network, CPU, notices))
    assert np.array_equal(*answers)
    assert {notice.code for notice in notices} == {"smaller-batch"}


def test_dense_tissue_that_its_surroundings_call_lung_is_taken_in():
    shape = (24, 24, 24)
    hu = torch.full(shape, -850.0)
    hu[:, 12:] = 40.0
    logits = torch.zeros(6, *shape)
    logits[0] = -6.0  # lung
    logits[0, :, 12:] = 2.0  # consolidation that is a little more likely wall
    logits[0, :, 20:] = 8.0  # wall
    take_in_likely_disease(logits, hu, 2.0)
    lung = logits.argmax(dim=0) > 0
    assert lung[4:-4, 12:17, 4:-4].all()
    assert not lung[:, 20:].any()


def test_the_blurred_rim_of_the_wall_is_not_taken_in():
    shape = (24, 24, 24)
    hu = torch.full(shape, -850.0)
    hu[:, 12:] = 40.0
    logits = torch.zeros(6, *shape)
    logits[0] = -6.0
    logits[0, :, 12] = 2.0
    logits[0, :, 13:] = 8.0
    take_in_likely_disease(logits, hu, 2.0)
    assert not (logits.argmax(dim=0) > 0)[:, 12:].any()


def test_no_lungs_no_lesions():
    network = LesionsNetwork(Hungry(1e12, 1))
    assert not find_lesions_by_network(box_ct(), np.zeros((60, 48, 56), np.uint8), network, CPU, []).any()


def test_islands_fall_to_what_is_likely_there():
    logits = torch.zeros(6, 12, 20, 20)
    logits[0] = 2.0
    logits[1, :, :, :8] = 5.0  # right upper lobe
    logits[3, :, :, :8] = 4.0
    logits[3, 5:7, 5:7, 2:4] = 9.0  # an island of the lower lobe within it
    logits[3, :4, :, :8] = 9.0  # and the lower lobe itself
    logits[5, :, :, 12:] = 5.0
    logits[1, 8:10, 8:10, 14:16] = 9.0  # a crumb of right lung in the left
    tidy(logits)
    labels = logits.argmax(dim=0)
    assert (labels[5:7, 5:7, 2:4] == 1).all()
    assert (labels[8:10, 8:10, 14:16] == 5).all()
    assert (labels[:4, :, :8] == 3).all()


def test_air_is_no_lung():
    logits = torch.zeros(6, 10, 12, 30)
    logits[0] = 2.0
    logits[1, :, :, :8] = logits[4, :, :, 12:18] = logits[3, :, :, 22:] = 5.0
    hu = torch.full((10, 12, 30), -850.0)
    hu[..., 12:18] = -940.0  # emphysema
    hu[..., 22:] = -1000.0  # beside the patient
    logits[5, :3, :3, 9:11] = 5.0
    hu[:3, :3, 9:11] = -900.0  # foam of the table
    leave_out_air(logits, hu)
    labels = logits.argmax(dim=0)
    assert (labels[..., :8] == 1).all()
    assert (labels[..., 12:18] == 4).all()
    assert (labels[..., 22:] == 0).all()
    assert (labels[:3, :3, 9:11] == 0).all()


def test_fat_that_goes_on_outside_the_lungs_is_not_lung_and_aerated_consolidation_is():
    logits = torch.zeros((6, 20, 20, 40))
    logits[0] = 5.0
    logits[1, :, :, :24] = 9.0
    hu = torch.full((20, 20, 40), -850.0)
    hu[:, :, 20:] = -100.0 + 10 * torch.randn((20, 20, 20), generator=torch.Generator().manual_seed(0))
    hu[4:10, 4:10, 4:10] = -100.0  # as even as fat, but lung all around it
    uneven = torch.randn((6, 6, 6), generator=torch.Generator().manual_seed(1))
    hu[12:18, 12:18, 18:24] = -100.0 + 150 * uneven
    leave_out_fat(logits, hu)
    labels = logits.argmax(dim=0)
    assert (labels[..., :19] == 1).all()
    assert (labels[2:8, 2:18, 22:] == 0).all()
    assert (labels[13:17, 13:17, 19:22] == 1).all()


def test_a_notch_of_consolidation_is_taken_in_and_the_mediastinum_is_not():
    logits = torch.full((6, 20, 20, 40), -8.0)
    logits[0] = 8.0
    logits[0, :, :, :14] = logits[0, :, :, 26:] = -8.0
    logits[1, :, :, :14] = logits[5, :, :, 26:] = 8.0
    logits[0, 8:11, 8:11, 4:9] = 1.0  # doubted lung within lung
    logits[1, 8:11, 8:11, 4:9] = -0.5
    take_in_dense_disease(logits)
    labels = logits.argmax(dim=0)
    assert (labels[..., :14] == 1).all()
    assert (labels[..., 14:26] == 0).all()
    assert (labels[..., 26:] == 5).all()
