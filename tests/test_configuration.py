"""TensorFlow Serving's configuration files, and that no base path leads out of the folder."""

import pytest

from rnn_apps.server import configuration, loading
from rnn_apps.server.errors import ServingError

EXAMPLE = """
model_config_list { config {
  name: "sentiment"  base_path: "/models/sentiment"  model_platform: "tensorflow"
  model_version_policy { specific { versions: 42 versions: 43 } }
  version_labels { key: "stable" value: 42 }
  version_labels { key: "canary" value: 43 } } }
"""


def config(**model):
    made = configuration.of_model("m", "/models/m")
    for name, value in model.items():
        setattr(made.model_config_list.config[0], name, value)
    return made


def test_the_documented_example_of_a_models_config_is_read(tmp_path):
    (tmp_path / "models.config").write_text(EXAMPLE)
    read = configuration.of_file(tmp_path / "models.config")
    [model] = configuration.within(read, tmp_path).model_config_list.config
    assert model.base_path == str(tmp_path.resolve() / "sentiment")
    assert list(model.model_version_policy.specific.versions) == [42, 43]
    assert dict(model.version_labels) == {"stable": 42, "canary": 43}


def test_a_faulty_file_is_refused_by_its_name_and_line(tmp_path):
    (tmp_path / "models.config").write_text("model_config_list {\n  konfig { } }")
    with pytest.raises(ValueError, match="models.config is not a ModelServerConfig.*2:"):
        configuration.of_file(tmp_path / "models.config")


def test_a_folder_of_models_holds_those_children_that_hold_versions(tmp_path):
    for path in ("b/1", "a/7", "empty", ".hidden/1", "notes/drafts"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path.parent)
    (tmp_path.parent / "1").mkdir()
    models = configuration.of_folder(tmp_path).model_config_list.config
    assert [model.name for model in models] == ["a", "b"]


@pytest.mark.parametrize(
    "faulty, code, words",
    [
        ({"base_path": "/etc"}, "PERMISSION_DENIED", "outside the models' folder"),
        ({"base_path": "/models/../../etc"}, "PERMISSION_DENIED", "outside the models' folder"),
        ({"base_path": "m"}, "INVALID_ARGUMENT", "Expected model m to have an absolute path"),
        ({"name": ""}, "INVALID_ARGUMENT", "has no name"),
        ({"model_platform": "pytorch"}, "INVALID_ARGUMENT", "platform pytorch"),
    ],
)
def test_a_model_is_refused_that_is_none_or_lies_elsewhere(tmp_path, faulty, code, words):
    with pytest.raises(ServingError, match=words) as refused:
        configuration.within(config(**faulty), tmp_path)
    assert refused.value.code == code


def test_a_base_path_behind_a_link_out_of_the_folder_is_refused(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "m").symlink_to(tmp_path)
    with pytest.raises(ServingError, match="outside"):
        configuration.within(config(), tmp_path / "models")


def test_a_model_twice_and_a_label_that_is_none_are_refused(tmp_path):
    twice = config()
    twice.model_config_list.config.append(twice.model_config_list.config[0])
    with pytest.raises(ServingError, match="Illegal to list model m multiple times"):
        configuration.within(twice, tmp_path)
    labelled = config()
    labelled.model_config_list.config[0].version_labels["a b"] = 1
    with pytest.raises(ServingError, match="label 'a b'"):
        configuration.within(labelled, tmp_path)


def test_batching_parameters_are_read_as_the_real_server_reads_them(tmp_path):
    file = tmp_path / "batching_parameters.txt"
    file.write_text(
        "max_batch_size { value: 128 } batch_timeout_micros { value: 2500 }\n"
        "max_enqueued_batches { value: 7 } num_batch_threads { value: 3 }\n"
        'allowed_batch_sizes: 8 allowed_batch_sizes: 32 thread_pool_name { value: "x" }\n'
        "pad_variable_length_inputs: true enable_large_batch_splitting { value: true }\n"
        "max_execution_batch_size { value: 32 }"
    )
    batching = loading.batching_of(file)
    assert (batching.max_batch_size, batching.rows, batching.max_enqueued_batches) == (128, 32, 7)
    assert batching.batch_timeout == 0.0025
    assert (batching.merging.pad, batching.merging.sizes) == (True, (8, 32))
    assert loading.threads_of(file) == 3
    file.write_text("")
    assert loading.batching_of(file) == loading.Batching(max_batch_size=1000)
    assert loading.threads_of(file) == loading.threads_of(None) >= 1


@pytest.mark.parametrize(
    "text, words",
    [
        ("max_batch_size { value: 0 }", "max_batch_size is 0; give at least 1"),
        ("max_batch_size { value: 8 } allowed_batch_sizes: 4", r"allowed_batch_sizes are \[4\]"),
        ("max_batch_size: 8", "is not a BatchingParameters"),
        ("num_batch_threads { value: 0 }", "num_batch_threads is 0"),
        (
            "max_batch_size { value: 8 } enable_large_batch_splitting { value: true } "
            "max_execution_batch_size { value: 9 }",
            "more than max_batch_size, 8",
        ),
    ],
)
def test_batching_parameters_that_contradict_each_other_are_refused(tmp_path, text, words):
    file = tmp_path / "batching_parameters.txt"
    file.write_text(text)
    with pytest.raises(ValueError, match=words):
        loading.batching_of(file)
        loading.threads_of(file)


def test_the_monitoring_config_is_read(tmp_path):
    file = tmp_path / "monitoring.config"
    file.write_text('prometheus_config { enable: true, path: "/metrics" }')
    read = configuration.read_text(file, "MonitoringConfig").prometheus_config
    assert (read.enable, read.path) == (True, "/metrics")
