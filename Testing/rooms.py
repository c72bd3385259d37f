"""The rooms of the library, drawn from its imports into ``docs/developer-guide.md``.

``python Testing/rooms.py`` writes the picture and the table anew (``make rooms``).
"""

import ast
from graphlib import TopologicalSorter

from test_extension_layout import BASE, LIBRARY, MODULE, ROOT, imports_of, part_of

from COVIDQuantLib.document_table import table_filled_in

GUIDE = ROOT / "docs" / "developer-guide.md"
BEGIN = "<!-- rooms:begin (written by `python Testing/rooms.py`) -->"
END = "<!-- rooms:end -->"
# Small modules at the bottom that everything may import: one box in the picture.
BOTTOM = "base"
TOP = "COVIDQuant"


def room_of(path):
    """The room of a file: a folder of the library, a module beside them, or the Slicer module."""
    if LIBRARY not in path.parents:
        return TOP
    part = part_of(path)
    return BOTTOM if part in BASE else part


def imports():
    """Room → the rooms that its files import."""
    files = sorted([*LIBRARY.rglob("*.py"), *(p for p in MODULE.rglob("*.py") if "Testing" not in p.parts)])
    rooms = {room_of(path) for path in files}
    found = {room: set() for room in rooms}
    for path in files:
        for name, _ in imports_of(path):
            top, *rest = name.split(".")
            if top == "COVIDQuantLib":
                below = rest[0] if rest and rest[0] in rooms else BOTTOM
                found[room_of(path)] |= {below} - {room_of(path)}
    return found


def reach(edges, room):
    """Every room below one, however many steps down."""
    below = set()
    for step in edges[room]:
        below |= {step} | reach(edges, step)
    return below


def picture(edges):
    """A Mermaid graph; an arrow that others imply is left out."""
    lines = ["```mermaid", "graph TD"]
    for room in rooms_upwards(edges)[::-1]:
        implied = {far for step in edges[room] for far in reach(edges, step)}
        lines += [f"  {room} --> {below}" for below in sorted(edges[room] - implied)]
    return "\n".join([*lines, "```"])


def rooms_upwards(edges):
    """The rooms from the bottom up; those at one height by name."""
    sorter = TopologicalSorter(edges)
    sorter.prepare()
    order = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        order += ready
        sorter.done(*ready)
    return order


def first_line(path):
    """What a file's docstring says first."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))).splitlines()[0]


def table(edges):
    """What each room holds, from the bottom up, and its folders."""
    lines = ["| room | what it holds |", "|---|---|"]
    for room in rooms_upwards(edges):
        if room == BOTTOM:
            paths = (LIBRARY / f"{name}.py" if name else LIBRARY / "__init__.py" for name in sorted(BASE))
            lines += [f"| `{path.name}` | {first_line(path)} |" for path in paths if path.name in names_at_the_top()]
            folders = [LIBRARY / name for name in sorted(BASE) if name and (LIBRARY / name).is_dir()]
            lines += [line for folder in folders for line in rows(folder)]
        elif room == TOP:
            lines.append(f"| `COVIDQuant/` | {first_line(MODULE / 'COVIDQuant.py')} |")
        elif (LIBRARY / room).is_dir():
            lines += rows(LIBRARY / room)
        else:
            lines.append(f"| `{room}.py` | {first_line(LIBRARY / f'{room}.py')} |")
    return "\n".join(lines)


def names_at_the_top():
    return {path.name for path in LIBRARY.glob("*.py")} - {"__init__.py"}


def rows(folder):
    """A row for a folder and for each folder within."""
    packages = sorted(path.parent for path in folder.rglob("__init__.py"))
    return [f"| `{p.relative_to(LIBRARY).as_posix()}/` | {first_line(p / '__init__.py')} |" for p in packages]


def filled(text):
    """The guide with picture and table as the code is now."""
    edges = imports()
    return table_filled_in(text, BEGIN, f"\n{picture(edges)}\n\n{table(edges)}\n", END)


if __name__ == "__main__":
    GUIDE.write_text(filled(GUIDE.read_text(encoding="utf-8")), encoding="utf-8")
