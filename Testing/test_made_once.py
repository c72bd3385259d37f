"""What is made once is made once, whoever asks first, and nobody can spoil it for the others."""

import threading

import numpy as np
import pytest
from made_once import Store


def test_a_value_is_made_once_and_each_caller_has_a_copy(tmp_path):
    made = []

    def make():
        made.append(1)
        return np.zeros(3)

    first = Store(tmp_path / "made").value("zeros", make)
    first += 1
    # Another worker's store.
    assert Store(tmp_path / "made").value("zeros", make).tolist() == [0, 0, 0]
    assert made == [1]


def test_workers_that_ask_at_once_wait_for_the_one_that_makes_it(tmp_path):
    made, begun, may_end = [], threading.Event(), threading.Event()

    def make():
        made.append(1)
        begun.set()
        assert may_end.wait(60)
        return 7

    found = []
    stores = [Store(tmp_path / "made") for _ in range(2)]
    threads = [threading.Thread(target=lambda s=s: found.append(s.value("seven", make))) for s in stores]
    for thread in threads:
        thread.start()
    assert begun.wait(60)
    may_end.set()
    for thread in threads:
        thread.join()
    assert (found, made) == ([7, 7], [1])


def test_a_folder_that_could_not_be_filled_is_filled_by_the_next(tmp_path):
    store = Store(tmp_path / "made")

    def fail(folder):
        (folder / "half").touch()
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk"):
        store.folder("ct", fail)
    folder = store.folder("ct", lambda folder: (folder / "whole").touch())
    assert (folder / "whole").exists()
    assert store.folder("ct", fail) == folder
