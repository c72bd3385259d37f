"""The benchmark of edits runs, and its own checks against a full count and against Slicer hold."""

import importlib.util
import json
from pathlib import Path

import pytest

pytest.importorskip("slicer")

SCRIPT = Path(__file__).parent / "benchmarks" / "bench_edit.py"


def test_bench_edit_runs_small(tmp_path, capsys):
    spec = importlib.util.spec_from_file_location("bench_edit", SCRIPT)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    out = tmp_path / "edit.json"
    bench.main(["--size", "48", "48", "32", "--strokes", "3", "--repeats", "1", "--json", str(out)])
    record = json.loads(out.read_text(encoding="utf-8"))
    assert all(value > 0 for value in record.values())
    printed = capsys.readouterr().out
    assert "48×48×32" in printed
    assert "Live counts equal a full recount" in printed
