"""What the second process of an export does in the tests in the place of writing, or before it."""

import os
import time
from pathlib import Path

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.worker.jobs.export import write_snapshot

# Bytes a file may have for "a disk that is full"; the segmentation of the tests is longer.
ROOM = 600


def write_and_linger(folder, report, **_rest):
    """Write half of a file and never come to an end."""
    folder.mkdir()
    with Path(folder, "metrics.csv").open("w", encoding="utf-8") as file:
        file.write("half")
        file.flush()
        report(0.5)
        time.sleep(600.0)


def write_and_crash(folder, report, **_rest):
    """Write half of a file and end as no program should."""
    folder.mkdir()
    Path(folder, "metrics.csv").write_text("half", encoding="utf-8")
    report(0.5)
    print("last words", flush=True)
    os.abort()


def write_with_little_room(**arguments):
    """Write everything where the system allows only short files."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
    return write_snapshot(**arguments)


def stumble(report, **_rest):
    """A fault of the program."""
    report(0.1)
    return 1 // 0


def refuse(report, **_rest):
    """An error of the user's."""
    report(0.1)
    raise UsageError("not like this", "there", "Do it otherwise.")


def double(numbers, factor, report):
    """A calculation."""
    for n in range(100):
        report(n / 100)
    return numbers * factor
