"""Workers: processes of this machine sized to its cores, memory and GPUs, or those of a Dask scheduler elsewhere."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from COVIDQuantLib.cohort.packages import optional
from COVIDQuantLib.errors import UnfitInputError, UsageError
from COVIDQuantLib.pipeline import NETWORK, Plan
from COVIDQuantLib.system.memory import available_bytes
from COVIDQuantLib.system.processors import THREADS_VARIABLE, usable_processors

# What one exam of 512×512×300 needs at its peak, with room for larger ones (Testing/benchmarks/README.md).
BYTES_PER_WORKER = 3 << 30
_THREAD_VARIABLES = (
    THREADS_VARIABLE,
    "MKL_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS",
)
_VISIBLE = "CUDA_VISIBLE_DEVICES"
_SECONDS_TO_CONNECT = 30
_SECONDS_TO_START = 120


@dataclass(frozen=True)
class LocalPlan:
    """How the workers of this machine are laid out.

    Attributes:
        gpus: for each worker the GPU that it sees; None for none of its own.
        threads: of each worker.
    """

    gpus: tuple[str | None, ...]
    threads: int

    @property
    def workers(self) -> int:
        """How many there are."""
        return len(self.gpus)


def local_plan(
    plan: Plan,
    wanted: int | None,
    *,
    exams: int,
    cores: int,
    memory: int | None,
    gpus: tuple[str, ...],
    threads: int | None = None,
) -> LocalPlan:
    """Lay out this machine's workers.

    With GPUs there is one worker for each, unless another number is wanted; without, one for each core that the memory
    has room for. The cores are divided among them, unless another number of threads is wanted.

    Args:
        plan: how exams are made.
        wanted: number of workers that the user asks for; None to decide here.
        exams: to be made; there are never more workers.
        cores: processors that may be used.
        memory: bytes that are free; None if unknown.
        gpus: names of the GPUs, as ``CUDA_VISIBLE_DEVICES`` takes them.
        threads: of each worker that the user asks for; None to decide here.

    Raises:
        UsageError: fewer than one worker or thread is wanted.
    """
    if wanted is not None and wanted < 1:
        raise UsageError(f"{wanted} workers cannot work", remedy="Give --workers 1 or more.", code="workers-count")
    if threads is not None and threads < 1:
        raise UsageError(
            f"a worker cannot have {threads} threads", remedy="Give --threads 1 or more.", code="workers-count"
        )
    uses_gpus = gpus if plan.method == NETWORK and plan.device in {"auto", "cuda"} else ()
    room = cores if memory is None else max(1, min(cores, memory // BYTES_PER_WORKER))
    number = max(1, min(wanted or len(uses_gpus) or room, exams))
    shown = tuple(uses_gpus[index % len(uses_gpus)] if uses_gpus else None for index in range(number))
    return LocalPlan(shown, threads or max(1, cores // number))


def usable_gpus(plan: Plan) -> tuple[str, ...]:
    """This machine's CUDA devices as ``CUDA_VISIBLE_DEVICES`` names them; none if the plan has no use for them."""
    if plan.method != NETWORK or plan.device not in {"auto", "cuda"}:
        return ()
    named = os.environ.get(_VISIBLE)
    if named is not None:
        return tuple(name.strip() for name in named.split(",") if name.strip() not in {"", "-1", "NoDevFiles"})
    torch = optional("torch")
    return tuple(str(index) for index in range(torch.cuda.device_count()))


@contextmanager
def local_workers(layout: LocalPlan, scratch: Path) -> Iterator[Any]:
    """A Dask client with workers of this machine: processes with one job each, restarted when they die.

    Args:
        layout: of the workers.
        scratch: a folder for what Dask keeps on the disk; the caller removes it.

    Raises:
        UsageError: distributed is missing.
        UnfitInputError: they do not start.
    """
    distributed = optional("distributed")
    threads = dict.fromkeys(_THREAD_VARIABLES, str(layout.threads))
    settings = {
        **_SETTINGS,
        # Set before a worker's Python starts, since libraries read them once.
        # Dask's own are left out: its trim threshold makes the C library return and zero memory for every array.
        "distributed.nanny.pre-spawn-environ": threads,
        # Whether an exam is to blame for a worker's death is decided by its own tries.
        "distributed.scheduler.allowed-failures": 100,
        # Of ours, so that nothing of Dask's stays.
        "temporary-directory": str(scratch),
    }
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(optional("dask").config.set(settings))
        workers = {index: _worker(distributed, gpu, threads, str(scratch)) for index, gpu in enumerate(layout.gpus)}
        # Any free port, seen from this machine alone.
        where = {"host": "127.0.0.1", "port": 0, "dashboard_address": "127.0.0.1:0", "dashboard": False}
        scheduler = {"cls": distributed.Scheduler, "options": where}
        try:
            cluster = stack.enter_context(
                distributed.SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL)
            )
            client = stack.enter_context(distributed.Client(cluster, timeout=_SECONDS_TO_CONNECT))
            client.wait_for_workers(1, timeout=_SECONDS_TO_START)
        except (OSError, TimeoutError, RuntimeError) as error:
            raise UnfitInputError(
                f"the workers do not start ({str(error).splitlines()[0] if str(error) else type(error).__name__:.120})",
                remedy="Look whether memory and local ports are free, or give --workers 1.",
                code="workers-lost",
            ) from error
        yield client


def _worker(distributed: Any, gpu: str | None, threads: Mapping[str, str], scratch: str) -> dict[str, Any]:
    environment = dict(threads) | ({} if gpu is None else {_VISIBLE: gpu})
    options = {
        "nthreads": 1,
        # Dask would pause a worker whose memory is in use, and an exam's memory is in use until it ends.
        "memory_limit": 0,
        "env": environment,
        "local_directory": scratch,
        "dashboard": False,
        "dashboard_address": "127.0.0.1:0",
        "host": "127.0.0.1",
        "silence_logs": logging.CRITICAL,
    }
    return {"cls": distributed.Nanny, "options": options}


_SETTINGS: dict[str, Any] = {
    # Long computations hold Python's lock now and then; a worker that is silent so long is not dead.
    "distributed.scheduler.worker-ttl": "30 minutes",
    "distributed.admin.tick.limit": "1 hour",
    "distributed.worker.profile.enabled": False,
    # Every process of Dask looks at its clock so often, which at its own 20 ms costs more than all the rest.
    "distributed.admin.tick.interval": "1s",
}


@contextmanager
def scheduler_at(address: str) -> Iterator[Any]:
    """A Dask client of a scheduler that runs already.

    Args:
        address: as ``tcp://host:8786``; or the path of the file that ``dask scheduler --scheduler-file`` writes.

    Raises:
        UsageError: distributed is missing.
        UnfitInputError: there is none.
    """
    distributed = optional("distributed")
    where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        stack.enter_context(optional("dask").config.set(_SETTINGS))
        try:
            if address.endswith(".json"):
                # Dask would wait for it for ever.
                Path(address).stat()
            client = stack.enter_context(distributed.Client(**where, timeout=_SECONDS_TO_CONNECT))
        except (OSError, TimeoutError, ValueError, RuntimeError) as error:
            raise UnfitInputError(
                "there is no Dask scheduler that answers",
                address,
                "Check the address, that it runs, and that its version of distributed is this one's.",
                code="scheduler-unreachable",
            ) from error
        yield client


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's own lines off the terminal; what they tell is told in words here."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    before = [(each, each.level) for each in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for each, level in before:
            each.setLevel(level)


@contextmanager
def workers_of(
    plan: Plan, address: str | None, wanted: int | None, exams: int, scratch: Path, *, threads: int | None = None
) -> Iterator[Any]:
    """A Dask client with workers for so many exams.

    Args:
        plan: how exams are made.
        address: of a running scheduler; None starts workers on this machine.
        wanted: number of workers on this machine; None to fit it.
        exams: to be made.
        scratch: as in :func:`local_workers`.
        threads: of each worker on this machine; None to fit it.

    Raises:
        UsageError, UnfitInputError: as the functions above; or both an address and a number of workers or threads are
            given.
    """
    if address is not None:
        if wanted is not None or threads is not None:
            what = "--workers and --threads are about this machine, and --scheduler names workers elsewhere"
            raise UsageError(what, remedy="Leave one of them out.", code="workers-count")
        with scheduler_at(address) as client:
            yield client
        return
    cores, memory = usable_processors(), available_bytes()
    layout = local_plan(plan, wanted, exams=exams, cores=cores, memory=memory, gpus=usable_gpus(plan), threads=threads)
    with local_workers(layout, scratch) as client:
        yield client
