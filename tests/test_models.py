"""Versions come and go under the requests: polling, broken ones, policies, labels, reloads."""

import os
import shutil
import threading
import time

import numpy as np
import pytest
from google.protobuf import text_format
from small_models import warm_up_record, write_version
from tensorflow_serving.config import model_server_config_pb2
from tensorflow_serving.config.file_system_storage_path_source_pb2 import (
    FileSystemStoragePathSourceConfig,
)

from rnn_apps.server.batching import Scheduler
from rnn_apps.server.errors import ServingError
from rnn_apps.server.loading import Loader
from rnn_apps.server.model import Model
from rnn_apps.server.models import Models, Polling

ServableVersionPolicy = FileSystemStoragePathSourceConfig.ServableVersionPolicy
FAST = Polling(file_system_poll_wait=0.05, max_num_load_retries=1, load_retry_interval=0.2)


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """Versions 1 to 5 of a model, to be copied."""
    base = tmp_path_factory.mktemp("stock")
    for number in range(1, 6):
        write_version(base, number)
    return base


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "models" / "m").mkdir(parents=True)
    return tmp_path / "models"


@pytest.fixture
def serve(stock, folder):
    """Publishes versions of "m" and serves the folder."""
    made = []

    def publish(*numbers):
        for number in numbers:
            hidden = folder / "m" / f".{number}"
            shutil.copytree(stock / str(number), hidden)
            os.rename(hidden, folder / "m" / str(number))

    def begin(*numbers, config=None, polling=FAST, **loader):
        publish(*numbers)
        models = Models(folder, config, loader=Loader(**loader), polling=polling)
        made.append(models)
        models.publish = publish
        return models

    yield begin
    for models in made:
        models.close()


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def states(models, name="m"):
    return {status.version: status.state for status in models.status(name)}


def answer(models, **which):
    return models.find("m", **which).run("", {"x": np.zeros([1], np.float32)})["y"].item()


def config_of(folder, **texts):
    lines = [
        f'config {{ name: "{name}" base_path: "{folder / name}" {text} }}'
        for name, text in texts.items()
    ]
    text = f"model_config_list {{ {' '.join(lines)} }}"
    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def test_the_newest_version_answers_and_takes_over_when_it_comes(serve):
    models = serve(1, 2)
    assert (models.names, answer(models)) == (["m"], 2)
    models.publish(4)
    wait_for(lambda: answer(models) == 4)
    wait_for(lambda: states(models) == {4: "AVAILABLE", 2: "END"})
    models.publish(3)
    time.sleep(0.3)
    assert answer(models) == 4
    with pytest.raises(ServingError, match=r"Servable not found for request: Specific\(m, 3\)"):
        models.find("m", 3)


@pytest.mark.parametrize(
    "which, code, words",
    [
        ({"name": "n"}, "NOT_FOUND", "Servable not found for request: Latest(n)"),
        ({"name": "m", "version": 9}, "NOT_FOUND",
         "Servable not found for request: Specific(m, 9)"),
        ({"name": "m", "label": "l"}, "INVALID_ARGUMENT",
         "Unrecognized servable version label: l"),
        ({"name": "../m"}, "NOT_FOUND", "Servable not found for request: Latest(../m)"),
    ],
)  # fmt: skip
def test_what_is_not_served_is_not_found(serve, which, code, words):
    with pytest.raises(ServingError) as refused:
        serve(1).find(**which)
    assert (refused.value.code, refused.value.message) == (code, words)


def test_the_status_of_what_is_not_served_is_not_found_either(serve):
    models = serve(1)
    with pytest.raises(ServingError, match="Could not find any versions of model n"):
        models.status("n")
    with pytest.raises(ServingError, match="Could not find version 8 of model m"):
        models.status("m", 8)
    assert [status.version for status in models.status("m", 1)] == [1]


def test_a_broken_version_is_reported_and_the_old_one_goes_on(serve, folder, stock):
    models = serve(1)
    shutil.copytree(stock / "2", folder / "m" / "2", ignore=shutil.ignore_patterns("*.data-*"))
    wait_for(lambda: states(models).get(2) == "END")
    status = models.status("m", 2)[0]
    assert status.error_code == "NOT_FOUND"
    assert status.error_message and str(folder) not in status.error_message
    assert states(models)[1] == "AVAILABLE" and answer(models) == 1
    models.publish(3)
    wait_for(lambda: answer(models) == 3)


def test_a_version_that_is_still_being_copied_is_tried_again(serve, folder, stock):
    models = serve(1)
    shutil.copytree(stock / "2", folder / "m" / "2", ignore=shutil.ignore_patterns("variables"))
    wait_for(lambda: states(models).get(2) == "LOADING" and models.status("m", 2)[0].error_message)
    shutil.copytree(stock / "2" / "variables", folder / "m" / "2" / "variables")
    wait_for(lambda: answer(models) == 2)
    assert models.status("m", 2)[0].error_message == ""


def test_unloading_waits_for_the_requests_in_flight(serve):
    scheduler = Scheduler(2)
    models = serve(1, scheduler=scheduler)
    future = models.find("m").submit("work", {"steps": np.array([1500], np.int32)})
    models.publish(2)
    wait_for(lambda: answer(models) == 2)
    assert states(models)[1] == "UNLOADING" and not future.done()
    assert future.result(30)["y"].item() == 1
    del future
    wait_for(lambda: states(models)[1] == "END")
    scheduler.close()


def test_versions_that_come_while_requests_run_lose_none_and_never_go_back(serve):
    models, stop, answers, failed = serve(1), threading.Event(), [], []

    def ask():
        while not stop.is_set():
            try:
                answers.append(answer(models))
            except ServingError as error:
                failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    for number in (2, 3, 4, 5):
        models.publish(number)
        wait_for(lambda number=number: failed or answers[-1:] == [number])
    stop.set()
    thread.join()
    assert failed == []
    assert answers == sorted(answers) and set(answers) == {1, 2, 3, 4, 5}


def test_versions_that_come_faster_than_they_load_do_not_pile_up(stock):
    released = []
    model = Model("m", Loader(), 0, 0.0, lambda *letter: released.append(letter[1]))
    for number in range(1, 6):  # there is a new one before each step
        model.aspire({number: stock / str(number)}, ServableVersionPolicy())
        model.step(time.monotonic())
        assert model.available == [number]
    wait_for(lambda: released == [1, 2, 3, 4])
    model.find(None, None).close()


def test_a_model_whose_folder_goes_is_not_served_any_more(serve, folder):
    models = serve(1)
    (folder / "m").rename(folder.parent / "m")
    wait_for(lambda: states(models) == {1: "END"})
    assert models.names == []
    (folder.parent / "m").rename(folder / "m")
    wait_for(lambda: states(models) == {1: "AVAILABLE"})
    assert answer(models) == 1


def test_policies_say_which_versions_are_served(serve, folder):
    two = "model_version_policy { latest { num_versions: 2 } }"
    models = serve(1, 2, 3, config=config_of(folder, m=two))
    assert states(models) == {3: "AVAILABLE", 2: "AVAILABLE"}
    assert (answer(models), answer(models, version=2)) == (3, 2)
    models.reload(config_of(folder, m="model_version_policy { all { } }"))
    assert answer(models, version=1) == 1
    models.reload(config_of(folder, m="model_version_policy { specific { versions: 1 } }"))
    wait_for(lambda: states(models) == {3: "END", 2: "END", 1: "AVAILABLE"})
    assert answer(models) == 1  # a rollback


def test_labels_name_versions_that_are_loaded(serve, folder):
    all_ = "model_version_policy { all { } }"
    models = serve(1, 2, config=config_of(folder, m=all_))
    stable, canary = (
        f'version_labels {{ key: "{k}" value: {v} }}' for k, v in (("s", 1), ("c", 2))
    )
    models.reload(config_of(folder, m=all_ + stable + canary))
    assert (answer(models, label="s"), answer(models, label="c")) == (1, 2)
    missing = all_ + 'version_labels { key: "s" value: 9 }'
    with pytest.raises(ServingError, match="assign label to version 9 of model m, which is not "
                       "currently available for inference"):  # fmt: skip
        models.reload(config_of(folder, m=missing))
    assert models.labels("m") == {"s": 1, "c": 2}


def test_labels_for_versions_to_come_need_leave(serve, folder):
    label = 'version_labels { key: "next" value: 2 }'
    allowing = Polling(file_system_poll_wait=0.05, allow_labels_for_unavailable=True)
    models = serve(1, config=config_of(folder, m=label), polling=allowing)
    with pytest.raises(ServingError, match=r"Specific\(m, 2\)"):
        models.find("m", label="next")
    models.publish(2)
    wait_for(lambda: states(models).get(2) == "AVAILABLE")
    assert answer(models, label="next") == 2
    with pytest.raises(ServingError, match="not currently available"):
        Models(folder, config_of(folder, m='version_labels { key: "x" value: 7 }'), polling=FAST)


def test_a_reload_serves_other_models_and_refuses_what_lies_elsewhere(serve, folder, stock):
    models = serve(1)
    shutil.copytree(stock, folder / "n")
    models.reload(config_of(folder, n=""))
    assert models.names == ["n"]
    wait_for(lambda: states(models) == {1: "END"})
    with pytest.raises(ServingError, match="lies outside the models' folder"):
        models.reload(config_of(stock.parent, stock=""))
    (folder / "broken" / "1").mkdir(parents=True)
    with pytest.raises(ServingError, match="1 model.s. did not become available: .*name: broken"):
        models.reload(config_of(folder, n="", broken=""))
    assert models.find("n").version == 5


def test_a_changed_file_of_models_is_taken_over_and_a_faulty_one_is_not(serve, folder):
    file = folder / "models.config"

    def write(policy):
        beside = folder / ".models.config"
        beside.write_text(str(config_of(folder, m=policy)) if policy else "model_config")
        os.replace(beside, file)

    write("model_version_policy { specific { versions: 2 } }")
    polling = Polling(file_system_poll_wait=0.05, config_file_poll_wait=0.05)
    models = serve(1, 2, config=file, polling=polling)
    assert answer(models) == 2
    write("")
    time.sleep(0.2)
    assert answer(models) == 2
    write("model_version_policy { specific { versions: 1 } }")
    wait_for(lambda: answer(models) == 1)


def test_a_version_answers_its_stored_requests_before_it_is_served(serve, folder):
    write_version(folder / "m", 6, [warm_up_record(), warm_up_record(signature="serving_default")])
    models = serve(1)
    assert answer(models) == 6
    write_version(folder / "m", 7, [warm_up_record("z")])
    wait_for(lambda: states(models).get(7) == "END")
    assert "Sent extra: {z}" in models.status("m", 7)[0].error_message
    write_version(folder / "m", 8, [b"\xff no record"])
    wait_for(lambda: states(models).get(8) == "END")
    assert models.status("m", 8)[0].error_message == "Failed to parse warmup record"
    write_version(folder / "m", 9, [warm_up_record()] * 1001)
    wait_for(lambda: states(models).get(9) == "END")
    assert "exceeds the maximum (1000)" in models.status("m", 9)[0].error_message
    assert answer(models) == 6


def test_a_record_of_a_kind_that_is_not_served_fails_the_version(folder):
    from tensorflow_serving.apis import prediction_log_pb2

    log = prediction_log_pb2.PredictionLog(session_run_log={})
    write_version(folder / "m", 1, [log.SerializeToString()])
    models = Models(folder, polling=FAST, loader=Loader())
    wait_for(lambda: states(models) == {1: "END"})
    assert models.status("m")[0].error_code == "UNIMPLEMENTED"
    models.close()


def test_a_version_that_is_a_link_out_of_its_folder_is_not_loaded(serve, folder, stock):
    models = serve(1)
    (folder / "m" / "2").symlink_to(stock / "2")
    wait_for(lambda: states(models).get(2) == "END")
    assert models.status("m", 2)[0].error_code == "PERMISSION_DENIED"
    assert answer(models) == 1
