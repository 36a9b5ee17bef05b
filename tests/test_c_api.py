"""Exports load and answer without Python, through the C API that other languages bind."""

import base64
import json
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text
from conftest import serialized, tensors
from tensorflow.core.protobuf import saved_model_pb2

ROOT = pathlib.Path(__file__).parents[1]
EXPORTS = sorted((ROOT / "saved_models").glob("*/[0-9]*"))
OPERATIONS = "python/ops/_sentencepiece_tokenizer.so"


def flat(tensor):
    """[dtype, shape, flat values] of an eager tensor; bytes in base64."""
    array = tensor.numpy()
    values = array.reshape(-1).tolist()
    if tensor.dtype == tf.string:
        values = [base64.b64encode(value).decode() for value in values]
    return [tensor.dtype.name, list(array.shape), values]


def whole(dtype, shape, values):
    """The array that [dtype, shape, flat values] is."""
    if dtype == "string":
        values = np.array([base64.b64decode(value) for value in values], object)
    return np.array(values, None if dtype == "string" else dtype).reshape(shape)


def requests_of(version):
    """The stored requests of an export as the C API takes them, and the answers they had."""
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((version / "saved_model.pb").read_bytes())
    signatures = model.meta_graphs[0].signature_def
    stored = ROOT / "tests" / "ready_made" / f"{version.parent.name}.json"
    requests, expected = [], []
    for case in json.loads(stored.read_text()):
        signature = signatures[case["signature"]]
        given = tensors(case.get("inputs") or {"inputs": serialized(case["examples"])})
        dtypes = {name: tf.as_dtype(info.dtype) for name, info in signature.inputs.items()}
        inputs = {
            signature.inputs[name].name: flat(tf.cast(tensor, dtypes[name]))
            if dtypes[name] != tf.string
            else flat(tensor)
            for name, tensor in given.items()
        }
        outputs = {name: info.name for name, info in signature.outputs.items()}
        requests.append({"inputs": inputs, "outputs": outputs})
        expected.append(case["outputs"])
    return requests, expected


def ask(version, requests, operations=OPERATIONS):
    """Runs `c_api.py` in a process of its own."""
    task = {
        "folder": str(pathlib.Path(tf.__file__).parent),
        "operations": str(pathlib.Path(tensorflow_text.__file__).parent / operations),
        "version": str(version),
        "requests": requests,
    }
    command = [sys.executable, str(ROOT / "tests" / "c_api.py")]
    return subprocess.run(command, input=json.dumps(task), capture_output=True, text=True)


def test_there_is_an_export_of_each_application():
    names = ["captioning", "forecasting", "language", "sentiment", "translation"]
    assert [version.parent.name for version in EXPORTS] == names


@pytest.mark.parametrize("version", EXPORTS, ids=lambda path: path.parent.name)
def test_an_export_answers_through_the_c_api_as_it_did_from_python(version):
    requests, expected = requests_of(version)
    assert len(requests) == 8
    process = ask(version, requests)
    assert process.returncode == 0, process.stderr[-2000:]
    answers = json.loads(process.stdout)
    assert len(answers) == len(expected)
    for answer, outputs in zip(answers, expected, strict=True):
        assert answer.keys() == outputs.keys()
        for name, known in outputs.items():
            got = whole(*answer[name])
            if got.dtype == object:
                assert np.vectorize(bytes.decode, otypes=[object])(got).tolist() == known
            else:
                np.testing.assert_allclose(got, known, rtol=1e-5, atol=1e-4)


def test_bytes_that_are_no_text_pass_through_the_c_api():
    (version,) = [path for path in EXPORTS if path.parent.name == "sentiment"]
    requests, _ = requests_of(version)
    (name,) = requests[0]["inputs"]
    texts = [b"\x00fine\x00", b"\xff\xfe", b"", b"x" * 100]
    requests[0]["inputs"][name] = flat(tf.constant(texts))
    process = ask(version, requests[:1])
    (answer,) = json.loads(process.stdout)
    served = tf.saved_model.load(str(version)).signatures["serving_default"]
    expected = served(text=tf.constant(texts))
    assert whole(*answer["label"]).tolist() == expected["label"].numpy().tolist()
    np.testing.assert_allclose(whole(*answer["score"]), expected["score"], rtol=1e-5, atol=1e-5)


def test_a_version_whose_weights_are_cut_short_is_an_error_of_the_c_api(tmp_path):
    version = shutil.copytree(EXPORTS[0], tmp_path / "1")
    data = version / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:-1000])
    process = ask(version, [])
    assert process.returncode == 1
    assert "Read less bytes than requested" in process.stderr
