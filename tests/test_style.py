"""The rules of the house that a machine can hold."""

import ast
import pathlib
import re

import pytest

import rnn_apps

ROOT = pathlib.Path(__file__).parents[1]
SOURCES = sorted((ROOT / "rnn_apps").rglob("*.py"))
TESTS = sorted((ROOT / "tests").glob("test_*.py"))
TEXTS = [*SOURCES, *TESTS, *ROOT.glob("*.md"), *ROOT.glob("templates/*/*"), ROOT / "Makefile"]


def functions(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_all_sources_are_found():
    assert len(SOURCES) >= 27
    assert len(TESTS) >= 18


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_a_module_is_one_concept_of_bearable_length(path):
    assert path.stem not in {"utils", "helpers", "common", "misc", "constants"}
    assert path.read_text().count("\n") <= 450
    for node in functions(path):
        body = [n for n in node.body if not isinstance(getattr(n, "value", None), ast.Constant)]
        lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
        assert lines <= 60, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_library_code_neither_asserts_nor_swallows_errors_nor_runs_at_import(path):
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        assert not isinstance(node, ast.Assert), node.lineno
        if isinstance(node, ast.ExceptHandler):
            assert not isinstance(node.body[0], ast.Pass), node.lineno
            assert node.type is not None, node.lineno
    for node in tree.body:
        loose = isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant)
        assert not loose, f"line {node.lineno} runs at import"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_whatever_is_public_is_documented(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name[0] != "_":
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.stem)
def test_a_test_is_named_by_a_sentence_and_can_fail(path):
    for node in functions(path):
        if not node.name.startswith("test_"):
            continue
        assert node.name.count("_") >= 3, node.name
        checks = [
            n
            for n in ast.walk(node)
            if isinstance(n, ast.Assert)
            or (isinstance(n, ast.Attribute) and n.attr.startswith(("assert", "raises", "warns")))
            or (isinstance(n, ast.Name) and n.id.startswith(("assert_", "check_")))
        ]
        assert checks, f"{node.name} checks nothing"


def test_no_text_names_a_machine_or_leaves_work_undone():
    found = [
        (path.name, match.group())
        for path in TEXTS
        if path.name != "test_style.py"
        for match in re.finditer(r"TODO|FIXME|XXX|/work/|/home/\w|/root/|/tmp/\w", path.read_text())
    ]
    assert found == []


def test_the_changelogs_top_version_is_the_packages():
    versions = re.findall(r"^## \[?(\d+\.\d+\.\d+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert versions[0] == rnn_apps.__version__


def test_the_top_level_holds_what_belongs_there():
    allowed = {
        "setup.cfg", "pyproject.toml", "Makefile", "LICENSE", "CHANGELOG.md", "README.md",
        "templates", "rnn_apps", "tests", "saved_models",
    }  # fmt: skip
    left_by_tools = {"build", "dist", "runs", "rnn_apps.egg-info"}
    there = {path.name for path in ROOT.iterdir() if path.name[0] != "."}
    assert allowed <= there <= allowed | left_by_tools
