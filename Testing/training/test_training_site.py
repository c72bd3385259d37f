"""Site data: cases, splits without leaks, slices as the papers draw them, and what a finished bundle says."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import training_site as site

from COVIDQuantLib.ct.read import read_ct
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.inference.device import cpu_device
from COVIDQuantLib.inference.lesions import LesionsNetwork, find_lesions_by_network
from COVIDQuantLib.inference.slice_input import neighbours, window
from COVIDQuantLib.models.catalogue import find_bundle
from COVIDQuantLib.training.augment import AUGMENTATIONS
from COVIDQuantLib.training.label_free.recipe import ROLES, SCHEMAS
from COVIDQuantLib.training.losses import LOSSES
from COVIDQuantLib.training.recipe import SCHEMA, check_recipe, read_recipe, shipped_recipes
from COVIDQuantLib.training.schema import Key
from COVIDQuantLib.training.site.cases import describe_split, find_cases, split_cases
from COVIDQuantLib.training.site.measure import Scores, SliceMeter
from COVIDQuantLib.training.site.prepare import CaseStore, Preparation, ct_lungs
from COVIDQuantLib.training.site.run import train_site
from COVIDQuantLib.training.site.slices import Reference, SliceBatches, SliceSampler, TakeSlice


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return site.make_site(tmp_path_factory.mktemp("site") / "cases")


def recipe(**changes):
    return check_recipe(site.recipe(**changes), "tiny.json")


def store(folder, tmp_path, **changes):
    made = recipe(**changes)
    return CaseStore(find_cases(folder, made["task"]), Preparation.of(made), tmp_path / "cache"), made


# ------------------------------------------------------------------------------------------------- slice input


def test_the_window_and_what_lies_outside():
    hu = torch.tensor([-3024, -1350, -600, 150, 900], dtype=torch.int16)
    shown = window(hu, -1350, 150)
    assert shown.dtype == torch.float32
    assert shown.tolist() == pytest.approx([0, 0, 0.5, 1, 1])
    inside = torch.tensor([1, 1, 1, 0, 1], dtype=torch.uint8)
    assert window(hu, -1350, 150, inside).tolist() == pytest.approx([0, 0, 0.5, 0, 1])
    assert hu.tolist() == [-3024, -1350, -600, 150, 900]
    for low, high in ((150, -1350), (0, 0), (-4000, 0)):
        with pytest.raises(ValueError, match="window"):
            window(hu, low, high)


def test_neighbours_are_channels_and_ends_repeat():
    volume = torch.arange(5).reshape(5, 1, 1).float()
    assert neighbours(volume, 1, 3)[:, :, 0, 0].tolist() == [[0, 0, 1], [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 4]]
    assert neighbours(volume, 1.5, 5)[2, :, 0, 0].tolist() == [0, 0, 2, 4, 4]
    assert neighbours(volume, 3, 1).data_ptr() == volume.data_ptr()
    with pytest.raises(ValueError, match="odd"):
        neighbours(volume, 1, 2)


# ------------------------------------------------------------------------------------------------------- cases


def test_cases_are_found_in_any_layout(tmp_path):
    site.make_case(tmp_path / "a", 1)
    site.make_case(tmp_path / "b", 2, ending=".nii.gz")
    healthy = site.make_case(tmp_path / "c", 3, lesions=0)
    (healthy / "lesions.nrrd").unlink()
    (healthy / "lesion-free.txt").touch()
    (tmp_path / "notes").mkdir()
    cases = find_cases(tmp_path, "lesions")
    assert [case.name for case in cases] == ["a", "b", "c"]
    assert [case.lesion_free for case in cases] == [False, False, True]
    assert cases[2].target("lesions") is None


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda case: (case / "lesions.nrrd").unlink(), r"no lesions\.nii\.gz"),
        (lambda case: (case / "ct.nii").touch(), r"there are ct\.nii and ct\.nrrd"),
        (lambda case: (case / "ct.nrrd").unlink(), "there are no cases"),
    ],
)
def test_a_folder_that_is_not_clear_is_refused(tmp_path, spoil, said):
    spoil(site.make_case(tmp_path / "a", 1))
    with pytest.raises(UnfitInputError, match=said):
        find_cases(tmp_path, "lesions")


def test_the_split_follows_the_seed_and_leaves_no_case_twice(folder):
    cases = find_cases(folder, "lesions")
    split = split_cases(cases, recipe())
    assert {part: len(chosen) for part, chosen in split.items()} == {"train": 3, "tune": 1, "validate": 1}
    assert sorted(case.name for chosen in split.values() for case in chosen) == [case.name for case in cases]
    again = split_cases(cases, recipe())
    assert again == split
    others = {str(split_cases(cases, recipe(training__seed=seed))["tune"]) for seed in range(8)}
    assert len(others) > 1


def test_all_cases_of_a_patient_stay_together(tmp_path):
    for patient in "abcd":
        for scan in range(2):
            site.make_case(tmp_path / f"{patient}_{scan}", ord(patient) + scan)
    made = recipe(data__group="^([a-z])_", data__shares={"train": 0.5, "tune": 0.25, "validate": 0.25})
    split = split_cases(find_cases(tmp_path, "lesions"), made)
    patients = [{case.name[0] for case in chosen} for chosen in split.values()]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 4


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data__lists": {"train": ["p0_scan"], "validate": ["p0_scan"]}}, "case p0_scan is in train and again"),
        ({"data__lists": {"train": ["p0_scan", "p0_scan"]}}, "case p0_scan is in train and again in train"),
        (
            {"data__lists": {"train": ["p0_scan"], "tune": ["p1_scan"]}, "data__group": "(scan)"},
            "patient scan is in train and again in tune",
        ),
        ({"data__lists": {"train": ["p9"]}}, "data.lists.train: there is no case p9"),
        ({"data__group": "^(x)"}, "data.group does not fit the case p0_scan"),
    ],
)
def test_leaks_are_refused(folder, changes, said):
    with pytest.raises(UsageError, match=said):
        split_cases(find_cases(folder, "lesions"), recipe(**changes))


def test_the_same_ct_under_two_names_is_refused(tmp_path):
    for name in ("a", "b"):
        site.make_case(tmp_path / "cases" / name, 7)
    made = recipe(data__lists={"train": ["a"], "validate": ["b"]})
    with pytest.raises(UsageError, match=r"a \(train\) and b \(validate\) hold the same CT"):
        train_site(made, tmp_path / "cases", tmp_path / "out", "cpu")


# ------------------------------------------------------------------------------------------------- preparation


def test_nothing_is_resampled_at_the_cts_own_pixels(folder, tmp_path):
    cases, _ = store(folder, tmp_path, input__pixel_mm=None, input__size=[64, 50], input__crop="none")
    ct = read_ct(folder / "p0_scan" / "ct.nrrd").canonical()[0]
    _, lungs, ill = site.chest(0)
    item = cases[0]
    start, step, _ = item["lattice"].tolist()
    assert item["hu"].shape[1:] == (64, 50)
    k, j, i = (round(-a / b) for a, b in zip(start, step, strict=True))
    height = item["hu"].shape[0]
    shown = item["hu"][:, j : j + 48, i : i + 48].numpy()
    inside = lungs[-k : height - k] > 0
    assert np.array_equal(shown, np.where(inside, ct.hu[-k : height - k], -3024))
    assert np.array_equal(item["target"][:, j : j + 48, i : i + 48].numpy(), ill[-k : height - k] & inside)
    assert (item["hu"][:, :j] == -3024).all()
    assert np.array_equal(ct_lungs(item, ct.hu.shape), lungs > 0)


def test_slices_show_the_lungs_alone_and_the_sections_beside(folder, tmp_path):
    cases, made = store(folder, tmp_path, network__settings={"in_channels": 3, "width": 2}, input__neighbour_mm=16)
    item = cases[0]
    take = TakeSlice(cases, made["input"]["window_hu"])
    k = int(torch.nonzero(item["lungs"].flatten(1).any(dim=1))[3])
    sample = take(Reference(0, k))
    for channel, row in enumerate((k - 2, k, k + 2)):
        expected = window(item["hu"][row], -1350, 150)
        assert torch.equal(sample["image"][channel], expected)
        assert (sample["image"][channel][item["lungs"][row] == 0] == 0).all()
    assert torch.equal(sample["target"][0] > 0, item["target"][k] > 0)


def test_lungs_are_found_where_no_file_gives_them(folder, tmp_path):
    site.make_case(tmp_path / "cases" / "a", 0, lungs=False)
    found, _ = store(tmp_path / "cases", tmp_path)
    _, lungs, _ = site.chest(0)
    mask = ct_lungs(found[0], site.SHAPE)
    assert 2 * (mask & (lungs > 0)).sum() / (mask.sum() + (lungs > 0).sum()) > 0.9


def test_prepared_cases_are_kept_and_made_again_when_cut_short(folder, tmp_path):
    cases, _ = store(folder, tmp_path)
    first = cases[2]["hu"].clone()
    files = {path.name for path in (tmp_path / "cache").iterdir()}
    (made,) = (tmp_path / "cache").iterdir()
    stamp = made.stat().st_mtime_ns
    again, _ = store(folder, tmp_path)
    assert torch.equal(again[2]["hu"], first)
    assert made.stat().st_mtime_ns == stamp
    del cases, again
    data = made.read_bytes()
    made.unlink()
    made.write_bytes(data[:1000])
    mended, _ = store(folder, tmp_path)
    assert torch.equal(mended[2]["hu"], first)
    other, _ = store(folder, tmp_path, input__pixel_mm=5)
    assert other[2]["hu"].shape != first.shape
    assert len(list((tmp_path / "cache").iterdir())) == len(files) + 1


# ---------------------------------------------------------------------------------------------------- sampling


def test_every_positive_and_as_many_negatives_drawn_anew():
    positive = np.arange(40) % 4 == 0
    sampler = SliceSampler(positive, 1.0, seed=1)
    drawn = []
    for epoch in (1, 2, 3):
        sampler.epoch = epoch
        chosen = list(sampler)
        assert len(chosen) == len(set(chosen)) == len(sampler) == 20
        assert {n for n in chosen if positive[n]} == set(np.flatnonzero(positive).tolist())
        drawn.append(frozenset(n for n in chosen if not positive[n]))
        assert list(sampler) == chosen
    assert len(set(drawn)) == 3
    assert len(SliceSampler(positive, 0.5, 1)) == 15
    assert len(SliceSampler(positive, None, 1)) == len(SliceSampler(positive, 9.0, 1)) == 40


def test_batches_hold_the_drawn_slices_and_do_not_depend_on_the_past(folder, tmp_path):
    augment = [{"name": "flip"}, {"name": "affine"}, {"name": "noise"}, {"name": "shift"}, {"name": "contrast"}]
    cases, made = store(folder, tmp_path, augment=augment)
    batches = SliceBatches(cases, made)
    lungs = [item["lungs"].flatten(1).any(dim=1) for item in cases]
    assert len(batches.references) == sum(int(there.sum()) for there in lungs)
    positive = sum(int(item["target"].flatten(1).any(dim=1).sum()) for item in cases)
    shown = list(batches(2))
    assert sum(len(images) for images, _ in shown) == len(batches.sampler) > positive
    assert sum(int(t.flatten(1).any(dim=1).sum()) for _, t in shown) >= 0.9 * positive
    fresh = list(SliceBatches(cases, made)(2))
    assert all(torch.equal(a, c) and torch.equal(b, d) for (a, b), (c, d) in zip(shown, fresh, strict=True))
    other = list(batches(3))
    assert not all(a.shape == c.shape and torch.equal(a, c) for (a, _), (c, _) in zip(shown, other, strict=True))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmented_slices_keep_their_outside_and_their_target(folder, tmp_path, name):
    entry = {"name": name, **({"size": 20} if name == "crop" else {})}
    cases, made = store(folder, tmp_path, augment=[entry], network__settings={"in_channels": 3, "width": 2})
    for images, targets in SliceBatches(cases, made)(1):
        assert images.shape[1:2] == (3,)
        assert targets.shape == (len(images), 1, *images.shape[2:])
        assert set(targets.unique().tolist()) <= {0.0, 1.0}
        outside = images[:, 1] == 0
        assert 0.1 < outside.float().mean() < 0.95
        assert not (targets[:, 0] > 0)[outside].any() or name in {"shift", "noise", "contrast", "affine"}


@pytest.mark.parametrize("name", LOSSES)
def test_losses_fall_towards_the_truth(name):
    loss = LOSSES[name]()
    truth = (torch.rand(2, 1, 16, 16) > 0.7).float()
    good, poor = (truth * 2 - 1) * 4, torch.zeros_like(truth)
    assert loss(good, truth) < loss(poor, truth)


# --------------------------------------------------------------------------------------------------- measuring


def test_scores_are_per_scan_and_leave_the_healthy_apart():
    truth = torch.zeros(2, 4, 4, dtype=torch.bool)
    truth[0, :2] = True
    found = torch.zeros_like(truth)
    found[0, 1:4] = True
    scores = Scores()
    scores.add(found, truth, 0.5)
    scores.add(truth, truth, 0.5)
    scores.add(torch.zeros_like(truth), truth, 0.5)
    scores.add(found, torch.zeros_like(truth), 0.5)
    assert scores.dice == pytest.approx([2 * 4 / 20, 1, 0])
    assert scores.sensitivity == pytest.approx([0.5, 1, 0])
    assert scores.ppv == pytest.approx([1 / 3, 1, 0])
    assert scores.false_ml == [6.0]
    records = scores.records("these", "this machine")
    assert {(r["measure"], r["n"]) for r in records} >= {("dice", 3), ("volume found where there is none, mL", 1)}
    assert not Scores().records("none", "")


def brighter_than(hu):
    """A network that finds what is brighter than a CT number."""
    net = torch.nn.Conv2d(1, 1, 1)
    with torch.no_grad():
        net.weight.fill_(400.0)
        net.bias.fill_(-400.0 * (hu + 1350) / 1500)
    return net.eval()


def test_the_figure_of_every_epoch_is_that_of_inference(folder, tmp_path):
    cases, made = store(folder, tmp_path, input__pixel_mm=None)
    meter = SliceMeter(cases, made, made.fit_settings("cpu", tuned=True))
    quick, scores = meter(brighter_than(-650)), meter.on_ct_grid(brighter_than(-650), cpu_device())
    assert scores.means() == pytest.approx(quick, abs=1e-6)
    assert min(scores.dice) > 0.95
    assert scores.false_ml == [pytest.approx(0, abs=1)]


def test_resampled_slices_are_those_of_inference(folder, tmp_path):
    cases, made = store(folder, tmp_path, input__pixel_mm=5, input__least_section_mm=9)
    shown = []

    class Recorder(torch.nn.Module):
        def forward(self, images):
            shown.append(images.clone())
            return images[:, :1]

    ct = read_ct(folder / "p0_scan" / "ct.nrrd").canonical()[0]
    asked = LesionsNetwork.of(Recorder(), made.network_input())
    find_lesions_by_network(ct, site.chest(0)[1], asked, cpu_device(), [])
    take = TakeSlice(cases, made["input"]["window_hu"])
    item = cases[0]
    rows = torch.nonzero(item["lungs"].flatten(1).any(dim=1)).ravel().tolist()
    trained = torch.stack([take(Reference(0, k))["image"] for k in rows])
    # Whole HU in training, fractions in use; a pixel whose half is lung may fall on either side.
    assert ((trained - torch.cat(shown)).abs() > 1e-3).float().mean() < 1e-3


# ---------------------------------------------------------------------------------------------- whole training


def test_a_site_trains_a_bundle_that_is_what_was_measured(folder, tmp_path):
    made = recipe(training__epochs=6, network__settings={"width": 4}, data__lists={
        "train": ["p0_scan", "p1_scan", "p2_scan"], "tune": ["p3_scan"], "validate": ["p4_scan"],
    })  # fmt: skip
    trained = train_site(made, folder, tmp_path / "out", "cpu")
    bundle = find_bundle(trained.bundle.path, "lesions")
    bundle.verify()
    ours = bundle.metadata["covidquant"]
    figures = {(r["data"], r["measure"]): r["value"] for r in ours["measured"]}
    assert len(figures) == 6
    network = bundle.load("slices")
    cases = CaseStore([c for c in find_cases(folder, "lesions") if c.name == "p4_scan"], Preparation.of(made), tmp_path)
    again = SliceMeter(cases, made, made.fit_settings("cpu", tuned=True)).on_ct_grid(network, cpu_device())
    assert again.means()["dice"] == pytest.approx(figures["the site's own validate cases", "dice"], abs=1e-6)
    text = json.dumps(bundle.metadata)
    assert "p4_scan" not in text
    assert str(folder) not in text
    training = ours["training"]
    assert training["data"]["cases"] == {"train": 3, "tune": 1, "validate": 1}
    assert training["kept_epoch"] == trained.history.best_epoch
    assert training["recipe"]["training"]["epochs"] == 6
    assert set(training["versions"]) >= {"torch", "monai"}
    assert bundle.network("slices").input["cut"] == 0.5


def test_the_data_are_described_without_paths(folder, tmp_path):
    split = split_cases(find_cases(folder, "lesions"), recipe())
    moved = site.make_site(tmp_path / "elsewhere")
    assert describe_split(split_cases(find_cases(moved, "lesions"), recipe())) == describe_split(split)
    (next(iter(moved.iterdir())) / "lungs.nrrd").unlink()
    assert describe_split(split_cases(find_cases(moved, "lesions"), recipe())) != describe_split(split)


# ----------------------------------------------------------------------------------------------------- recipes


@pytest.mark.parametrize("name", ["yoo-2022", "pan-2021", "changsha-2020", "changsha-lungs-2d"])
def test_the_papers_recipes_are_whole(name):
    made = read_recipe(name)
    assert made["name"] == name
    assert made["notes"]
    assert made["source"]
    assert made.fit_settings("cpu", tuned=True).seed == made["training"]["seed"]


def test_the_recipes_say_what_the_papers_say():
    yoo, pan, changsha = (read_recipe(name) for name in ("yoo-2022", "pan-2021", "changsha-2020"))
    assert (yoo["training"]["optimizer"], yoo["training"]["loss"], yoo["training"]["keep"]) == ("sgd", "bce", "best")
    assert (yoo["input"]["size"], yoo.masked) == ([512, 512], True)
    assert (yoo["data"]["slices"], yoo["data"]["negatives_per_positive"]) == ("with-lungs", 1)
    shares = yoo["data"]["shares"]
    assert [round(176 * shares[part]) for part in ("train", "tune", "validate")] == [146, 10, 20]
    assert (pan["training"]["optimizer"], pan["training"]["batch_size"], pan["training"]["epochs"]) == ("adam", 8, 100)
    assert (pan["data"]["shares"]["train"], pan["data"]["shares"]["validate"]) == (0.75, 0.25)
    assert changsha.channels == 3
    assert Path(shipped_recipes()["yoo-2022"]).is_file()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training__learnrate": 1}, "unknown key training.learnrate"),
        ({"training__epochs": 0}, "training.epochs cannot be 0"),
        ({"training__epochs": True}, "training.epochs cannot be True"),
        ({"training__loss": "l2"}, "training.loss cannot be 'l2'"),
        ({"training__learning_rate": "fast"}, "training.learning_rate cannot be 'fast'"),
        ({"input__window_hu": [150, -1350]}, "input.window_hu cannot be"),
        ({"network__architecture": "lobes-unet-3d"}, "network.architecture cannot be"),
        ({"network__settings": {"depth": 3}}, "network.settings: it has no setting 'depth'"),
        ({"network__settings": {"in_channels": 2}}, "network.settings.in_channels is even"),
        ({"augment": [{"name": "rotate"}]}, r"augment\[0\].name is no augmentation"),
        ({"augment": [{"name": "flip"}, {"name": "noise", "amount": -1}]}, r"augment\[1\].amount cannot be -1"),
        ({"data__shares": {"train": 0.9, "tune": 0.2}}, "data.shares sum to more than 1"),
        ({"data": []}, "data is not an object"),
        ({"data__group": "("}, "data.group cannot be"),
        ({"task": "lungs"}, "input.crop is lungs"),
        ({"format": 2}, "format cannot be 2"),
        ({"name": "../evil"}, "name cannot be"),
        ({"training__schedule_over": "time"}, "training.schedule_over is time without"),
    ],
)
def test_a_recipe_with_a_mistake_names_the_key(changes, said):
    with pytest.raises(UsageError, match=said):
        recipe(**changes)


def test_a_missing_key_says_what_it_is_for():
    document = site.recipe()
    del document["network"]["architecture"]
    with pytest.raises(UsageError, match=r"network\.architecture is missing"):
        check_recipe(document, "tiny.json")


def keys(schema, path=""):
    for name, entry in schema.items():
        whole = f"{path}.{name}" if path else name
        yield from [whole] if isinstance(entry, Key) else keys(entry, whole)


def test_the_docs_name_every_key():
    text = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")
    wanted = {*keys(SCHEMA), *keys(SCHEMAS["lobes"]), *keys(SCHEMAS["lesions"])}
    roles = "|".join({*ROLES["lobes"], *ROLES["lesions"]})
    named = {re.sub(rf"^networks\.({roles})", "networks.ROLE", key) for key in wanted}
    assert not [key for key in sorted(named) if f"`{key}`" not in text]
    assert not [name for name in (*AUGMENTATIONS, *shipped_recipes()) if f"`{name}`" not in text]
