"""Through a real PACS: CTs come from Orthanc, results go back to it, and it commits to them."""

import os
import signal
import socket
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import pytest
from dicom_maker import chest, slice_datasets, write
from node_world import settings
from orthanc_world import PATIENCE, Orthanc, free_port

from COVIDQuantLib.node.ledger import FILE, Ledger

ROOT = Path(__file__).resolve().parents[2]
psutil = pytest.importorskip("psutil", reason="memory and time are measured with psutil")
SERIES = 20
# Of a result: the segmentation, the structured report, the overview image and the report.
MODALITIES = {"SEG", "SR", "OT", "DOC"}
pytestmark = pytest.mark.slow


def phantom(seed):
    """The images of a chest of its own, of a patient of its own."""
    hu = chest((24, 64, 64), seed)
    return slice_datasets(
        hu,
        spacing=(5.0, 5.0, 10.0),
        PatientID=f"P{seed}",
        PatientName=f"Phantom^{seed}",
        StudyDate="20261101",
        StudyID=str(seed),
        AccessionNumber=f"A{seed}",
        StudyTime="120000",
        PatientSex="O",
        StudyDescription="CT chest",
        Manufacturer="COVIDQuant phantom",
    )


class NodeProcess:
    """The node as a site runs it: ``covidquant serve``."""

    def __init__(self, tmp_path, port, destinations=(), sources=(), **tables):
        tables.setdefault("node", {}).update(port=port, allowed=["ORTHANC", "SCANNER"])
        tables.setdefault("gather", {}).update(quiet_seconds=3.0)
        tables.setdefault("limits", {}).update(network_seconds=60.0)
        self.folder = tmp_path / "spool"
        self._config = tmp_path / "node.toml"
        self._config.write_text(settings(self.folder, destinations, sources, **tables), encoding="utf-8")
        self._log = (tmp_path / "node.log").open("ab")
        self._port = port
        self._process = None
        self.peak_bytes, self._spent = 0.0, {}

    def start(self):
        command = [sys.executable, "-m", "COVIDQuantLib.cli", "serve", "--config", str(self._config)]
        self._process = subprocess.Popen(
            command, stdout=self._log, stderr=self._log, env={**os.environ, "PYTHONPATH": str(ROOT)}
        )
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with socket.socket() as sock:
                if not sock.connect_ex(("127.0.0.1", self._port)):
                    return
            time.sleep(0.1)
        pytest.fail("the node did not start")

    def kill(self):
        """As by a power cut; its job ends with it."""
        self._process.kill()
        self._process.wait()

    def stop(self):
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(PATIENCE)

    def close(self):
        self.stop()
        self._log.close()

    def measure(self):
        """Remember the most memory of the node and its job, and the processor's time that they took."""
        try:
            node = psutil.Process(self._process.pid)
            family = [node, *node.children(recursive=True)]
            self.peak_bytes = max(self.peak_bytes, sum(one.memory_info().rss for one in family))
            for one in family:
                times = one.cpu_times()
                self._spent[one.pid] = times.user + times.system
        except psutil.Error:
            pass

    @property
    def processor_seconds(self):
        """Of the node and its jobs, before and after it was killed, as far as they were looked at."""
        return sum(self._spent.values())

    def units(self):
        ledger = Ledger(self.folder / FILE)
        try:
            return ledger.units()
        finally:
            ledger.close()


@pytest.fixture
def place(tmp_path):
    """An Orthanc and the port of a node to come."""
    port = free_port()
    with Orthanc(tmp_path / "orthanc", port) as orthanc:
        yield orthanc, port


def until(condition, seconds, each=lambda: None):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        each()
        time.sleep(0.5)
    assert condition()


def uploaded(orthanc, datasets):
    for ds in datasets:
        with BytesIO() as file:
            ds.save_as(file, enforce_file_format=True)
            orthanc.post("/instances", file.getvalue())


def test_a_ct_goes_to_the_node_and_comes_back_as_dicom_objects(tmp_path, place):
    orthanc, port = place
    node = NodeProcess(tmp_path, port, [orthanc.remote(commitment=True)])
    try:
        node.start()
        images = phantom(1)
        uploaded(orthanc, images)
        study = orthanc.get("/studies")
        orthanc.post("/modalities/covidquant/store", {"Resources": study, "Synchronous": True})
        until(lambda: [one.state for one in node.units()] == ["done"], 300)
        ((uid, found),) = orthanc.series().items()
        assert uid == images[0].StudyInstanceUID
        assert set(found) == {"CT", *MODALITIES}
        assert all(len(found[kind]) == 1 for kind in MODALITIES)
    finally:
        node.close()


def test_a_ct_is_fetched_and_its_result_brought_by_dicomweb(tmp_path, place):
    orthanc, port = place
    source = {"name": "pacs web", "url": orthanc.url, "every_seconds": 1.0, "days": 3650}
    target = {"name": "pacs", "kind": "dicomweb", "url": orthanc.url}
    node = NodeProcess(tmp_path, port, [target], [source])
    try:
        uploaded(orthanc, phantom(1))
        node.start()
        until(lambda: [one.state for one in node.units()] == ["done"], 300)
        (found,) = orthanc.series().values()
        assert set(found) == {"CT", *MODALITIES}
    finally:
        node.close()


SENDER = """
import sys
from pathlib import Path
from pydicom import dcmread
from pynetdicom import AE
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
for folder in sorted(Path(sys.argv[2]).iterdir()):
    ae = AE("SCANNER")
    ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
    peer = ae.associate("127.0.0.1", int(sys.argv[1]), ae_title="COVIDQUANT")
    if not peer.is_established:
        sys.exit(1)
    for path in sorted(folder.iterdir()):
        status = peer.send_c_store(dcmread(path))
        if status.get("Status") != 0:
            sys.exit(1)
        print(path.name, flush=True)
    peer.release()
"""


def test_twenty_series_of_two_senders_survive_kills_of_a_sender_and_of_the_node(tmp_path, place, capsys):
    """20 results, none twice, none lost; what was killed comes again, as a scanner's and a PACS's queues do."""
    orthanc, port = place
    # The other two objects take most of a job's time, and nothing of the queue's.
    objects = {"segmentation": "SEG", "report_sr": "SR"}
    node = NodeProcess(tmp_path, port, [orthanc.remote()], results={"objects": list(objects)})
    mine, theirs = range(SERIES // 2), range(SERIES // 2, SERIES)
    for seed in mine:
        write(phantom(seed), tmp_path / "sender" / f"{seed:02d}")
    for seed in theirs:
        uploaded(orthanc, phantom(seed))
    at_pacs = orthanc.get("/studies")
    began = time.monotonic()
    sender = None
    try:
        node.start()
        sender = _sender(tmp_path, port)
        pushes = [
            orthanc.post("/modalities/covidquant/store", {"Resources": [one], "Asynchronous": True})["ID"]
            for one in at_pacs
        ]
        # In the middle of its third series.
        for _ in range(2 * 24 + 12):
            assert sender.stdout.readline()
        sender.kill()
        sender.wait()
        until(lambda: any(one.state in {"working", "sending", "done"} for one in node.units()), 300, node.measure)
        node.kill()
        time.sleep(1.0)
        node.start()
        sender.stdout.close()
        sender = _sender(tmp_path, port)
        until(lambda: _pushed(orthanc, pushes), 300, node.measure)
        rest, _ = sender.communicate(timeout=300)
        assert sender.returncode == 0, rest
        until(lambda: [one.state for one in node.units()] == ["done"] * SERIES, 1500, node.measure)
        found = orthanc.series()
        assert len(found) == SERIES
        for kinds in found.values():
            assert {kind: len(series) for kind, series in kinds.items() if kind != "CT"} == dict.fromkeys(
                objects.values(), 1
            )
            assert all(len(series[0]) == 1 for kind, series in kinds.items() if kind != "CT")
        seconds = time.monotonic() - began
        with capsys.disabled():
            print(
                f"\n{SERIES} series in {seconds:.0f} s, {node.processor_seconds:.0f} s of a processor; node and job "
                f"together at most {node.peak_bytes / 1e6:.0f} MB"
            )
    finally:
        if sender is not None and sender.poll() is None:
            sender.kill()
            sender.wait()
        if sender is not None:
            sender.stdout.close()
        node.close()


def _sender(tmp_path, port):
    command = [sys.executable, "-c", SENDER, str(port), str(tmp_path / "sender")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _pushed(orthanc, jobs):
    """Whether Orthanc has sent everything; what failed while the node was away is sent again."""
    done = True
    for job in jobs:
        state = orthanc.get(f"/jobs/{job}")["State"]
        if state == "Failure":
            orthanc.post(f"/jobs/{job}/resubmit", {})
        done = done and state == "Success"
    return done
