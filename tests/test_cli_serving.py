"""`rnn-apps serve`, as its users call it."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
import requests
from small_models import write_version
from test_server import free_port

import rnn_apps
from rnn_apps import cli, cli_serving

ROOT = pathlib.Path(rnn_apps.__file__).parents[1]
FLAGS = (  # of tensorflow_model_server, which mean the same here
    "port", "rest_api_port", "rest_api_timeout_in_ms", "rest_api_enable_cors_support",
    "rest_api_num_threads", "grpc_max_threads", "model_name", "model_base_path",
    "model_config_file", "model_config_file_poll_wait_seconds", "file_system_poll_wait_seconds",
    "max_num_load_retries", "load_retry_interval_micros", "enable_batching",
    "batching_parameters_file", "enable_per_model_batching_parameters", "enable_model_warmup",
    "num_request_iterations_for_warmup", "allow_version_labels_for_unavailable_models",
    "monitoring_config_file", "saved_model_tags", "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism", "enable_grpc_healthcheck_service",
    "enable_signature_method_name_check",
)  # fmt: skip


def settings_of(*arguments):
    options = cli._parser().parse_args(["serve", *map(str, arguments)])
    return cli_serving.settings_of(options)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "m").mkdir()
    return tmp_path


def test_the_flags_have_tensorflow_servings_names(folder, capsys):
    with pytest.raises(SystemExit):
        cli.main(["serve", "--help"])
    text = capsys.readouterr().out
    assert [flag for flag in FLAGS if f"--{flag} " not in text and f"--{flag}\n" not in text] == []
    given = settings_of(
        folder, "--enable_batching", "--enable_model_warmup=false", "--rest_api_port=0",
        "--model_config_file_poll_wait_seconds", "0.5",
    )  # fmt: skip
    assert given == {
        "models_folder": folder,
        "enable_batching": True,
        "enable_model_warmup": False,
        "rest_api_port": 0,
        "model_config_file_poll_wait_seconds": 0.5,
    }


def test_every_flag_is_a_setting_of_the_server():
    from rnn_apps.server.server import Settings

    flags = [flag[0] for flag in cli_serving._FLAGS]
    assert sorted(flags) == sorted(set(flags))
    assert {"models_folder", *flags} == set(Settings.__dataclass_fields__)


def test_a_models_config_in_the_folder_is_obeyed_and_followed(folder):
    (folder / "models.config").write_text("")
    given = settings_of(folder)
    assert given["model_config_file"] == folder / "models.config"
    assert given["model_config_file_poll_wait_seconds"] == 1
    assert given["allow_version_labels_for_unavailable_models"]
    assert settings_of(folder, "--model_config_file=x")["model_config_file"] == pathlib.Path("x")


@pytest.mark.parametrize(
    "arguments, status, words",
    [
        ([], 1, "Nothing to serve; name a folder of models, such as saved_models."),
        (["missing"], 1, "missing is no folder; name one that holds models."),
        (["one"], 1, "--model_name=one --model_base_path=one"),
        (["one", "--enable_batching=perhaps"], 2, "'perhaps' is neither true nor false"),
        (["one", "--no_such_flag"], 2, "unrecognized arguments: --no_such_flag"),
    ],
)
def test_a_wrong_call_is_refused_in_one_sentence(
    tmp_path, monkeypatch, capsys, arguments, status, words
):
    (tmp_path / "one" / "1").mkdir(parents=True)
    (tmp_path / "one" / "1" / "saved_model.pb").write_text("")
    monkeypatch.chdir(tmp_path)
    try:
        got = cli.main(["serve", *arguments])
    except SystemExit as left:
        got = left.code
    said = capsys.readouterr().err
    assert (got, said.count("\n")) == (status, 1)
    assert words in said


def test_the_command_serves_until_it_is_told_to_stop_and_then_finishes(folder):
    write_version(folder / "m", 1)
    port = free_port()
    command = [sys.executable, "-m", "rnn_apps.cli", "serve", str(folder), "--port=0"]
    process = subprocess.Popen(
        [*command, f"--rest_api_port={port}"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "Exporting HTTP/REST API at:127.0.0.1" in line:
                break
        assert any("loaded servable version {name: m version: 1}" in line for line in lines)
        url = f"http://127.0.0.1:{port}/v1/models/m:predict"
        body = {"signature_name": "work", "instances": [500]}
        assert requests.post(url, json=body, timeout=30).json() == {"predictions": [1.0]}
        write_version(folder / "m", 2)
        end = time.monotonic() + 20
        while requests.post(url, json=body, timeout=30).json() != {"predictions": [2.0]}:
            assert time.monotonic() < end
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.stderr.close()
    assert str(folder) not in "".join(lines)
