"""One command prints Table 1 of Yoo 2022 for folders of masks, the same figures as evaluate's."""

import json

import numpy as np
import pytest

pytest.importorskip("pandas")
pytest.importorskip("jinja2")

from COVIDQuantLib.cli.main import main
from COVIDQuantLib.evaluation.evaluate import pool
from COVIDQuantLib.evaluation.scan_pairs import evaluate_pair, find_pairs
from COVIDQuantLib.export.segmentation_file import write_segmentation
from COVIDQuantLib.segmentation.result import Segmentation
from COVIDQuantLib.voxels.geometry import Geometry

SHAPE = (12, 16, 20)
GEOMETRY = Geometry(SHAPE, (2.0, 2.0, 3.0), (0.0, 0.0, 0.0), (1.0, 0, 0, 0, 1, 0, 0, 0, 1))


@pytest.fixture
def masks(tmp_path):
    """Four scans: two boxes of lung, the lesion of the prediction larger than that of the reference by one column."""
    lobes = np.zeros(SHAPE, np.uint8)
    lobes[:, :, 1:9], lobes[:, :, 11:19] = 1, 4
    for number in range(4):
        for side, more in (("predicted", 1), ("reference", 0)):
            lesions = np.zeros(SHAPE, bool)
            lesions[2:8, 3:9, 2 : 4 + number + more] = True
            folder = tmp_path / side / f"scan{number}"
            folder.mkdir(parents=True)
            write_segmentation(folder / "segmentation.seg.nrrd", Segmentation(lobes, lesions & (lobes > 0)), GEOMETRY)
    return tmp_path


def test_masks_are_compared_as_evaluate_does(masks, capsys):
    asked = '[[analysis]]\nkind = "agreement"\nquantities = ["extent"]\n\n[analysis.masks.ours]\n'
    (masks / "study.toml").write_text(f'{asked}predicted = "predicted"\nreference = "reference"\n', encoding="utf-8")
    assert main(["study", str(masks / "study.toml"), "--out", str(masks / "out")]) == 0
    section = json.loads((masks / "out" / "study.json").read_text(encoding="utf-8"))["sections"][0]
    records = {record["statistic"]: record for record in section["tables"][0]["records"]}
    pairs = find_pairs(masks / "predicted", masks / "reference").pairs
    expected = pool([evaluate_pair(pair, distances=False) for pair in pairs]).structures["lesions"]
    agreement = expected.quantities["extent"]
    assert records["ICC(A,1)"]["value"] == agreement.icc.value
    assert (records["limits"]["lower"], records["limits"]["upper"]) == agreement.bland_altman.limits
    rows = {row[0].strip(): row[1] for row in section["tables"][0]["rows"]}
    assert rows["Dice"] == f"{100 * expected.scores['dice'].mean:.1f} ± {100 * expected.scores['dice'].sd:.1f}"
    assert rows["Sensitivity"] == "100.0 ± 0.0"
    assert "ours (n = 4)" in capsys.readouterr().out
