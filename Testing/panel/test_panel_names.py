"""The panel fits together without a Slicer to try it in: every name it uses is there.

Widgets in the .ui files, parameters in the parameter node, methods of the panel, logic and library, files in CMake.
"""

import ast
import importlib.util
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULE = ROOT / "COVIDQuant"
PANEL = MODULE / "COVIDQuantPanel"
UI = MODULE / "Resources" / "UI"
MAX_SECTION_LINES = 300

# Widgets that Slicer 5.12's and CTK's designer plugins make when a .ui file is loaded.
LOADABLE = {
    "qMRMLWidget", "qMRMLNodeComboBox", "qMRMLSegmentEditorWidget", "ctkCollapsibleButton", "ctkSliderWidget",
    "ctkPathLineEdit",
}  # fmt: skip
# Which .ui files a file's ``ui`` may mean.
UI_OF = {
    "advanced_section.py": {"AdvancedSection"},
    "export_section.py": {"ExportSection"},
    "input_section.py": {"InputSection"},
    "readers_section.py": {"ReadersSection"},
    "results_section.py": {"ResultsSection"},
    "review_section.py": {"ReviewSection"},
    "findings_list.py": {"ReviewSection"},
    "followup_section.py": {"FollowupSection"},
    "followup_views.py": {"FollowupSection"},
    "self_test.py": {
        f"{n}Section" for n in ("Input", "Results", "Review", "Readers", "Followup", "Export", "Advanced")
    },
}
# What an attribute chain ends in → the class whose attribute comes next.
OWNERS = {
    "panel": (PANEL / "panel.py", "Panel"),
    "_panel": (PANEL / "panel.py", "Panel"),
    "events": (PANEL / "events.py", "PanelEvents"),
    "logic": (MODULE / "COVIDQuant.py", "COVIDQuantLogic"),
    "parameters": (PANEL / "parameters.py", "COVIDQuantParameterNode"),
    "reading": (ROOT / "COVIDQuantLib" / "scene" / "reading_session.py", "Reading"),
    "live": (ROOT / "COVIDQuantLib" / "scene" / "live" / "live_quantification.py", "LiveQuantification"),
    "_run": (ROOT / "COVIDQuantLib" / "scene" / "quantification_run.py", "QuantifyRun"),
    "_times": (ROOT / "COVIDQuantLib" / "worker" / "run_times.py", "RunTimes"),
    "_fit": (ROOT / "COVIDQuantLib" / "scene" / "volume_fitness.py", "Fitness"),
    "qt_calls": (PANEL / "widgets" / "qt_calls.py", None),
    "_cells": (PANEL / "widgets" / "qt_table.py", "QtTable"),
    "charts": (ROOT / "COVIDQuantLib" / "scene" / "nodes" / "charts.py", "Charts"),
}
BASES = {
    "Section": (PANEL / "sections" / "section.py", "Section"),
    "ScriptedLoadableModuleWidget": {"layout", "parent", "resourcePath"},
    "VTKObservationMixin": {"addObserver", "removeObserver", "removeObservers"},
    "ScriptedLoadableModule": {"parent"},
    "ScriptedLoadableModuleTest": {"delayDisplay"},
    "ScriptedLoadableModuleLogic": set(),
    "SegmentStatisticsPluginBase": {"getRequestedKeys", "getParameterNode", "createMeasurementInfo"},
}


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def panel_files():
    return sorted([MODULE / "COVIDQuant.py", *PANEL.rglob("*.py")])


def widgets_of(path):
    """Class of every named widget of a .ui file."""
    return {widget.get("name"): widget.get("class") for widget in ET.parse(path).getroot().iter("widget")}


def classes_of(path):
    return {node.name: node for node in parse(path).body if isinstance(node, ast.ClassDef)}


def functions_of(path):
    return {node.name for node in parse(path).body if isinstance(node, ast.FunctionDef)}


def attributes_of(node):
    """What a class defines: methods, annotated fields, and what its methods assign to self."""
    names = {part.name for part in node.body if isinstance(part, ast.FunctionDef)}
    names |= {part.target.id for part in node.body if isinstance(part, ast.AnnAssign)}
    names |= {t.id for part in node.body if isinstance(part, ast.Assign) for t in part.targets}
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store):
            value = part.value
            if isinstance(value, ast.Name) and value.id == "self":
                names.add(part.attr)
    for base in node.bases:
        known = BASES.get(getattr(base, "id", ""), set())
        names |= known if isinstance(known, set) else attributes_of(classes_of(known[0])[known[1]])
    return names


@pytest.mark.parametrize("name", sorted(UI_OF))
def test_widgets_exist(name):
    text = next(PANEL.rglob(name)).read_text(encoding="utf-8")
    used = set(re.findall(r"\bui(?:\(_[A-Z]+\))?\.(\w+)", text))
    # Buttons named in text, for Section.allow and Section.show_controls.
    used |= set(re.findall(r'"(\w+Button)"', text))
    there = set().union(*(widgets_of(UI / f"{kind}.ui") for kind in UI_OF[name]))
    assert used <= there, sorted(used - there)
    assert used


def test_presenters_know_neither_qt_nor_a_scene():
    """What they decide can be tested without a window."""
    for path in (PANEL / "presenters").glob("*.py"):
        modules = {alias.name for node in ast.walk(parse(path)) if isinstance(node, ast.Import) for alias in node.names}
        modules |= {node.module for node in ast.walk(parse(path)) if isinstance(node, ast.ImportFrom)}
        known = ("COVIDQuantLib", "COVIDQuantPanel.presenters", "dataclasses", "enum", "html", "slicer.i18n")
        assert all(name.startswith(known) for name in modules), (path.name, modules)


def test_every_widget_is_used_or_only_seen():
    """A widget that no code knows, no parameter binds and that shows no text of its own is forgotten."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in PANEL.rglob("*.py"))
    for path in UI.glob("*.ui"):
        for widget in ET.parse(path).getroot().iter("widget"):
            props = {part.get("name"): part for part in widget.findall("property")}
            text = props["text"].findtext("string") if "text" in props else ""
            bound = "SlicerParameterName" in props
            contains = widget.find("layout") is not None
            name = widget.get("name")
            assert bound or text or contains or re.search(rf"\b{name}\b", code), f"{path.name}: {name}"


def test_widgets_can_be_loaded():
    for path in UI.glob("*.ui"):
        special = {kind for kind in widgets_of(path).values() if not kind.startswith("Q")}
        assert special <= LOADABLE, path


def test_what_can_be_clicked_says_what_it_does():
    kinds = {"QPushButton", "QToolButton", "QCheckBox", "QComboBox", "QTableWidget", "qMRMLNodeComboBox",
             "ctkSliderWidget", "ctkPathLineEdit"}  # fmt: skip
    for path in UI.glob("*.ui"):
        for widget in ET.parse(path).getroot().iter("widget"):
            if widget.get("class") in kinds:
                tips = [p.findtext("string") for p in widget.findall("property") if p.get("name") == "toolTip"]
                assert tips, f"{path.name}: {widget.get('name')} has no tooltip"
                assert tips[0]


def test_bound_parameters_exist_and_each_is_bound_once():
    fields = attributes_of(classes_of(PANEL / "parameters.py")["COVIDQuantParameterNode"])
    properties = [part for path in UI.glob("*.ui") for part in ET.parse(path).getroot().iter("property")]
    bound = [part.findtext("string") for part in properties if part.get("name") == "SlicerParameterName"]
    assert set(bound) <= fields
    assert len(bound) == len(set(bound))


def test_what_is_bound_is_of_a_kind_that_can_be_bound():
    values = {
        n.targets[0].id: n.value for n in parse(PANEL / "widgets" / "bindings.py").body if isinstance(n, ast.Assign)
    }
    kinds = ast.literal_eval(values["_SHOWN_BY"])
    bound = {
        widget.get("class")
        for path in UI.glob("*.ui")
        for widget in ET.parse(path).getroot().iter("widget")
        if any(part.get("name") == "SlicerParameterName" for part in widget.findall("property"))
    }
    assert bound == set(kinds)


def test_qt_is_called_in_two_files_alone():
    """What calls Qt's classes is tried in a real Slicer only, so it must stay thin."""
    users = {
        path.name for path in panel_files() if re.search(r"^\s*import qt\b", path.read_text("utf-8"), re.MULTILINE)
    }
    assert users == {"qt_calls.py", "qt_table.py"}


def test_a_combo_box_is_bound_to_a_choice():
    """The parameter node refuses any other text."""
    node = classes_of(PANEL / "parameters.py")["COVIDQuantParameterNode"]
    choices = {
        part.target.id
        for part in node.body
        if isinstance(part, ast.AnnAssign) and "Choice" in ast.dump(part.annotation)
    }
    for path in UI.glob("*.ui"):
        for widget in ET.parse(path).getroot().iter("widget"):
            for part in widget.findall("property"):
                if part.get("name") == "SlicerParameterName" and widget.get("class") == "QComboBox":
                    assert part.findtext("string") in choices


def test_the_choices_are_the_librarys():
    from COVIDQuantLib.inference.device import DEVICES
    from COVIDQuantLib.pipeline import METHODS

    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in parse(PANEL / "parameters.py").body
        if isinstance(node, ast.Assign)
    }
    assert values["METHODS"] == METHODS
    assert values["DEVICES"] == DEVICES


@pytest.mark.parametrize("path", panel_files(), ids=lambda path: path.name)
def test_attributes_exist(path):
    """What is asked of the panel, logic, parameters, reading and so on is there, and so is what is asked of self."""
    for node in ast.walk(parse(path)):
        if not isinstance(node, ast.Attribute):
            continue
        owner = getattr(node.value, "attr", getattr(node.value, "id", ""))
        if owner in OWNERS:
            file, name = OWNERS[owner]
            there = attributes_of(classes_of(file)[name]) if name else functions_of(file)
            assert node.attr in there, f"{path.name}:{node.lineno}: {owner} has no {node.attr}"
    for kind in classes_of(path).values():
        there = attributes_of(kind) | {"__class__"}
        for node in ast.walk(kind):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
                assert node.attr in there, f"{path.name}:{node.lineno}: {kind.name} has no {node.attr}"


@pytest.mark.parametrize("path", panel_files(), ids=lambda path: path.name)
def test_imported_names_exist(path):
    """Names imported from the library and between the files of the panel, also inside functions."""
    for node in ast.walk(parse(path)):
        if not isinstance(node, ast.ImportFrom) or not node.module:
            continue
        if node.module.startswith("COVIDQuantPanel"):
            inside = node.module.split(".")[1:]
            folder, names = PANEL.joinpath(*inside), {alias.name for alias in node.names}
            if folder.is_dir():
                assert all((folder / f"{name}.py").is_file() for name in names), node.module
                continue
            file = folder.with_suffix(".py")
        elif node.module.startswith("COVIDQuantLib"):
            spec = importlib.util.find_spec(node.module)
            assert spec, node.module
            file, names = Path(spec.origin), {alias.name for alias in node.names}
        else:
            continue
        body = parse(file).body
        body += [inner for part in body if isinstance(part, ast.Try) for inner in part.body]
        there = {part.name for part in body if isinstance(part, (ast.FunctionDef, ast.ClassDef))}
        for part in body:
            if isinstance(part, ast.Assign):
                there |= {n.id for t in part.targets for n in ast.walk(t) if isinstance(n, ast.Name)}
            elif isinstance(part, ast.AnnAssign):
                there.add(part.target.id)
            elif isinstance(part, ast.ImportFrom):
                there |= {alias.asname or alias.name for alias in part.names}
        assert names <= there, f"{path.name}: {node.module} has no {sorted(names - there)}"


def test_every_event_reaches_the_sections_and_is_emitted_by_somebody():
    events = {name for name in attributes_of(classes_of(PANEL / "events.py")["PanelEvents"]) if name != "__init__"}
    code = "\n".join(path.read_text(encoding="utf-8") for path in panel_files())
    assert set(re.findall(r"events\.(\w+)\.connect\(self\.", code)) == events
    assert set(re.findall(r"events\.(\w+)\.emit\(", code)) == events


@pytest.mark.parametrize("path", panel_files(), ids=lambda path: path.name)
def test_what_the_reader_reads_can_be_translated(path):
    """Text set on a widget goes through _()."""
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Assign) and any(getattr(t, "attr", "") in {"text", "toolTip"} for t in node.targets):
            value = node.value
            literal = isinstance(value, ast.Constant) and isinstance(value.value, str) and value.value
            assert not literal, f"{path.name}:{node.lineno}"


@pytest.mark.parametrize("path", panel_files(), ids=lambda path: path.name)
def test_files_stay_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_SECTION_LINES


def test_one_section_one_file_one_form():
    sections = {path.stem.removesuffix("_section").title() + "Section" for path in PANEL.rglob("*_section.py")}
    assert sections == {path.stem for path in UI.glob("*.ui")}
    for path in PANEL.rglob("*_section.py"):
        kinds = [kind for kind in classes_of(path) if kind.endswith("Section")]
        assert kinds == [path.stem.removesuffix("_section").title() + "Section"]


def test_cmake_lists_every_file_of_the_panel():
    text = (MODULE / "CMakeLists.txt").read_text(encoding="utf-8").replace("${MODULE_NAME}", "COVIDQuant")
    listed = re.search(r"set\(MODULE_PYTHON_SCRIPTS\s+([^)]*)\)", text).group(1).split()
    assert listed == ["COVIDQuant.py", *sorted(path.relative_to(MODULE).as_posix() for path in PANEL.rglob("*.py"))]


def test_slicers_start_waits_for_nothing():
    """What is imported with the module file is Slicer's own; panel and library come when they are needed."""
    for node in parse(MODULE / "COVIDQuant.py").body:
        if isinstance(node, ast.ImportFrom):
            assert not node.module.startswith(("COVIDQuantLib", "COVIDQuantPanel")), node.module
