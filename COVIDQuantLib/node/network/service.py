"""The DICOM service: verification, storage of CTs, and answers to requests for storage commitment."""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, _config, evt
from pynetdicom.pdu import A_RELEASE_RQ

from COVIDQuantLib.ct.dicom.series.fitness import CT_CLASSES
from COVIDQuantLib.errors import OutputError, UsageError
from COVIDQuantLib.node.config import NodeConfig
from COVIDQuantLib.node.gather import Gathering
from COVIDQuantLib.node.intake import KEPT, NO_ROOM, NOT_ALLOWED, Intake, RefusedError
from COVIDQuantLib.node.network.connections import BoundedHandler, NodeServer, serve_in_thread, server_context
from COVIDQuantLib.node.settings import DICOM

_log = logging.getLogger(__name__)

_VERIFICATION, _PUSH_MODEL = "1.2.840.10008.1.1", "1.2.840.10008.1.20.1"
# Implicit, explicit and big endian; RLE; JPEG lossless and lossy; JPEG-LS; JPEG 2000. None that is deflated: what it
# inflates to is not known before.
_SYNTAXES = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.57",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.81",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.51",
)
# PS3.7, C.4.2: LO, at most 64 characters.
_COMMENT = 64
_NO_SUCH_TRANSACTION = 0x0110
_SECONDS_TO_ABORT = 2.0

# Called with transaction, stored and failed instances; returns whether the transaction is known.
Committed = Callable[[str, Sequence[str], Sequence[str]], bool]


class Service:
    """The open DICOM port.

    Args:
        config: address, titles, TLS, limits.
        intake: takes the images.
        gathering: hears of associations that end.
        committed: takes answers to requests for commitment.

    Attributes:
        port: the port that is open.

    Raises:
        OutputError: the address cannot be listened on.
        UsageError: a TLS file is not what it should be.
    """

    def __init__(self, config: NodeConfig, intake: Intake, gathering: Gathering, committed: Committed) -> None:
        self._config = config
        self._intake = intake
        self._gathering = gathering
        self._committed = committed
        # Per association: images that came, and those of them that were here before.
        self._came: Counter[object] = Counter()
        self._again: Counter[object] = Counter()
        self._closing = False
        self._over: WeakSet[Any] = WeakSet()
        self._releasing: WeakSet[Any] = WeakSet()
        # Each message of each association would be described, although nobody reads it; and by name of the patient.
        _config.LOG_HANDLER_LEVEL = "none"
        logging.getLogger("pynetdicom").addHandler(logging.NullHandler())
        logging.getLogger("pynetdicom").propagate = False
        self._server = self._opened(self._entity())
        self.port = int(self._server.server_address[1])
        self._thread = serve_in_thread(self._server)

    @property
    def is_alive(self) -> bool:
        """Whether the port is being served."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Close the port and end all associations."""
        self._server.shutdown()
        self._thread.join()
        left = self._server.active_associations
        # Not the senders break off: the queue keeps that the associations were open.
        self._closing = True
        for association in left:
            association.abort(block=False)
        end = time.monotonic() + _SECONDS_TO_ABORT
        for association in left:
            association.join(max(0.0, end - time.monotonic()))
            if association.is_alive():
                _end_silent(association)

    def _entity(self) -> AE:
        config = self._config
        ae = AE(config.node["ae_title"])
        limits = config.limits
        ae.maximum_associations = limits["associations"]
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = limits["network_seconds"]
        ae.require_called_aet = True
        allowed = list(config.node["allowed"])
        if allowed:
            # They send answers to requests for commitment; images are taken only from those in `allowed`.
            answering = [one["ae_title"] for one in config.destinations if one.kind == DICOM and one["commitment"]]
            ae.require_calling_aet = [*allowed, *answering]
        ae.add_supported_context(_VERIFICATION)
        for sop_class in CT_CLASSES:
            ae.add_supported_context(sop_class, list(_SYNTAXES))
        ae.add_supported_context(_PUSH_MODEL, scu_role=True, scp_role=True)
        return ae

    def _opened(self, ae: AE) -> NodeServer:
        node, tls = self._config.node, self._config.tls
        handlers = [
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_N_EVENT_REPORT, self._on_commitment),
            (evt.EVT_REJECTED, self._on_rejected),
            (evt.EVT_PDU_RECV, self._on_pdu),
            (evt.EVT_RELEASED, self._on_released),
            (evt.EVT_ABORTED, self._on_broken),
            (evt.EVT_CONN_CLOSE, self._on_broken),
        ]
        try:
            context = server_context(tls["certificate"], tls["key"], tls["ca"])
        except (ssl.SSLError, OSError) as error:
            what = f"the TLS files cannot be used ({error})"
            raise UsageError(what, tls["certificate"], "Give a PEM certificate and its key.", "node-tls") from error
        try:
            server: NodeServer = ae.make_server(
                (node["host"], node["port"]),
                ssl_context=context,
                evt_handlers=handlers,
                server_class=NodeServer,
                request_handler=BoundedHandler,
            )
        except OSError as error:
            raise OutputError(
                f"it cannot be listened on ({error.strerror or error})",
                f"{node['host']}:{node['port']}",
                "Choose another node.port, or end the program that uses it.",
                "port-in-use",
            ) from error
        server.most_bytes = self._intake.most_bytes
        server.silence = self._config.limits["network_seconds"]
        # pynetdicom refuses associations beyond its own number politely; this bounds those that never ask for one.
        server.most_connections = 2 * self._config.limits["associations"] + 2
        server.on_excess = self._on_excess
        return server

    # ----------------------------------------------------------------------------------------------------- handlers

    def _on_store(self, event: Any) -> Any:
        sender, allowed = _caller(event.assoc), self._config.node["allowed"]
        self._came[event.assoc] += 1
        if allowed and sender not in allowed:
            self._intake.refusals.add(sender, "it may not send images [not-allowed]")
            return _status(NOT_ALLOWED, "not allowed to send images")
        request = event.request
        told = (str(request.AffectedSOPClassUID), str(request.AffectedSOPInstanceUID))
        try:
            new = self._intake.take(event.encoded_dataset(), sender, event.assoc, told)
        except RefusedError as refused:
            return _status(refused.status, refused.why)
        except Exception as error:  # noqa: BLE001 - a bug is no reason to leave the sender without an answer
            _log.exception("an image from %s was not taken because of a bug", sender)
            return _status(NO_ROOM, f"internal error ({type(error).__name__})")
        finally:
            # The peer was silent because it waited: a disk that takes long to write is not its fault.
            event.assoc.dul._idle_timer.restart()  # noqa: SLF001 - pynetdicom offers no other way
        self._again[event.assoc] += not new
        return KEPT

    def _on_commitment(self, event: Any) -> Any:
        """PS3.4, J.3.3: event 1 is success, 2 lists failures too."""
        try:
            told = event.event_information
            transaction = str(told.get("TransactionUID", ""))
            stored, failed = (
                [str(item.get("ReferencedSOPInstanceUID", "")) for item in told.get(name) or ()]
                for name in ("ReferencedSOPSequence", "FailedSOPSequence")
            )
        except Exception:  # noqa: BLE001 - pydicom raises many kinds of error
            return 0x0110, None
        known = self._committed(transaction, stored, failed)
        if not known:
            self._intake.refusals.add(_caller(event.assoc), "it commits to what was not asked for [unasked-commitment]")
        return (KEPT if known else _NO_SUCH_TRANSACTION), None

    def _on_rejected(self, event: Any) -> None:
        asked, node = event.assoc.requestor.primitive, self._config.node
        called = str(asked.called_ae_title).strip() if asked is not None else ""
        if called != node["ae_title"]:
            why = f"it called {called[:16]}, not {node['ae_title']}"
        elif event.assoc.ae.require_calling_aet and _caller(event.assoc) not in event.assoc.ae.require_calling_aet:
            why = "its title is not among the allowed"
        else:
            why = f"there are {self._config.limits['associations']} associations, as many as are allowed at once"
        self._intake.refusals.add(_caller(event.assoc), f"{why} [association-refused]")

    def _on_excess(self, association: Any, size: int) -> None:
        why = f"a message of more than {size / 1e6:.1f} MB; the connection was closed [instance-too-large]"
        self._intake.refusals.add(_caller(association), why)

    def _on_pdu(self, event: Any) -> None:
        # Its sender closes the connection at once, which pynetdicom may tell before it tells the release.
        if isinstance(event.pdu, A_RELEASE_RQ):
            self._releasing.add(event.assoc)

    def _on_released(self, event: Any) -> None:
        self._ended(event.assoc, well=True)

    def _on_broken(self, event: Any) -> None:
        # After a release this finds nothing left to do.
        self._ended(event.assoc, well=event.assoc in self._releasing)

    def _ended(self, association: Any, *, well: bool) -> None:
        came, again = self._came.pop(association, 0), self._again.pop(association, 0)
        offered = _refused_kinds(association)
        # Who sends CTs often offers all it has; who sends none had nothing else to send.
        if offered and not came and association not in self._over:
            self._intake.refusals.add(_caller(association), f"{offered} offered; CTs are taken [not-a-ct]")
        self._over.add(association)
        if again:
            _log.info("%s sent %d images that were here already", _caller(association), again)
        if not self._closing:
            self._gathering.closed(association, well=well)


def _refused_kinds(association: Any) -> str:
    """The kinds of object that a peer offered and that are not taken; empty if there are none."""
    taken = {one.abstract_syntax for one in association.accepted_contexts}
    refused = {
        UID(one.abstract_syntax).name for one in association.rejected_contexts if one.abstract_syntax not in taken
    }
    named = sorted(name[:60] for name in refused)
    more = f" and {len(named) - 4} more kinds" if len(named) > 4 else ""
    return f"{', '.join(named[:4])}{more}" if named else ""


def _end_silent(association: Any) -> None:
    """End an association whose peer does not answer, and one that was never asked for, without their time-outs."""
    connection = association.dul.socket
    if connection is not None and connection.socket is not None:
        with suppress(OSError):
            connection.socket.shutdown(socket.SHUT_RDWR)
    association.dul.to_user_queue.put(None)
    association.join(_SECONDS_TO_ABORT)


def _caller(association: Any) -> str:
    """The calling AE title as text that can be logged, with the address if there is no title."""
    title = "".join(c for c in str(association.requestor.ae_title or "") if c.isprintable()).strip()
    return title[:16] or str(association.requestor.address)


def _status(status: int, why: str) -> Dataset:
    answer = Dataset()
    answer.Status = status
    answer.ErrorComment = why[:_COMMENT].encode("ascii", "replace").decode("ascii").replace("\\", "/")
    return answer
