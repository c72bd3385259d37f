"""What every test may ask for."""

from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real CTs, or a skip that says it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real CTs are absent: no folder {SHARED_DATA.name} beside the project")
    return SHARED_DATA
