"""No request, however odd, makes the server fail, fall or grow."""

import gzip
import json
import pathlib
import re
import sys
from urllib.parse import quote

import hypothesis
import pytest
import requests
import serving_load
from hypothesis import strategies as st
from test_rest import serving

sys.path.insert(0, str(pathlib.Path(__file__).parent / "contract"))
import contract_models

REQUESTS = 5_000
GROWTH = 50 << 20  # bytes
ALLOWED = {200, 400, 404, 413, 429, 501, 503}
MODELS = ("half_plus_two", "rules", "sentiment", "doubler", "lost")
SIGNATURES = (*contract_models.KINDS, "half", "bytes", "texts", "scalar", "sizes", "sum", "pairs")
SIGNATURES += ("serving_default", "classify", "regress", "lost", "", "__saved_model_init_op")
KEYS = (
    "signature_name",
    "instances",
    "inputs",
    "examples",
    "context",
    "b64",
    "x",
    "a",
    "b",
    "text",
)

TEXTS = st.text(max_size=12) | st.sampled_from(SIGNATURES)
NUMBERS = st.integers() | st.integers(-300, 300) | st.floats()
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(st.sampled_from(KEYS) | TEXTS, inner, max_size=4)
        | st.builds(lambda text: {"b64": text}, TEXTS | st.just("QUJD"))
    ),
    max_leaves=12,
)
TENSORS = (
    st.lists(NUMBERS, max_size=6) | st.lists(st.lists(NUMBERS, max_size=3), max_size=4) | VALUES
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "signature_name": st.sampled_from(SIGNATURES) | VALUES,
        "instances": TENSORS,
        "inputs": TENSORS | st.dictionaries(st.sampled_from(KEYS), TENSORS, max_size=3),
        "examples": st.lists(
            st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=3), max_size=3
        ),
        "context": VALUES,
    },
)


@st.composite
def bodies(draw):
    """The bytes of a body: good JSON of odd content, JSON cut or changed, or anything."""
    document = draw(DOCUMENTS | VALUES)
    body = json.dumps(document, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    how = draw(st.integers(0, 9))
    if how == 0:
        return draw(st.binary(max_size=60))
    if how == 1:
        return body[: draw(st.integers(0, len(body)))]
    if how == 2 and body:
        place = draw(st.integers(0, len(body) - 1))
        return body[:place] + draw(st.binary(max_size=3)) + body[place + 1 :]
    if how == 3:
        depth = draw(st.integers(0, 2000))
        return b'{"inputs":' + b"[" * depth + body + b"]" * depth + b"}"
    return body


@st.composite
def paths(draw):
    """A path of the API, well formed or not."""
    path = "/v1/models/" + draw(st.sampled_from(MODELS) | TEXTS.map(quote))
    path += draw(
        st.just("")
        | st.integers(-1, 10**20).map(lambda version: f"/versions/{version}")
        | (st.just("stable") | TEXTS.map(quote)).map(lambda label: f"/labels/{label}")
    )
    method = st.sampled_from([":predict"] * 4 + [":classify", ":regress", "/metadata", ""])
    path += draw(method | TEXTS.map(quote))
    return path + draw(st.sampled_from(["", "", "", "?a=b", "/"]))


ZIPPED = st.sampled_from([None] * 8 + ["gzip", "identity"])
METHODS = st.sampled_from(["POST"] * 8 + ["GET", "GET", "PUT", "OPTIONS", "HEAD", "DELETE"])


@st.composite
def good(draw):
    """The path and the body of a request that is answered."""
    kind = draw(st.sampled_from(["float32", "float64", "int32", "string"]))
    values = {
        "string": st.text(st.characters(codec="utf-8"), max_size=9),
        "int32": st.integers(-99, 99),
    }
    number = st.integers(-(2**24) + 1, 2**24 - 1) | st.floats(width=32)
    row = st.lists(values.get(kind, number), min_size=2, max_size=2)
    key = draw(st.sampled_from(["instances", "inputs"]))
    body = {"signature_name": kind, key: draw(st.lists(row, min_size=1, max_size=5))}
    return "/v1/models/rules:predict", json.dumps(body).encode()


def odd_requests():
    """(method, path, body, content encoding), a fifth of them good."""
    odd = st.tuples(METHODS, paths(), bodies(), ZIPPED)
    fine = st.builds(lambda both, zipped: ("POST", *both, zipped), good(), ZIPPED)
    return st.integers(0, 4).flatmap(lambda which: fine if which == 4 else odd)


def send(session, base, method, path, body, zipped):
    """One request; checks that its answer is one that a client may be given."""
    headers = {} if zipped is None else {"Content-Encoding": zipped}
    if zipped == "gzip" and len(body) % 3:
        body = gzip.compress(body)
    prepared = requests.Request(method, base, data=body, headers=headers).prepare()
    prepared.url = base + path
    response = session.send(prepared, timeout=60)
    check(response, method)
    return response


def check(response, method):
    """An answer of the interface: a known code, JSON, and nothing of the server's inside."""
    assert response.status_code in ALLOWED, (response.status_code, response.text)
    if method in ("HEAD", "OPTIONS") or not response.content:
        assert response.status_code != 200 or method != "POST"
        return
    body = json.loads(response.content)
    assert isinstance(body, dict)
    assert ("error" in body) == (response.status_code != 200)
    assert not re.search(rb"Traceback|\.py\b|/tmp|/home", response.content)


def generated(count, seed):
    """Settings of a function that is to be given so many examples, the same on every run."""
    settings = hypothesis.settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    return lambda function: hypothesis.seed(seed)(settings(function))


def fuzz(base, count):
    """Sends so many requests; returns how often each code came back."""
    codes, session = {}, requests.Session()
    for start in range(0, count, 250):  # of thousands at a time hypothesis is slow to make more

        @generated(min(250, count - start), seed=start)
        @hypothesis.given(odd_requests())
        def one(request):
            code = send(session, base, *request).status_code
            codes[code] = codes.get(code, 0) + 1

        one()
    return codes


def test_odd_requests_get_answers_of_the_interface():
    with serving() as (_, url, _):
        codes = fuzz(url.split("/v1")[0], 200)
        assert requests.post(url, json={"instances": [1]}, timeout=30).ok
    assert codes[400] > 20
    assert codes[404] > 0


def description():
    """The API in the words of OpenAPI, for a tool that breaks it on purpose."""
    name = {"name": "model", "in": "path", "required": True}
    name["schema"] = {"type": "string", "enum": ["rules", "half_plus_two", "sentiment"]}
    version = {"name": "version", "in": "path", "required": True}
    version["schema"] = {"type": "integer", "minimum": 0}
    predict = {
        "type": "object",
        "properties": {
            "signature_name": {"type": "string", "enum": [*SIGNATURES]},
            "instances": {"type": "array", "minItems": 1, "items": {"type": "number"}},
        },
        "required": ["signature_name", "instances"],
    }
    features = {"type": "object", "properties": {"x": {"type": "number"}}}
    examples = {"type": "array", "minItems": 1, "items": features}
    paths = {}
    for method, schema in (
        ("predict", predict),
        ("classify", {"type": "object", "properties": {"examples": examples}}),
        ("regress", {"type": "object", "properties": {"examples": examples, "context": features}}),
    ):
        content = {"application/json": {"schema": schema}}
        post = {"requestBody": {"required": True, "content": content}, "responses": {}}
        paths[f"/v1/models/{{model}}:{method}"] = {"post": {**post, "parameters": [name]}}
        versioned = {"post": {**post, "parameters": [name, version]}}
        paths[f"/v1/models/{{model}}/versions/{{version}}:{method}"] = versioned
    for path in ("", "/metadata"):
        paths[f"/v1/models/{{model}}{path}"] = {"get": {"responses": {}, "parameters": [name]}}
    return {"openapi": "3.0.2", "info": {"title": "REST", "version": "1"}, "paths": paths}


def break_on_purpose(base, count):
    """Sends good and bad requests by the description; returns how many were sent."""
    import schemathesis  # takes a second

    session, sent = requests.Session(), 0
    operations = [
        each.ok() for each in schemathesis.openapi.from_dict(description()).get_all_operations()
    ]
    modes = (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE)
    for operation in operations:
        for mode in modes:

            @generated(count // len(operations) // len(modes), seed=sent)
            @hypothesis.given(operation.as_strategy(generation_mode=mode))
            def one(case):
                nonlocal sent
                sent += 1
                response = case.call(base_url=base, session=session)
                check(
                    response.to_requests() if hasattr(response, "to_requests") else response,
                    case.method,
                )

            one()
    return sent


@pytest.mark.slow
def test_five_thousand_odd_requests_neither_break_the_server_nor_make_it_grow(tmp_path):
    contract_models.write(tmp_path / "models", applications=["sentiment"])
    flag = "--allow_version_labels_for_unavailable_models"
    with serving_load.Process(tmp_path / "models", flag) as server:
        base = f"http://127.0.0.1:{server.rest_port}"
        fuzz(base, REQUESTS // 10)  # what is made once is made
        before = server.resident_bytes()
        codes = fuzz(base, REQUESTS * 4 // 5)
        sent = sum(codes.values()) + break_on_purpose(base, REQUESTS * 6 // 25)
        growth = server.resident_bytes() - before
        print(f"{sent} requests, {codes}, grown by {growth / 2**20:.1f} MB")
        assert sent >= REQUESTS
        assert codes[200] > 500
        assert growth < GROWTH
        url = f"{base}/v1/models/half_plus_two:predict"
        answer = requests.post(url, json={"instances": [1]}, timeout=30).json()
        assert answer == {"predictions": [3.5]}
        assert server.process.poll() is None
    assert server.process.returncode == 0
