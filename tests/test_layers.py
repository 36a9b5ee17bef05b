"""Imports run one way, from the blocks to the command line, and never in a circle."""

import ast
import graphlib
import pathlib

PACKAGE = pathlib.Path(__file__).parents[1] / "rnn_apps"
ROWS = (
    {"whole_files", "version_folders"},
    {"blocks", "preprocessing", "data", "evaluation", "training", "export"},
    {"application", "backtesting", "generation", "language_reports", "writing", "picture_features"},
    {"caption_reports", "language", "loading"},
    {"pretraining"},
    {"sentiment", "forecasting", "translation", "captioning"},
    {"deployment"},
    {"server"},
    {"cli_pretraining", "cli_quickstart"},
    {"cli_training", "cli_deployment", "cli_generation", "cli_serving"},
    {"cli"},
)


def modules():
    """{dotted name: path} of every module, folders under their own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


def imports(path, names):
    """The modules of the package that a module imports, at its top or in a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            module = node.module or ""
            targets = [f"{module}.{alias.name}" for alias in node.names]
            targets = [t if t.removeprefix("rnn_apps.") in names else module for t in targets]
        elif isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        else:
            continue
        found |= {t.removeprefix("rnn_apps.") for t in targets if t.startswith("rnn_apps.")}
    return found


def graph():
    names = modules()
    return {name: imports(path, names) for name, path in names.items() if name}


def row(name):
    places = [number for number, names in enumerate(ROWS) if name.split(".")[0] in names]
    assert len(places) == 1, f"{name} has no place in the rows: give it one"
    return places[0]


def test_a_module_imports_its_own_folder_or_a_row_to_its_left():
    checked = 0
    for name, targets in graph().items():
        for target in targets:
            same_folder = "." in name and name.split(".")[0] == target.split(".")[0]
            same_folder = same_folder or name == target.split(".")[0]  # a folder's __init__
            assert same_folder or row(target) < row(name), f"{name} imports {target}"
            checked += 1
    assert checked > 20


def test_no_import_runs_in_a_circle():
    order = list(graphlib.TopologicalSorter(graph()).static_order())
    assert order.index("blocks.kernels") < order.index("application") < order.index("sentiment")


def test_every_module_has_a_place():
    assert {row(name) for name in graph()} == set(range(len(ROWS)))
