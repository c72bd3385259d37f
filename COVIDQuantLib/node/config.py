"""The node's configuration: one TOML file, every key checked before anything is opened."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.inference.device import DEVICES
from COVIDQuantLib.node.settings import DESTINATION_KINDS, DICOM, SCHEMAS, WEB
from COVIDQuantLib.pipeline import Plan
from COVIDQuantLib.quantification.thresholds import Thresholds
from COVIDQuantLib.system.settings_schema import checked

_MAX_BYTES = 1 << 20
# PS3.5: 16 characters of the default repertoire, no backslash; blanks at the ends do not count.
_AE_TITLE = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,14}[!-\[\]-~])?")


@dataclass(frozen=True)
class Remote:
    """Where results go, or where CTs are fetched.

    Attributes:
        name: for messages and the queue; unique in the file.
        kind: ``dicom`` or ``dicomweb``.
        settings: everything else, as the schema of its kind describes.
    """

    name: str
    kind: str
    settings: Mapping[str, Any]

    def __getitem__(self, key: str) -> Any:
        return self.settings[key]


@dataclass(frozen=True)
class NodeConfig:
    """A checked configuration; the mappings have every key of ``node/settings.py``.

    Attributes:
        path: the file.
        node: name, address, folder and who may send.
        tls: certificate files; empty texts: no TLS.
        gather: when a series is whole.
        quantify: how it is quantified.
        results: which objects are made.
        limits: sizes, numbers and times.
        status: the status page.
        destinations: where results go.
        sources: DICOMweb servers that are asked for new CTs.
    """

    path: Path
    node: Mapping[str, Any]
    tls: Mapping[str, Any]
    gather: Mapping[str, Any]
    quantify: Mapping[str, Any]
    results: Mapping[str, Any]
    limits: Mapping[str, Any]
    status: Mapping[str, Any]
    destinations: tuple[Remote, ...]
    sources: tuple[Remote, ...]

    @property
    def folder(self) -> Path:
        """Where the queue, the images and the results lie."""
        return Path(self.node["folder"])

    @property
    def plan(self) -> Plan:
        """How lungs, lobes and lesions are found."""
        told = self.quantify
        return Plan(told["method"], told["device"], told["lobes_model"] or None, told["lesions_model"] or None)

    @property
    def thresholds(self) -> Thresholds:
        """Bounds of ground glass and consolidation."""
        return Thresholds(self.quantify["ggo_hu"], self.quantify["consolidation_hu"])

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the DICOM port."""
        return is_loopback(self.node["host"])

    def destination(self, name: str) -> Remote | None:
        """The destination of a name; None if the file no longer has it."""
        return next((one for one in self.destinations if one.name == name), None)


def read_config(path: Path) -> NodeConfig:
    """Read and check the configuration.

    Raises:
        UnfitInputError: the file cannot be read or is not TOML.
        UsageError: a key is unknown or missing, or a value does not fit.
    """
    document = _document(path)
    where = str(path)
    parts = {name: checked(document.pop(name, {}), SCHEMAS[name], where, name) for name in _TABLES}
    destinations = _remotes(document.pop("destination", []), "destination", where)
    sources = _remotes(document.pop("source", []), "source", where)
    for name in document:
        raise UsageError(
            f"unknown table {name}",
            where,
            f"Known are {', '.join([*_TABLES, 'destination', 'source'])}.",
            "node-config",
        )
    config = NodeConfig(path, **parts, destinations=destinations, sources=sources)
    _check_titles(config)
    _check_addresses(config)
    _check_files(config)
    if config.quantify["device"] not in DEVICES:
        raise _wrong(config, f"quantify.device cannot be {config.quantify['device']!r}", f"Give {', '.join(DEVICES)}.")
    # Refuses contradictions of its own.
    _ = config.plan, config.thresholds
    return config


_TABLES = ("node", "tls", "gather", "quantify", "results", "limits", "status")


def _document(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_BYTES + 1)
    except OSError as error:
        what = f"the configuration cannot be read ({error.strerror or error})"
        raise UnfitInputError(what, str(path), "Check the path and its permissions.", code="unreadable") from error
    if len(data) > _MAX_BYTES:
        raise UnfitInputError("no configuration is that large", str(path), "Give the TOML file.", code="node-config")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UnfitInputError(
            f"it is not TOML ({error})", str(path), "Correct the line.", code="node-config"
        ) from error


def _remotes(tables: Any, kind_of_table: str, where: str) -> tuple[Remote, ...]:
    if not isinstance(tables, list):
        raise UsageError(f"{kind_of_table} is one table", where, f"Write [[{kind_of_table}]].", "node-config")
    remotes = []
    for number, table in enumerate(tables, start=1):
        place = f"{kind_of_table} {number}"
        kind = table.get("kind", DICOM) if kind_of_table == "destination" else WEB
        if kind not in DESTINATION_KINDS:
            raise UsageError(f"{place}.kind cannot be {kind!r:.40}", where, f"Give {' or '.join(DESTINATION_KINDS)}.")
        schema = SCHEMAS["source"] if kind_of_table == "source" else SCHEMAS[kind]
        settings = checked(table, schema, where, place)
        remotes.append(Remote(settings["name"], kind, settings))
    names = [one.name for one in remotes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"two {kind_of_table}s are named {twice}", where, "Give each its own name.", "node-config")
    return tuple(remotes)


def _check_titles(config: NodeConfig) -> None:
    titles = [("node.ae_title", config.node["ae_title"]), *(("node.allowed", one) for one in config.node["allowed"])]
    titles += [(f"{one.name}.ae_title", one["ae_title"]) for one in config.destinations if one.kind == DICOM]
    for place, title in titles:
        if not _AE_TITLE.fullmatch(title):
            raise _wrong(config, f"{place} cannot be {title!r:.40}", "An AE title has 1 to 16 ASCII characters.")


def _check_addresses(config: NodeConfig) -> None:
    if not config.is_local and not config.node["allowed"]:
        raise _wrong(
            config,
            "the node would listen on the network for anyone",
            "List the AE titles that may send in node.allowed.",
        )
    if not is_loopback(config.status["host"]):
        raise _wrong(config, "the status page is for this machine", "Give status.host a loopback address: 127.0.0.1.")
    for one in (*config.destinations, *config.sources):
        if one.kind == WEB and urlsplit(one["url"]).scheme not in {"http", "https"}:
            raise _wrong(config, f"{one.name}.url is no web address", "Begin it with https:// or http://.")
        if one.kind == WEB and one["token_file"] and not _is_private(one["url"]):
            raise _wrong(config, f"{one.name} would send its token in clear", "Use https://.")


def _is_private(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or is_loopback(parts.hostname or "")


def _check_files(config: NodeConfig) -> None:
    tls = config.tls
    if bool(tls["certificate"]) != bool(tls["key"]):
        raise _wrong(config, "tls has a certificate or a key alone", "Give both.")
    if tls["ca"] and not tls["certificate"]:
        raise _wrong(config, "tls.ca is of no use without a certificate", "Give tls.certificate and tls.key.")
    named: list[tuple[str, Mapping[str, Any], tuple[str, ...]]] = [("tls", tls, ("certificate", "key", "ca"))]
    named += [(one.name, one.settings, ("ca", "token_file")) for one in (*config.destinations, *config.sources)]
    for place, settings, keys in named:
        for key in keys:
            if settings.get(key) and not Path(settings[key]).is_file():
                raise _wrong(config, f"{place}.{key} is no file: {settings[key]}", "Correct the path.")


def _wrong(config: NodeConfig, what: str, remedy: str) -> UsageError:
    return UsageError(what, str(config.path), remedy, code="node-config")


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own loopback; a name other than localhost is not."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
