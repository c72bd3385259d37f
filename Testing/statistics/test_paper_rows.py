"""Every row of docs/paper-rows.md: its command exists, its study runs, and the papers' printed answers come back."""

import json
import math
import re
import shlex
from pathlib import Path

import pytest

pytest.importorskip("pandas")
pytest.importorskip("statsmodels")
pytest.importorskip("jinja2")

from COVIDQuantLib.cli.main import main, make_parser
from COVIDQuantLib.simulation.cohorts import huang, pan, yoo
from COVIDQuantLib.simulation.cohorts.write import write_tables
from COVIDQuantLib.statistics.report.files import study_record
from COVIDQuantLib.statistics.study import load_study, run_study

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "paper-rows.md").read_text(encoding="utf-8")
STUDIES = dict(re.findall(r"^`([\w-]+\.toml)`:\n\n```toml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE))
ROWS = re.findall(r"^\| ([HPCY]\d) \| .*? \| (.*) \|$", PAGE, re.MULTILINE)
COMMANDS = [command for _, cell in ROWS for command in re.findall(r"`(covidquant [^`]+)`", cell)]
WANTED = {"H": range(2, 6), "P": range(1, 8), "C": range(1, 6), "Y": range(1, 6)}


@pytest.fixture(scope="module")
def folder(once):
    def fill(path):
        write_tables(path)
        for name, text in STUDIES.items():
            (path / name).write_text(text, encoding="utf-8")

    return once.folder("paper-rows", fill)


@pytest.fixture(scope="module")
def study(folder, once):
    """The sections of a study as study.json holds them."""

    def make(name):
        made = run_study(load_study(folder / f"{name}.toml"))
        return json.loads(json.dumps(study_record(made, [])))["sections"]

    return lambda name: once.value(f"study-{name}", lambda: make(name))


def table(section, number=0):
    return {row[0].strip(): row[1:] for row in section["tables"][number]["rows"]}


def records(section, number=0, **wanted):
    found = section["tables"][number]["records"]
    return [one for one in found if all(one.get(key) == value for key, value in wanted.items())]


def test_every_row_from_h2_to_y5_has_a_command():
    assert {row for row, _ in ROWS} == {f"{letter}{number}" for letter, numbers in WANTED.items() for number in numbers}
    assert all("`covidquant " in cell for _, cell in ROWS)


@pytest.mark.parametrize("command", sorted(set(COMMANDS)))
def test_every_command_is_one(command):
    arguments = make_parser().parse_args(shlex.split(command)[1:])
    if arguments.command == "study":
        assert arguments.config.name in STUDIES


def test_every_study_on_the_page_belongs_to_a_row():
    named = {shlex.split(command)[2] for command in COMMANDS if command.startswith("covidquant study")}
    assert named == set(STUDIES)


@pytest.mark.parametrize(
    "name", ["changsha-progression.toml", *(pytest.param(n, marks=pytest.mark.slow) for n in sorted(STUDIES))]
)
def test_the_command_writes_every_table_and_figure(folder, tmp_path, name, capsys):
    out = tmp_path / "out"
    assert main(["study", str(folder / name), "--out", str(out)]) == 0
    record = json.loads((out / "study.json").read_text(encoding="utf-8"))
    assert {file.name for file in out.iterdir()} == set(record["files"])
    figures = sum(len(section["figures"]) for section in record["sections"])
    tables = [table for section in record["sections"] for table in section["tables"]]
    names = [file.name for file in out.iterdir()]
    assert [sum(n.endswith(end) for n in names) for end in (".svg", ".pdf")] == [figures, figures]
    assert sum("-table-" in n and not n.endswith("-values.csv") for n in names) == len(tables)
    shown = capsys.readouterr().out
    assert all(table["title"].split(":")[0] in shown for table in tables)


# ---------------------------------------------------------------------------------------------------- Huang


def test_h3_the_gate_leaves_out_thirteen_and_motion_nine(study):
    flow = table(study("huang")[0])
    assert flow["Listed"] == ["322", "148"]
    assert flow["left out: segmentation quality: mean score below 3"][0] == "13"
    assert flow["left out: excluded by the study: respiratory motion"][0] == "9"
    assert flow["Analysed"] == ["300", "126"]


def test_h4_table_1_of_huang(study):
    found = table(study("huang")[1])
    # Printed by the paper: all patients, then the four types.
    assert found["Male sex"][:5] == ["67 (53.2)", "3 (50.0)", "49 (52.1)", "11 (55.0)", "4 (66.7)"]
    assert found["Age (years)"][1:5] == ["47.0 ± 15.0", "51.0 ± 16.0", "56.0 ± 13.0", "66.0 ± 8.0"]
    assert found["Days since onset"][1:4] == ["1.0", "2.0 (1.0, 3.0)", "6.5 (5.0, 7.3)"]
    for name, p in (("Diabetes", ".036"), ("COPD", ".008"), ("Coronary artery disease", ".085"), ("Fever", ".598")):
        assert found[name][-1] == p
    assert found["Fatigue"][-1] == ".416"
    assert found["Dyspnea"][-1] == "< .001"
    assert found["Days since onset"][-1] == "< .001"


def test_h4_table_3_of_huang(study):
    section = study("huang")[2]
    rows = table(section)
    # Letters: a mild, b moderate, c severe, d critical, by P < .05/6.
    assert [re.sub("[ᵃᵇᶜᵈ]", "", cell) for cell in rows["Extent (%)"]] == [
        "0.0", "2.2 (0.4, 7.1)", "28.9 ± 19.2", "49.6 ± 14.8", "< .001"
    ]  # fmt: skip
    assert [re.sub("[ᵃᵇᶜᵈ]", "", cell) for cell in rows["Extent, left upper lobe (%)"]] == [
        "0.0", "0.3 (0.0, 3.0)", "12.3 (4.4, 22.6)", "44.8 ± 24.8", "< .001"
    ]  # fmt: skip
    assert all(row[-1] == "< .001" for row in rows.values())
    # Daggers of the paper: severe and critical differ from moderate everywhere.
    assert all("ᵇ" in row[2] and "ᵇ" in row[3] for row in rows.values())
    assert "P < 0.05/6 = 0.0083" in section["tables"][0]["notes"][-1]
    test = records(section, row="all groups", measure="extent_percent")[0]
    assert (test["method"], test["n"]) == ("Kruskal–Wallis test", 126)
    for region, groups in huang.TABLE_3.items():
        name = "extent_percent" + ("" if region == "whole lung" else f"@{region}")
        for group, numbers in groups.items():
            one = records(section, row="group", measure=name, group=group)[0]
            kept = (one["mean"], one["sd"]) if len(numbers) == 2 else (one["median"], one["q1"], one["q3"])
            assert kept == pytest.approx(numbers, abs=1e-6)


def test_h2_table_2_of_huang(study):
    section = study("huang")[3]
    for (first, second), numbers in zip(
        (("baseline", "first follow-up"), ("first follow-up", "second follow-up")), huang.TABLE_2.values(), strict=True
    ):
        title = f"Percentage change of the opacification: {first} to {second}"
        found = next(one for one in section["tables"] if one["title"] == title)
        change = next(one for one in found["records"] if one["values"] == "percent change")
        assert (change["median"], change["q1"], change["q3"]) == pytest.approx(numbers, abs=1e-6)
        p = next(one for one in found["records"] if one["values"] == "test")["p"]
        # Significant from baseline to the first follow-up, not to the second (paper: P < .01 and P = .655).
        assert p < 0.01 if first == "baseline" else p > 0.05
    first = section["tables"][0]
    assert "A change from 0 has no percentage: that column alone is without up to 7 patients" in " ".join(
        first["notes"]
    )


def test_h5_the_peak_of_huangs_curve(study):
    fit = records(study("huang-course")[1], method="cubic least-squares fit")[0]
    assert fit["n"] == 300
    assert fit["peak_lower"] < 12.85 < fit["peak_upper"], "day 13 of the text is the top of the corrected curve"
    assert fit["peak_day"] == pytest.approx(12.85, abs=1.5)


# ------------------------------------------------------------------------------------------------------ Pan


def test_p7_tables_4_and_5_of_pan(study):
    groups, correlation = study("pan")[1:3]
    for number, (time, wanted) in enumerate(pan.TIMES.items()):
        assert groups["tables"][number]["title"].endswith(time)
        for group, (extents, _, spearman) in wanted.items():
            one = records(groups, number, row="group", measure="extent_percent", group=group)[0]
            assert (one["q1"], one["median"], one["q3"]) == pytest.approx(extents, abs=1e-6)
            found = records(correlation, time=time, group=group)[0]
            assert found["method"].startswith("partial Spearman") or found["n"] == pan.SIZES[group]
            # Three standard errors of a rank correlation of as many patients.
            error = (1 - spearman**2) * math.sqrt((1 + spearman**2 / 2) / (pan.SIZES[group] - 3))
            assert found["r"] == pytest.approx(spearman, abs=3 * error)
        assert all(row[-1] == "< .001" for row in groups["tables"][number]["rows"])
        test = records(groups, number, row="all groups", measure="extent_percent")[0]
        assert test["method"].startswith("Mann–Whitney U test")
    fits = study("pan")[2]["tables"][1]["records"]
    assert fits[1]["r_squared"] > fits[0]["r_squared"], "quadratic better than linear, as in the paper"


def test_p7_spearman_of_all_465_scans():
    import numpy as np

    from COVIDQuantLib.statistics.methods.correlations import correlate

    rows = pan.scans()
    one, other, day = (np.array([row[name] for row in rows]) for name in ("ct_score", "extent_percent", "days"))
    found = correlate(one, other, day)
    assert found.n == 465
    assert found.r == pytest.approx(pan.SPEARMAN, abs=0.02)
    assert [float(np.percentile(other, q)) for q in (25, 50, 75)] == pytest.approx([0.06, 1.63, 10.94])


def test_p7_the_peaks_of_pans_curves(study):
    section = study("pan-courses")[1]
    # Day and height of the printed peaks (Fig. 3), ground glass of the severe group by the corrected curve.
    printed = {
        ("extent_percent", "moderate"): (18, 3.37),
        ("extent_percent", "severe"): (23, 27.91),
        ("ggo_percent", "moderate"): (18, 2.65),
        ("ggo_percent", "severe"): (23, 23.03),
        ("consolidation_percent", "moderate"): (18, 0.72),
        ("consolidation_percent", "severe"): (19, 4.99),
    }
    for (measure, group), (day, height) in printed.items():
        fit = records(section, measure=measure, group=group, method="cubic least-squares fit through the origin")[0]
        assert fit["n"] == pan.EXAMS[group]
        assert fit["peak_lower"] - 1 < day < fit["peak_upper"] + 1
        assert fit["peak_value"] == pytest.approx(height, rel=0.20), "four standard errors of the made scatter"


# ------------------------------------------------------------------------------------------------- Changsha


def test_c3_table_2_of_changsha(study):
    section = study("changsha")[1]
    poi, ihu, both = section["tables"][0]["records"]
    assert (poi["n"], poi["events"]) == (531, 79)
    assert poi["auc"] == pytest.approx(0.9680, abs=0.002)
    assert ihu["auc"] == pytest.approx(0.6873, abs=0.002)
    assert both["auc"] == pytest.approx(0.9677, abs=0.01)
    assert (poi["auc_lower"], poi["auc_upper"]) == pytest.approx((0.9505, 0.9805), abs=0.008)
    assert (ihu["auc_lower"], ihu["auc_upper"]) == pytest.approx((0.6328, 0.7368), abs=0.015)
    # The Youden cut-off of two normal distributions of one width lies midway, where both shares are Φ(distance / 2).
    for marker in (poi, ihu):
        from scipy.stats import norm

        expected = norm.cdf(norm.ppf(marker["auc"]) / math.sqrt(2))
        assert (marker["sensitivity"] + marker["specificity"]) / 2 == pytest.approx(expected, abs=0.01)
    assert ihu["or_lower"] < 1.824 < ihu["or_upper"], "the printed odds ratio per SD"
    assert ihu["aic"] == pytest.approx(426.16, rel=0.03)
    assert poi["aic"] < ihu["aic"]


def test_c4_table_4_of_changsha(study):
    section = study("changsha-progression")[1]
    rows = section["tables"][0]["rows"]
    assert [[row[1], *row[2:5], row[-1]] for row in rows] == [
        ["142", "0.9155", "0.8220", "0.0492", "very good"],
        ["184", "0.8533", "0.7044", "0.0525", "good"],
        ["56", "0.7321", "0.4643", "0.1184", "moderate"],
        ["82", "0.6829", "0.3718", "0.1018", "fair"],
    ]
    phrases = dict(section["tables"][1]["rows"])
    assert phrases["density of infection region has increased"] == "28"
    assert sum(int(count) for text, count in phrases.items() if text.startswith("density")) == 82


# ------------------------------------------------------------------------------------------------------ Yoo


def test_y4_table_1_of_yoo(study):
    section = study("yoo")[0]
    names = ("internal", "Japan", "Italy", "Radiopaedia", "China")
    for name, wanted in yoo.TABLE_1.items():
        for quantity, one in (("extent", wanted.extent), ("weight", wanted.weight)):
            icc = records(section, dataset=name, measure=quantity, statistic="ICC(A,1)")[0]
            assert icc["n"] == wanted.scans
            assert icc["value"] == pytest.approx(one.icc, abs=1e-6)
            unit = "percent" if quantity == "extent" else "g"
            level = records(section, dataset=name, measure=quantity, statistic=f"limits at {one.level:g} {unit}")[0]
            assert (level["lower"], level["upper"]) == pytest.approx((one.lower, one.upper), abs=1e-6)
    shown = table(section)
    column = dict(zip(names, zip(*shown.values(), strict=True), strict=True))
    place = {title: number for number, title in enumerate(shown)}
    assert column["internal"][place["Dice"]] == "77.8 ± 17.1"
    assert column["Italy"][place["Sensitivity"]] == "70.6 ± 18.3"
    assert column["China"][place["PPV"]] == "87.7 ± 5.4"
    assert column["internal"][place["ICC, extent"]].startswith("0.990 (")
    assert column["Japan"][place["Pearson, extent"]] == "0.908 (visual score; P < .001)"
    assert column["Japan"][place["Pearson, weight"]] == "0.899 (visual score; P < .001)"
    assert column["Japan"][place["ICC, extent"]] == "–"
    # At the higher level within one in the last digit, since the limits at the lower level are printed rounded.
    high = records(section, dataset="internal", measure="extent", statistic="limits at 50 percent")[0]
    assert (high["lower"], high["upper"]) == pytest.approx((-9.7, 11.1), abs=0.15)


@pytest.mark.parametrize("which", yoo.RISK)
def test_y5_the_odds_that_patients_were_made_with_come_back(which):
    """Three standard errors of 4000 patients; factors without effect leave."""
    import numpy as np

    from COVIDQuantLib.statistics.methods.backward import select_backward

    rows = yoo.risk(which, patients=4000)
    factors = {
        name: np.array([row[name] == "yes" for row in rows], float) for name in (*yoo.RISK[which], "male", "smoker")
    }
    found = select_backward(np.array([row[which] == "yes" for row in rows]), factors)
    assert set(yoo.RISK[which]) <= set(found.model.names)
    for name, (ratio, _) in yoo.RISK[which].items():
        one = found.model.coefficients[name]
        error = math.log(one.upper / one.lower) / (2 * 1.959964)
        assert abs(one.beta - math.log(ratio)) < 3 * error
        assert error < 0.12


@pytest.mark.parametrize(
    ("name", "factor", "ratio"),
    [("yoo-symptoms", "extent_above_half", 4.142), ("yoo-outcome", "extent_percent > 5", 7.446)],
)
def test_y5_tables_2_and_3_of_yoo(study, name, factor, ratio):
    section = study(name)[1]
    found = next(one for one in records(section, factor=factor) if one["model"] != "univariate")
    assert found["lower"] < ratio < found["upper"]
    assert "P ≤ 0.2" in " ".join(section["methods"])
    univariate = records(section, factor=factor, model="univariate")[0]
    assert univariate["n"] == yoo.RISK_SIZE[name.removeprefix("yoo-")]
    assert univariate["p"] < 0.05
