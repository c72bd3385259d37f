"""What no test of the worker may leave behind."""

import pytest
from worker_world import blocks_left


@pytest.fixture(scope="module")
def no_file_is_left(tmp_path_factory):
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(folder))
        yield
    assert list(folder.glob("covidquant-worker-*")) == []


@pytest.fixture
def no_block_is_left():
    yield
    assert blocks_left() == []
