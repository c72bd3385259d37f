"""Fetch new CTs from DICOMweb servers: QIDO finds series, WADO brings their images one by one."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from io import BytesIO
from typing import Any

import requests
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from COVIDQuantLib.node.config import NodeConfig, Remote
from COVIDQuantLib.node.durable import hashed_name, is_uid
from COVIDQuantLib.node.gather import Gathering
from COVIDQuantLib.node.intake import Intake, RefusedError
from COVIDQuantLib.node.ledger import GATHERING, Ledger
from COVIDQuantLib.node.network.destinations import NotSentError, web_client
from COVIDQuantLib.node.settings import SERIES

_log = logging.getLogger(__name__)

# Tags in DICOM JSON (PS3.18, F.2).
_STUDY, _SERIES, _INSTANCE, _COUNT, _DESCRIPTION = "0020000D", "0020000E", "00080018", "00201209", "0008103E"
_PAGE = 100
_MOST_PAGES = 50


class WebSource:
    """One server that is asked now and then; blocks while it fetches.

    Args:
        config: limits.
        remote: the server.
        intake: takes the images.
        gathering: hears when a series is complete.
        ledger: knows which series were fetched.
        stopping: whether the node is about to stop.
    """

    def __init__(
        self,
        config: NodeConfig,
        remote: Remote,
        intake: Intake,
        gathering: Gathering,
        ledger: Ledger,
        stopping: Callable[[], bool],
    ) -> None:
        self._config = config
        self._remote = remote
        self._intake = intake
        self._gathering = gathering
        self._ledger = ledger
        self._stopping = stopping
        self._next = 0.0
        self._by_series = config.gather["by"] == SERIES
        # Series of which an image was refused, with how many they had then: not fetched again unless that changes.
        self._refused: dict[str, int] = {}

    def step(self) -> None:
        """Ask the server if it is time to, and fetch what is new."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + self._remote["every_seconds"]
        try:
            client = web_client(self._config, self._remote)
            for found in self._found(client):
                if self._stopping():
                    return
                self._fetch(client, found)
        except (NotSentError, requests.RequestException, OSError, ValueError, KeyError) as error:
            _log.warning("source %s cannot be asked (%.200s)", self._remote.name, error)

    def _found(self, client: Any) -> Iterator[dict[str, Any]]:
        today = date.today()  # noqa: DTZ011 - study dates are local
        first = today - timedelta(days=self._remote["days"] - 1)
        filters = {"Modality": "CT", "StudyDate": f"{first:%Y%m%d}-{today:%Y%m%d}"}
        fields = ["StudyInstanceUID", "SeriesDescription", "NumberOfSeriesRelatedInstances"]
        for page in range(_MOST_PAGES):
            found = client.search_for_series(search_filters=filters, fields=fields, limit=_PAGE, offset=page * _PAGE)
            yield from found
            if len(found) < _PAGE:
                return

    def _fetch(self, client: Any, found: dict[str, Any]) -> None:
        study, series = _first(found, _STUDY), _first(found, _SERIES)
        if not is_uid(study) or not is_uid(series):
            self._intake.refusals.add(self._remote.name, "a series has an impossible identifier [bad-identifier]")
            return
        wanted = self._remote["description"].casefold()
        told = int(_first(found, _COUNT) or 0)
        if wanted not in _first(found, _DESCRIPTION).casefold() or self._is_known(study, series, told):
            return
        expected = told if self._by_series else 0
        link, well = object(), False
        try:
            refused = self._images(client, study, series, expected, link)
            well = True
            if refused:
                self._refused[hashed_name(study, series)] = told
        finally:
            self._gathering.closed(link, well=well)

    def _is_known(self, study: str, series: str, told: int) -> bool:
        """Whether a series was fetched, or refused, as it is now; by study, each is fetched once."""
        key = hashed_name(study, series)
        if self._refused.get(key, -1) == told:
            return True
        unit = self._ledger.unit(key if self._by_series else hashed_name(study))
        if unit is None or not self._by_series:
            return unit is not None and unit.state != GATHERING
        here = max(self._gathering.count(key), unit.images)
        return here >= told if told else here > 0

    def _images(self, client: Any, study: str, series: str, expected: int, link: object) -> int:
        """Fetch the images that are not here; how many were refused."""
        refused = 0
        for number in range(_MOST_PAGES * _PAGE):
            page = client.search_for_instances(study, series, limit=_PAGE, offset=number * _PAGE)
            for one in page:
                if self._stopping():
                    raise NotSentError("the node stops")
                instance = _first(one, _INSTANCE)
                if not is_uid(instance):
                    self._intake.refusals.add(self._remote.name, "an impossible identifier [bad-identifier]")
                    refused += 1
                    continue
                refused += not self._one(client, (study, series, instance), expected, link)
            if len(page) < _PAGE:
                break
        return refused

    def _one(self, client: Any, uids: tuple[str, str, str], expected: int, link: object) -> bool:
        image = client.retrieve_instance(*uids, media_types=((_DICOM, "*"),))
        try:
            self._intake.take(_as_file(image), self._remote.name, link, expected=expected)
        except RefusedError:
            return False
        return True


_DICOM = "application/dicom"


def _first(found: dict[str, Any], tag: str) -> str:
    values = found.get(tag, {}).get("Value") or [""]
    return str(values[0])


def _as_file(image: Dataset) -> bytes:
    if "TransferSyntaxUID" not in image.file_meta:
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    with BytesIO() as file:
        image.save_as(file, enforce_file_format=True)
        return file.getvalue()
