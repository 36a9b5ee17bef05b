"""A request checked against a signature, and run."""

import threading
import time

import numpy as np
import pytest
from small_models import texts, write_version
from tensorflow_serving.apis import classification_pb2

from rnn_apps.server import inference
from rnn_apps.server.batching import Batching, Scheduler
from rnn_apps.server.errors import ServingError
from rnn_apps.server.loading import Loader


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_version(tmp_path_factory.mktemp("model"), 3)


@pytest.fixture(scope="module")
def scheduler():
    made = Scheduler(2)
    yield made
    made.close()


@pytest.fixture(scope="module")
def servable(folder, scheduler):
    return Loader(scheduler=scheduler).load("m", 3, folder)


@pytest.fixture(scope="module")
def batched(folder, scheduler):
    batching = Batching(max_batch_size=16, batch_timeout=0.02)
    return Loader(scheduler=scheduler, batching=batching).load("m", 3, folder)


def numbers(*values):
    return np.array(values, np.float32)


def test_all_outputs_come_or_those_that_are_asked_for(servable):
    answer = servable.run("", {"x": numbers(1, 2)})
    assert {name: array.tolist() for name, array in answer.items()} == {
        "y": [4, 5], "twice": [2, 4],
    }  # fmt: skip
    assert list(servable.run("serving_default", {"x": numbers(1)}, ["twice"])) == ["twice"]


@pytest.mark.parametrize(
    "signature, inputs, outputs, code, words",
    [
        ("no", {}, None, "FAILED_PRECONDITION", 'Serving signature key "no" not found.'),
        (
            "",
            {"x": numbers(1), "z": numbers(1)},
            None,
            "INVALID_ARGUMENT",
            "input size does not match signature: 2!=1 len({x,z}) != len({x}). Sent extra: {z}. "
            "Missing but required: {}.",
        ),
        (
            "",
            {},
            None,
            "INVALID_ARGUMENT",
            "input size does not match signature: 0!=1 len({}) != len({x}). Sent extra: {}. "
            "Missing but required: {x}.",
        ),
        ("", {"x": texts("a")}, None, "INVALID_ARGUMENT",
         "Expects arg[0] to be float but string is provided"),
        ("", {"x": numbers(1)}, ["no"], "INVALID_ARGUMENT",
         "output tensor alias not found in signature: no Outputs expected to be in the set "
         "{twice,y}."),
        ("", {"x": numbers(1)}, ["y", "y"], "INVALID_ARGUMENT",
         "duplicate output tensor alias: y"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_signature_is_refused(
    servable, signature, inputs, outputs, code, words
):
    with pytest.raises(ServingError) as refused:
        servable.run(signature, inputs, outputs)
    assert (refused.value.code, refused.value.message) == (code, words)


def test_the_initialiser_is_no_signature_for_clients(servable):
    servable.signature_defs["__saved_model_init_op"].outputs["x"].name = "NoOp"
    try:
        with pytest.raises(ServingError):
            servable.run("__saved_model_init_op", {})
    finally:
        del servable.signature_defs["__saved_model_init_op"]


def test_many_threads_get_their_own_answers_batched_or_not(servable, batched):
    for version in (servable, batched):
        wrong = []

        def ask(number, version=version, wrong=wrong):
            for _ in range(20):
                rows = numbers(*range(number, number + 1 + number % 3))
                if version.run("", {"x": rows})["y"].tolist() != (rows + 3).tolist():
                    wrong.append(number)

        threads = [threading.Thread(target=ask, args=[number]) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []


def test_a_signature_that_cannot_be_batched_says_so(batched, servable):
    assert servable.run("count", {"x": numbers(1, 2)})["y"] == 2
    with pytest.raises(ServingError, match="Batched output tensor has 0 dimensions"):
        batched.run("count", {"x": numbers(1, 2)})


def test_whoever_waits_too_long_is_told_in_time(servable):
    steps = np.array([400], np.int32)
    start = time.monotonic()
    with pytest.raises(ServingError) as refused:
        servable.run("work", {"steps": steps}, deadline=start + 0.05)
    assert refused.value.code == "DEADLINE_EXCEEDED"
    took = time.monotonic() - start
    servable.run("work", {"steps": steps})
    assert took < time.monotonic() - start
    assert took < 0.3


def test_with_the_check_of_method_names_a_signature_answers_only_its_own_kind(folder, scheduler):
    checked = Loader(scheduler=scheduler, check_method_names=True).load("m", 3, folder)
    assert checked.run("", {"x": numbers(1)})["y"].tolist() == [4]
    checked.signature_defs["serving_default"].method_name = "mine"
    with pytest.raises(ServingError, match="method_name to be one of .* Was: mine") as refused:
        checked.run("", {"x": numbers(1)})
    assert refused.value.code == "INTERNAL"
    for ask, kind in ((inference.classify, "classification"), (inference.regress, "regression")):
        with pytest.raises(ServingError, match=f"^Expected {kind} signature") as refused:
            ask(checked, classification_pb2.ClassificationRequest())
        assert refused.value.code == "INVALID_ARGUMENT"
    unchecked = Loader(scheduler=scheduler).load("m", 3, folder)
    unchecked.signature_defs["serving_default"].method_name = "mine"
    assert unchecked.run("", {"x": numbers(1)})["y"].tolist() == [4]
