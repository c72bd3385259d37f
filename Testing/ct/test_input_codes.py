"""Every code that a refusal or warning can carry stands in the docs."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = ("input.md", "user-guide.md")


def codes() -> Iterator[tuple[str, str]]:
    """Codes written out in the library, with the file they stand in."""
    for path in sorted((ROOT / "COVIDQuantLib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            code = None
            if name.endswith("Error"):
                code = next((k.value for k in node.keywords if k.arg == "code"), (*node.args[3:4], None)[0])
            elif name == "CTWarning" and node.args:
                code = node.args[0]
            if isinstance(code, ast.Constant) and code.value:
                yield code.value, path.name


def test_every_code_is_explained():
    text = "".join((ROOT / "docs" / page).read_text(encoding="utf-8") for page in PAGES)
    found = list(codes())
    assert len(found) > 60
    missing = sorted({f"{code} ({file})" for code, file in found if f"`{code}`" not in text})
    assert not missing, "explain these in docs/input.md: " + ", ".join(missing)
