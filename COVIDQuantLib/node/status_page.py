"""The status page: plain HTML of the queue, the last results and the reasons, and ``/healthz``; this machine only."""

from __future__ import annotations

import html
import json
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from COVIDQuantLib import __version__
from COVIDQuantLib.errors import OutputError
from COVIDQuantLib.grades import Grade
from COVIDQuantLib.node.config import is_loopback
from COVIDQuantLib.node.ledger import (
    ASIDE,
    BY_NODE,
    BY_SENDER,
    DONE,
    GATHERING,
    SENDING,
    UNSENT,
    WAITING,
    WORKING,
    Delivery,
    Unit,
)

if TYPE_CHECKING:
    from COVIDQuantLib.node.node import Node

_NEWEST = 50
_SECONDS_TO_ASK = 10.0
_SECONDS_BETWEEN_LOOKS = 0.2
_UNDER_WAY = (GATHERING, WAITING, WORKING, SENDING)
# What each state is called for the reader, and whether it needs one.
_STATES = {
    GATHERING: "receiving",
    WAITING: "waiting",
    WORKING: "being quantified",
    SENDING: "being sent",
    DONE: "done",
    ASIDE: "not quantified",
    UNSENT: "not sent",
}
_KINDS = {Grade.SOUND: "good", Grade.LOOK: "look", Grade.UNUSABLE: "bad"}
_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#1d2733;background:#fff}
h1{font-size:1.4rem;margin:0}h2{font-size:1.05rem;margin:2rem 0 .5rem}p{margin:.3rem 0;color:#55606e}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem .9rem .4rem 0;vertical-align:top;
border-bottom:1px solid #dfe4ea}th{font-weight:600;color:#55606e;font-size:.85rem;white-space:nowrap}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}td.t{white-space:nowrap}
code{font:13px ui-monospace,monospace;color:#55606e;overflow-wrap:anywhere}
.good{color:#17693a}.look{color:#8a5a00}.bad{color:#a3261b}
.state{font-weight:600}
"""


class StatusPage:
    """The page's server, in a thread of its own.

    Args:
        node: whose state is shown.

    Attributes:
        port: the port that is open.

    Raises:
        OutputError: the port is taken.
    """

    def __init__(self, node: Node) -> None:
        host, port = node.config.status["host"], node.config.status["port"]
        try:
            self._server = _Server((host, port), _Handler)
        except OSError as error:
            raise OutputError(
                f"the status page cannot be opened ({error.strerror or error})",
                f"{host}:{port}",
                "Choose another status.port.",
                "port-in-use",
            ) from error
        self._server.node = node
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(
            target=self._server.serve_forever,
            kwargs={"poll_interval": _SECONDS_BETWEEN_LOOKS},
            name="status page",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Close the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    node: Node


class _Handler(BaseHTTPRequestHandler):
    """Answers GET for two paths, to this machine, under this machine's name."""

    server: _Server
    timeout = _SECONDS_TO_ASK
    server_version, sys_version = "COVIDQuant", ""

    def do_GET(self) -> None:
        """The page, or the node's health as JSON."""
        # A page elsewhere whose name resolves to this machine may not read it.
        host = self.headers.get("Host", "").rsplit(":", maxsplit=1)[0]
        if not is_loopback(host):
            self._answer(HTTPStatus.FORBIDDEN, "text/plain", "for this machine only\n")
        elif self.path == "/healthz":
            troubles = self.server.node.troubles()
            status = HTTPStatus.SERVICE_UNAVAILABLE if troubles else HTTPStatus.OK
            self._answer(status, "application/json", json.dumps(_health(self.server.node, troubles)) + "\n")
        elif self.path == "/":
            self._answer(HTTPStatus.OK, "text/html", page(self.server.node))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there is / and /healthz\n")

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in (
            ("Content-Type", f"{kind}; charset=utf-8"),
            ("Content-Length", str(len(body))),
            ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by http.server
        """A look at the page is not worth a line."""


def _health(node: Node, troubles: Sequence[str]) -> dict[str, Any]:
    return {"status": "trouble" if troubles else "ok", "troubles": list(troubles), "series": node.ledger.counts()}


# ------------------------------------------------------------------------------------------------------------ the page


def page(node: Node) -> str:
    """The page as HTML; everything that came from outside is escaped."""
    troubles = node.troubles()
    config = node.config
    title = f"COVIDQuant node {_text(config.node['ae_title'])}"
    state = (
        f'<span class="bad">{_text("; ".join(troubles))}</span>' if troubles else '<span class="good">working</span>'
    )
    counts = node.ledger.counts()
    told = ", ".join(f"{counts[name]} {words}" for name, words in _STATES.items() if counts.get(name))
    head = (
        f"<h1>{title}</h1><p>{state} · {_text(config.node['host'])}:{node.service.port} · since "
        f"{_time(node.started)} · {node.intake.used / 1e9:.2f} of {config.limits['disk_gb']:g} GB used · "
        f"version {_text(__version__)}</p><p>{told or 'no series yet'}</p>"
    )
    body = (
        head
        + _section("Under way", _under_way(node))
        + _section("Results", _results(node))
        + _section("Not quantified, or not sent", _aside(node))
        + _section("Refused", _refused(node))
        + "<p>Results are AI output to be reviewed by a radiologist. Not a medical device.</p>"
    )
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="5">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n"
    )


def _under_way(node: Node) -> str:
    rows = [
        (_series(unit), _text(unit.sender), str(_images(node, unit)), _doing(node, unit), _time(unit.first_at))
        for unit in node.ledger.units(*_UNDER_WAY)
    ]
    return _table(("series", "from", "images", "state", "since"), rows)


def _results(node: Node) -> str:
    rows = [
        (
            _series(unit),
            _text(unit.sender),
            str(unit.images),
            _grade(unit.grade),
            _text(unit.reason),
            _text(_where(node.ledger.deliveries_of(unit.key))),
            f"{unit.seconds:.0f}",
            _time(unit.at),
        )
        for unit in node.ledger.units(DONE, newest=_NEWEST)
    ]
    return _table(("series", "from", "images", "grade", "warnings", "stored at", "seconds", "done"), rows)


def _aside(node: Node) -> str:
    rows = [
        (
            _series(unit),
            _text(unit.sender),
            str(unit.images),
            f'<span class="state">{_STATES[unit.state]}</span>: {_text(unit.reason)}',
            _time(unit.at),
        )
        for unit in node.ledger.units(ASIDE, UNSENT, newest=_NEWEST)
    ]
    return _table(("series", "from", "images", "why", "since"), rows)


def _refused(node: Node) -> str:
    rows = [
        (_text(one.sender), _text(one.why), str(times), _time(one.at.timestamp()))
        for one, times in node.intake.refusals.latest()[:_NEWEST]
    ]
    return _table(("from", "why", "times", "last"), rows)


def _images(node: Node, unit: Unit) -> int:
    return node.gathering.count(unit.key) if unit.state == GATHERING else unit.images


def _doing(node: Node, unit: Unit) -> str:
    told = _STATES[unit.state]
    if unit.state == GATHERING:
        left = node.gathering.seconds_left(unit.key)
        left = left or 0.0
        how = {BY_SENDER: ", the sender broke off; the rest is awaited for", BY_NODE: ", the node was ended; whole in"}
        told += f"{how.get(unit.broken, ', whole in')} {left:.0f} s"
        told += f" of {unit.expected} images" if unit.expected else ""
    elif unit.state == WORKING and (progress := node.quantifier.progress) and progress[0] == unit.key:
        told += f", {100 * progress[1]:.0f} %"
    elif unit.state == SENDING:
        why = next((one.why for one in node.ledger.deliveries_of(unit.key) if one.why), "")
        told += f" ({_text(why)})" if why else ""
    return told


def _where(deliveries: Iterable[Delivery]) -> str:
    return ", ".join(dict.fromkeys(one.destination for one in deliveries)) or "this machine only"


def _series(unit: Unit) -> str:
    """The UIDs, by which the PACS finds it; nothing that names the patient."""
    return f"<code>{_text(unit.series_uid or unit.study_uid)}</code>"


def _grade(grade: str) -> str:
    if not grade:
        return ""
    return f'<span class="{_KINDS[Grade(grade)]}">{_text(Grade(grade).text)}</span>'


def _section(title: str, content: str) -> str:
    return f"<h2>{title}</h2>{content}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return "<p>none</p>"
    numeric = {"images", "seconds", "times"}
    kinds = ["n" if head in numeric else "t" if head in {"since", "done", "last"} else "" for head in heads]
    head = "".join(f'<th class="{kind}">{head}</th>' for head, kind in zip(heads, kinds, strict=True))
    body = "".join(
        "<tr>" + "".join(f'<td class="{kind}">{cell}</td>' for cell, kind in zip(row, kinds, strict=True)) + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _time(at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC).astimezone()
    return moment.strftime("%H:%M:%S" if time.time() - at < 12 * 3600 else "%Y-%m-%d %H:%M")


def _text(value: str) -> str:
    return html.escape(value)
