"""The shipped networks' own recipes: chests made once, every role trained, a bundle that says what it learned from."""

import json
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import training_site as site

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.inference.device import cpu_device
from COVIDQuantLib.inference.lesions import PLANES, VOLUME
from COVIDQuantLib.models.catalogue import DEFAULTS, default_bundle, find_bundle
from COVIDQuantLib.training.label_free import run
from COVIDQuantLib.training.label_free.batches.fissures import fissure_labels
from COVIDQuantLib.training.label_free.chests import TUNING, ChestStore, Subject, painted_chest
from COVIDQuantLib.training.label_free.make import REAL_CTS
from COVIDQuantLib.training.label_free.people import HELD_OUT
from COVIDQuantLib.training.label_free.real_cts import WHOLE_CTS
from COVIDQuantLib.training.label_free.recipe import (
    PAINTED,
    PEOPLE,
    PHANTOM_VARIANTS,
    PHANTOMS,
    REAL,
    WHOLE,
    check_label_free,
)
from COVIDQuantLib.training.label_free.roles import ROLES, repeated, tuned
from COVIDQuantLib.training.label_free.subjects import Chest
from COVIDQuantLib.training.recipe import LABEL_FREE, kind_of, read_document

TINY = {"features": [2, 4], "upsampling": "linear"}
NETWORKS = {
    "lobes": {
        "coarse": {"architecture": "lobes-unet-3d", "settings": {**TINY, "in_channels": 1}},
        "fine": {"architecture": "lobes-unet-3d", "settings": {**TINY, "in_channels": 7}},
        "fissures": {"architecture": "lobes-unet-3d", "settings": {**TINY, "in_channels": 1, "out_channels": 3}},
    },
    "lesions": {
        **{role: {"architecture": "covid-lesion-net", "settings": {"in_channels": 1, "width": 2}} for role in PLANES},
        VOLUME: {"architecture": "lobes-unet-3d", "settings": {**TINY, "in_channels": 2, "out_channels": 1}},
    },
}


def recipe(task, **chests):
    networks = {
        role: {**network, "max_seconds": 0.2, "batch_size": 1, "batches_per_epoch": 1, "validate_every": 2}
        for role, network in NETWORKS[task].items()
    }
    few = {"matrix": 48, "phantoms": 1, "tuning_phantoms": 1, "phantom_variants": 0, **chests}
    return {
        "format": 1,
        "kind": "label-free",
        "name": f"tiny-{task}",
        "description": "Tiny.",
        "task": task,
        "chests": few,
        "networks": networks,
    }


def train(tmp_path, document, *more):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    return main(["train", str(path), "--out", str(tmp_path / "out"), "--device", "cpu", "--quiet", *map(str, more)])


@pytest.mark.slow
@pytest.mark.parametrize("task", NETWORKS)
def test_a_bundle_from_nothing_but_phantoms(tmp_path, capsys, task):
    assert train(tmp_path, recipe(task)) == 0
    bundle = find_bundle(tmp_path / "out" / f"tiny-{task}", task)
    bundle.verify()
    ours = bundle.metadata["covidquant"]
    assert set(ours["networks"]) == set(NETWORKS[task])
    assert "phantom CTs (seeds from 1000) made by this project's code alone" in bundle.metadata["data_source"]
    assert all(figure["n"] == 1 for figure in ours["measured"])
    assert set(ours["training"]["networks"]) == set(NETWORKS[task])
    plans = check_label_free(recipe(task), "tiny.json")["networks"]
    for role, network in NETWORKS[task].items():
        assert bundle.network(role).input == ROLES[role].input(network["settings"]["in_channels"], plans[role])
        assert bundle.load(role) is not None
    made = {path.stat().st_mtime_ns for path in (tmp_path / "out" / "cache").rglob("*.npz")}
    if task == "lobes":
        return
    assert train(tmp_path, recipe(task)) == 2
    assert "holds a training already" in capsys.readouterr().err
    assert train(tmp_path, recipe(task), "--resume") == 0
    assert {path.stat().st_mtime_ns for path in (tmp_path / "out" / "cache").rglob("*.npz")} == made
    assert train(tmp_path, recipe(task, phantoms=2), "--resume") == 2


def test_variants_follow_from_the_seed_and_views_are_kept_by_group(tmp_path):
    hu, lungs, _ = site.chest(4, lesions=0)
    labels = np.where(lungs == 0, 0, lungs + 5).astype(np.uint8)
    well = Chest(hu, (8.0, 6.0, 6.0), labels, np.zeros(hu.shape, bool))
    subject = Subject("well", 4, lambda: well, PHANTOMS, 1, PHANTOM_VARIANTS)
    views = []
    for name in "ab":
        store = ChestStore(check_label_free(recipe("lesions"), "tiny.json"), None, tmp_path / name)
        store.subjects = (subject,)
        store.prepare()
        views.append(store.views("slices"))
    assert {group: len(found) for group, found in views[0].items()} == {PHANTOMS: 1, PHANTOM_VARIANTS: 1}
    for group, found in views[0].items():
        for a, b in zip(found, views[1][group], strict=True):
            assert all(np.array_equal(a[name], b[name]) for name in a)
    (plain,), (variant,) = views[0][PHANTOMS], views[0][PHANTOM_VARIANTS]
    assert not np.array_equal(plain["hu"], variant["hu"])


@pytest.mark.shared
def test_atlas_and_real_cts_join_where_the_data_are(shared_data, tmp_path):
    document = recipe("lobes", painted=2, painted_variants=1, real_variants=2)
    store = ChestStore(check_label_free(document, "tiny.json"), shared_data, tmp_path)
    assert store.painted
    assert store.reals == list(REAL_CTS)
    groups = [subject.variant_group for subject in store.subjects]
    assert (groups.count(PAINTED), groups.count(REAL)) == (2, 3)


@pytest.mark.slow
@pytest.mark.shared
def test_a_painted_chest_follows_from_its_seed(shared_data):
    a, b = (painted_chest(5003, shared_data) for _ in range(2))
    assert np.array_equal(a.hu, b.hu)
    assert set(np.unique(a.lobes)) == set(range(6))
    assert not a.lesions.any()


@pytest.mark.parametrize("role", ROLES)
def test_the_figure_of_tuning_knows_right_from_wrong(role):
    lobes = np.zeros((8, 12, 12), np.uint8)
    lobes[2:6, 2:10, 2:5], lobes[2:6, 2:10, 7:10] = 3, 5
    lobes[4:6, 2:6, 2:5], lobes[4:6, 6:10, 2:5] = 1, 2
    how = ROLES[role]
    ill = np.zeros(lobes.shape, bool)
    ill[2:4, 4:8, 2:5] = True
    hu = np.where(lobes == 5, -700, np.where(lobes > 0, -900, 0)).astype(np.int16)
    hu[ill] = -100
    view = {"hu": hu, "lobes": lobes, "lesions": ill, "spacing": np.full(3, 1.5, np.float32)}

    class Knows(torch.nn.Module):
        def __init__(self, right):
            super().__init__()
            self.right = torch.nn.Parameter(torch.tensor(right))

        def forward(self, seen):
            if role in (*PLANES, VOLUME):
                return (seen[:, :1] - 0.8) * self.right
            labels = torch.from_numpy(lobes).long()
            if role == "fissures":
                labels = fissure_labels(labels)
            return torch.nn.functional.one_hot(labels[None], how.classes).movedim(-1, 1) * self.right

    for right, expected in ((1.0, 1.0), (-1.0, 0.0)):
        (value,) = tuned([view], role, 1, nullcontext)(Knows(right)).values()
        assert value == pytest.approx(expected, abs=0.3)


def test_draws_repeat_views():
    views = [{"hu": np.array(n)} for n in range(3)]
    assert [int(view["hu"]) for view in repeated(views, [1, 8, 2.4])] == [0, *[1] * 8, 2, 2]


@pytest.mark.parametrize("name", ["lobes-label-free", "lesions-label-free"])
def test_the_shipped_recipes_make_the_shipped_bundles(name):
    document, where = read_document(name)
    assert kind_of(document) == LABEL_FREE
    checked = check_label_free(document, where)
    assert checked["name"] == DEFAULTS[checked["task"]]
    for role in checked.roles:
        settings = checked.fit_settings(role, cpu_device(), ROLES[role].loss(), "dice")
        assert settings.schedule_over == "time"
    assert checked["licence"] == "Apache-2.0"
    # What ships was made so.
    shipped = default_bundle(checked["task"])
    for role in checked.roles:
        plan, record = checked["networks"][role], shipped.network(role)
        assert (record.architecture, record.settings) == (plan["architecture"], plan["settings"])
        assert record.input == ROLES[role].input(checked.network_settings(role)["in_channels"], plan)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(task="lungs"), "task cannot be 'lungs'|unknown key"),
        (lambda d: d["chests"].update(first_phantom=20), "chests.first_phantom cannot be 20"),
        (lambda d: d["chests"].update(first_tuning_phantom=1000), "phantoms to train and to tune on overlap"),
        (lambda d: d["chests"].update(phantoms=0), "chests.phantoms is 0"),
        (lambda d: d["networks"]["fine"]["settings"].update(in_channels=1), "networks.fine.settings.in_channels"),
        (lambda d: d["networks"]["fine"]["settings"].update(depth=1), "networks.fine.settings: it has no setting"),
        (lambda d: d["networks"]["coarse"].update(max_seconds=0), "networks.coarse.max_seconds cannot be 0"),
        (lambda d: d["networks"].pop("fine"), "networks.fine.architecture is missing"),
        (lambda d: d["networks"].update(third={}), "unknown key networks.third"),
    ],
)
def test_a_recipe_with_a_mistake_names_the_key(change, said):
    document = json.loads(json.dumps(recipe("lobes")))
    change(document)
    with pytest.raises(UsageError, match=said):
        check_label_free(document, "tiny.json")


def test_drawing_from_no_group_is_refused(tmp_path, capsys):
    document = recipe("lesions")
    document["networks"]["slices"]["draws"] = {"phantoms": 0}
    assert train(tmp_path, document) == 2
    assert "networks.slices.draws leave nothing" in capsys.readouterr().err


def test_training_begins_with_the_weights_of_a_bundle():
    document, where = read_document("lobes-label-free")
    checked = check_label_free(document, where)
    begun = run._begun(checked, "fissures")
    ours = default_bundle("lobes").load("fissures").state_dict()
    assert all(torch.equal(begun[name], tensor) for name, tensor in ours.items())
    other = check_label_free({**document, "start": "lesions-default"}, where)
    with pytest.raises((UsageError, UnfitInputError)):
        run._begun(other, "fissures")


@pytest.mark.shared
def test_real_people_and_whole_cts_join_where_the_data_are(shared_data, tmp_path):
    document = recipe("lobes", people=3, people_variants=1, whole_variants=2, tuning_people=2)
    store = ChestStore(check_label_free(document, "tiny.json"), shared_data, tmp_path)
    if len(store.people) < 3 or store.whole != list(WHOLE_CTS):
        pytest.skip("no lobe maps of real people, or no whole CTs here")
    groups = [subject.variant_group for subject in store.subjects]
    assert (groups.count(PEOPLE), groups.count(WHOLE)) == (3, len(WHOLE_CTS))
    assert {PEOPLE, WHOLE} <= store.groups
    tuning = [subject.name for subject in store.subjects if TUNING in (subject.group, subject.variant_group)]
    assert len(tuning) == len(store.tuning_seeds()) + 2
    assert not any(name in subject.name for name in HELD_OUT for subject in store.subjects)


def test_a_recipe_for_lesions_may_do_without_the_volume():
    document = recipe("lesions")
    del document["networks"][VOLUME]
    assert check_label_free(document, "tiny.json").roles == tuple(PLANES)
    document["networks"][VOLUME] = {"architecture": "covid-lesion-net", "max_seconds": 1}
    with pytest.raises(UsageError, match=r"networks.volume.architecture cannot be 'covid-lesion-net'"):
        check_label_free(document, "tiny.json")
