"""The metrics table as a vtkMRMLTableNode, updated in place.

All columns are text: numeric VTK columns have no missing value, so an undefined figure would be shown and saved as
``nan``, where the contract requires it to be empty. Numbers are written with eight significant digits.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import vtk

from COVIDQuantLib.ct.volume import CTWarning
from COVIDQuantLib.grades import CheckResult, grade_of
from COVIDQuantLib.quantification.measures import MEASURES
from COVIDQuantLib.quantification.table import MetricsTable
from COVIDQuantLib.quantification.thresholds import DEFAULT_THRESHOLDS, Thresholds
from COVIDQuantLib.scene.nodes.result_links import TABLE_ROLE

METRICS_ATTRIBUTE = "COVIDQuant.metrics"
CHECKS_ATTRIBUTE = "COVIDQuant.checks"
GRADE_ATTRIBUTE = "COVIDQuant.grade"
_DIGITS = 8


def cell_text(value: str | float | None) -> str:
    """A figure as text for the table node; empty if undefined."""
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.{_DIGITS}g}"


def create_table_node(scene: Any, name: str) -> Any:
    """A new table node with the contract's columns, read-only in Slicer's table view, without rows yet."""
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", name)
    _add_columns(node)
    return node


def thresholds_of_result(segmentation: Any) -> Thresholds:
    """The thresholds of a segmentation's figures, as its table keeps them; the default ones without a table."""
    table = segmentation.GetNodeReference(TABLE_ROLE)
    record = json.loads((table.GetAttribute(METRICS_ATTRIBUTE) if table else None) or "{}")
    return Thresholds(**record["thresholds"]) if "thresholds" in record else DEFAULT_THRESHOLDS


def write_rows(node: Any, columns: Mapping[str, str], rows: Iterable[Sequence[str | float | None]]) -> None:
    """Replace the content of a table node by rows of text, read-only in Slicer's table view.

    Args:
        node: vtkMRMLTableNode.
        columns: name → what it holds.
        rows: a value per column each; None where undefined.
    """
    table = vtk.vtkTable()
    filled = list(rows)
    for place, name in enumerate(columns):
        column = vtk.vtkStringArray()
        column.SetName(name)
        for row in filled:
            column.InsertNextValue(cell_text(row[place]))
        table.AddColumn(column)
    node.SetLocked(True)
    node.SetUseFirstColumnAsRowHeader(False)
    node.SetUseColumnTitleAsColumnHeader(True)
    node.SetAndObserveTable(table)
    for name, text in columns.items():
        node.SetColumnTitle(name, name.replace("_", " "))
        node.SetColumnDescription(name, text)


def _add_columns(node: Any) -> None:
    names = MEASURES.columns
    node.SetLocked(True)
    node.SetUseFirstColumnAsRowHeader(True)
    node.SetUseColumnTitleAsColumnHeader(True)
    table = vtk.vtkTable()
    for name in names:
        column = vtk.vtkStringArray()
        column.SetName(name)
        table.AddColumn(column)
    node.SetAndObserveTable(table)
    node.SetColumnTitle("region", "Region")
    for measure in MEASURES:
        unit = f" ({measure.unit})" if measure.unit else ""
        node.SetColumnTitle(measure.name, measure.title + unit)
        node.SetColumnUnitLabel(measure.name, measure.unit)
        node.SetColumnDescription(measure.name, measure.formula)


def _has_columns(table: Any, names: Sequence[str]) -> bool:
    columns = [table.GetColumn(index) for index in range(table.GetNumberOfColumns())] if table else []
    return [(c.GetName(), c.GetDataType()) for c in columns] == [(name, vtk.VTK_STRING) for name in names]


def write_table(node: Any, metrics: MetricsTable, warnings: Sequence[CTWarning] = ()) -> None:
    """Update a table node: rows and columns of the contract; summary and warnings as an attribute.

    Args:
        node: vtkMRMLTableNode; its columns are replaced if they are not those of the contract.
        metrics: the figures.
        warnings: about the figures.
    """
    table = node.GetTable()
    if not _has_columns(table, metrics.columns):
        _add_columns(node)
        table = node.GetTable()
    record = metrics.summary() | {"warnings": [{"code": w.code, "message": w.message} for w in warnings]}
    was_modifying = node.StartModify()
    try:
        for index, name in enumerate(metrics.columns):
            column = table.GetColumn(index)
            column.SetNumberOfValues(len(metrics.rows))
            for row, figures in enumerate(metrics.rows):
                column.SetValue(row, cell_text(figures[name]))
            column.Modified()
        node.SetAttribute(METRICS_ATTRIBUTE, json.dumps(record))
        # Observers (table view, charts) are notified once.
        table.Modified()
    finally:
        node.EndModify(was_modifying)


def write_checks(node: Any, checks: Sequence[CheckResult]) -> None:
    """Store the grade and every check with a table node.

    Args:
        node: vtkMRMLTableNode.
        checks: of the segments in their current state; empty if these were never checked or changed since.
    """
    grade = grade_of(checks)
    record = json.dumps([check.as_record() for check in checks])
    for name, text in ((GRADE_ATTRIBUTE, str(grade) if grade else None), (CHECKS_ATTRIBUTE, record)):
        if node.GetAttribute(name) != text:
            node.SetAttribute(name, text)
