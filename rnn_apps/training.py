"""Callbacks of `fit` and the run folder: schedules, safe stops, exact resume.

A run folder holds

- ``run.json``: the application, its settings, those of `fit`, the seed, package versions, the
  fingerprint of the training examples, and what the caller adds (where the data came from);
- ``history.csv`` and ``curves.png``: one row and one point for each finished epoch;
- ``config.yaml``: the command that began it, where there was one;
- ``model.keras``: the trained model, once training has finished;
- ``state.npz``: while it has not, everything the next epoch depends on.
"""

import contextlib
import csv
import importlib.metadata
import io
import json
import math
import os
import pathlib
import platform
import sys
import time

import keras
import numpy as np
import rich.console
import rich.progress

MODEL_FILE = "model.keras"
CONFIG_FILE = "config.yaml"
RUN_FILE, _STATE_FILE = "run.json", "state.npz"
_PACKAGES = ("rnn_apps", "tensorflow", "keras", "tensorflow-text", "sentencepiece", "numpy")


class StopOnNonFinite(keras.callbacks.Callback):
    """Stops training with a `FloatingPointError` when the loss is NaN or infinite.

    Training that goes on after that only spoils the weights that were still good.
    """

    def on_train_batch_end(self, batch, logs=None):
        """Looks at the running mean of the loss."""
        self._look(logs["loss"], "loss", f"batch {batch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        """Looks at the validation loss, which shows what the last step has done."""
        self._look(logs.get("val_loss", 0.0), "validation loss", f"epoch {epoch + 1}")

    def _look(self, loss, name, when):
        if not math.isfinite(loss):
            raise FloatingPointError(
                f"The {name} became {float(loss)} in {when}. Try a smaller learning rate and an "
                "optimizer that clips (global_clipnorm=1.0), and look for extreme examples."
            )


class FeedEpoch(keras.callbacks.Callback):
    """Tells a feed which epoch begins, since its order is a function of it.

    Args:
        feed: `rnn_apps.preprocessing.batches.LengthBatches` or what has an `epoch` likewise.
    """

    def __init__(self, feed):
        super().__init__()
        self.feed = feed

    def on_epoch_begin(self, epoch, logs=None):
        """Sets the feed's epoch, counted from 0."""
        self.feed.epoch = epoch


class WarmupCosine(keras.callbacks.Callback):
    """Learning rate that rises linearly and then falls along a cosine to zero.

    The highest rate is the optimizer's own at the start of training. The rate of a step is a
    function of its number alone (Loshchilov and Hutter, 2017, equation 5, without restarts).

    Args:
        warmup: float in [0, 1), the share of all steps in which the rate rises.
    """

    def __init__(self, warmup=0.05):
        super().__init__()
        self.warmup = warmup
        self.peak = None

    def on_train_begin(self, logs=None):
        """Remembers the highest rate."""
        self.peak = float(self.model.optimizer.learning_rate.numpy())

    def on_epoch_begin(self, epoch, logs=None):
        """Remembers how many steps are behind."""
        self.steps_before = epoch * self.params["steps"]

    def on_train_batch_begin(self, batch, logs=None):
        """Sets the rate of the step to come."""
        step, total = self.steps_before + batch, self.params["steps"] * self.params["epochs"]
        rising = max(1, round(self.warmup * total))
        if step < rising:
            factor = (step + 1) / rising
        else:
            factor = 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, total - rising)))
        self.model.optimizer.learning_rate.assign(self.peak * factor)

    def on_train_end(self, logs=None):
        """Puts the highest rate back, for a later training."""
        self.model.optimizer.learning_rate.assign(self.peak)

    def state(self):
        """What a resumed training needs to know."""
        return {"peak": self.peak}

    def restore(self, state, weights):
        """Takes back what `state` gave."""
        self.peak = state["peak"]


class EarlyStopping(keras.callbacks.EarlyStopping):
    """Keras's early stopping, with the best weights restored, that a resumed run can go on with.

    Args:
        monitor: str, a name in the epoch's logs.
        patience: int, epochs without an improvement before training ends.
    """

    def __init__(self, monitor, patience):
        super().__init__(monitor=monitor, patience=patience, restore_best_weights=True)

    def state(self):
        """What a resumed training needs to know; the weights are kept apart."""
        best = None if self.best is None else float(self.best)
        return {"wait": self.wait, "best": best, "best_epoch": self.best_epoch}

    def restore(self, state, weights):
        """Takes back what `state` gave, and the best weights."""
        self.wait, self.best_epoch = state["wait"], state["best_epoch"]
        self.best, self.best_weights = state["best"], weights or None


class AveragedWeights(keras.callbacks.Callback):
    """Validates the moving average of the weights that an optimizer with `use_ema` keeps.

    The averages are in the model from the validation of an epoch until the callbacks before this
    one have seen the epoch's end; so `EarlyStopping` keeps the best averages. After training Keras
    itself leaves them in the model.
    """

    def on_test_begin(self, logs=None):
        """Puts the averages in."""
        self.raw = [weight.numpy() for weight in self.model.trainable_weights]
        self.model.optimizer.finalize_variable_values(self.model.trainable_weights)

    def on_epoch_end(self, epoch, logs=None):
        """Puts the weights back that training goes on with."""
        for weight, value in zip(self.model.trainable_weights, self.raw, strict=True):
            weight.assign(value)


class Progress(keras.callbacks.Callback):
    """Progress on standard error: a bar in a terminal, a plain line per epoch in a log."""

    def __init__(self):
        super().__init__()
        self.bar = None

    def on_train_begin(self, logs=None):
        """Opens the bar if somebody is there to see it."""
        if not sys.stderr.isatty():
            return
        columns = (
            "{task.description}",
            rich.progress.BarColumn(),
            rich.progress.TimeRemainingColumn(),
        )
        console = rich.console.Console(stderr=True)
        self.bar = rich.progress.Progress(*columns, console=console, transient=True)
        self.task = self.bar.add_task("", total=self.params["steps"])
        self.bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        """Starts an epoch's clock."""
        self.label = f"epoch {epoch + 1}/{self.params['epochs']}"
        self.began = time.monotonic()
        if self.bar:
            self.bar.reset(self.task, description=self.label)

    def on_train_batch_end(self, batch, logs=None):
        """Moves the bar."""
        if self.bar:
            self.bar.update(self.task, completed=batch + 1)

    def on_epoch_end(self, epoch, logs=None):
        """Prints the epoch's line."""
        figures = "  ".join(f"{name} {float(value):.4f}" for name, value in (logs or {}).items())
        seconds = time.monotonic() - self.began
        print(f"{self.label}  {seconds:.1f} s  {figures}", file=sys.stderr, flush=True)

    def close(self):
        """Takes the bar away, however training ended."""
        if self.bar:
            self.bar.stop()


@contextlib.contextmanager
def progress(verbose):
    """Context that gives the callbacks of `verbose="auto"`, and takes a bar away at its end.

    Args:
        verbose: "auto", or a number of Keras's, for which there is none of ours.
    """
    shown = [Progress()] if verbose == "auto" else []
    try:
        yield shown
    finally:
        for callback in shown:
            callback.close()


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
        """Writes the history, the curves and the state, each of them whole or not at all."""
        self.history.append(
            {"epoch": epoch + 1, **{name: float(value) for name, value in (logs or {}).items()}}
        )
        self._write_state(epoch + 1)
        write_atomically(self.folder / "history.csv", _csv(self.history).encode())
        write_atomically(self.folder / "curves.png", _curves(self.history))

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
        """Writes the trained model and forgets the state of training."""
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
    names = sorted({path.name for path in folder.glob("[!.]*")} - {RUN_FILE, CONFIG_FILE})
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


@contextlib.contextmanager
def written_beside(path):
    """Context that gives a path to write to and, at its end, flushes and renames it to `path`.

    Args:
        path: path of the file to be; its folder is made if it is not there.

    Raises:
        OSError: as the system says; `path` is then as it was, and nothing is left beside it.
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield beside
        with open(beside, "rb") as file:
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def write_atomically(path, content):
    """Writes bytes so that a reader sees all or nothing of them; see `written_beside`."""
    with written_beside(path) as beside:
        beside.write_bytes(content)


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
