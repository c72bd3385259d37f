"""A node on this machine's loopback, senders that talk to it, and a destination that takes what it sends."""

import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from dicom_maker import chest, slice_datasets
from node_double import Noted
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

pytest.importorskip("pynetdicom", reason="the node needs the extra dicom")
from pynetdicom import AE, evt
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance, Verification

from COVIDQuantLib.node.config import read_config
from COVIDQuantLib.node.network.connections import NodeServer, serve_in_thread
from COVIDQuantLib.node.node import Node

SENDER = "SCANNER"
# Long enough for a machine that does other work as well; nothing waits for it unless something is wrong.
PATIENCE = 60.0


def series(slices=8, seed=0, shape=(32, 32), **tags):
    """The images of a tiny CT series."""
    return slice_datasets(chest((slices, *shape), seed), spacing=(8.0, 8.0, 20.0), **tags)


def settings(folder, destinations=(), sources=(), **tables):
    """The text of a configuration; a table's keys replace those of a node for tests."""
    base = {
        "node": {"folder": str(folder), "port": 0, "allowed": [SENDER]},
        "gather": {"quiet_seconds": 0.1, "open_seconds": 30.0, "broken_off_seconds": 30.0},
        "quantify": {"method": "model-free"},
        "limits": {"free_gb": 0.001, "network_seconds": 60.0},
        "status": {"show": False, "port": 0},
    }
    for name, keys in tables.items():
        base[name] = {**base.get(name, {}), **keys}
    lines = [line for name, keys in base.items() for line in [f"[{name}]", *_lines(keys)]]
    for name, remotes in (("destination", destinations), ("source", sources)):
        lines += [line for keys in remotes for line in [f"[[{name}]]", *_lines(keys)]]
    return "\n".join(lines) + "\n"


def _lines(keys):
    return [f"{key} = {_toml(value)}" for key, value in keys.items()]


def _toml(value):
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(value) if isinstance(value, int | float) else f'"{value}"'


def configured(tmp_path, text):
    """The configuration of a text."""
    path = tmp_path / "node.toml"
    path.write_text(text, encoding="utf-8")
    return read_config(path)


def node_in(tmp_path, destinations=(), sources=(), start=Noted, **tables):
    """A node whose folder is below a test's."""
    return Node(configured(tmp_path, settings(tmp_path / "spool", destinations, sources, **tables)), start)


def run_until(node, condition, seconds=PATIENCE):
    """Let a node work until a condition holds."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        node.step()
        time.sleep(0.01)
    assert condition(), (node.ledger.units(), node.ledger.pending(), node.troubles(), node.intake.refusals.latest())


def states(node):
    """How many series are in each state."""
    return node.ledger.counts()


@contextmanager
def association(
    port, title=SENDER, called="COVIDQUANT", contexts=((CTImageStorage, (ExplicitVRLittleEndian,)),), **more
):
    """An association with a node; released at the end unless it was aborted."""
    ae = AE(title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = PATIENCE
    ae.add_requested_context(Verification)
    for sop_class, syntaxes in contexts:
        ae.add_requested_context(sop_class, list(syntaxes))
    peer = ae.associate("127.0.0.1", port, ae_title=called, **more)
    if peer.is_established:
        # Small messages wait for nothing.
        peer.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        yield peer
    finally:
        if peer.is_established:
            peer.release()
        if peer.is_alive():
            peer.join(PATIENCE)


def sent(port, datasets, **options):
    """Send images in one association; the statuses."""
    with association(port, **options) as peer:
        assert peer.is_established
        return [peer.send_c_store(ds).get("Status") for ds in datasets]


def link():
    """Something that stands for an association, for parts that see no more of it."""
    return object()


class Archive:
    """A storage service that keeps what it is sent, and commits to it if it is asked.

    Attributes:
        port: where it listens.
        held: SOP Instance UIDs, each as often as it came.
        refuse: how many objects it refuses before it takes any.
        asked: identifiers of requests for commitment.
        commits: whether it takes such requests.
    """

    title = "ARCHIVE"

    def __init__(self, commits_to=lambda: None):
        self.held = []
        self.datasets = []
        self.refuse = 0
        self.asked = []
        self.commits = True
        self.threads = []
        self._commits_to = commits_to
        ae = AE(self.title)
        ae.supported_contexts = [*_storage_contexts()]
        ae.add_supported_context(Verification)
        ae.add_supported_context(StorageCommitmentPushModel)
        handlers = [(evt.EVT_C_STORE, self._on_store), (evt.EVT_N_ACTION, self._on_action)]
        self._server = ae.make_server(("127.0.0.1", 0), evt_handlers=handlers, server_class=NodeServer)
        self._server.most_connections = 100
        self._thread = serve_in_thread(self._server)
        self.port = self._server.server_address[1]

    def remote(self, **keys):
        """It as a destination of a node."""
        return {"name": "archive", "ae_title": self.title, "host": "127.0.0.1", "port": self.port, **keys}

    def close(self):
        if self._server is not None:
            self._server.shutdown()
            self._server = None
            self._thread.join(PATIENCE)
        for thread in self.threads:
            thread.join(PATIENCE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _on_store(self, event):
        if self.refuse:
            self.refuse -= 1
            return 0xA700
        self.held.append(event.request.AffectedSOPInstanceUID)
        self.datasets.append(event.dataset)
        return 0x0000

    def _on_action(self, event):
        if not self.commits:
            return 0x0110, None
        told = event.action_information
        wanted = [item.ReferencedSOPInstanceUID for item in told.ReferencedSOPSequence]
        self.asked.append(told.TransactionUID)
        self.threads.append(threading.Thread(target=self._report, args=(told, wanted)))
        self.threads[-1].start()
        return 0x0000, None

    def _report(self, told, wanted):
        """PS3.4, J.3.3: in an association of its own, as the provider of the service."""
        from pydicom.dataset import Dataset
        from pynetdicom import build_role

        port, committed = self._commits_to()
        answer = Dataset()
        answer.TransactionUID = told.TransactionUID
        answer.ReferencedSOPSequence = [one for one in told.ReferencedSOPSequence if committed(one)]
        failed = [one for one in told.ReferencedSOPSequence if not committed(one)]
        for one in failed:
            one.FailureReason = 0x0112
        if failed:
            answer.FailedSOPSequence = failed
        ae = AE(self.title)
        ae.add_requested_context(StorageCommitmentPushModel)
        role = build_role(StorageCommitmentPushModel, scp_role=True)
        peer = ae.associate("127.0.0.1", port, ae_title="COVIDQUANT", ext_neg=[role])
        assert peer.is_established
        peer.send_n_event_report(
            answer, 2 if failed else 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
        )
        peer.release()


def _storage_contexts():
    from pynetdicom import StoragePresentationContexts, build_context
    from pynetdicom.sop_class import SegmentationStorage

    known = {context.abstract_syntax for context in StoragePresentationContexts}
    return [
        *StoragePresentationContexts[:120],
        *([] if SegmentationStorage in known else [build_context(SegmentationStorage)]),
    ]


def raw_connection(port):
    """A TCP connection to a port."""
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)


def files_below(folder: Path):
    """Paths of all files below a folder, relative to it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
