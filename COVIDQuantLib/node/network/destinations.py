"""Send the objects of a result to one destination, by C-STORE or STOW, and ask for commitment to them."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, generate_uid

from COVIDQuantLib.node.config import NodeConfig, Remote
from COVIDQuantLib.node.ledger import Delivery
from COVIDQuantLib.node.settings import DICOM

_log = logging.getLogger(__name__)
# Without a handler its tracebacks of every failed try would reach the terminal.
logging.getLogger("retrying").addHandler(logging.NullHandler())
logging.getLogger("dicomweb_client").addHandler(logging.NullHandler())

_SUCCESS = 0x0000
# PS3.4, B.2.3: stored, with a warning.
_WARNINGS = range(0xB000, 0xC000)
_PUSH_MODEL, _PUSH_INSTANCE = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
_ACTION_REQUEST = 1


class NotSentError(Exception):
    """A destination could not be reached or did not take an object; the text says why."""


def send(config: NodeConfig, remote: Remote, files: Mapping[Path, Delivery]) -> dict[Path, str]:
    """Send files to a destination.

    Returns:
        For each file why it was not taken; empty if it was.

    Raises:
        NotSentError: nothing was sent.
    """
    return _store(config, remote, files) if remote.kind == DICOM else _stow(config, remote, files)


def ask_commitment(config: NodeConfig, remote: Remote, deliveries: Sequence[Delivery], transaction: str) -> None:
    """Ask a destination to commit to what was sent; its answer comes as an N-EVENT-REPORT, at some time.

    Raises:
        NotSentError: it did not take the request.
    """
    wanted = Dataset()
    wanted.TransactionUID = transaction
    wanted.ReferencedSOPSequence = [_reference(one) for one in deliveries]
    with _association(config, remote, [(_PUSH_MODEL, [ImplicitVRLittleEndian, ExplicitVRLittleEndian])]) as peer:
        status, _ = peer.send_n_action(wanted, _ACTION_REQUEST, _PUSH_MODEL, _PUSH_INSTANCE)
        if "Status" not in status or status.Status != _SUCCESS:
            raise NotSentError(f"it does not take requests for storage commitment ({_told(status)})")


def new_transaction() -> str:
    """A UID for a request for commitment."""
    return str(generate_uid())


def web_client(config: NodeConfig, remote: Remote) -> Any:
    """A DICOMweb client for a server, which follows no link to another one.

    Raises:
        NotSentError: its token cannot be read.
    """
    from dicomweb_client.api import DICOMwebClient

    session = requests.Session()
    # What the file says goes, not what the environment says of proxies and passwords.
    session.trust_env = False
    session.max_redirects = 0
    if remote["ca"]:
        session.verify = remote["ca"]
    headers = {}
    if remote["token_file"]:
        try:
            token = Path(remote["token_file"]).read_text(encoding="ascii").splitlines()[0].strip()
        except (OSError, ValueError, IndexError) as error:
            raise NotSentError(f"its token cannot be read ({error})") from error
        headers["Authorization"] = f"Bearer {token}"
    timeout = config.limits["network_seconds"]
    client = DICOMwebClient(remote["url"], session=session, headers=headers, timeout=timeout)
    # The node has its own patience.
    client.set_http_retry_params(retry=False)
    return client


# ------------------------------------------------------------------------------------------------------------ DICOM


def _store(config: NodeConfig, remote: Remote, files: Mapping[Path, Delivery]) -> dict[Path, str]:
    datasets = {path: dcmread(path) for path in files}
    contexts: dict[str, set[str]] = {}
    for dataset in datasets.values():
        contexts.setdefault(str(dataset.SOPClassUID), set()).add(str(dataset.file_meta.TransferSyntaxUID))
    told = {}
    with _association(config, remote, [(sop_class, sorted(found)) for sop_class, found in contexts.items()]) as peer:
        for path, dataset in datasets.items():
            told[path] = _stored(peer, dataset)
    return told


def _stored(peer: Any, dataset: Dataset) -> str:
    try:
        status = peer.send_c_store(dataset)
    except (ValueError, RuntimeError) as error:
        # The destination takes no such objects, or broke off.
        return f"it takes no {dataset.SOPClassUID.name} ({error})"[:300]
    if "Status" not in status:
        return "it broke off or did not answer"
    if status.Status == _SUCCESS or status.Status in _WARNINGS:
        return ""
    return f"it refused {dataset.SOPClassUID.name} ({_told(status)})"


def _told(status: Dataset) -> str:
    if "Status" not in status:
        return "no answer"
    # Not its comment, which may name the patient.
    return f"status {status.Status:#06x}"


@contextmanager
def _association(config: NodeConfig, remote: Remote, contexts: Sequence[tuple[str, Sequence[str]]]) -> Iterator[Any]:
    from pynetdicom import AE

    ae = AE(config.node["ae_title"])
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = config.limits["network_seconds"]
    ae.connection_timeout = min(10.0, config.limits["network_seconds"])
    for sop_class, syntaxes in contexts:
        for syntax in syntaxes:
            ae.add_requested_context(sop_class, syntax)
    peer = ae.associate(remote["host"], remote["port"], ae_title=remote["ae_title"], tls_args=_tls(config, remote))
    if not peer.is_established:
        refused = sorted({UID(one.abstract_syntax).name for one in peer.rejected_contexts})
        how = "refused the association" if peer.is_rejected else "cannot be reached"
        if refused:
            how = f"takes no {', '.join(refused)}"
        raise NotSentError(f"{remote['ae_title']} at {remote['host']}:{remote['port']} {how}")
    try:
        yield peer
    except BaseException:
        peer.abort()
        raise
    if peer.is_established:
        peer.release()


def _tls(config: NodeConfig, remote: Remote) -> tuple[ssl.SSLContext, str] | None:
    if not remote["tls"]:
        return None
    context = ssl.create_default_context(cafile=remote["ca"] or None)
    if config.tls["certificate"]:
        context.load_cert_chain(config.tls["certificate"], config.tls["key"])
    return context, remote["host"]


def _reference(delivery: Delivery) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = delivery.sop_class, delivery.sop_instance
    return item


# --------------------------------------------------------------------------------------------------------- DICOMweb


def _stow(config: NodeConfig, remote: Remote, files: Mapping[Path, Delivery]) -> dict[Path, str]:
    client = web_client(config, remote)
    told: dict[Path, str] = {}
    for path in files:
        try:
            answer = client.store_instances([dcmread(path)])
        except (requests.RequestException, OSError, ValueError) as error:
            if not told:
                raise NotSentError(f"{remote['url']} does not take it ({error})"[:300]) from error
            told[path] = f"it broke off ({error})"[:300]
            continue
        failed = answer.get("FailedSOPSequence")
        reason = int(failed[0].get("FailureReason", 0)) if failed else 0
        told[path] = f"it refused the object (reason {reason:#06x})" if failed else ""
    return told
