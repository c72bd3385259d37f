"""Every key of the node's configuration: its default, what fits and what it does; docs/node.md shows this table."""

from __future__ import annotations

from COVIDQuantLib.pipeline import DEFAULT_PLAN, METHODS
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS
from COVIDQuantLib.system.settings_schema import (
    REQUIRED,
    Schema,
    Setting,
    above_zero,
    choice,
    count,
    number,
    text,
    texts,
    truth,
)

DICOM, WEB = "dicom", "dicomweb"
DESTINATION_KINDS = (DICOM, WEB)
SERIES, STUDY = "series", "study"
# The objects of a result, by the names that ``dicom/write.py`` gives them.
OBJECTS = ("segmentation", "report_sr", "capture", "encapsulated_pdf")


def _port(default: object, meaning: str) -> Setting:
    def fits(value: object) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 16

    return Setting(default, "a port from 1 to 65535 (0: any free one)", fits, meaning)


def _objects() -> Setting:
    def fits(value: object) -> bool:
        return isinstance(value, list) and bool(value) and all(one in OBJECTS for one in value)

    return Setting(list(OBJECTS), f"a list of {', '.join(OBJECTS)}", fits, "the objects that are made and sent")


_WEB_ACCESS: Schema = {
    "name": text(REQUIRED, "its name in the queue, the log and the status page"),
    "url": text(REQUIRED, "base address of its DICOMweb services"),
    "token_file": text("", "file with a bearer token for it; its first line is sent"),
    "ca": text("", "PEM file of the authority that signed its certificate; empty: those of the system"),
}

SCHEMAS: dict[str, Schema] = {
    "node": {
        "ae_title": text("COVIDQUANT", "the node's AE title; an association that calls another is refused"),
        "host": text("127.0.0.1", "address to listen on; on any other than this machine's own, `allowed` is required"),
        "port": _port(11112, "DICOM port"),
        "folder": text(REQUIRED, "folder of the queue, the images and the results; only for the node's own user"),
        "allowed": texts([], "AE titles that may send; empty: any, on this machine only"),
    },
    "tls": {
        "certificate": text("", "PEM file of the node's certificate; empty: no TLS"),
        "key": text("", "PEM file of its private key"),
        "ca": text("", "PEM file of the authority whose certificates senders must show; empty: none is asked for"),
    },
    "gather": {
        "by": choice(
            SERIES, "what is quantified: every series, or the best chest series of every study", SERIES, STUDY
        ),
        "quiet_seconds": above_zero(30, "a series is whole this long after its last image, the association closed"),
        "open_seconds": above_zero(180, "likewise while the sender keeps the association open"),
        "broken_off_seconds": above_zero(
            900, "wait this long for the rest after an association broke off; then the series is put aside"
        ),
    },
    "quantify": {
        "method": choice(DEFAULT_PLAN.method, "how to find lungs, lobes and lesions", *METHODS),
        "device": text("auto", "where networks run"),
        "lobes_model": text("", "model bundle for the lobes; empty: the shipped one"),
        "lesions_model": text("", "model bundle for the lesions; empty: the shipped one"),
        "ggo_hu": number(DEFAULT_THRESHOLDS.ggo_hu, "lower bound of ground glass, HU"),
        "consolidation_hu": number(DEFAULT_THRESHOLDS.consolidation_hu, "lower bound of consolidation, HU"),
        "minutes": above_zero(90, "a series that takes longer is put aside"),
        "attempts": count(3, "how often a series is tried whose job crashes", 10),
        "worker_series": count(100, "the process that quantifies is replaced by a new one after so many series"),
        "worker_gb": above_zero(4, "likewise once it holds more memory than this after a series (on Linux)"),
        "worker_idle_minutes": above_zero(30, "it ends, and the networks' memory is free, after so long without work"),
    },
    "results": {
        "objects": _objects(),
        "say_why": truth(False, "send a text report (SR) with the reason for every series that is put aside"),
    },
    "limits": {
        "instance_mb": above_zero(512, "a larger image ends its association"),
        "series_instances": count(4000, "more images of one series, or one study, are refused"),
        "queue_series": count(500, "series that are received or wait; more are refused until some are done"),
        "disk_gb": above_zero(50, "images and results together; more images are refused until some are cleared"),
        "free_gb": above_zero(2, "images are refused while less is free on the disk"),
        "associations": count(10, "associations at one time", 200),
        "network_seconds": above_zero(60, "a peer that says nothing for so long is cut off"),
        "keep_hours": above_zero(24, "images and results are deleted so long after the last was sent"),
        "give_up_hours": above_zero(72, "sending is tried for so long; then the result stays, marked as unsent"),
    },
    "status": {
        "show": truth(True, "whether there is a status page"),
        "host": text("127.0.0.1", "a loopback address"),
        "port": _port(11180, "port of the status page"),
    },
    DICOM: {
        "name": text(REQUIRED, "its name in the queue, the log and the status page"),
        "kind": choice(DICOM, "its protocol", *DESTINATION_KINDS),
        "ae_title": text(REQUIRED, "its AE title"),
        "host": text(REQUIRED, "its address"),
        "port": _port(REQUIRED, "its DICOM port"),
        "tls": truth(False, "whether to connect by TLS"),
        "ca": text("", "PEM file of the authority that signed its certificate; empty: those of the system"),
        "commitment": truth(False, "ask it to commit to what was sent; only then is a result done"),
    },
    WEB: {**_WEB_ACCESS, "kind": choice(WEB, "its protocol", *DESTINATION_KINDS)},
    "source": {
        **_WEB_ACCESS,
        "every_seconds": above_zero(60, "how often it is asked for new CTs"),
        "days": count(2, "studies of so many days up to today are looked at", 3650),
        "description": text("", "only series whose description contains this"),
    },
}
