"""``covidquant serve`` from outside, with TLS, and with jobs in processes of their own."""

import os
import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from node_world import PATIENCE, association, configured, node_in, run_until, sent, series, settings, states
from pydicom import dcmread

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.errors import UsageError

ROOT = Path(__file__).resolve().parents[2]


def config_file(tmp_path, **tables):
    configured(tmp_path, settings(tmp_path / "spool", **tables))
    return tmp_path / "node.toml"


def test_check_reads_the_configuration_and_opens_nothing(tmp_path, capsys):
    path = config_file(tmp_path)
    assert main(["serve", "--config", str(path), "--check"]) == 0
    assert not (tmp_path / "spool").exists()
    path.write_text("[node]\n", encoding="utf-8")
    assert main(["serve", "--config", str(path), "--check"]) == 2
    assert "node.folder is missing" in capsys.readouterr().err


def test_a_missing_package_names_its_extra(tmp_path, capsys, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "pynetdicom" else find(name))
    assert main(["serve", "--config", str(config_file(tmp_path))]) == 2
    assert 'pip install "COVIDQuant[dicom]"' in capsys.readouterr().err


def test_a_stop_signal_ends_it_and_the_queue_is_kept(tmp_path):
    path = config_file(tmp_path)
    command = [sys.executable, "-m", "COVIDQuantLib.cli", "serve", "--config", str(path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    node = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        line = node.stderr.readline()
        assert "COVIDQUANT listens at 127.0.0.1:" in line
        port = int(line.rsplit(":", 1)[1])
        assert sent(port, series()[:2]) == [0, 0]
        node.send_signal(signal.SIGTERM)
        _, rest = node.communicate(timeout=PATIENCE)
    finally:
        node.kill()
        node.wait()
    assert node.returncode == 143
    assert rest.endswith("covidquant: stopped; the queue is kept\n")
    assert len(list((tmp_path / "spool" / "images").rglob("*.dcm"))) == 2


def test_the_real_job_says_why_a_series_is_unfit(tmp_path):
    with node_in(tmp_path, start=None) as node:
        sent(node.service.port, series(RescaleType="OD"))
        run_until(node, lambda: states(node) == {"aside": 1})
        assert node.ledger.units()[0].reason.endswith("[no-fit-series]")
        assert node.quantifier.pid is None


@pytest.mark.slow
def test_the_real_job_makes_the_objects_of_a_result(tmp_path):
    from dicom_maker import chest, slice_datasets

    images = slice_datasets(chest((24, 64, 64)), spacing=(5.0, 5.0, 10.0), StudyDate="20261101")
    with node_in(tmp_path, start=None) as node:
        sent(node.service.port, images)
        run_until(node, lambda: states(node) == {"done": 1}, 300)
        (unit,) = node.ledger.units()
        folder = node.quantifier.folder(unit.key, unit.run)
        made = [dcmread(path, stop_before_pixels=True) for path in folder.glob("*.dcm")]
        assert {ds.Modality for ds in made} == {"SEG", "SR", "OT", "DOC"}
        assert {ds.StudyInstanceUID for ds in made} == {images[0].StudyInstanceUID}
        assert {path.suffix for path in folder.iterdir()} == {".dcm", ".json"}
        assert "4711" not in (folder / "outcome.json").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A certificate for this machine, signed by itself, and its key."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed, which makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    made = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    files = [
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
        "-keyout",
        folder / "key.pem",
        "-out",
        folder / "cert.pem",
    ]
    subprocess.run([openssl, *made, *files], check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


def test_images_come_by_tls_from_those_who_show_a_certificate(tmp_path, certificates):
    certificate, key = certificates
    tls = {"certificate": str(certificate), "key": str(key), "ca": str(certificate)}
    with node_in(tmp_path, tls=tls) as node:
        context = ssl.create_default_context(cafile=certificate)
        with association(node.service.port, tls_args=(context, "localhost")) as peer:
            assert not peer.is_established
        with association(node.service.port) as peer:
            assert not peer.is_established
        context.load_cert_chain(certificate, key)
        assert sent(node.service.port, series(), tls_args=(context, "localhost")) == [0] * 8
        run_until(node, lambda: states(node) == {"done": 1})


def test_a_result_goes_out_by_tls(tmp_path, certificates):
    certificate, key = certificates
    tls = {"certificate": str(certificate), "key": str(key)}
    (tmp_path / "second").mkdir()
    with node_in(tmp_path / "second", tls=tls, node={"allowed": ["COVIDQUANT"]}) as other:
        remote = {"name": "o", "ae_title": "COVIDQUANT", "host": "localhost", "port": other.service.port, "tls": True}
        with node_in(tmp_path, [{**remote, "ca": str(certificate)}]) as node:
            sent(node.service.port, series())
            # It takes CTs alone, and says so over the connection that was asked for.
            run_until(node, lambda: any("takes no Basic Text SR" in one.why for one in node.ledger.pending()))


def test_a_certificate_that_is_none_is_named(tmp_path):
    (tmp_path / "c.pem").write_text("no certificate", encoding="ascii")
    tls = {"certificate": str(tmp_path / "c.pem"), "key": str(tmp_path / "c.pem")}
    with pytest.raises(UsageError, match="TLS files cannot be used"):
        node_in(tmp_path, tls=tls)
