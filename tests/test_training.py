"""Training that stops safely, resumes exactly and leaves a folder one can read."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from conftest import reviews, small_classifier

from rnn_apps import load_model, training
from rnn_apps.training import run_folder


def fresh(seed, **options):
    keras.utils.set_random_seed(seed)
    model = small_classifier(dropout=0.3, row_dropout=0.2, **options)
    model.adapt(*reviews())
    model.compile(learning_rate=0.01)
    return model


def fit(model, run, **options):
    texts, labels = reviews()
    held_out = (texts[::5], labels[::5][::-1])  # reversed, so that learning makes it worse
    settings = {"epochs": 5, "batch_size": 16, "patience": 3, "verbose": 0} | options
    return model.fit(texts, labels, validation_data=held_out, run=run, **settings)


def history(run):
    with open(run / "history.csv", newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]


class Interrupt(keras.callbacks.Callback):
    """Presses Ctrl-C in the middle of an epoch."""

    def on_train_batch_end(self, batch, logs=None):
        if self.epoch == 2 and batch == 1:
            raise KeyboardInterrupt

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def assert_equal_to_six_decimals(first, second):
    assert [row.keys() for row in first] == [row.keys() for row in second]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_allclose(list(one.values()), list(other.values()), atol=5e-7, rtol=0)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "whole"
    fit(fresh(0), run)
    return run


def test_a_run_interrupted_in_mid_epoch_resumes_as_if_nothing_had_happened(uninterrupted, tmp_path):
    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(0), run, callbacks=[Interrupt()])
    assert len(history(run)) == 2
    assert not (run / "model.keras").exists()
    resumed = fit(fresh(99), run)  # other first weights and random states: all must come back
    assert resumed.epoch == [2, 3, 4]
    assert_equal_to_six_decimals(history(run), history(uninterrupted))
    texts, _ = reviews()
    np.testing.assert_allclose(
        load_model(run).predict(texts)["score"],
        load_model(uninterrupted).predict(texts)["score"],
        atol=1e-6,
    )


_KILLED = """
import os, signal, sys
sys.path[:0] = [{tests!r}]
import keras, test_training
class Kill(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 3:
            os.kill(os.getpid(), signal.SIGKILL)
test_training.fit(test_training.fresh(0), {run!r}, callbacks=[Kill()])
"""


@pytest.mark.slow
def test_a_killed_process_leaves_a_run_that_another_process_resumes(uninterrupted, tmp_path):
    run = tmp_path / "run"
    code = _KILLED.format(tests=os.path.dirname(__file__), run=str(run))
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert len(history(run)) == 3
    fit(fresh(5), run)
    assert_equal_to_six_decimals(history(run), history(uninterrupted))


@pytest.mark.parametrize("early", [False, True], ids=["all epochs", "stopped early"])
def test_a_run_stopped_before_its_model_was_written_only_writes_it(early, tmp_path, monkeypatch):
    def stop(self, model):
        raise KeyboardInterrupt

    options = {"epochs": 30, "patience": 1, "schedule": "constant"} if early else {"epochs": 2}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(training.RunFolder, "finish", stop)
        fit(fresh(0), tmp_path / "run", **options)
    rows = history(tmp_path / "run")
    resumed = fresh(7)
    assert fit(resumed, tmp_path / "run", **options).epoch == []
    assert history(tmp_path / "run") == rows
    best = min(row["val_loss"] for row in rows)
    texts, labels = reviews()
    model = load_model(tmp_path / "run")
    loss, _ = model.evaluate(texts[::5], labels[::5][::-1], verbose=0)
    assert loss == pytest.approx(best, abs=1e-5)


@pytest.mark.slow
def test_early_stopping_survives_a_resume(tmp_path):
    def stop_early(model, run, **options):
        return fit(model, run, epochs=30, patience=2, schedule="constant", **options)

    stop_early(fresh(0), tmp_path / "whole")
    whole = history(tmp_path / "whole")
    assert 3 <= len(whole) < 30
    with pytest.raises(KeyboardInterrupt):
        stop_early(fresh(0), tmp_path / "run", callbacks=[Interrupt()])
    stop_early(fresh(1), tmp_path / "run")
    assert_equal_to_six_decimals(history(tmp_path / "run"), whole)
    best = min(row["val_loss"] for row in whole)
    texts, labels = reviews()
    loss, _ = load_model(tmp_path / "run").evaluate(texts[::5], labels[::5][::-1], verbose=0)
    assert loss == pytest.approx(best, abs=1e-5)


def test_a_finished_run_holds_what_it_promises(uninterrupted):
    assert {path.name for path in uninterrupted.iterdir()} == {
        "run.json", "history.csv", "curves.png", "model.keras"
    }  # fmt: skip
    record = json.loads((uninterrupted / "run.json").read_text())
    assert record["settings"]["model"]["units"] == 12
    assert record["settings"]["seed"] == 0
    assert len(record["settings"]["training examples"]) == 64
    assert record["versions"]["keras"] == keras.__version__
    assert (uninterrupted / "curves.png").read_bytes()[:4] == b"\x89PNG"
    rows = history(uninterrupted)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4, 5]
    assert {"loss", "val_loss", "accuracy", "val_accuracy"} <= rows[0].keys()


def test_curves_are_drawn_after_the_first_epoch_and_the_last_and_now_and_then(
    tmp_path, monkeypatch
):
    now, drawn = [0], []
    clock = types.SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr(run_folder, "time", clock)
    monkeypatch.setattr(run_folder, "_curves", lambda rows: drawn.append(len(rows)) or b"")
    tick = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, _: now.__setitem__(0, 4 * epoch)
    )
    fit(fresh(0), tmp_path / "run", epochs=6, callbacks=[tick])
    assert drawn == [1, 4, 6]


def test_a_finished_run_is_never_overwritten(uninterrupted):
    before = (uninterrupted / "model.keras").read_bytes()
    with pytest.raises(ValueError, match="finished run"):
        fit(fresh(0), uninterrupted)
    assert (uninterrupted / "model.keras").read_bytes() == before


def test_an_unfinished_run_is_not_resumed_with_other_settings(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        fit(fresh(0), tmp_path / "run", callbacks=[Interrupt()])
    with pytest.raises(ValueError, match="batch_size was 16 and is now 8"):
        fit(fresh(0), tmp_path / "run", batch_size=8)
    with pytest.raises(ValueError, match="shuffle was True and is now False"):
        fit(fresh(0), tmp_path / "run", shuffle=False)
    with pytest.raises(ValueError, match="sample weights was False and is now [0-9a-f]{64}"):
        fit(fresh(0), tmp_path / "run", sample_weight=np.ones(96))


def test_a_folder_of_other_files_is_no_run_folder(tmp_path):
    (tmp_path / "thesis.doc").write_text("")
    with pytest.raises(ValueError, match=r"thesis\.doc"):
        fit(fresh(0), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_a_loss_that_is_not_finite_stops_training_with_advice():
    model = fresh(0)
    model.compile(optimizer=keras.optimizers.SGD(1e30))
    with pytest.raises(FloatingPointError, match=r"loss became (nan|inf).*smaller learning rate"):
        fit(model, None, schedule="constant")


def test_the_rate_rises_then_falls_to_zero():
    model = fresh(0)
    rates = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            rates.append(float(model.optimizer.learning_rate.numpy()))

    fit(model, None, epochs=4, batch_size=4, callbacks=[Watch()], patience=None)
    peak = int(np.argmax(rates))
    assert max(rates) == pytest.approx(0.01, rel=1e-5)
    assert 1 <= peak <= 0.1 * len(rates)
    assert all(np.diff(rates[: peak + 1]) > 0)
    assert all(np.diff(rates[peak + 1 :]) < 0)
    assert rates[-1] < 1e-5
    middle = peak + 1 + (len(rates) - peak) // 2
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)  # for a later training
    assert rates[middle] == pytest.approx(0.01 * 0.5 * (1 + math.cos(math.pi / 2)), abs=4e-4)


def test_a_schedule_of_the_optimizers_own_is_left_alone():
    model = fresh(0)
    decay = keras.optimizers.schedules.ExponentialDecay(0.01, 1, 0.5)
    model.compile(optimizer=keras.optimizers.Adam(decay))
    fit(model, None, epochs=1)
    steps = int(model.optimizer.iterations.numpy())
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01 * 0.5**steps)


@pytest.mark.parametrize(
    ("name", "cls"), [("adam", keras.optimizers.Adam), ("sgd", keras.optimizers.SGD)]
)
def test_an_optimizer_is_chosen_by_name_and_set_by_the_other_arguments(name, cls):
    model = fresh(0)
    model.compile(name, learning_rate=0.5, clipnorm=0.25, average=0.9)
    assert type(model.optimizer) is cls
    assert float(model.optimizer.learning_rate) == 0.5
    assert model.optimizer.global_clipnorm == 0.25
    assert model.optimizer.use_ema
    assert model.optimizer.ema_momentum == 0.9


def test_the_whole_gradient_is_clipped_to_the_norm_that_was_asked_for():
    moved = {}
    for clipnorm in (1e-3, None):
        model = fresh(0)
        model.compile("sgd", learning_rate=1.0, clipnorm=clipnorm)
        before = model.get_weights()
        fit(model, None, epochs=1, steps_per_epoch=1, schedule="constant")
        steps = [new - old for new, old in zip(model.get_weights(), before, strict=True)]
        moved[clipnorm] = np.sqrt(sum((step**2).sum() for step in steps))
    assert moved[1e-3] == pytest.approx(1e-3, rel=0.1)  # a table's rows are clipped unsummed
    assert moved[None] > 1e-2


@pytest.mark.parametrize(("clipnorm", "norm"), [(1e-3, 1e-3), (None, 5.0)])
def test_a_dense_gradient_is_clipped_exactly(clipnorm, norm):
    weights = [keras.Variable([0.0]), keras.Variable([0.0])]
    optimizer = training.optimizer_named("sgd", 1.0, clipnorm)
    optimizer.apply([np.float32([3.0]), np.float32([4.0])], weights)
    assert np.hypot(*(float(weight[0]) for weight in weights)) == pytest.approx(norm, rel=1e-5)


def test_an_unknown_optimizer_is_named():
    with pytest.raises(ValueError, match=r'optimizer=\'rms\' is unknown; give "adam", "sgd" or'):
        fresh(0).compile("rms")


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    target = tmp_path / "file.txt"
    training.write_atomically(target, b"old")

    with pytest.raises(OSError, match="disk"), training.written_beside(target) as beside:
        beside.write_bytes(b"half")
        raise OSError("disk")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_progress_is_one_plain_line_per_epoch_in_a_log(capfd):
    fit(fresh(0), None, epochs=2, verbose="auto")
    printed = capfd.readouterr()
    lines = [line for line in printed.err.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2
    assert lines[0].startswith("epoch 1/2  ") and "val_accuracy" in lines[0]
    assert lines[0].endswith("batch shapes)") and "shapes" not in lines[1]
    assert "\r" not in printed.err
    assert printed.out == ""


@pytest.mark.slow
def test_averages_are_validated_kept_and_left_in_the_model(tmp_path):
    """Against the plain definition: a moving average of the weights after each step."""
    options = {"epochs": 2, "patience": None, "schedule": "constant"}
    plain, averaged = fresh(0), fresh(0)
    mean = [weight.numpy() for weight in plain.trainable_weights]
    logged = []

    class Average(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            for kept, weight in zip(mean, plain.trainable_weights, strict=True):
                share = 0.9 if int(plain.optimizer.iterations) > 1 else 0.0
                kept[...] = share * kept + (1 - share) * weight.numpy()

    fit(plain, None, callbacks=[Average()], **options)
    averaged.compile(learning_rate=0.01, average=0.9)
    logged = fit(averaged, tmp_path / "run", **options).history
    for kept, weight in zip(mean, averaged.trainable_weights, strict=True):
        np.testing.assert_allclose(weight, kept, atol=2e-5)
    texts, labels = reviews()
    loss, _ = averaged.evaluate(texts[::5], labels[::5][::-1], verbose=0)
    assert logged["val_loss"][-1] == pytest.approx(loss, abs=1e-5)
    kept = load_model(tmp_path / "run").predict(texts)["score"]
    np.testing.assert_allclose(kept, averaged.predict(texts)["score"], atol=1e-6)
