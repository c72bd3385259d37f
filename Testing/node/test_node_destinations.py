"""Results reach their destinations: late, twice asked for, by DICOM or DICOMweb, but each object once."""

import http.server
import json
import threading
from contextlib import contextmanager
from email.message import Message

import pytest
from dicom_maker import write
from node_world import Archive, association, node_in, run_until, sent, series, states
from pydicom import dcmread
from pydicom.dataset import Dataset

from COVIDQuantLib.node.ledger import GIVEN_UP, STORED, TO_SEND
from COVIDQuantLib.node.reason import reason_report

NOWHERE = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": 1}


def at_once(node):
    """What was put off is due now."""
    for one in node.ledger.pending():
        node.ledger.set_delivery(one.id, next_at=0)


def quantified(node, images=None):
    sent(node.service.port, images or series())
    run_until(node, lambda: states(node).get("done", 0) + states(node).get("sending", 0) == 1)


def test_a_destination_that_is_away_gets_it_when_it_is_back(tmp_path):
    with node_in(tmp_path, [NOWHERE]) as node:
        quantified(node)
        run_until(node, lambda: any(one.attempts for one in node.ledger.pending()))
        (one,) = node.ledger.pending()
        assert "cannot be reached" in one.why
    with Archive() as archive, node_in(tmp_path, [archive.remote()]) as node:
        at_once(node)
        run_until(node, lambda: states(node) == {"done": 1})
        assert len(archive.held) == 1


def test_a_refused_object_is_sent_again(tmp_path):
    with Archive() as archive, node_in(tmp_path, [archive.remote()]) as node:
        archive.refuse = 1
        quantified(node)
        run_until(node, lambda: any("0xa700" in one.why for one in node.ledger.pending()))
        at_once(node)
        run_until(node, lambda: states(node) == {"done": 1})
        assert len(archive.held) == 1


def test_what_cannot_be_sent_for_days_is_marked_and_kept_and_tried_by_the_next_node(tmp_path):
    with node_in(tmp_path, [NOWHERE], limits={"give_up_hours": 1e-9, "keep_hours": 1e-9}) as node:
        quantified(node)
        run_until(node, lambda: states(node) == {"unsent": 1})
        (unit,) = node.ledger.units()
        assert unit.reason.startswith("not sent to archive")
        node._next_clearing = 0.0
        node.step()
        assert node.quantifier.folder(unit.key, unit.run).is_dir()
    with Archive() as archive, node_in(tmp_path, [archive.remote()]) as node:
        run_until(node, lambda: states(node) == {"done": 1})
        assert len(archive.held) == 1


def test_a_result_goes_to_every_destination(tmp_path):
    with Archive() as one, Archive() as two:
        with node_in(tmp_path, [one.remote(), two.remote(name="second")]) as node:
            quantified(node)
            run_until(node, lambda: states(node) == {"done": 1})
        assert one.held == two.held
        assert len(one.held) == 1


def test_a_destination_that_left_the_configuration_is_named(tmp_path):
    with node_in(tmp_path, [NOWHERE]) as node:
        quantified(node)
    with node_in(tmp_path) as node:
        at_once(node)
        run_until(node, lambda: any("names no destination" in one.why for one in node.ledger.pending()))


@pytest.mark.parametrize("again", [False, True], ids=["at once", "after it was sent again"])
def test_a_result_is_done_when_its_archive_has_committed_to_it(tmp_path, again):
    answers = [lambda item: not again, lambda item: True]
    place = {}
    archive = Archive(lambda: (place["port"], answers.pop(0)))
    with archive, node_in(tmp_path, [archive.remote(commitment=True)]) as node:
        place["port"] = node.service.port
        quantified(node)
        if again:
            run_until(node, lambda: any("did not commit" in one.why for one in node.ledger.pending()))
            at_once(node)
        run_until(node, lambda: states(node) == {"done": 1})
        (delivery,) = node.ledger.deliveries_of(node.ledger.units()[0].key)
        assert archive.held == [delivery.sop_instance] * (1 + again)
        assert len(archive.asked) == 1 + again


def test_what_nobody_commits_to_is_sent_once_and_asked_for_again(tmp_path):
    """An archive that holds the result, but does not take the request."""
    archive = Archive()
    archive.commits = False
    with archive, node_in(tmp_path, [archive.remote(commitment=True)]) as node:
        quantified(node)
        run_until(node, lambda: any("not committed" in one.why for one in node.ledger.pending()))
        at_once(node)
        run_until(node, lambda: any(one.attempts > 1 for one in node.ledger.pending()))
        assert len(archive.held) == 1
        assert states(node) == {"sending": 1}
    with node_in(tmp_path, [archive.remote(commitment=True)], limits={"give_up_hours": 1e-9}) as node:
        run_until(node, lambda: at_once(node) or states(node) == {"unsent": 1})
        assert "not committed" in node.ledger.units()[0].reason


def test_a_commitment_to_what_was_not_asked_for_changes_nothing(tmp_path):
    with node_in(tmp_path, [NOWHERE]) as node:
        quantified(node)
        (one,) = node.ledger.pending()
        assert not node.deliverer.committed("1.2.3", [one.sop_instance], [])
        assert not node.deliverer.committed("", [one.sop_instance], [])
        assert node.ledger.pending()[0].state == TO_SEND


def test_the_result_of_more_images_replaces_what_was_not_sent_yet(tmp_path):
    images = series(16)
    with node_in(tmp_path, [NOWHERE]) as node:
        quantified(node, images[:8])
        (before,) = node.ledger.pending()
        sent(node.service.port, images[8:])
        run_until(node, lambda: states(node) == {"sending": 1})
        (after,) = node.ledger.pending()
        assert after.run == before.run + 1
        assert after.sop_instance != before.sop_instance


def test_a_result_whose_file_is_gone_is_given_up_with_the_reason(tmp_path):
    with node_in(tmp_path, [NOWHERE]) as node:
        quantified(node)
        (unit,) = node.ledger.units()
        (node.quantifier.folder(unit.key, unit.run) / "note.dcm").unlink()
        run_until(node, lambda: at_once(node) or states(node) == {"unsent": 1})
        assert node.ledger.deliveries_of(unit.key)[0].state == GIVEN_UP
        assert "its file is gone" in node.ledger.units()[0].reason


# --------------------------------------------------------------------------------------------------------- DICOMweb


class WebServer:
    """A DICOMweb server of a few pages: STOW keeps, QIDO and WADO give.

    Attributes:
        stored: what was sent to it.
        offered: images that it gives.
        tokens: values of the Authorization header that it saw.
    """

    def __init__(self, offered=(), refuse=False):
        self.stored, self.offered, self.tokens, self.refuse = [], list(offered), set(), refuse
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                outer.tokens.add(self.headers.get("Authorization"))
                outer._keep(self.headers["Content-Type"], body)
                self._give(200, "application/dicom+json", json.dumps(outer._answer()).encode())

            def do_GET(self):
                self._give(*outer._page(self.path.partition("?")))

            def _give(self, status, kind, body):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/dicom-web"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _keep(self, kind, body):
        from io import BytesIO

        head = Message()
        head["Content-Type"] = kind
        mark = head.get_param("boundary").encode()
        for part in body.split(b"--" + mark)[1:-1]:
            self.stored.append(dcmread(BytesIO(part.partition(b"\r\n\r\n")[2])))

    def _answer(self):
        item, answer = Dataset(), Dataset()
        item.ReferencedSOPInstanceUID = self.stored[-1].SOPInstanceUID
        if self.refuse:
            item.FailureReason = 0x0122
            self.stored.pop()
            answer.FailedSOPSequence = [item]
        else:
            answer.ReferencedSOPSequence = [item]
        return answer.to_json_dict()

    def _page(self, asked):
        path, _, query = asked
        parts = path.split("/")
        if "instances" in parts and parts[-1] != "instances":
            ds = next(one for one in self.offered if parts[-1] == one.SOPInstanceUID)
            return self._multipart(ds)
        found = self.offered if "offset=0" in query or "offset" not in query else []
        if parts[-1] == "series":
            first = {ds.SeriesInstanceUID: ds for ds in found}
            rows = [self._row(ds, len(found)) for ds in first.values()]
        else:
            rows = [self._row(ds, 0) for ds in found if ds.SeriesInstanceUID in parts]
        return 200, "application/dicom+json", json.dumps(rows).encode()

    def _row(self, ds, count):
        row = Dataset()
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SeriesDescription"):
            setattr(row, keyword, ds.get(keyword))
        row.NumberOfSeriesRelatedInstances = count
        return row.to_json_dict()

    def _multipart(self, ds):
        from io import BytesIO

        with BytesIO() as file:
            ds.save_as(file, enforce_file_format=True)
            body = b"\r\n--mark\r\nContent-Type: application/dicom\r\n\r\n" + file.getvalue() + b"\r\n--mark--\r\n"
        return 200, 'multipart/related; type="application/dicom"; boundary=mark', body


@contextmanager
def web_server(*arguments, **keywords):
    server = WebServer(*arguments, **keywords)
    try:
        yield server
    finally:
        server.close()


def test_a_result_goes_out_by_stow(tmp_path):
    (tmp_path / "token").write_text("secret\n", encoding="ascii")
    with web_server() as server:
        remote = {"name": "web", "kind": "dicomweb", "url": server.url, "token_file": str(tmp_path / "token")}
        with node_in(tmp_path, [remote]) as node:
            quantified(node)
            run_until(node, lambda: states(node) == {"done": 1})
        assert [ds.SeriesDescription for ds in server.stored] == ["8 slices"]
        assert server.tokens == {"Bearer secret"}


def test_an_object_that_stow_refuses_is_tried_again(tmp_path):
    with web_server(refuse=True) as server:
        with node_in(tmp_path, [{"name": "web", "kind": "dicomweb", "url": server.url}]) as node:
            quantified(node)
            run_until(node, lambda: any("0x0122" in one.why for one in node.ledger.pending()))
            server.refuse = False
            at_once(node)
            run_until(node, lambda: states(node) == {"done": 1})
        assert len(server.stored) == 1


def test_new_cts_are_fetched_once(tmp_path):
    images = series()
    with web_server(images) as server, Archive() as archive:
        source = {"name": "web", "url": server.url, "every_seconds": 0.1}
        with node_in(tmp_path, [archive.remote()], [source], gather={"quiet_seconds": 600}) as node:
            # It tells the number of images, so nothing is waited for.
            run_until(node, lambda: states(node) == {"done": 1})
            (unit,) = node.ledger.units()
            assert (unit.sender, unit.images, unit.expected) == ("web", 8, 8)
            server.offered += series(seed=5)
            run_until(node, lambda: len(node.ledger.units()) == 2)
        assert len(archive.held) <= 2
        assert archive.held.count(archive.held[0]) == 1


def test_a_source_may_be_limited_to_a_description(tmp_path):
    other = series(seed=3, SeriesDescription="HEAD")
    with web_server(other) as server:
        source = {"name": "web", "url": server.url, "every_seconds": 0.05, "description": "chest"}
        with node_in(tmp_path, (), [source]) as node:
            node.run(lambda: True)
            threading.Event().wait(0.3)
            assert not node.ledger.units()
            assert not node.troubles()


def test_a_source_that_is_away_is_asked_again(tmp_path, caplog):
    source = {"name": "web", "url": "http://127.0.0.1:1/dicom-web", "every_seconds": 0.05}
    with node_in(tmp_path, (), [source]) as node:
        run_until(node, lambda: any("source web cannot be asked" in record.getMessage() for record in caplog.records))
        assert not node.ledger.units()


def test_the_archive_is_told_why_if_a_site_wants_it(tmp_path):
    """Once for each reason; also of a series whose rest did not come."""
    with Archive() as archive:
        more = {"results": {"say_why": True}, "gather": {"broken_off_seconds": 0.3}}
        with node_in(tmp_path, [archive.remote()], **more) as node:
            images = series(2, PatientName="Müller^Ännchen", SpecificCharacterSet="ISO_IR 100")
            for _ in range(2):
                sent(node.service.port, images)
                run_until(node, lambda: states(node) == {"aside": 1} and not node.ledger.pending())
            with association(node.service.port) as peer:
                assert peer.send_c_store(series(8, seed=1)[0]).Status == 0
                peer.abort()
            run_until(node, lambda: states(node) == {"aside": 2} and len(archive.datasets) == 2)
        first, broken = archive.datasets
        assert first.StudyInstanceUID == images[0].StudyInstanceUID
        assert str(first.PatientName) == "Müller^Ännchen"
        assert "only 2 slices" in first.ContentSequence[1].TextValue
        assert "the sender broke off after 1 images" in broken.ContentSequence[1].TextValue
        evidence = first.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
        assert {item.ReferencedSOPInstanceUID for item in evidence.ReferencedSOPSequence} == {
            ds.SOPInstanceUID for ds in images
        }


def test_a_reason_is_a_valid_object(tmp_path):
    from dicom_results import errors_in, validator

    if validator() is None:
        pytest.skip("dciodvfy is not installed (Debian: dicom3tools)")
    images = series(2, StudyDate="20261101")
    paths = sorted(write(images, tmp_path / "images").iterdir())
    report = reason_report(paths, "no lungs were found [no-lungs]")
    report.save_as(tmp_path / "reason.dcm", enforce_file_format=True)
    assert not errors_in(tmp_path / "reason.dcm")


def test_deliveries_say_where_a_result_is(tmp_path):
    with Archive() as archive, node_in(tmp_path, [archive.remote()]) as node:
        quantified(node)
        run_until(node, lambda: states(node) == {"done": 1})
        (one,) = node.ledger.deliveries_of(node.ledger.units()[0].key)
        assert (one.destination, one.state) == ("archive", STORED)
