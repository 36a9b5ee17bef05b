"""Files that a stock model server is started with, beside the exports it is to serve."""

import os
import pathlib

from rnn_apps.deployment import model_config
from rnn_apps.version_folders import number_of
from rnn_apps.whole_files import write_atomically

BATCHING, MONITORING, COMPOSE = "batching_parameters.txt", "monitoring.config", "docker-compose.yml"
CLIENTS = "clients"
NAMES = (model_config.FILE, BATCHING, MONITORING, COMPOSE, CLIENTS)

_BATCHING = """\
# Requests that wait at the same time are answered together, which is faster and changes no answer.
max_batch_size {{ value: 32 }}
batch_timeout_micros {{ value: 1000 }}
max_enqueued_batches {{ value: 100 }}
# As many as the server has cores.
num_batch_threads {{ value: {cores} }}
# Rows of different length share a batch, padded on the right.
pad_variable_length_inputs: true
"""
_MONITORING = """\
# Figures for Prometheus, on the port of REST.
prometheus_config {
  enable: true
  path: "/monitoring/prometheus/metrics"
}
"""
_COMPOSE = """\
# docker compose up, in this folder: every model of models.config, REST on 8501, gRPC on 8500.
services:
  model-server:
    image: ${{TF_SERVING_IMAGE:-tensorflow/serving}}
    command:
      - --model_config_file={mounted}/models.config
      # What rnn-apps rollback and label write is obeyed within this many seconds.
      - --model_config_file_poll_wait_seconds=5
      # Labels are there from the start, before the versions they name are loaded.
      - --allow_version_labels_for_unavailable_models=true
{flags}    ports:
      - "127.0.0.1:8501:8501"
      - "127.0.0.1:8500:8500"
    volumes:
      - ./:{mounted}:ro
    restart: unless-stopped
"""


def names_of(text):
    """Returns the files that a comma-separated text names; "all" is every one.

    Raises:
        ValueError: a name that is none of `NAMES`.

    Example:
        >>> names_of("models.config,clients")
        ['models.config', 'clients']
    """
    names = list(NAMES) if text == "all" else [name.strip() for name in text.split(",")]
    strange = [name for name in names if name not in NAMES]
    if strange:
        raise ValueError(f"{strange[0]!r} is none of {', '.join(NAMES)}; all is all of them.")
    return names


def write(version, names=NAMES):
    """Writes what a server of the exports beside this one, and its clients, need.

    `clients` go into the model's folder, the other files into the folder of models. An entry that
    `models.config` has is left as it is; one is added for each model without.

    Args:
        version: path of a published version, such as saved_models/sentiment/3.
        names: those of `NAMES` that are wanted.

    Returns:
        A list of `pathlib.Path`: what was written, in the order of `NAMES`.

    Raises:
        ValueError: this is no version, or `models.config` is there and cannot be read.
        OSError: a file cannot be written; those before it are whole.
    """
    version = pathlib.Path(version).resolve()
    if number_of(version.name) is None:
        raise ValueError(f"{version} is no version; name one, such as saved_models/sentiment/1.")
    model, models = version.parent, version.parent.parent
    written = []
    for name in NAMES:
        if name not in names and not (name == model_config.FILE and COMPOSE in names):
            continue
        written.append(model / name if name == CLIENTS else models / name)
        if name == model_config.FILE:
            with model_config.edited(models / name) as config:
                model_config.add_all(config, models)
        elif name == CLIENTS:
            from rnn_apps.deployment import clients  # imports TensorFlow

            for file, content in clients.client_files(version).items():
                write_atomically(model / name / file, content)
        else:
            write_atomically(models / name, _content(name, models, names).encode())
    return written


def _content(name, models, names):
    if name == BATCHING:
        return _BATCHING.format(cores=os.cpu_count())
    if name == MONITORING:
        return _MONITORING
    there = [file for file in (BATCHING, MONITORING) if file in names or (models / file).exists()]
    flags = {
        BATCHING: ("enable_batching=true", f"batching_parameters_file={{0}}/{BATCHING}"),
        MONITORING: (f"monitoring_config_file={{0}}/{MONITORING}",),
    }
    lines = [f"      - --{flag}\n" for file in there for flag in flags[file]]
    mounted = model_config.MOUNTED
    return _COMPOSE.format(mounted=mounted, flags="".join(lines).format(mounted))
