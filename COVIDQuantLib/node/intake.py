"""Judge an image that a peer sends, and keep it or say why not. Nothing of it becomes a name on the disk."""

from __future__ import annotations

import errno
import logging
import shutil
import sqlite3
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pydicom.uid import ImplicitVRLittleEndian

from COVIDQuantLib.ct.dicom.fragments import find_packed
from COVIDQuantLib.ct.dicom.header_claims import NATIVE, check_claims
from COVIDQuantLib.ct.dicom.headers import ImageFile, class_name, read_header
from COVIDQuantLib.ct.dicom.series.fitness import CT_CLASSES
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.node.config import NodeConfig
from COVIDQuantLib.node.durable import (
    IMAGE_SUFFIX,
    bytes_below,
    clear_parts,
    hashed_name,
    is_uid,
    keep_part,
    on_disk,
    write_part,
)
from COVIDQuantLib.node.gather import Gathering
from COVIDQuantLib.node.settings import SERIES

_log = logging.getLogger(__name__)

# Statuses of C-STORE (PS3.4, B.2.3): kept; out of resources; not what its class says; cannot be understood; no
# permission (PS3.7, C.5.14).
KEPT, NO_ROOM, NOT_A_CT, NOT_UNDERSTOOD, NOT_ALLOWED = 0x0000, 0xA700, 0xA900, 0xC000, 0x0124
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REMEMBERED = 200
_IDENTIFIERS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")


@dataclass(frozen=True)
class Refusal:
    """Something that was not taken, for the status page: when, from whom, and why."""

    at: datetime
    sender: str
    why: str


class Refusals:
    """The latest refusals, each of which is also a line of the log. Equal ones in a row are counted."""

    def __init__(self) -> None:
        self._kept: deque[tuple[Refusal, int]] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()

    def add(self, sender: str, why: str) -> None:
        """Remember and log one; a repeated one is logged at its 1st, 10th, 100th … time."""
        now, times = datetime.now(UTC), 1
        with self._lock:
            if self._kept and (self._kept[-1][0].sender, self._kept[-1][0].why) == (sender, why):
                times += self._kept.pop()[1]
            self._kept.append((Refusal(now, sender, why), times))
        if str(times).strip("0") == "1":
            _log.warning("refused from %s: %s%s", sender, why, f" (for the {times}th time)" if times > 1 else "")

    def latest(self) -> list[tuple[Refusal, int]]:
        """The newest first, each with how often it occurred in a row."""
        with self._lock:
            return list(self._kept)[::-1]


class RefusedError(Exception):
    """An image that is not kept.

    Attributes:
        status: for the sender.
        why: a clause, with its code in brackets.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Intake:
    """Where every image comes in, however it travelled.

    Args:
        config: limits, and what a unit is.
        gathering: takes what is kept.
        incoming: a folder on the disk of the images, for files that are being judged.
        used: bytes that images and results take now.
    """

    def __init__(self, config: NodeConfig, gathering: Gathering, incoming: Path, used: int) -> None:
        self._config = config
        self._gathering = gathering
        self._incoming = incoming
        self._used = used
        self.refusals = Refusals()
        clear_parts(incoming)

    @property
    def used(self) -> int:
        """Bytes that images and results take, about."""
        return self._used

    def recount(self, *folders: Path) -> None:
        """Measure the used bytes anew, after results came or something was deleted."""
        self._used = sum(map(bytes_below, folders))

    @property
    def most_bytes(self) -> int:
        """The largest image that is taken."""
        return int(self._config.limits["instance_mb"] * 1e6)

    def why_no_room(self, size: int = 0) -> str:
        """Why an image of a size would not be taken; empty if it would be."""
        limits = self._config.limits
        if self._used + on_disk(size) > limits["disk_gb"] * 1e9:
            return f"images and results take {self._used / 1e9:.2f} GB of {limits['disk_gb']:g} GB [disk-limit]"
        free = shutil.disk_usage(self._incoming).free
        if free - size < limits["free_gb"] * 1e9:
            return f"the disk has {free / 1e9:.2f} GB free, {limits['free_gb']:g} GB are to stay so [disk-full]"
        return ""

    def take(
        self, data: bytes, sender: str, link: object, told: tuple[str, str] | None = None, expected: int = 0
    ) -> bool:
        """Keep an image: on return it is on the disk and in the queue.

        Args:
            data: a DICOM file.
            sender: whom it is from.
            link: the association or fetch that brought it.
            told: SOP class and instance that the sender's message named, if there was one.
            expected: images of the series, if a server told.

        Returns:
            Whether it is new; an image that is here already is not kept twice.

        Raises:
            RefusedError: it is not kept; remembered and logged.
        """
        try:
            return self._take(data, sender, link, told, expected)
        except RefusedError as refused:
            self.refusals.add(sender, refused.why)
            raise

    def _take(self, data: bytes, sender: str, link: object, told: tuple[str, str] | None, expected: int) -> bool:
        if len(data) > self.most_bytes:
            raise RefusedError(
                NO_ROOM, f"an image of {len(data) / 1e6:.1f} MB, more than is taken [instance-too-large]"
            )
        no_room = self.why_no_room(len(data))
        if no_room:
            raise RefusedError(NO_ROOM, no_room)
        try:
            part = write_part(self._incoming, data)
        except OSError as error:
            raise _not_written(error) from error
        try:
            image = _judged(part, told)
            return self._keep(part, image, sender, link, expected)
        finally:
            part.unlink(missing_ok=True)

    def _keep(self, part: Path, image: ImageFile, sender: str, link: object, expected: int) -> bool:
        instance, series, study = (image.text(keyword) for keyword in _IDENTIFIERS)
        by_series = self._config.gather["by"] == SERIES
        key = hashed_name(study, series) if by_series else hashed_name(study)
        name = f"{hashed_name(instance)}{IMAGE_SUFFIX}"
        gathering = self._gathering
        with gathering.lock:
            new = not gathering.has(key, name)
            most = self._config.limits["series_instances"]
            if new and gathering.count(key) >= most:
                raise RefusedError(NO_ROOM, f"more than {most} images of one series [too-many-instances]")
            if gathering.is_full(key):
                raise RefusedError(NO_ROOM, "too many series are waiting [queue-full]")
            try:
                gathering.open(key, study, series if by_series else "", sender)
                if new:
                    keep_part(part, gathering.folder(key) / name)
                    self._used += on_disk(image.size)
                told = int(image.number("NumberOfSeriesRelatedInstances") or 0)
                gathering.arrived(key, name, link, new=new, expected=max(expected, told, 0) if by_series else 0)
            except OSError as error:
                raise _not_written(error) from error
            except sqlite3.Error as error:
                raise RefusedError(NO_ROOM, f"the queue cannot be written ({error}) [disk-full]") from error
        return new


def _not_written(error: OSError) -> RefusedError:
    if error.errno in _NO_SPACE:
        return RefusedError(NO_ROOM, "the disk is full [disk-full]")
    return RefusedError(NO_ROOM, f"the image cannot be written ({error.strerror or error}) [cannot-write]")


def _judged(part: Path, told: tuple[str, str] | None) -> ImageFile:
    """The header of an image that can be one of a chest CT.

    Raises:
        RefusedError: it cannot.
    """
    try:
        image = read_header(part)
    except Exception as error:
        raise RefusedError(NOT_UNDERSTOOD, "it cannot be read as DICOM [damaged-instance]") from error
    for objection in _OBJECTIONS:
        why = objection(image)
        if why:
            raise RefusedError(*why)
    if told is not None and told != (image.text("SOPClassUID"), image.text("SOPInstanceUID")):
        raise RefusedError(NOT_A_CT, "the message names another object than it carries [identifiers-differ]")
    return image


def _bad_identifier(image: ImageFile) -> tuple[int, str] | None:
    for keyword in _IDENTIFIERS:
        text = image.text(keyword)
        if not is_uid(text):
            what = "has no" if not text else "has an impossible"
            return NOT_UNDERSTOOD, f"an image {what} {keyword} [bad-identifier]"
    return None


def _no_ct(image: ImageFile) -> tuple[int, str] | None:
    sop_class, modality = image.text("SOPClassUID"), image.text("Modality")
    if sop_class not in CT_CLASSES:
        return NOT_A_CT, f"{class_name(sop_class)[:60] or 'an object without class'}, not a CT [not-a-ct]"
    if modality != "CT":
        return NOT_A_CT, f"an image of modality {modality[:16] or '(none)'} in a CT's class [not-a-ct]"
    return None


def _cut_off(image: ImageFile) -> tuple[int, str] | None:
    if min(image.matrix) <= 0 or not image.frames:
        return NOT_UNDERSTOOD, "an image without rows, columns or frames [damaged-instance]"
    try:
        check_claims([image])
        if image.syntax not in NATIVE:
            find_packed(image)
        elif image.size - image.pixels_at - _element_head(image) < _pixel_bytes(image):
            return NOT_UNDERSTOOD, "an image that ends before its pixels do [damaged-instance]"
    except (UnfitInputError, OSError, ValueError) as error:
        what = error.what if isinstance(error, UnfitInputError) else str(error)
        return NOT_UNDERSTOOD, f"{what} [damaged-instance]"
    return None


def _element_head(image: ImageFile) -> int:
    """Bytes of tag and length before the pixels (PS3.5, 7.1)."""
    return 8 if image.syntax == ImplicitVRLittleEndian else 12


def _pixel_bytes(image: ImageFile) -> int:
    rows, columns = image.matrix
    bits = int(image.number("BitsAllocated") or 16)
    return rows * columns * image.frames * int(image.number("SamplesPerPixel") or 1) * bits // 8


# In this order; the first that objects is told to the sender.
_OBJECTIONS: tuple[Callable[[ImageFile], tuple[int, str] | None], ...] = (_bad_identifier, _no_ct, _cut_off)
