"""What every test may ask for."""

import os
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
