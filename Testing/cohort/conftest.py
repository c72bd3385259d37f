"""Exams made in this process, within milliseconds each."""

import pytest
from cohort_world import dask_here, quick

from COVIDQuantLib.cohort import batch
from COVIDQuantLib.cohort.exams import job as exam_job


@pytest.fixture(scope="module")
def client():
    pytest.importorskip("distributed")
    with dask_here() as made:
        yield made


@pytest.fixture
def here(monkeypatch, client):
    """Batches are made by the threads of this process, each exam by the quick stand-in; yields the exams made."""
    from contextlib import nullcontext

    made = []

    def counted(ct, *rest):
        made.append(ct.source.path.name)
        return quick(ct, *rest)

    monkeypatch.setattr(exam_job, "quantify_ct", counted)
    monkeypatch.setattr(batch, "workers_of", lambda *_, **__: nullcontext(client))
    return made
