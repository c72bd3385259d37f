"""What every test may ask for."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


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
def stoppable() -> Iterator[None]:
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
