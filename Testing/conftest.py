"""What every test may ask for."""

import os

# Beside other pytest workers each takes its share of the processors: threads that wait for one another cost them all.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    _ALL = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    _SHARE = str(max(1, _ALL // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])))
    for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"):
        os.environ.setdefault(_name, _SHARE)

import gc
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from leftovers import Watched, nothing_left
from made_once import Store

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported and collected stays to the end: the garbage collector need not go through it time and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real CTs, or a skip that says it is absent (in CI beside the data: a failure)."""
    if not SHARED_DATA.is_dir():
        message = "the real CTs are absent: no folder ../shared/data beside the project"
        if os.environ.get("COVIDQUANT_REQUIRE_SHARED"):
            pytest.fail(message)
        pytest.skip(message)
    return SHARED_DATA


@pytest.fixture(autouse=True, scope="session")
def leftovers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """The session fails if it leaves a file, a folder, a process or shared memory behind."""
    tmp_path_factory.getbasetemp()  # pytest keeps its own folders, in the system's place for such
    with nothing_left(lambda: bool(request.session.testsfailed)) as watched:
        yield watched


@pytest.fixture(autouse=True, scope="session")
def stoppable(leftovers: Watched) -> Iterator[None]:
    """Signals act as in a terminal, also where the whole run was started in the background, which ignores them."""
    usual = {"SIGINT": signal.default_int_handler, "SIGHUP": signal.SIG_DFL}
    ignored = {}
    for name, handler in usual.items():
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_IGN:
            ignored[number] = signal.signal(number, handler)
    yield
    for number, handler in ignored.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, leftovers: Watched) -> Store:
    """Phantoms and other results that take long, made once for all tests and all workers."""
    own = tmp_path_factory.getbasetemp()
    return Store((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made")
