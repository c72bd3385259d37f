"""Connections to the DICOM port with bounds that pynetdicom does not set: of number, silence and size."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from socketserver import BaseServer
from typing import Any

from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

_log = logging.getLogger(__name__)

# PDUs other than those of data are negotiations: a few kilobytes.
_MOST_OF_PDU = 1 << 20
# PS3.8, 9.3: type, reserved, length.
_PDU_HEAD = 6
# How long closing the port may have to wait.
_SECONDS_BETWEEN_LOOKS = 0.2


class _BoundedSocket(AssociationSocket):
    """Reads no PDU and no message larger than allowed, whatever length they claim."""

    most_bytes = 0
    on_excess: Any = None

    def recv(self, nr_bytes: int) -> bytearray:
        """As of the base class.

        Raises:
            OSError: it would be too much; pynetdicom then closes the connection.
        """
        if nr_bytes > _PDU_HEAD:
            message = self.assoc.dimse.message
            held = message.data_set.tell() + message.encoded_command_set.tell() if message is not None else 0
            if nr_bytes > _MOST_OF_PDU or held + nr_bytes > self.most_bytes + _MOST_OF_PDU:
                self.on_excess(self.assoc, held + nr_bytes)
                raise OSError("the peer sends more than is taken")
        return super().recv(nr_bytes)


class BoundedHandler(RequestHandler):
    """Makes associations whose sockets are bounded."""

    server: NodeServer

    def _create_association(self) -> Any:
        assoc = super()._create_association()
        # pynetdicom has made a socket of its own class; only `recv` differs, so it is made ours in place.
        bounded = assoc.dul.socket
        bounded.__class__ = _BoundedSocket
        bounded.most_bytes, bounded.on_excess = self.server.most_bytes, self.server.on_excess
        return assoc


class NodeServer(ThreadedAssociationServer):
    """The DICOM port.

    Attributes:
        most_bytes: the largest message that is taken.
        most_connections: TCP connections at one time, whether or not they ask for an association.
        silence: seconds after which a peer that says nothing is cut off.
        on_excess: called with an association and the bytes it would have taken.
    """

    most_bytes = 0
    most_connections = 0
    silence = 60.0
    on_excess: Any = None

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; TLS is negotiated by its own thread, so that a slow peer delays nobody else."""
        client, address = socket.socket.accept(self.socket)
        client.settimeout(self.silence)
        if self.ssl_context is not None:
            client = self.ssl_context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        return client, address

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Whether there is room for one more connection."""
        del request
        room = len(self.active_associations) < self.most_connections
        if not room:
            _log.warning("a connection from %s was closed: there are too many", client_address[0])
        return room

    def shutdown(self) -> None:
        """Close the port."""
        # Not pynetdicom's, which expects to have started the server itself.
        BaseServer.shutdown(self)
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that failed is one line of the log."""
        del request
        _log.warning("a connection from %s failed", client_address[0], exc_info=True)


def server_context(certificate: str, key: str, ca: str) -> ssl.SSLContext | None:
    """TLS for the DICOM port (BCP 195 profile: TLS 1.2 or later); None without a certificate.

    Raises:
        ssl.SSLError, OSError: a file is no certificate or key, or they do not belong together.
    """
    if not certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    if ca:
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def serve_in_thread(server: NodeServer) -> threading.Thread:
    """Serve until ``server.shutdown()``."""
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": _SECONDS_BETWEEN_LOOKS}, name="node-port", daemon=True
    )
    thread.start()
    return thread
