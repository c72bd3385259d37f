"""The status page: the queue, the results and the reasons, for this machine alone, and no patient."""

import http.client
import json
import re

import pytest
from node_double import Stuck
from node_world import Archive, node_in, run_until, sent, series, states

from COVIDQuantLib.errors import OutputError

SHOWN = {"show": True}


def asked(node, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", node.page.port, timeout=20)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode(), answer.headers
    finally:
        connection.close()


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]+>", " ", page))


def test_it_shows_results_reasons_and_refusals_but_no_patient(tmp_path):
    with Archive() as archive, node_in(tmp_path, [archive.remote()], status=SHOWN) as node:
        fit, unfit = series(), series(2, seed=1)
        sent(node.service.port, [*fit, *unfit])
        run_until(node, lambda: states(node) == {"done": 1, "aside": 1})
        sent(node.service.port, series(seed=2, Modality="MR")[:1])
        status, page, headers = asked(node)
        text = text_of(page)
        assert status == 200
        assert fit[0].SeriesInstanceUID in text
        assert unfit[0].SeriesInstanceUID in text
        assert "archive" in text
        assert "not quantified" in text
        assert "modality MR" in text
        assert "Hidden" not in page
        assert "4711" not in page
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        # Nothing is fetched from elsewhere.
        assert not re.search(r"""(src|href|action)\s*=|url\(|@import|https?://""", page)


@pytest.mark.parametrize("moment", ["gathering", "working", "sending"])
def test_it_says_what_is_under_way(tmp_path, moment):
    away = {"name": "archive", "ae_title": "ARCHIVE", "host": "127.0.0.1", "port": 1}
    more = {"start": Stuck} if moment == "working" else {}
    quiet = {"quiet_seconds": 600 if moment == "gathering" else 0.1}
    with node_in(tmp_path, [away], status=SHOWN, gather=quiet, **more) as node:
        sent(node.service.port, series())
        run_until(node, lambda: states(node) == {moment: 1})
        if moment == "sending":
            run_until(node, lambda: any(one.why for one in node.ledger.pending()))
        if moment == "working":
            run_until(node, lambda: node.quantifier.progress[1] > 0)
        said = {"gathering": "receiving, whole in", "working": "being quantified, 25 %", "sending": "cannot be reached"}
        assert said[moment] in text_of(asked(node)[1])


def test_health_is_good_news_or_the_trouble(tmp_path):
    with node_in(tmp_path, status=SHOWN) as node:
        status, body, _ = asked(node, "/healthz")
        assert (status, json.loads(body)["status"]) == (200, "ok")
    with node_in(tmp_path, status=SHOWN, limits={"free_gb": 1e6}) as node:
        status, body, _ = asked(node, "/healthz")
        assert status == 503
        assert "[disk-full]" in json.loads(body)["troubles"][0]


def test_a_task_that_fails_is_a_trouble_until_it_works_again(tmp_path, monkeypatch):
    with node_in(tmp_path, status=SHOWN) as node:
        with monkeypatch.context() as patch:

            def failing():
                raise OSError(5, "Input/output error")

            patch.setattr(node.gathering, "close_whole", failing)
            node.step()
        assert "Input/output error" in node.troubles()[0]
        node.step()
        assert not node.troubles()


def test_only_this_machine_under_its_own_name_is_answered(tmp_path):
    """A web page whose name was made to resolve to this machine asks under that name."""
    with node_in(tmp_path, status=SHOWN) as node:
        assert asked(node, Host="evil.example")[0] == 403
        assert asked(node, Host=f"localhost:{node.page.port}")[0] == 200


@pytest.mark.parametrize("path", ["/../../etc/passwd", "/healthz/..", "/%2e%2e", "/?x", "/healthz?x=<script>"])
def test_there_are_two_paths(tmp_path, path):
    with node_in(tmp_path, status=SHOWN) as node:
        status, body, _ = asked(node, path)
        assert (status, body) == (404, "there is / and /healthz\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_nothing_can_be_done_there(tmp_path, method):
    with node_in(tmp_path, status=SHOWN) as node:
        assert asked(node, method=method)[0] == 501


def test_what_a_peer_says_is_text(tmp_path):
    with node_in(tmp_path, status=SHOWN) as node:
        node.intake.refusals.add("<b>X", "<script>alert(1)</script>")
        page = asked(node)[1]
        assert "<script>" not in page
        assert "&lt;script&gt;" in page


def test_ports_that_are_taken_are_named_and_nothing_stays_open(tmp_path):
    with node_in(tmp_path, status=SHOWN) as node:
        for tables, what in (
            ({"status": {"show": True, "port": node.page.port}}, "status page"),
            ({"node": {"folder": str(tmp_path / "other"), "port": node.service.port}}, "listened on"),
        ):
            tables.setdefault("node", {})["folder"] = str(tmp_path / "other")
            with pytest.raises(OutputError, match=what):
                node_in(tmp_path, **tables)


def test_two_nodes_do_not_share_a_folder(tmp_path):
    with node_in(tmp_path), pytest.raises(OutputError, match="another node"):
        node_in(tmp_path)


def test_a_damaged_queue_is_named_and_images_are_taken_up_without_it(tmp_path):
    with node_in(tmp_path, gather={"quiet_seconds": 600}) as node:
        sent(node.service.port, series())
    queue = tmp_path / "spool" / "queue.sqlite"
    queue.write_bytes(b"no database" * 500)
    with pytest.raises(OutputError, match="queue-unreadable"):
        node_in(tmp_path)
    queue.unlink()
    with node_in(tmp_path) as node:
        run_until(node, lambda: states(node) == {"done": 1})
        assert node.ledger.units()[0].images == 8
