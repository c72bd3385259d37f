"""A real PACS for tests: Debian's Orthanc and its DICOMweb plugin, on this machine alone, in a folder of a test."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

PLUGINS = ("/usr/share/orthanc/plugins", "/usr/lib/orthanc")
PATIENCE = 60.0


def orthanc_or_skip():
    """The program, or a skip that says what is missing."""
    found = shutil.which("Orthanc", path="/usr/sbin:/usr/bin:/usr/local/bin:/usr/local/sbin")
    if found is None:
        pytest.skip("Orthanc is not installed (Debian: orthanc, orthanc-dicomweb)")
    return found


def free_port():
    """A port that nobody uses now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Orthanc:
    """A running Orthanc.

    Args:
        folder: for its data and its log.
        node_port: of the node, which it knows as the modality ``covidquant``.
        dicom_port: of itself; None for any free one.
    """

    title = "ORTHANC"

    def __init__(self, folder: Path, node_port: int):
        program = orthanc_or_skip()
        folder.mkdir(parents=True, exist_ok=True)
        self.http_port, self.port = free_port(), free_port()
        plugin = next((p for p in Path(PLUGINS[0]).glob("libOrthancDicomWeb.so*")), None)
        if plugin is None:
            pytest.skip("Orthanc's DICOMweb plugin is not installed (Debian: orthanc-dicomweb)")
        settings = {
            "Name": "Test",
            "StorageDirectory": str(folder / "db"),
            "IndexDirectory": str(folder / "db"),
            "HttpPort": self.http_port,
            "DicomPort": self.port,
            "DicomAet": self.title,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomCheckModalityHost": False,
            "DicomModalities": {"covidquant": {"AET": "COVIDQUANT", "Host": "127.0.0.1", "Port": node_port}},
            "Plugins": [str(p) for p in Path(PLUGINS[0]).glob("libOrthanc*.so*")],
            "DicomWeb": {"Enable": True},
            "StableAge": 1,
            "ConcurrentJobs": 4,
        }
        path = folder / "orthanc.json"
        path.write_text(json.dumps(settings), encoding="utf-8")
        self._log = (folder / "log").open("wb")
        self._process = subprocess.Popen([program, str(path)], stdout=self._log, stderr=self._log, cwd=folder)
        self._until_up(folder)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    @property
    def url(self):
        """Of its DICOMweb services."""
        return f"http://127.0.0.1:{self.http_port}/dicom-web"

    def remote(self, **keys):
        """It as a destination of a node."""
        return {"name": "pacs", "ae_title": self.title, "host": "127.0.0.1", "port": self.port, **keys}

    def get(self, path):
        """What its REST interface says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}{path}", timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def post(self, path, body):
        """The same after a POST."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.http_port}{path}", data=data, method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read())

    def series(self):
        """For each study its series by modality, with the SOP Instance UIDs of each."""
        found = {}
        for one in self.get("/series?expand"):
            study = self.get(f"/studies/{one['ParentStudy']}")["MainDicomTags"]["StudyInstanceUID"]
            uids = [self.get(f"/instances/{i}")["MainDicomTags"]["SOPInstanceUID"] for i in one["Instances"]]
            found.setdefault(study, {}).setdefault(one["MainDicomTags"]["Modality"], []).append(uids)
        return found

    def _until_up(self, folder):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                self.get("/system")
            except (urllib.error.URLError, OSError):
                if self._process.poll() is not None:
                    break
                time.sleep(0.1)
            else:
                return
        self.__exit__()
        pytest.fail(f"Orthanc did not start: {(folder / 'log').read_text(encoding='utf-8', errors='replace')[-2000:]}")
