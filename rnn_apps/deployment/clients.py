"""Client snippets for one export: its names, its own example requests, over curl, REST and gRPC."""

import dataclasses
import json
import pathlib
import pprint
import re

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from rnn_apps.export import warm_up_records

CURL, REST, GRPC = "ask.sh", "ask_rest.py", "ask_grpc.py"
_ENDINGS = {b"\x89PNG": ".png", b"\xff\xd8\xff": ".jpg", b"GIF8": ".gif", b"BM": ".bmp"}

_CURL_HEAD = """\
#!/bin/sh
# Asks {model} over REST: sh ask.sh [http://localhost:8501]
cd "$(dirname "$0")" || exit 1
SERVER="${{1:-http://localhost:8501}}"
"""
_REST_HEAD = '''\
"""Asks {model} over REST: python ask_rest.py [http://localhost:8501]"""
{imports}
import requests

SERVER = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8501"
{b64}

def ask(verb, body):
    answer = requests.post(f"{{SERVER}}/v1/models/{model}:{{verb}}", json=body, timeout=30)
    if not answer.ok:
        raise SystemExit(answer.json()["error"])
    return answer.json()
'''
_B64 = '''

def b64(name):
    """The bytes of a file beside this one, as JSON carries them."""
    content = pathlib.Path(__file__).with_name(name).read_bytes()
    return {"b64": base64.b64encode(content).decode()}
'''
_GRPC_HEAD = '''\
"""Asks {model} over gRPC: python ask_grpc.py [localhost:8500]

Needs the packages tensorflow and tensorflow-serving-api.
"""
{imports}
import grpc
import tensorflow as tf
from tensorflow_serving.apis import {protos}

SERVER = sys.argv[1] if len(sys.argv) > 1 else "localhost:8500"
stub = prediction_service_pb2_grpc.PredictionServiceStub(grpc.insecure_channel(SERVER))


def predict(signature, inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "{model}"
    request.model_spec.signature_name = signature
    for name, tensor in inputs.items():
        request.inputs[name].CopyFrom(tensor)
    answer = stub.Predict(request, timeout=30)
    return {{name: tf.make_ndarray(tensor) for name, tensor in answer.outputs.items()}}
{more}'''
_CONTENT = '''

def content(name):
    """The bytes of a file beside this one."""
    return pathlib.Path(__file__).with_name(name).read_bytes()
'''
_EXAMPLE = """

def example(features):
    def feature(value):
        if isinstance(value, str):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=value))

    features = {name: feature(value) for name, value in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=features))
"""
_VERB = """

def {verb}(signature, examples):
    request = {proto}.{kind}Request()
    request.model_spec.name = "{model}"
    request.model_spec.signature_name = signature
    request.input.example_list.examples.extend(example(features) for features in examples)
    return stub.{method}(request, timeout=30)
"""
_KINDS = {
    "classify": ("classification_pb2", "Classification", "Classify"),
    "regress": ("regression_pb2", "Regression", "Regress"),
}


@dataclasses.dataclass(frozen=True)
class _Ask:
    """One example request: of `predict` one row of each input, else the features of an example."""

    signature: str
    verb: str
    inputs: dict
    about: str


class _File(str):
    """The name of a file whose bytes are an input; written into Python as a call that reads it."""

    call = "b64"

    def __repr__(self):
        return f"{self.call}({str.__repr__(self)})"


class _Content(_File):
    call = "content"


def client_files(version):
    """Writes the clients of an export, one request for each signature, taken from its warm-up.

    Args:
        version: path of a published version, such as saved_models/sentiment/3.

    Returns:
        {file name: bytes}: a shell script, two Python scripts, and what they send as files.

    Raises:
        ValueError: the version has no warm-up requests to take examples from.
    """
    version = pathlib.Path(version).resolve()
    name = version.parent.name
    if not re.fullmatch(r"[\w.-]+", name):
        raise ValueError(
            f"The model's name {name!r} does not go into scripts; letters, digits, '_', '-' and "
            "'.' do, as in saved_models/sentiment."
        )
    asks, files = _asks(version), {}
    if not asks:
        raise ValueError(
            f"{version} holds no warm-up requests, from which clients take their examples; "
            "export the model again with rnn-apps export."
        )
    texts = {file: write(name, asks, files).encode() for file, write in _WRITERS.items()}
    return files | texts


def _asks(version):
    """The first warm-up request of each signature, in their order."""
    model = saved_model_pb2.SavedModel()
    model.ParseFromString((version / "saved_model.pb").read_bytes())
    signatures, asks = model.meta_graphs[0].signature_def, {}
    for name, inputs in warm_up_records.requests_in(version):
        if name in asks:
            continue
        signature = signatures[name]
        outputs, verb = set(signature.outputs), "predict"
        if set(inputs) == {"inputs"} and inputs["inputs"].dtype == object:
            verb = "regress" if outputs == {"outputs"} else verb
            verb = "classify" if outputs <= {"classes", "scores"} else verb
        inputs = {key: rows[0] for key, rows in inputs.items()}
        if verb != "predict":
            inputs = _features(inputs["inputs"])
        about = f"{name}: {_described(signature.inputs)} -> {_described(signature.outputs)}"
        asks[name] = _Ask(name, verb, inputs, about)
    return list(asks.values())


def _features(serialized):
    features = tf.train.Example.FromString(serialized).features.feature
    return {
        name: feature.bytes_list.value[0].decode()
        if feature.WhichOneof("kind") == "bytes_list"
        else _plain(np.array(feature.float_list.value, np.float32))
        for name, feature in sorted(features.items())
    }


def _described(side):
    def one(name, info):
        sizes = [str(dim.size) if dim.size >= 0 else "?" for dim in info.tensor_shape.dim]
        return f"{name} ({tf.dtypes.as_dtype(info.dtype).name} [{', '.join(['B', *sizes[1:]])}])"

    return ", ".join(one(name, info) for name, info in sorted(side.items()))


def _plain(value):
    """A number or an array as JSON has it; float32 with no more digits than it needs."""
    if value.ndim:
        return [_plain(part) for part in value]
    return float(str(value)) if value.dtype.kind == "f" else value.item()


def _value(name, value, files, kind):
    """One input of a request; bytes that are no text become a file and what `kind` makes of it."""
    if not isinstance(value, bytes):
        return _plain(value)
    ending = next((end for start, end in _ENDINGS.items() if value.startswith(start)), None)
    if ending is None and _is_text(value):
        return value.decode()
    file = f"{name}{ending or '.bin'}"
    files[file] = value
    return kind(file)


def _is_text(content):
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _body(ask, files, kind):
    """The body of a REST request."""
    if ask.verb != "predict":
        return {"signature_name": ask.signature, "examples": [ask.inputs]}
    row = {name: _value(name, value, files, kind) for name, value in ask.inputs.items()}
    rows = [row] if len(row) > 1 else list(row.values())
    named = {} if ask.signature == "serving_default" else {"signature_name": ask.signature}
    return {**named, "instances": rows}


def _curl(model, asks, files):
    parts = [_CURL_HEAD.format(model=model)]
    for ask in asks:
        body = _body(ask, files, lambda file: {"b64": f"@{file}@"})
        text = json.dumps(body, ensure_ascii=False)
        sent = [file for file in files if f'"@{file}@"' in text]
        for character in "\\$`" if sent else "":  # what a shell reads in a text that is not quoted
            text = text.replace(character, "\\" + character)
        for file in sent:
            text = text.replace(f"@{file}@", f"$(base64 < {file} | tr -d '\\n')")
        end = "END" if sent else "'END'"
        url = f'"$SERVER/v1/models/{model}:{ask.verb}"'
        parts.append(f"\n# {ask.about}\ncurl -sS -d @- {url} <<{end}\n{text}\nEND\necho\n")
    return "".join(parts)


def _rest(model, asks, files):
    bodies = [_body(ask, files, _File) for ask in asks]
    reads = any(isinstance(value, _File) for body in bodies for value in _leaves(body))
    imports = "import base64\nimport pathlib\nimport sys\n" if reads else "import sys\n"
    parts = [_REST_HEAD.format(model=model, imports=imports, b64=_B64 if reads else "")]
    for ask, body in zip(asks, bodies, strict=True):
        parts.append(f"\n\n# {ask.about}\n")
        parts.append(f'print(ask(\n    "{ask.verb}",\n    {_literal(body)},\n))\n')
    return "".join(parts)


def _grpc(model, asks, files):
    verbs = sorted({ask.verb for ask in asks} - {"predict"})
    protos = ["predict_pb2", "prediction_service_pb2_grpc", *(_KINDS[verb][0] for verb in verbs)]
    more, calls, reads = [_EXAMPLE] if verbs else [], [], False
    for verb in verbs:
        proto, kind, method = _KINDS[verb]
        more.append(_VERB.format(verb=verb, proto=proto, kind=kind, method=method, model=model))
    for ask in asks:
        given = f"[\n    {_literal(ask.inputs)},\n]"
        if ask.verb == "predict":
            lines = []
            for name, row in ask.inputs.items():
                value = _value(name, row, files, _Content)
                reads = reads or isinstance(value, _Content)
                dtype = "string" if isinstance(row, bytes) else row.dtype.name
                lines.append(
                    f'    "{name}": tf.make_tensor_proto([{_literal(value)}], tf.{dtype}),\n'
                )
            given = f"{{\n{''.join(lines)}}}"
        calls.append(f'\n\n# {ask.about}\nprint({ask.verb}("{ask.signature}", {given}))\n')
    imports = "import pathlib\nimport sys\n" if reads else "import sys\n"
    more = "".join([_CONTENT, *more] if reads else more)
    head = _GRPC_HEAD.format(
        model=model, imports=imports, protos=", ".join(sorted(protos)), more=more
    )
    return head + "".join(calls)


def _leaves(value):
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list):
        return [value]
    return [leaf for part in value for leaf in _leaves(part)]


def _literal(value):
    """A value as Python writes it, in lines of bearable length."""
    text = pprint.pformat(value, width=92, compact=True, sort_dicts=False)
    return text.replace("\n", "\n    ")


_WRITERS = {CURL: _curl, REST: _rest, GRPC: _grpc}
