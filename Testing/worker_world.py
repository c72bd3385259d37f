"""Workers whose real second process computes something else than the pipeline, and what they must not leave behind.

The functions named in :func:`worker_that` run in the child, in the place of ``pipeline.segment_ct``.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from COVIDQuantLib import pipeline
from COVIDQuantLib.ct.geometry import Geometry
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.errors import UnfitInputError
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.worker.process import child_command
from COVIDQuantLib.worker.worker import Worker

HERE = str(Path(__file__).resolve().parent)
SHARED_BLOCKS = Path("/dev/shm")
PATIENCE = 60.0


def small_ct(shape=(4, 5, 6), seed=0):
    """Noise on a small grid that lies askew."""
    generator = np.random.default_rng(seed)
    hu = generator.integers(-1024, 3072, shape, dtype=np.int16)
    geometry = Geometry(shape, (0.7, 0.8, 2.5), (-10.0, 20.0, 33.0), (0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, -1.0))
    return CTVolume(hu, geometry, source={"series_description": "Grün"})


class WorkerThat(Worker):
    """A worker whose process computes what a function of this file computes."""

    def __init__(self, name, **settings):
        super().__init__(**settings)
        self._name = name

    def _command(self):
        return child_command(
            f"sys.path.append({HERE!r}); import worker_world; worker_world.put_in_place({self._name!r})\n"
            f"from COVIDQuantLib.worker.child import main; main({self._idle_seconds!r})"
        )


def put_in_place(name):
    """In the child: have the pipeline do this instead."""
    pipeline.segment_ct = globals()[name]


def blocks_left():
    """Shared blocks of this process, where the system shows them as files."""
    pattern = f"covidquant-{os.getpid()}-*"
    return sorted(path.name for path in SHARED_BLOCKS.glob(pattern)) if SHARED_BLOCKS.is_dir() else []


def is_running(pid):
    """Whether a process exists and is not merely waiting to be collected."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    try:
        return state.read_text(encoding="ascii", errors="replace").rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return not state.parent.parent.is_dir()


def until(condition):
    """Wait for something to become true and return it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError("waited in vain")


def until_stage(job, stage):
    """Poll a job until it is at a stage."""
    return until(lambda: job.poll().stage == stage)


# ------------------------------------------------------------------------------ what the child computes in the tests


def answer(ct, given, progress):
    """At once, from the CT alone."""
    for stage in ("lungs", "lobes", "lesions"):
        with progress.stage(stage):
            pass
    lesions = ct.hu > 0
    return Segmentation((ct.hu % 6).astype(np.uint8), lesions, {"pid": os.getpid()}, [])


def environment(ct, given, progress):
    """The environment and path it runs in."""
    found = answer(ct, given, progress)
    found.provenance |= {"environment": dict(os.environ), "path": sys.path, "stdin": sys.stdin.read()}
    return found


def chatter(ct, given, progress):
    """Prints by every way there is."""
    print("from Python")
    sys.stdout.flush()
    os.write(1, b"from C\n{}\n")
    subprocess.run([sys.executable, "-c", "print('from another process')"], check=True)
    return answer(ct, given, progress)


def linger(ct, given, progress):
    """Waits in the lobes for ever if the CT begins with 0, in C code that ignores everything but the kernel."""
    if ct.hu.flat[0] == 0:
        with progress.stage("lobes"):
            while True:
                time.sleep(1.0)
    return answer(ct, given, progress)


def die_by_signal(ct, given, progress):
    """Ends by the signal whose number the CT begins with."""
    with progress.stage("lobes"):
        number = int(ct.hu.flat[0])
        if number > 0:
            print("last words", file=sys.stderr)
            os.kill(os.getpid(), number)
    return answer(ct, given, progress)


def stop_itself(ct, given, progress):
    """Hangs so that not even its threads run."""
    if ct.hu.flat[0] == 0:
        with progress.stage("lobes"):
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGSTOP)
    return answer(ct, given, progress)


def crash(ct, given, progress):
    """Reads memory that is not there."""
    import ctypes

    with progress.stage("lobes"):
        if ct.hu.flat[0] == 0:
            ctypes.string_at(0)
    return answer(ct, given, progress)


def leave(ct, given, progress):
    """Ends the process as no library should."""
    if ct.hu.flat[0] == 0:
        os._exit(7)
    return answer(ct, given, progress)


def blunder(ct, given, progress):
    """A fault of the program."""
    return answer(ct, given, progress) if ct.hu.flat[0] else 1 // 0


def unfit(ct, given, progress):
    """An error that is the user's to mend."""
    if ct.hu.flat[0] == 0:
        raise UnfitInputError("no lungs on this CT", "Grün", "Choose a chest CT.")
    return answer(ct, given, progress)


def with_family(ct, given, progress):
    """Starts a process of its own, leaves a temporary file, tells both in the log's folder, and lingers."""
    import tempfile

    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(b"left")
    note = Path(os.environ["COVIDQUANT_TEST_NOTE"])
    note.with_suffix(".part").write_text(f"{os.getpid()} {other.pid} {file.name}", encoding="utf-8")
    note.with_suffix(".part").replace(note)
    with progress.stage("lobes"):
        time.sleep(600)
