"""The settings of a study: one TOML file that names the tables, the groups, the times and the analyses."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from COVIDQuantLib.errors import UsageError
from COVIDQuantLib.grades import Grade
from COVIDQuantLib.statistics.methods.normality import NORMALITY_TESTS
from COVIDQuantLib.system.near_names import did_you_mean
from COVIDQuantLib.system.settings_schema import (
    REQUIRED,
    Schema,
    Setting,
    checked,
    choice,
    count,
    is_count,
    is_number,
    number,
    text,
    texts,
)


def _are_words(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(v, str) for v in value.values())


def _are_tables(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) for item in value)


def _is_span(value: Any) -> bool:
    two = isinstance(value, list) and len(value) in {0, 2} and all(is_number(v) for v in value)
    return two and (not value or value[0] <= value[1])


def mapping(meaning: str) -> Setting:
    """Names and texts."""
    return Setting({}, 'texts by name, as {name = "text"}', _are_words, meaning)


def tables(meaning: str) -> Setting:
    """A list of tables, written [[name]] in TOML."""
    return Setting([], "a list of tables, each headed [[name]]", _are_tables, meaning)


STUDY: Schema = {
    "title": text("Study", "heading of the report"),
    "alpha": number(0.05, "level of significance", least=1e-6, most=0.5),
    "normality": choice("kolmogorov-smirnov", "test of normality", *NORMALITY_TESTS),
    "data": {
        "metrics": text("", "table with a row per exam and region, or a folder of results of quantify"),
        "exams": text("", "table with a row per exam: what became of it"),
        "clinical": text("", "table with a row per patient (or exam): groups, outcomes, variables"),
    },
    "columns": mapping("our name of a column → its name in the tables, where they differ"),
    "quality": {
        "grades": Setting(
            [str(Grade.UNUSABLE)],
            f"a list of {', '.join(Grade)}",
            lambda value: isinstance(value, list) and all(item in list(Grade) for item in value),
            "grades of the self-checks that are left out",
        ),
        "readers": texts([], "columns with the readers' scores of the segmentation, 0 to 5"),
        "least_score": number(3.0, "exams with a lower mean score are left out"),
    },
    "groups": {
        "column": text("", "column with the group of a patient or exam"),
        "order": texts([], "the groups in the order of tables and figures; others are left out"),
    },
    "times": tables("named times: visit = 1, or days = [first, last] after the first exam"),
    "labels": mapping("titles of variables and groups"),
    "analysis": tables("what to do: each with its kind"),
    "frequency_map": {
        "results": text("", "folder of result folders of quantify, for the map of lesion frequency"),
        "time": text("", "name of the time whose exams are mapped; empty for all"),
        "cells": count(32, "cells of the lattice along each axis of a lung", most=96),
    },
}
TIME: Schema = {
    "name": text(REQUIRED, "of the time"),
    "visit": Setting(0, "a whole number from 1", lambda v: v == 0 or is_count(v), "number of the exam, by date"),
    "days": Setting([], "two numbers, the lower first", _is_span, "first and last day after the first exam"),
}
COMMON: Schema = {
    "kind": text(REQUIRED, "what is done"),
    "title": text("", "heading; that of the kind if empty"),
    "rows": texts([], "rows of the papers that it follows"),
}


def read_config(path: Path, kinds: Mapping[str, Schema]) -> dict[str, Any]:
    """The checked settings of a study, every key present.

    Args:
        path: the TOML file.
        kinds: settings of each kind of analysis.

    Raises:
        UsageError: the file is missing or no TOML (``study-config``); a key is unknown, missing or unfit, with its
            path and the key that may be meant.
    """
    where = str(path)
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise UsageError("there is no such study file", where, "Check the path.", code="study-config") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        what = f"it cannot be read as TOML ({str(error).splitlines()[0]:.120})"
        raise UsageError(what, where, "See docs/study.md for an example.", code="study-config") from error
    config = checked(document, STUDY, where)
    config["times"] = [
        checked(time, TIME, where, f"times[{number_}]") for number_, time in enumerate(config["times"], 1)
    ]
    for time in config["times"]:
        if bool(time["visit"]) == bool(time["days"]):
            raise UsageError(f"the time {time['name']} needs either visit or days", where, code="study-config")
    if not config["analysis"] and not config["frequency_map"]["results"]:
        raise UsageError(
            "the study asks for no analysis", where, f"Add [[analysis]] with a kind: {', '.join(kinds)}.",
            code="study-config",
        )  # fmt: skip
    config["analysis"] = [
        _analysis(each, kinds, where, f"analysis[{number_}]") for number_, each in enumerate(config["analysis"], 1)
    ]
    return config


def _analysis(document: Mapping[str, Any], kinds: Mapping[str, Schema], where: str, path: str) -> dict[str, Any]:
    kind = document.get("kind")
    if not isinstance(kind, str) or kind not in kinds:
        remedy = f"{did_you_mean(str(kind), kinds)}Kinds are {', '.join(kinds)}."
        what = f"{path}.kind is missing" if kind is None else f"{path}.kind cannot be {kind!r:.60}"
        raise UsageError(what, where, remedy, code="study-config")
    return checked(document, {**COMMON, **kinds[kind]}, where, path)
