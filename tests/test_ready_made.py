"""The ready-made exports answer the requests that were stored with them, on every run."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops of exported tokenizers
from conftest import serialized, tensors

from rnn_apps import cli, export

ROOT = pathlib.Path(__file__).parents[1]
EXPORTS = sorted((ROOT / "saved_models").glob("*/1"))
STORED = pathlib.Path(__file__).parent / "ready_made"


def test_there_is_one_for_each_application():
    assert [path.parent.name for path in EXPORTS] == sorted(cli.APPLICATIONS)
    assert sorted(path.stem for path in STORED.iterdir()) == sorted(cli.APPLICATIONS)


@pytest.mark.parametrize("version", EXPORTS, ids=lambda path: path.parent.name)
def test_a_ready_made_export_answers_as_it_did_when_it_was_made(version):
    served = tf.saved_model.load(str(version))
    stored = json.loads((STORED / f"{version.parent.name}.json").read_text())
    assert len(stored) == 8
    for case in stored:
        given = case.get("inputs") or {"inputs": serialized(case["examples"])}
        answers = served.signatures[case["signature"]](**tensors(given))
        assert answers.keys() == case["outputs"].keys()
        for name, expected in case["outputs"].items():
            got = answers[name].numpy()
            if got.dtype == object:
                decoded = np.vectorize(bytes.decode, otypes=[object])(got)
                assert decoded.tolist() == expected
            else:
                np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("version", EXPORTS, ids=lambda path: path.parent.name)
def test_a_ready_made_export_is_small_and_without_fault(version):
    findings = export.check(version)
    assert [str(finding) for finding in findings if finding.level != "note"] == []
    takes_rows = version.parent.name == "forecasting"  # of any length, which padding makes equal
    assert all("different sizes" in finding.what for finding in findings)
    assert bool(findings) == takes_rows
    assert sum(path.stat().st_size for path in version.rglob("*") if path.is_file()) < 3_000_000
