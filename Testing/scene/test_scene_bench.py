"""The benchmark of edits runs, and its own checks against a full count and against Slicer hold."""

import importlib
import json
from pathlib import Path

import pytest

pytest.importorskip("slicer")


def test_bench_edit_runs_small(tmp_path, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    bench = importlib.import_module("bench_edit")
    out = tmp_path / "edit.json"
    bench.main(["--size", "48", "48", "32", "--strokes", "3", "--repeats", "1", "--json", str(out)])
    record = json.loads(out.read_text(encoding="utf-8"))
    assert all(value > 0 for value in record.values())
    printed = capsys.readouterr().out
    assert "48×48×32" in printed
    assert "Live counts equal a full recount" in printed
