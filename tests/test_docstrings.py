"""Every example in a docstring runs, and says what it says."""

import doctest
import importlib
import pathlib
import pkgutil

import keras
import numpy as np
import pytest
import tensorflow as tf

import rnn_apps

MODULES = sorted(
    name
    for _, name, _ in pkgutil.walk_packages(
        [str(pathlib.Path(rnn_apps.__file__).parent)], "rnn_apps."
    )
    if not name.startswith("rnn_apps.templates")
)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.parametrize("name", MODULES)
def test_examples_run_and_print_what_they_say(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    results = doctest.testmod(
        module, extraglobs={"np": np, "tf": tf, "keras": keras}, optionflags=FLAGS
    )
    assert results.failed == 0, capsys.readouterr().out


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    found = [
        example
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
        for example in test.examples
    ]
    assert len(found) >= 60
