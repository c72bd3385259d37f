"""A CT comes in, its result goes out: once, whatever happens on the way."""

from contextlib import suppress

import pytest
from node_double import Crashing, Noted, Stuck
from node_world import Archive, association, node_in, run_until, sent, series, states
from pydicom.uid import CTImageStorage

from COVIDQuantLib.node.ledger import BY_NODE
from COVIDQuantLib.node.network.service import Service


def test_a_ct_comes_in_and_its_result_goes_out(tmp_path):
    with Archive() as archive, node_in(tmp_path, [archive.remote()]) as node:
        images = series()
        assert sent(node.service.port, images) == [0] * len(images)
        run_until(node, lambda: states(node) == {"done": 1})
        (result,) = archive.datasets
        assert result.StudyInstanceUID == images[0].StudyInstanceUID
        assert result.SeriesDescription == "8 slices"
        (unit,) = node.ledger.units()
        assert (unit.images, unit.sender, unit.grade) == (8, "SCANNER", "sound")


def test_it_answers_an_echo(tmp_path):
    with node_in(tmp_path) as node, association(node.service.port) as peer:
        assert peer.send_c_echo().Status == 0


def test_a_series_sent_twice_is_quantified_once(tmp_path):
    with Archive() as archive, node_in(tmp_path, [archive.remote()]) as node:
        images = series()
        sent(node.service.port, images)
        run_until(node, lambda: states(node) == {"done": 1})
        assert sent(node.service.port, images) == [0] * 8
        node.step()
        assert states(node) == {"done": 1}
        assert len(archive.held) == 1


def test_two_halves_are_one_series(tmp_path):
    """Halves in two associations, the second after the first was quantified: the result of the whole replaces it."""
    with Archive() as archive, node_in(tmp_path, [archive.remote()]) as node:
        images = series(16)
        sent(node.service.port, images[:8])
        run_until(node, lambda: states(node) == {"done": 1})
        sent(node.service.port, images[8:])
        run_until(node, lambda: states(node) == {"done": 1} and len(archive.held) == 2)
        assert [one.SeriesDescription for one in archive.datasets] == ["8 slices", "16 slices"]
        assert len(list((tmp_path / "spool" / "results").iterdir())) == 1


def test_a_series_that_broke_off_waits_for_its_rest(tmp_path):
    with Archive() as archive, node_in(tmp_path, [archive.remote()]) as node:
        images = series(16)
        with association(node.service.port) as peer:
            for ds in images[:5]:
                assert peer.send_c_store(ds).Status == 0
            peer.abort()
        run_until(node, lambda: bool(node.ledger.units()[0].broken))
        assert node.gathering.seconds_left(node.ledger.units()[0].key) > 20
        # The sender comes again and begins from the start, as senders do.
        sent(node.service.port, images)
        run_until(node, lambda: states(node) == {"done": 1})
        assert [one.SeriesDescription for one in archive.datasets] == ["16 slices"]


def test_a_connection_that_is_seen_to_close_before_its_release_broke_nothing_off(tmp_path, monkeypatch):
    """Two threads tell of the two; on a busy machine the end of the connection may come first."""
    monkeypatch.setattr(Service, "_on_released", lambda _service, _event: None)
    with node_in(tmp_path, gather={"broken_off_seconds": 600}) as node:
        sent(node.service.port, series())
        run_until(node, lambda: states(node) == {"done": 1})


def test_a_series_that_was_sent_when_the_node_was_ended_is_not_lost(tmp_path):
    """Its sender heard that every image was taken, so it will not come again."""
    gather = {"broken_off_seconds": 0.5}
    images = series()
    with node_in(tmp_path, gather=gather) as node, association(node.service.port) as peer:
        for ds in images:
            assert peer.send_c_store(ds).Status == 0
        node.close()
    with node_in(tmp_path, gather=gather) as node:
        assert node.ledger.units()[0].broken == BY_NODE
        run_until(node, lambda: states(node) == {"done": 1})
        assert node.ledger.units()[0].images == len(images)


def test_a_series_whose_rest_never_comes_is_put_aside_with_the_reason(tmp_path):
    with node_in(tmp_path, gather={"broken_off_seconds": 0.4}) as node:
        with association(node.service.port) as peer:
            for ds in series(16)[:5]:
                peer.send_c_store(ds)
            peer.abort()
        run_until(node, lambda: states(node) == {"aside": 1})
        assert node.ledger.units()[0].reason.startswith("the sender broke off after 5 images")


def test_a_whole_series_does_not_wait_when_its_number_is_told(tmp_path):
    with node_in(tmp_path, gather={"quiet_seconds": 600}) as node:
        images = series(NumberOfSeriesRelatedInstances=8)
        sent(node.service.port, images)
        run_until(node, lambda: states(node) == {"done": 1})


def test_a_series_shorter_than_its_number_is_put_aside(tmp_path):
    with node_in(tmp_path, gather={"broken_off_seconds": 0.4}) as node:
        sent(node.service.port, series(NumberOfSeriesRelatedInstances=9))
        run_until(node, lambda: states(node) == {"aside": 1})
        assert node.ledger.units()[0].reason.startswith("only 8 of 9 images came")


def test_an_unfit_series_says_why_and_is_tried_again_when_sent_again(tmp_path):
    with node_in(tmp_path) as node:
        images = series(2)
        sent(node.service.port, images)
        run_until(node, lambda: states(node) == {"aside": 1})
        (unit,) = node.ledger.units()
        assert unit.reason.endswith("]")
        assert str(tmp_path) not in unit.reason
        sent(node.service.port, images)
        assert states(node) == {"gathering": 1}
        run_until(node, lambda: states(node) == {"aside": 1})


def test_the_best_series_of_a_study_is_one_unit(tmp_path):
    with node_in(tmp_path, gather={"by": "study"}) as node:
        thick, thin = series(8, seed=1), series(16, seed=2)
        for ds in (*thick, *thin):
            ds.StudyInstanceUID = "1.2.3"
        sent(node.service.port, [*thick, *thin])
        run_until(node, lambda: states(node) == {"done": 1})
        assert node.ledger.units()[0].images == 24


@pytest.mark.parametrize("moment", ["gathering", "waiting", "working", "sending"])
def test_a_node_killed_at_any_moment_loses_nothing(tmp_path, moment):
    """What a kill leaves is the disk: a second node starts from a copy of it, made while the first is alive."""
    import shutil

    images = series()
    remote = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": 1}
    start = Stuck if moment == "working" else Noted
    quiet = 600 if moment == "gathering" else 0.1
    spool, copy = tmp_path / "spool", tmp_path / "copy"
    with node_in(tmp_path, [remote], start=start, gather={"quiet_seconds": quiet}) as node:
        sent(node.service.port, images)
        if moment == "waiting":
            run_until(node, lambda: node.gathering.close_whole() or states(node) == {"waiting": 1})
        elif moment != "gathering":
            run_until(node, lambda: states(node) == {moment: 1})
        shutil.copytree(spool, copy)
        assert states(node) == {moment: 1}
    shutil.rmtree(spool)
    copy.rename(spool)
    with suppress(FileNotFoundError):
        (spool / "lock").unlink()
    with Archive() as archive, node_in(tmp_path, [archive.remote()]) as node:
        for one in node.ledger.pending():
            node.ledger.set_delivery(one.id, next_at=0)
        run_until(node, lambda: states(node) == {"done": 1})
        assert len(archive.held) == 1
        assert archive.datasets[0].SeriesDescription == "8 slices"


def test_a_job_that_crashes_is_tried_again_and_then_put_aside(tmp_path):
    with node_in(tmp_path, start=Crashing, quantify={"attempts": 2}) as node:
        sent(node.service.port, series())
        run_until(node, lambda: states(node) == {"aside": 1})
        (unit,) = node.ledger.units()
        assert "ended before it was done" in unit.reason
        assert unit.attempts == 2


def test_a_job_that_does_not_end_is_ended(tmp_path):
    with node_in(tmp_path, start=Stuck, quantify={"minutes": 0.01}) as node:
        sent(node.service.port, series())
        run_until(node, lambda: states(node) == {"aside": 1})
        assert node.ledger.units()[0].reason.endswith("[job-too-long]")
        assert node.quantifier.pid is None


def test_images_that_come_during_the_job_are_part_of_the_result(tmp_path):
    with node_in(tmp_path, start=Stuck) as node:
        images = series(16)
        sent(node.service.port, images[:8])
        run_until(node, lambda: states(node) == {"working": 1})
        sent(node.service.port, images[8:])
        assert node.ledger.units()[0].changed
    with node_in(tmp_path) as node:
        run_until(node, lambda: states(node) == {"done": 1})
        assert node.ledger.units()[0].images == 16


def test_old_images_and_results_are_deleted(tmp_path):
    with node_in(tmp_path, limits={"keep_hours": 1e-9}) as node:
        sent(node.service.port, series())
        run_until(node, lambda: states(node) == {"done": 1})
        node._next_clearing = 0.0
        node.step()
        assert node.ledger.units()[0].cleared
        assert not list((tmp_path / "spool" / "images").iterdir())
        assert not list((tmp_path / "spool" / "results").iterdir())
        assert node.intake.used == 0


def test_half_of_a_series_whose_images_are_deleted_is_not_taken_for_a_series(tmp_path):
    with node_in(tmp_path, limits={"keep_hours": 1e-9}) as node:
        images = series(16)
        sent(node.service.port, images)
        run_until(node, lambda: states(node) == {"done": 1})
        node._next_clearing = 0.0
        node.step()
        sent(node.service.port, images[8:])
        run_until(node, lambda: states(node) == {"aside": 1})
        assert "8 images came of a series of 16" in node.ledger.units()[0].reason


def test_a_multiframe_ct_is_taken(tmp_path):
    import numpy as np
    from dicom_maker import chest, enhanced

    with node_in(tmp_path) as node:
        image = enhanced(chest((8, 32, 32)), np.ones(8), spacing=(8.0, 8.0, 20.0))
        contexts = [(image.SOPClassUID, [image.file_meta.TransferSyntaxUID])]
        assert sent(node.service.port, [image], contexts=contexts) == [0]
        run_until(node, lambda: states(node) == {"done": 1})
        assert image.SOPClassUID != CTImageStorage
