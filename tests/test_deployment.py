"""What is written beside exports for servers and clients, and which versions are served."""

import ast
import base64
import contextlib
import http.server
import json
import pathlib
import re
import runpy
import subprocess
import sys
import threading
import time

import pytest
import requests
import yaml
from conftest import free_port
from google.protobuf import text_format
from small_models import write_version
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from rnn_apps import cli
from rnn_apps.deployment import clients, model_config, served_versions, server_files
from rnn_apps.server.server import Server, Settings

ROOT = pathlib.Path(__file__).parents[1]
READY_MADE = sorted((ROOT / "saved_models").glob("*/1"))


@pytest.fixture
def models(tmp_path):
    """A folder of models: `good` has the versions 1, 2, 3 and 10, `other` has one."""
    for name, versions in {"good": (1, 2, 3, 10), "other": (7,)}.items():
        for version in versions:
            path = tmp_path / "models" / name / str(version)
            path.mkdir(parents=True)
            (path / "saved_model.pb").write_bytes(b"")
    (tmp_path / "models" / "good" / "11").mkdir()  # half copied
    (tmp_path / "models" / "good" / ".export-1").mkdir()
    (tmp_path / "models" / "notes").mkdir()
    return tmp_path / "models"


def read(models):
    """{model: (versions of a `specific` policy or None, labels)} of models.config."""
    config = text_format.Parse((models / "models.config").read_text(), ModelServerConfig())
    return {
        entry.name: (
            list(entry.model_version_policy.specific.versions) or None,
            dict(entry.version_labels),
        )
        for entry in config.model_config_list.config
    }


# Going back


def test_rollback_goes_one_version_back_each_time_and_stops_at_the_first(models):
    served = [served_versions.rollback(models / "good").versions for _ in range(3)]
    assert served == [[3], [2], [1]]
    assert read(models) == {"good": ([1], {}), "other": (None, {})}
    with pytest.raises(ValueError, match="no version before 1; there is nothing to go back to"):
        served_versions.rollback(models / "good")
    assert read(models)["good"] == ([1], {})


def test_rollback_to_latest_follows_what_is_published_again(models):
    served_versions.rollback(models / "good", 2)
    assert served_versions.rollback(models / "good", "latest").versions == [10]
    assert read(models)["good"] == (None, {})


def test_a_version_that_is_half_there_or_not_at_all_is_refused_and_nothing_is_written(models):
    for version in (11, 4):
        with pytest.raises(ValueError, match=f"no complete version {version}; it holds 1, 2, 3"):
            served_versions.rollback(models / "good", version)
    assert not (models / "models.config").exists()
    with pytest.raises(ValueError, match="holds no version; rnn-apps export publishes one"):
        served_versions.rollback(models / "notes")


def test_labels_of_later_versions_move_along_and_those_of_earlier_ones_stay(models):
    for label, version in (("stable", 1), ("canary", 10), ("stable", 1)):
        served_versions.label(models / "good", label, version)
    served_versions.label(models / "good", "tried", 2)
    result = served_versions.rollback(models / "good", 2)
    assert (result.versions, result.loading) == ([1, 2], [])
    assert result.labels == {"stable": 1, "tried": 2, "canary": 2}
    assert "The label canary moved to 2." in result.notes


# Labels


def test_a_label_makes_its_version_served_beside_what_was(models):
    result = served_versions.label(models / "good", "stable", 2)
    assert (result.versions, result.labels) == ([2, 10], {"stable": 2})
    assert read(models)["good"] == ([2, 10], {"stable": 2})
    result = served_versions.label(models / "good", "stable", None)
    assert (result.versions, result.labels) == ([2, 10], {})


def test_a_label_in_a_configuration_that_serves_all_versions_leaves_it_so(models):
    (models / "models.config").write_text(
        'model_config_list { config { name: "good" base_path: "/m/good" '
        'model_platform: "tensorflow" model_version_policy { all {} } } }'
    )
    assert served_versions.label(models / "good", "stable", 2).versions == [1, 2, 3, 10]
    assert "all {" in (models / "models.config").read_text()


@pytest.mark.parametrize("name", ["a-b", "", "a b", 'x"'])
def test_a_label_that_a_server_refuses_is_refused(models, name):
    with pytest.raises(ValueError, match="cannot be a label"):
        served_versions.label(models / "good", name, 2)
    assert not (models / "models.config").exists()


def test_a_label_that_is_not_there_cannot_be_taken_away(models):
    served_versions.label(models / "good", "stable", 2)
    with pytest.raises(ValueError, match=r"no label 'stabel'; it has \['stable'\]"):
        served_versions.label(models / "good", "stabel", None)


class RealRules(http.server.BaseHTTPRequestHandler):
    """A server that polls its configuration by the official one's rules for labels.

    A label may only move to a version that is loaded; a configuration in which one moves elsewhere
    is refused as a whole, so that nothing new is loaded either.
    """

    def do_GET(self):
        version = int(self.path.rsplit("/", 1)[1])
        state = "AVAILABLE" if version in self.server.loaded else "END"
        body = json.dumps({"model_version_status": [{"state": state}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        versions, labels = read(self.server.models)["good"]
        moved = {to for name, to in labels.items() if self.server.labels.get(name, to) != to}
        self.server.refused += not moved <= self.server.loaded
        if moved <= self.server.loaded:
            self.server.labels, self.server.loaded = labels, set(versions or [10])

    def log_message(self, *args):
        self.server.asked += 1


@contextlib.contextmanager
def server_of(models):
    with http.server.HTTPServer(("127.0.0.1", 0), RealRules) as server:
        server.models, server.loaded, server.labels = models, {10}, {}
        server.refused = server.asked = 0
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server, f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_label_moves_in_two_steps_which_a_server_never_refuses(models):
    with server_of(models) as (server, url):
        served_versions.label(models / "good", "stable", 10, server=url)
        result = served_versions.label(models / "good", "stable", 3, server=url)
        assert (server.labels, server.loaded) == ({"stable": 3}, {3, 10})
        assert (result.labels, result.loading) == ({"stable": 3}, [])
        result = served_versions.rollback(models / "good", 2, server=url)
        assert (result.versions, result.labels) == ([2], {"stable": 2})
        assert server.refused == 0
        assert server.asked < 40


def test_without_a_server_to_ask_the_first_step_says_that_a_second_is_to_come(models):
    served_versions.label(models / "good", "stable", 10)
    result = served_versions.label(models / "good", "stable", 3)
    assert (result.versions, result.labels, result.loading) == ([3, 10], {"stable": 10}, [3])
    result = served_versions.label(models / "good", "stable", 3)
    assert (result.versions, result.labels, result.loading) == ([3, 10], {"stable": 3}, [])


def test_a_server_that_does_not_follow_is_reported_with_its_state(models):
    with server_of(models) as (_, url), pytest.raises(TimeoutError, match=r"version 77 .* \(END\)"):
        served_versions.await_versions(url, "good", [77], seconds=0.1)
    with pytest.raises(TimeoutError, match="no answer: .*refused"):
        served_versions.await_versions(url, "good", [1], seconds=0.1)


def test_a_running_server_follows_every_command_and_answers_meanwhile(tmp_path):
    models = tmp_path / "models"
    (models / "m").mkdir(parents=True)
    for version in (1, 2, 3):
        write_version(models / "m", version)
    served_versions.label(models / "m", "stable", 3)
    server_files.write(models / "m" / "3", server_files.NAMES[:-1])
    flags = flags_of(models) | {"model_config_file_poll_wait_seconds": 0.1}
    ports = {"port": 0, "rest_api_port": free_port(), "file_system_poll_wait_seconds": 0.1}
    server = Server(Settings(models_folder=models, **flags, **ports))
    server.start()
    url = f"http://127.0.0.1:{server.rest_port}"

    def answered(place=""):
        address = f"{url}/v1/models/m{place}:predict"
        answer = requests.post(address, json={"instances": [0.0]}, timeout=10)
        answer.raise_for_status()
        return answer.json()["predictions"][0]["y"]

    failed, stop = [], threading.Event()

    def keep_asking():
        while not stop.wait(0.01):
            try:
                answered(), answered("/labels/stable")
            except requests.RequestException as error:
                failed.append(error)

    asking = threading.Thread(target=keep_asking)
    asking.start()
    try:
        assert (answered(), answered("/labels/stable")) == (3, 3)
        served_versions.rollback(models / "m", server=url)
        until(lambda: (answered(), answered("/labels/stable")) == (2, 2))
        served_versions.label(models / "m", "canary", 3, server=url)
        until(lambda: (answered(), answered("/labels/stable")) == (3, 2))
        served_versions.label(models / "m", "stable", 1, server=url)
        until(lambda: answered("/labels/stable") == 1)
        _, removed = served_versions.keep(models / "m", 1)
        assert removed == [2]
        until(lambda: requests.get(f"{url}/v1/models/m/versions/2").text.count("END") == 1)
        figures = requests.get(f"{url}/monitoring/prometheus/metrics").text
        assert ":tensorflow:serving:request_count" in figures and "batching" in figures
        assert (answered(), answered("/labels/stable")) == (3, 1)
    finally:
        stop.set()
        asking.join()
        server.stop()
    assert failed == []


def flags_of(models):
    """The flags of `docker-compose.yml`, files where they are outside of the container."""
    service = yaml.safe_load((models / "docker-compose.yml").read_text())["services"][
        "model-server"
    ]
    flags = dict(flag.removeprefix("--").split("=") for flag in service["command"])
    return {
        name: models / pathlib.PurePosixPath(value).relative_to("/models")
        if value.startswith("/models/")
        else json.loads(value)
        for name, value in flags.items()
    }


def until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


# Clearing up


def test_keep_removes_the_oldest_and_never_what_is_served_or_labelled(models):
    served_versions.label(models / "good", "stable", 1)
    served_versions.rollback(models / "good", 3)
    result, removed = served_versions.keep(models / "good", 1)
    assert removed == [2]
    assert (result.versions, result.labels) == ([1, 3], {"stable": 1})
    left = sorted(path.name for path in (models / "good").iterdir())
    assert left == [".export-1", "1", "10", "11", "3"]


def test_keep_without_a_configuration_keeps_the_newest_and_makes_none(models):
    result, removed = served_versions.keep(models / "good", 2)
    assert (removed, result.versions) == ([1, 2], [10])
    assert not (models / "models.config").exists()
    with pytest.raises(ValueError, match="keep got 0; at least 1"):
        served_versions.keep(models / "good", 0)


def test_keep_tells_a_server_not_to_load_what_is_removed(models):
    for version in (1, 2):
        served_versions.label(models / "good", "tried", version)
    served_versions.label(models / "good", "tried", 2)
    assert read(models)["good"] == ([1, 2, 10], {"tried": 2})
    served_versions.keep(models / "good", 1)
    assert read(models)["good"] == ([2, 10], {"tried": 2})


# models.config


def test_an_edit_changes_one_model_and_leaves_the_rest_of_the_file(models):
    (models / "models.config").write_text(
        '# Ours.\n\n# Do not touch.\nmodel_config_list { config { name: "prod" '
        'base_path: "s3://bucket/good" model_platform: "tensorflow" '
        "logging_config { sampling_config { sampling_rate: 0.5 } } } }"
    )
    assert served_versions.rollback(models / "good").model == "prod"
    text = (models / "models.config").read_text()
    assert text.startswith("# Ours.\n\n# Do not touch.\nmodel_config_list {")
    assert "sampling_rate: 0.5" in text
    assert list(read(models)) == ["prod"]


def test_a_model_without_an_entry_is_added_where_its_neighbours_are(models):
    (models / "models.config").write_text(
        'model_config_list { config { name: "other" base_path: "/srv/models/other" } }'
    )
    served_versions.rollback(models / "good")
    assert 'base_path: "/srv/models/good"' in (models / "models.config").read_text()


@pytest.mark.parametrize(
    ("text", "says"),
    [("oops {", "not the text of"), ("custom_model_config {}", "only such a list")],
)
def test_a_file_that_is_no_list_of_models_is_refused_and_left_alone(models, text, says):
    (models / "models.config").write_text(text)
    with pytest.raises(ValueError, match=says):
        served_versions.rollback(models / "good")
    assert (models / "models.config").read_text() == text


def test_edits_at_the_same_time_all_arrive_and_every_reader_sees_a_whole_file(models):
    names = [f"label_{number}" for number in range(20)]
    served_versions.label(models / "good", "first", 10)
    threads = [
        threading.Thread(target=served_versions.label, args=(models / "good", name, 3))
        for name in names
    ]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert "first" in read(models)["good"][1]
    assert set(read(models)["good"][1]) == {"first", *names}


# The commands


def call(*arguments):
    try:
        return cli.main([str(argument) for argument in arguments])
    except SystemExit as left:
        return left.code


def test_the_commands_print_what_is_served_and_end_with_a_status(models, capsys):
    good = models / "good"
    assert call("rollback", good) == 0
    assert call("label", good, "stable", 1) == 0
    assert call("label", good, "stable", 2) == 1  # the second step is to come
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "good serves 3", "good serves 1, 3; stable=1", "good serves 1, 2, 3; stable=1",
    ]  # fmt: skip
    assert "models.config is new" in printed.err
    assert "Not done yet: labels can move to 2" in printed.err
    assert call("label", good) == 0
    assert call("keep", good, 1) == 0
    assert call("rollback", good, "--to", "latest") == 0
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == "good serves 1, 10; stable=1"
    assert "removed: 2" in printed.err


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["rollback", "nowhere"], 1, "is no folder; name one that holds versions"),
        (["rollback", "good", "--to", "first"], 2, "'first' is no version; a number is, or latest"),
        (["label", "good", "stable"], 2, "give a LABEL and the VERSION it is for"),
        (["label", "good", "stable", "1", "--remove"], 2, "give a LABEL and the VERSION"),
        (["keep", "good", "0"], 1, "at least 1 version must stay"),
        (["export", "x", "y", "--with", "compose"], 2, "'compose' is none of models.config"),
    ],
)
def test_a_wrong_call_is_explained_in_one_sentence(
    models, arguments, status, says, capsys, monkeypatch
):
    monkeypatch.chdir(models)
    assert call(*arguments) == status
    assert says in capsys.readouterr().err


def test_the_commands_do_not_import_tensorflow(models):
    code = (
        "import sys; from rnn_apps import cli; "
        f"status = cli.main(['rollback', {str(models / 'good')!r}]); "
        "sys.exit(status or 'tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


# Files of a server


def linked(folder):
    """A folder of models with the ready-made exports in it."""
    for version in READY_MADE:
        (folder / version.parent.name).mkdir(parents=True)
        (folder / version.parent.name / "1").symlink_to(version)
    return folder


def test_every_file_is_written_and_the_compose_file_starts_a_server_with_all_of_them(tmp_path):
    version = linked(tmp_path / "models") / "sentiment" / "1"
    other = tmp_path / "models" / "sentiment" / "2"  # a real folder, as export leaves it
    other.mkdir()
    for path in version.iterdir():
        (other / path.name).symlink_to(path)
    written = server_files.write(other)
    models = tmp_path / "models"
    names = ("models.config", "batching_parameters.txt", "monitoring.config", "docker-compose.yml")
    assert written == [*(models / name for name in names), models / "sentiment" / "clients"]
    assert sorted(read(models)) == sorted(path.parent.name for path in READY_MADE)
    service = yaml.safe_load((models / "docker-compose.yml").read_text())["services"][
        "model-server"
    ]
    assert service["volumes"] == ["./:/models:ro"]
    assert service["ports"] == ["127.0.0.1:8501:8501", "127.0.0.1:8500:8500"]
    flags = dict(flag.removeprefix("--").split("=") for flag in service["command"])
    files = {flag: value for flag, value in flags.items() if value.startswith("/models/")}
    assert sorted(files.values()) == sorted(f"/models/{name}" for name in names[:3])
    assert flags["enable_batching"] == "true"
    assert flags["allow_version_labels_for_unavailable_models"] == "true"
    assert int(flags["model_config_file_poll_wait_seconds"]) > 0


def test_only_what_is_asked_for_is_written(tmp_path):
    version = linked(tmp_path / "models").joinpath("sentiment", "5")
    version.mkdir()
    assert server_files.write(version, ["monitoring.config"]) == [
        tmp_path / "models" / "monitoring.config"
    ]
    assert server_files.write(version, ["docker-compose.yml"]) == [
        tmp_path / "models" / "models.config", tmp_path / "models" / "docker-compose.yml",
    ]  # fmt: skip
    text = (tmp_path / "models" / "docker-compose.yml").read_text()
    assert "monitoring_config_file" in text and "batching" not in text
    with pytest.raises(ValueError, match="is no version; name one"):
        server_files.write(version.parent)


def test_a_configuration_that_is_there_gains_the_models_it_lacks(tmp_path):
    models = linked(tmp_path / "models")
    served_versions.label(models / "sentiment", "stable", 1)
    before = read(models)["sentiment"]
    (models / "new" / "1").mkdir(parents=True)
    (models / "new" / "1" / "saved_model.pb").write_bytes(b"")
    server_files.write(models / "new" / "1", ["models.config"])
    assert read(models)["sentiment"] == before
    assert read(models)["new"] == (None, {})


def test_clients_need_warm_up_requests_and_a_name_that_scripts_can_hold(tmp_path):
    version = tmp_path / "it's" / "1"
    version.mkdir(parents=True)
    with pytest.raises(ValueError, match="does not go into scripts"):
        clients.client_files(version)
    version = version.parent.rename(tmp_path / "its") / "1"
    (version / "saved_model.pb").write_bytes((READY_MADE[0] / "saved_model.pb").read_bytes())
    with pytest.raises(ValueError, match="no warm-up requests, from which clients take"):
        clients.client_files(version)


def test_model_config_reads_the_policies_that_a_server_knows():
    entry = ModelServerConfig().model_config_list.config.add()
    assert model_config.served(entry, [3, 1, 2]) == [3]
    entry.model_version_policy.latest.num_versions = 2
    assert model_config.served(entry, [3, 1, 2]) == [2, 3]
    entry.model_version_policy.all.SetInParent()
    assert model_config.served(entry, [3, 1, 2]) == [1, 2, 3]
    model_config.pin(entry, [9, 1])
    assert model_config.served(entry, [3, 1, 2]) == [1]


# Clients, asking a server


@pytest.fixture(scope="module")
def written(served):
    """The folder of models, with the clients of each ready-made export beside its versions."""
    for version in READY_MADE:
        server_files.write(served.folder / version.parent.name / "1", ["clients"])
    return served


def answers_of(model):
    """How many requests each client of a model sends: one for each signature."""
    return 4 if model == "forecasting" else 3


@pytest.mark.parametrize("model", [version.parent.name for version in READY_MADE])
def test_the_clients_of_an_export_are_answered_as_they_are(written, model, monkeypatch, capsys):
    folder = written.folder / model / "clients"
    curl = subprocess.run(
        ["sh", str(folder / "ask.sh"), written.url], capture_output=True, text=True, cwd="/"
    )
    answers, decoder, text = [], json.JSONDecoder(), curl.stdout.strip()
    while text:
        answer, end = decoder.raw_decode(text)
        answers.append(answer)
        text = text[end:].strip()
    assert len(answers) == answers_of(model), curl.stderr
    assert all({"predictions", "results"} & answer.keys() for answer in answers)

    monkeypatch.setattr(sys, "argv", ["ask_rest.py", written.url])
    runpy.run_path(str(folder / "ask_rest.py"))
    printed = capsys.readouterr().out
    assert [ast.literal_eval(line) for line in printed.splitlines()] == answers

    monkeypatch.setattr(sys, "argv", ["ask_grpc.py", written.address])
    runpy.run_path(str(folder / "ask_grpc.py"))
    printed = capsys.readouterr().out
    main = answers[0]["predictions"][0]
    assert all(f"'{name}': array(" in printed for name in main)
    texts = [value for value in main.values() if isinstance(value, str)]
    assert all(f"array([{value.encode()!r}]" in printed for value in texts)


def test_clients_write_what_a_shell_and_python_read_back(tmp_path):
    text = 'It\'s "fine", `id` $HOME \\ ü\nEND'
    asks = [clients._Ask("serving_default", "predict", {"text": text.encode()}, "about")]
    picture = [clients._Ask("s", "predict", {"a": text.encode(), "b": b"\x89PNG\xff"}, "about")]
    files = {}
    for written in (clients._curl("m", asks, files), clients._curl("m", picture, files)):
        script = re.sub(r"curl .* <<", "cat <<", written)
        path = tmp_path / "ask.sh"
        path.write_text(script)
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        sent = json.loads(subprocess.run(["sh", path], capture_output=True).stdout)
        body = sent["instances"][0]
        assert (body if isinstance(body, str) else body["a"]) == text
    assert base64.b64decode(body["b"]["b64"]) == files["b.png"] == b"\x89PNG\xff"
