"""The run folder: a training one can read later and resume exactly.

A run folder holds

- ``run.json``: the application, its settings, those of `fit`, the seed, package versions, the
  fingerprint of the training examples, and what the caller adds (where the data came from);
- ``history.csv``: one row for each finished epoch, and ``curves.png``, which draws them: after
  the first epoch and the last, and between whenever ten seconds have passed;
- ``config.yaml``: the command that began it, where there was one;
- ``language_model``: the run folder of a language model that it begins as, if that was trained for
  it;
- ``model.keras``: the trained model, once training has finished;
- ``state.npz``: while it has not, everything the next epoch depends on.
"""

import csv
import importlib.metadata
import io
import json
import pathlib
import platform
import sys
import time

import keras
import numpy as np

from rnn_apps.training.callbacks import EarlyStopping
from rnn_apps.whole_files import write_atomically

MODEL_FILE = "model.keras"
CONFIG_FILE = "config.yaml"
LANGUAGE_FOLDER = "language_model"
RUN_FILE, _STATE_FILE = "run.json", "state.npz"
_SECONDS_BETWEEN_DRAWINGS = 10.0  # one takes a tenth of a second, and an epoch may take half of one
_PACKAGES = ("rnn_apps", "tensorflow", "keras", "tensorflow-text", "sentencepiece", "numpy")


class RunFolder(keras.callbacks.Callback):
    """Keeps a training in a folder, so that it can be read later and resumed exactly.

    As a callback it must stand last, after those whose state it keeps.

    Args:
        folder: path, made if it is not there.
        settings: dict for ``run.json``; a training is resumed only with the same settings.
        stateful: callbacks whose `state` is kept and put back by `restore`.

    Raises:
        ValueError: as `check_run_folder`, or if the folder holds a run with other settings.
    """

    def __init__(self, folder, settings, stateful=()):
        super().__init__()
        self.folder = pathlib.Path(folder)
        self.settings = json.loads(json.dumps(settings, default=str))
        self.history = []
        self.stateful = stateful
        self._saved = None
        self._drawn = -float("inf")  # when the curves were last drawn
        self._open()

    def _open(self):
        check_run_folder(self.folder)
        if (self.folder / _STATE_FILE).exists():
            self._check_same(json.loads((self.folder / RUN_FILE).read_text())["settings"])
            with np.load(self.folder / _STATE_FILE, allow_pickle=False) as arrays:
                self._saved = {name: arrays[name] for name in arrays.files}
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        record = {"settings": self.settings, "versions": versions()}
        write_atomically(self.folder / RUN_FILE, (json.dumps(record, indent=2) + "\n").encode())

    def _check_same(self, before):
        before, now = _flat(before), _flat(self.settings)
        changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        if changed:
            key = changed[0]
            raise ValueError(
                f"{self.folder} holds an unfinished run with other settings: {key} was "
                f"{before.get(key)} and is now {now.get(key)}. Repeat the first command to resume "
                "it, or name another run folder."
            )

    @property
    def initial_epoch(self):
        """How many epochs are already behind; past any number once training had stopped early."""
        if self._saved is None:
            return 0
        facts = json.loads(str(self._saved["facts"]))
        return sys.maxsize if facts["stopped"] else facts["epochs"]

    def on_train_begin(self, logs=None):
        """Puts an interrupted training back where it was."""
        if self._saved is None:
            return
        facts = json.loads(str(self._saved["facts"]))
        for name, variables in _state_variables(self.model).items():
            for number, variable in enumerate(variables):
                variable.assign(self._saved[f"{name}/{number}"])
        best = [self._saved[f"best/{n}"] for n in range(facts["best"])]
        for callback, state in zip(self.stateful, facts["callbacks"], strict=True):
            callback.restore(state, best)
        self.history = facts["history"]
        print(f"resuming {self.folder} after epoch {facts['epochs']}", file=sys.stderr)

    def on_epoch_end(self, epoch, logs=None):
        """Writes the state, the history and, when due, the curves; each whole or not at all."""
        self.history.append(
            {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        )
        self._write_state(epoch + 1)
        write_atomically(self.folder / "history.csv", _csv(self.history).encode())
        if time.monotonic() - self._drawn >= _SECONDS_BETWEEN_DRAWINGS:
            self._draw()

    def _draw(self):
        write_atomically(self.folder / "curves.png", _curves(self.history))
        self._drawn = time.monotonic()

    def _write_state(self, epochs):
        arrays = {
            f"{name}/{number}": np.asarray(variable)
            for name, variables in _state_variables(self.model).items()
            for number, variable in enumerate(variables)
        }
        best = next((c.best_weights for c in self.stateful if isinstance(c, EarlyStopping)), None)
        arrays |= {f"best/{number}": weight for number, weight in enumerate(best or ())}
        facts = {
            "epochs": epochs,
            "stopped": self.model.stop_training,
            "best": len(best or ()),
            "callbacks": [callback.state() for callback in self.stateful],
            "history": self.history,
        }
        buffer = io.BytesIO()
        np.savez(buffer, facts=json.dumps(facts), **arrays)
        write_atomically(self.folder / _STATE_FILE, buffer.getvalue())

    def finish(self, model):
        """Writes the curves and the trained model, and forgets the state of training."""
        if self.history:
            self._draw()
        model.save(self.folder / MODEL_FILE)
        (self.folder / _STATE_FILE).unlink(missing_ok=True)


def check_run_folder(folder):
    """Refuses a folder in which no training can begin or go on.

    Args:
        folder: path.

    Raises:
        ValueError: if it is a file, or holds a finished run or files that are no run's.
    """
    folder = pathlib.Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; a run needs a folder: name another one.")
    if (folder / MODEL_FILE).exists():
        raise ValueError(
            f"{folder} holds a finished run, which is never overwritten; name another run folder, "
            "or remove this one."
        )
    kept_before = {RUN_FILE, CONFIG_FILE, LANGUAGE_FOLDER}
    names = sorted({path.name for path in folder.glob("[!.]*")} - kept_before)
    if names and not (folder / _STATE_FILE).exists():
        raise ValueError(
            f"{folder} holds files that are not a run's ({names[0]}); name another folder."
        )


def _flat(settings, prefix=""):
    """Flattens nested settings into one dict with dotted names."""
    flat = {}
    for key, value in settings.items():
        inner = _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else None
        flat |= inner if inner is not None else {f"{prefix}{key}": value}
    return flat


def _state_variables(model):
    """All that changes in training: weights, random states and the optimizer's variables."""
    metrics = {id(variable) for variable in model.metrics_variables}
    variables = [v for v in model.variables if id(v) not in metrics]
    return {"variables": variables, "optimizer": model.optimizer.variables}


def versions():
    """Returns {name: version} of Python and the packages that a result depends on."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _csv(rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(k for row in rows for k in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _curves(rows):
    """Draws each figure of training, with its validation twin, over the epochs, as PNG bytes."""
    from matplotlib.figure import Figure

    names = [k for k in rows[-1] if k not in ("epoch", "learning_rate") and k[:4] != "val_"]
    figure = Figure(figsize=(5 * len(names), 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        for key, label in ((name, "training"), (f"val_{name}", "validation")):
            points = [(row["epoch"], row[key]) for row in rows if key in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", label=label)
        axes.set(xlabel="epoch", ylabel=name)
        axes.legend()
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=100)
    return image.getvalue()
