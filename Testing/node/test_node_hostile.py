"""What the node refuses, with the reason: nothing that comes from the network is trusted."""

import struct
import time
from io import BytesIO

import pytest
from dicom_maker import compress
from hypothesis import HealthCheck, given
from hypothesis import settings as settings_of
from hypothesis import strategies as st
from node_world import (
    PATIENCE,
    association,
    configured,
    files_below,
    link,
    node_in,
    raw_connection,
    run_until,
    sent,
    series,
    settings,
    states,
)
from pydicom.uid import CTImageStorage, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, MRImageStorage

from COVIDQuantLib.node.intake import RefusedError


def as_file(ds):
    with BytesIO() as file:
        ds.save_as(file, enforce_file_format=True)
        return file.getvalue()


def whys(node):
    """What was refused, newest first."""
    return [one.why for one, _ in node.intake.refusals.latest()]


def until(condition):
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    assert condition()


def spooled(tmp_path):
    """Images that are on the disk."""
    return files_below(tmp_path / "spool" / "images")


@pytest.mark.parametrize(
    ("titles", "why"),
    [
        ({"title": "STRANGER"}, "its title is not among the allowed [association-refused]"),
        ({"called": "OTHER"}, "it called OTHER, not COVIDQUANT [association-refused]"),
    ],
    ids=["calling", "called"],
)
def test_a_wrong_title_gets_no_association(tmp_path, titles, why):
    with node_in(tmp_path) as node:
        with association(node.service.port, **titles) as peer:
            assert peer.is_rejected
        until(lambda: whys(node))
        assert whys(node) == [why]
        assert node.intake.refusals.latest()[0][0].sender == titles.get("title", "SCANNER")


def test_a_destination_may_commit_but_not_send_images(tmp_path):
    archive = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": 1, "commitment": True}
    with node_in(tmp_path, [archive]) as node:
        assert sent(node.service.port, series()[:1], title="ARCHIVE") == [0x0124]
        assert "not-allowed" in whys(node)[0]
        assert not spooled(tmp_path)


def test_an_oversized_message_ends_the_connection_before_it_is_in_memory(tmp_path):
    with node_in(tmp_path, limits={"instance_mb": 0.1}) as node:
        (ds, *_) = series()
        ds.add_new((0x0009, 0x0010), "LO", "TEST")
        ds.add_new((0x0009, 0x1001), "OB", bytes(8_000_000))
        with association(node.service.port) as peer:
            assert "Status" not in peer.send_c_store(ds)
        until(lambda: whys(node))
        assert "[instance-too-large]" in whys(node)[0]
        assert not spooled(tmp_path)
        # The node still serves others.
        assert sent(node.service.port, series()[:1]) == [0]


def test_an_image_just_over_the_limit_is_refused(tmp_path):
    with node_in(tmp_path, limits={"instance_mb": 0.001}) as node:
        assert sent(node.service.port, series()[:1]) == [0xA700]
        assert "[instance-too-large]" in whys(node)[0]


def test_a_pdu_that_claims_gigabytes_is_not_waited_for(tmp_path):
    with node_in(tmp_path) as node, raw_connection(node.service.port) as peer:
        peer.sendall(struct.pack(">BBL", 1, 0, 0xFFFFFFF0) + bytes(100))
        peer.settimeout(PATIENCE)
        assert peer.recv(100) == b""
        assert any("[instance-too-large]" in why for why in whys(node))


def test_a_sender_that_waits_for_a_slow_disk_is_not_cut_off(tmp_path, monkeypatch):
    import os

    sync = os.fsync

    def slow(handle):
        time.sleep(0.6)
        sync(handle)

    with node_in(tmp_path, limits={"network_seconds": 0.5}) as node:
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", slow)
            assert sent(node.service.port, series()[:1]) == [0]
        assert not node.ledger.units()[0].broken


def test_a_silent_connection_is_cut_off(tmp_path):
    with node_in(tmp_path, limits={"network_seconds": 0.3}) as node, raw_connection(node.service.port) as peer:
        peer.sendall(b"\x01\x00")
        peer.settimeout(PATIENCE)
        assert peer.recv(100) in {b"", b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x00"}
        until(lambda: not node.service._server.active_associations)


def test_more_connections_than_allowed_are_closed(tmp_path):
    with node_in(tmp_path, limits={"associations": 1, "network_seconds": 2.0}) as node:
        peers = [raw_connection(node.service.port) for _ in range(4)]
        until(lambda: len(node.service._server.active_associations) == 4)
        with raw_connection(node.service.port) as late:
            late.settimeout(PATIENCE)
            assert late.recv(100) == b""
        for peer in peers:
            peer.close()
        until(lambda: not node.service._server.active_associations)
        assert sent(node.service.port, series()[:1]) == [0]


def test_associations_beyond_the_allowed_number_are_refused(tmp_path):
    with node_in(tmp_path, limits={"associations": 1}) as node:
        with association(node.service.port) as first, association(node.service.port) as second:
            assert first.is_established
            assert second.is_rejected
        until(lambda: whys(node))
        assert "as many as are allowed at once" in whys(node)[0]


def test_noise_is_no_dicom(tmp_path):
    with node_in(tmp_path) as node:
        for noise in (b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)), b"\x04\x00\x00\x00\x00\x02\xff\xff"):
            with raw_connection(node.service.port) as peer:
                peer.sendall(noise)
        assert sent(node.service.port, series()[:1]) == [0]


@pytest.mark.parametrize("kept", [0.1, 0.9, 0.999])
def test_a_truncated_image_is_refused(tmp_path, kept):
    with node_in(tmp_path) as node:
        data = as_file(series()[0])
        with pytest.raises(RefusedError, match=r"\[(damaged-instance|bad-identifier|not-a-ct)\]"):
            node.intake.take(data[: int(kept * len(data))], "SCANNER", link())
        assert not files_below(tmp_path / "spool" / "incoming")
        assert not spooled(tmp_path)


@settings_of(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(st.tuples(st.floats(0, 1), st.binary(min_size=1, max_size=8)), max_size=6), cut=st.floats(0, 1))
def test_whatever_bytes_come_are_kept_whole_or_refused(loose, changes, cut):
    """A damaged image never raises anything else, and never leaves a part of itself."""
    intake, folder = loose
    data = bytearray(as_file(series()[0]))
    for place, what in changes:
        start = int(place * len(data))
        data[start : start + len(what)] = what
    data = bytes(data[: len(data) - int(cut * cut * cut * len(data))])
    before = set(files_below(folder))
    kept = refused = None
    try:
        kept = intake.take(data, "SCANNER", link())
    except RefusedError as error:
        refused = error.why
    after = files_below(folder)
    if refused is not None:
        assert refused.endswith("]")
        assert set(after) == before
    if kept:
        (new,) = set(after) - before
        assert (folder / new).read_bytes() == data
    assert not files_below(folder.parent / "incoming")


@pytest.fixture
def loose(tmp_path):
    """An intake without a network, and the folder of its images."""
    intake, close = bare_intake(configured(tmp_path, settings(tmp_path / "spool")))
    yield intake, tmp_path / "spool" / "images"
    close()


def test_truncated_compressed_pixels_are_refused(tmp_path):
    with node_in(tmp_path) as node:
        data = as_file(compress(series()[0]))
        assert node.intake.take(data, "SCANNER", link())
        with pytest.raises(RefusedError, match="damaged-instance"):
            node.intake.take(as_file(compress(series(seed=1)[0]))[:-400], "SCANNER", link())


def test_an_association_cut_in_the_middle_of_an_image_leaves_no_part_of_it(tmp_path):
    with node_in(tmp_path) as node:
        images = series(shape=(256, 256))
        with association(node.service.port) as peer:
            assert peer.send_c_store(images[0]).Status == 0
            send, told = peer.dul.socket.send, []

            def cut(data):
                told.append(len(data))
                if sum(told) > 40_000:
                    peer.dul.socket._shutdown_socket()
                else:
                    send(data)

            peer.dul.socket.send = cut
            assert "Status" not in peer.send_c_store(images[1])
        until(lambda: node.ledger.units()[0].broken)
        assert len(spooled(tmp_path)) == 1
        assert not files_below(tmp_path / "spool" / "incoming")


@pytest.mark.parametrize(
    "uid", ["../../../etc/passwd", "/etc/passwd", "1.2\\3", "1.2\x003", "a" * 300, "1..2", "", "..", "$(id)", "CON"]
)
@pytest.mark.parametrize("keyword", ["SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"])
@pytest.mark.filterwarnings("ignore:.*VR UI")
def test_no_identifier_becomes_a_path(tmp_path, uid, keyword):
    import pydicom

    (ds, *_) = series()
    with pydicom.config.disable_value_validation():
        setattr(ds, keyword, uid)
        data = as_file_without_checks(ds)
    config = configured(tmp_path, settings(tmp_path / "spool"))
    intake, close = bare_intake(config)
    with pytest.raises(RefusedError, match=r"\[bad-identifier\]"):
        intake.take(data, "SCANNER", link())
    close()
    assert set(files_below(tmp_path)) == {"node.toml", "spool/queue.sqlite"}


def test_names_on_the_disk_are_hashes(tmp_path):
    with node_in(tmp_path) as node:
        images = series()
        sent(node.service.port, images)
        names = " ".join(files_below(tmp_path / "spool"))
        assert len(spooled(tmp_path)) == len(images)
        assert not any(uid in names for ds in images for uid in (ds.SOPInstanceUID, ds.SeriesInstanceUID))


def test_other_kinds_of_object_are_not_accepted(tmp_path):
    """One line says so; but not of those who offer all kinds that there are and then send CTs."""
    contexts = [(MRImageStorage, (ExplicitVRLittleEndian,)), (CTImageStorage, (ExplicitVRLittleEndian,))]
    with node_in(tmp_path) as node:
        with association(node.service.port, contexts=contexts) as peer:
            assert [one.abstract_syntax for one in peer.rejected_contexts] == [MRImageStorage]
            assert peer.send_c_store(series()[0]).Status == 0
        until(lambda: not node.service._server.active_associations)
        assert not whys(node)
        with association(node.service.port, contexts=contexts):
            pass
        until(lambda: whys(node))
        assert whys(node) == ["MR Image Storage offered; CTs are taken [not-a-ct]"]


def test_another_modality_in_a_cts_class_is_refused(tmp_path):
    with node_in(tmp_path) as node:
        assert sent(node.service.port, series(Modality="MR")[:1]) == [0xA900]
        assert "modality MR" in whys(node)[0]


def test_a_message_that_names_another_object_is_refused(tmp_path):
    with node_in(tmp_path) as node:
        data = as_file(series()[0])
        with pytest.raises(RefusedError, match="identifiers-differ"):
            node.intake.take(data, "SCANNER", link(), told=(CTImageStorage, "1.2.3"))


def test_deflated_images_are_not_accepted(tmp_path):
    """What they inflate to is not known before."""
    with node_in(tmp_path) as node:
        contexts = [(CTImageStorage, (DeflatedExplicitVRLittleEndian,))]
        with association(node.service.port, contexts=contexts) as peer:
            assert [one.abstract_syntax for one in peer.rejected_contexts] == [CTImageStorage]


def test_thousands_of_tiny_files_are_bounded_by_the_number_of_a_series(tmp_path):
    config = configured(tmp_path, settings(tmp_path / "spool", limits={"series_instances": 50}))
    intake, close = bare_intake(config)
    images = series(200, shape=(4, 4))
    results = []
    for ds in images:
        try:
            results.append(intake.take(as_file(ds), "SCANNER", link()))
        except RefusedError as refused:
            results.append(refused.status)
    close()
    assert results == [True] * 50 + [0xA700] * 150
    assert len(spooled(tmp_path)) == 50
    ((refusal, times),) = intake.refusals.latest()
    assert "[too-many-instances]" in refusal.why
    assert times == 150


def test_more_series_than_the_queue_holds_are_refused_but_those_in_it_are_completed(tmp_path):
    with node_in(tmp_path, limits={"queue_series": 2}, gather={"quiet_seconds": 600}) as node:
        first, second, third = (series(seed=seed) for seed in range(3))
        assert sent(node.service.port, [first[0], second[0]]) == [0, 0]
        assert sent(node.service.port, [third[0]]) == [0xA700]
        assert "[queue-full]" in whys(node)[0]
        assert sent(node.service.port, [*first[1:], *second[1:]]) == [0] * 14


def test_many_series_of_one_image_start_no_process(tmp_path):
    def never(arguments):
        raise AssertionError("a process was started")

    with node_in(tmp_path, start=never) as node:
        sent(node.service.port, [series(seed=seed, shape=(4, 4))[0] for seed in range(20)])
        run_until(node, lambda: states(node) == {"aside": 20})
        assert not node.troubles()
        assert {unit.reason for unit in node.ledger.units()} == {
            "only 1 slices, at least 5 are needed [too-few-slices]"
        }


@pytest.mark.slow
def test_ten_thousand_tiny_files_over_the_network(tmp_path):
    with node_in(tmp_path, limits={"series_instances": 1000}) as node:
        (ds, *_) = series(shape=(4, 4))
        statuses = []
        # On a busy machine an association may run into a time-out; a sender goes on with another one.
        for _ in range(20):
            with association(node.service.port) as peer:
                for number in range(len(statuses), 10_000):
                    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{number}"
                    answer = peer.send_c_store(ds)
                    if "Status" not in answer:
                        break
                    statuses.append(answer.Status)
            if len(statuses) == 10_000:
                break
        assert statuses == [0] * 1000 + [0xA700] * 9000
        assert len(spooled(tmp_path)) == 1000
        run_until(node, lambda: states(node) == {"aside": 1}, 120)


def test_no_image_is_taken_beyond_the_disk_limit(tmp_path):
    with node_in(tmp_path, limits={"disk_gb": 1.1e-5}) as node:
        statuses = sent(node.service.port, series())
        assert statuses[0] == 0
        assert statuses[-1] == 0xA700
        assert "[disk-limit]" in whys(node)[0]
        assert node.troubles()


def test_no_image_is_taken_when_the_disk_has_little_room(tmp_path):
    with node_in(tmp_path, limits={"free_gb": 1e6}) as node:
        assert sent(node.service.port, series()[:1]) == [0xA700]
        assert "[disk-full]" in whys(node)[0]
        assert "[disk-full]" in node.troubles()[0]


def test_a_disk_that_fills_up_while_writing_leaves_nothing_half_written(tmp_path, monkeypatch):
    import errno
    import os

    with node_in(tmp_path) as node:

        def full(handle):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            statuses = sent(node.service.port, series()[:1])
        assert statuses == [0xA700]
        assert whys(node)[0] == "the disk is full [disk-full]"
        assert not files_below(tmp_path / "spool" / "incoming")
        # The sender's next try finds room.
        assert sent(node.service.port, series()[:1]) == [0]


def test_what_a_peer_says_of_itself_cannot_forge_a_line_of_the_log():
    from COVIDQuantLib.node.network.service import _caller

    class Peer:
        class requestor:  # noqa: N801 - as pynetdicom names it
            ae_title = "A\nB\x1b[2J"
            address = "127.0.0.1"

    assert _caller(Peer) == "AB[2J"


def as_file_without_checks(ds):
    """A DICOM file whose identifiers are what they are."""
    from pydicom.filewriter import dcmwrite

    with BytesIO() as file:
        ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
        ds.preamble = bytes(128)
        dcmwrite(file, ds, enforce_file_format=False)
        return file.getvalue()


def bare_intake(config):
    """An intake without a network, and how to close it."""
    from COVIDQuantLib.node.gather import Gathering
    from COVIDQuantLib.node.intake import Intake
    from COVIDQuantLib.node.ledger import FILE, Ledger

    for name in ("images", "incoming"):
        (config.folder / name).mkdir(parents=True)
    ledger = Ledger(config.folder / FILE)
    gathering = Gathering(config, ledger, config.folder / "images")
    return Intake(config, gathering, config.folder / "incoming", 0), ledger.close
