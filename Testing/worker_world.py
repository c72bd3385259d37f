"""Workers whose real second process computes something else than the pipeline, and what they must not leave behind.

The functions named to :class:`WorkerThat` run in the child, in the place of ``pipeline.segment_ct``.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from COVIDQuantLib import pipeline
from COVIDQuantLib.ct.volume import CTVolume
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry
from COVIDQuantLib.worker.worker import Worker

HERE = str(Path(__file__).resolve().parent)
SHARED_BLOCKS = Path("/dev/shm")
# Far beyond what anything here takes, so that a busy machine fails no test.
PATIENCE = 600.0


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
        self._imports = f"sys.path.append({HERE!r}); import worker_world; worker_world.put_in_place({name!r})"


def put_in_place(name):
    """In the child: have the pipeline do this instead."""
    if name == "nothing":
        raise ModuleNotFoundError("No module named 'scipy'")
    if name == "on_imitated_gpu":
        _imitate_gpu()
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


def answer(ct, given, progress, plan):
    """At once, from the CT alone."""
    for stage in plan.stages:
        with progress.stage(stage.name):
            pass
    lesions = ct.hu > 0
    return Segmentation((ct.hu % 6).astype(np.uint8), lesions, {"pid": os.getpid()}, [])


def wordy(ct, given, progress, plan):
    """Has far more to say than voxels to give."""
    found = answer(ct, given, progress, plan)
    found.provenance |= {"words": "x" * (5 << 20)}
    return found


def environment(ct, given, progress, plan):
    """The environment and path it runs in."""
    found = answer(ct, given, progress, plan)
    found.provenance |= {"environment": dict(os.environ), "path": sys.path, "stdin": sys.stdin.read()}
    return found


def chatter(ct, given, progress, plan):
    """Prints by every way there is."""
    print("from Python")
    sys.stdout.flush()
    os.write(1, b"from C\n{}\n")
    subprocess.run([sys.executable, "-c", "print('from another process')"], check=True)
    return answer(ct, given, progress, plan)


def linger(ct, given, progress, plan):
    """Waits in the lobes for ever if the CT begins with 0, in C code that ignores everything but the kernel."""
    if ct.hu.flat[0] == 0:
        with progress.stage("lobes"):
            while True:
                time.sleep(1.0)
    return answer(ct, given, progress, plan)


def meet_with_a_fault(ct, given, progress, plan):
    """Does what the first voxel of the CT says: one of ``FAULTS`` by number, none below zero."""
    number = int(ct.hu.flat[0])
    if number >= 0:
        with progress.stage("lobes"):
            time.sleep(0.1)
            print("last words", file=sys.stderr)
            FAULTS[number]()
    return answer(ct, given, progress, plan)


def killed():
    """As the system does when memory runs out."""
    os.kill(os.getpid(), signal.SIGKILL)


def terminated():
    """As a queue does when time runs out."""
    os.kill(os.getpid(), signal.SIGTERM)


def stopped():
    """Hangs so that not even its threads run."""
    os.kill(os.getpid(), signal.SIGSTOP)


def crashed():
    """Reads memory that is not there."""
    import ctypes

    ctypes.string_at(0)


def left():
    """Ends the process as no library should."""
    os._exit(7)


def blundered():
    """A fault of the program."""
    return 1 // 0


def starved():
    """More memory than there is."""
    return np.empty(1 << 60, np.uint8)


FAULTS = (killed, terminated, stopped, crashed, left, blundered, starved)


def with_family(ct, given, progress, plan):
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


# ------------------------------------------------------------------------- the real job under circumstances of choice

# Slices at once for which an imitated GPU has the memory, and the CPU.
MEMORY = {"enough": (10**9, 10**9), "small GPU": (4, 10**9), "full GPU": (0, 10**9), "none": (0, 0)}


def on_imitated_gpu(ct, given, progress, plan):
    """The pipeline, on a GPU imitated by the CPU, with the memory that ``MEMORY`` has under the CT's source."""
    _room.update(zip(("gpu", "cpu"), MEMORY[ct.source["memory"]], strict=True))
    return _real_job(ct, given, progress, plan)


def in_slow_motion(ct, given, progress, plan):
    """The pipeline, resting at every word about its progress."""
    tell = progress._tell

    def tell_and_rest(*state):
        tell(*state)
        time.sleep(0.2)

    progress._tell = tell_and_rest
    return _real_job(ct, given, progress, plan)


def on_tight_gpu(ct, given, progress, plan):
    """The pipeline on the real GPU, of which it may have nothing any more once the networks are loaded."""
    import torch

    plan.networks()
    torch.cuda.set_per_process_memory_fraction(1e-6)
    return _real_job(ct, given, progress, plan)


_real_job = pipeline.segment_ct
_room = {"on": "gpu"}


def _imitate_gpu():
    import torch

    from COVIDQuantLib.inference import device, networks

    real_cpu = device.cpu_device

    class ImitatedGPU(device.Device):
        @property
        def torch(self):
            _room["on"] = "gpu"
            return torch.device("cpu")

    def cpu_device():
        _room["on"] = "cpu"
        return real_cpu()

    def refuse(module, arguments):
        if len(arguments[0]) > _room[_room["on"]]:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")

    device.cpu_device = cpu_device
    networks.choose_device = lambda wanted: ImitatedGPU("cuda", 0, "Imitation", "float32")
    torch.nn.modules.module.register_module_forward_pre_hook(refuse)
