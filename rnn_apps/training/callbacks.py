"""Callbacks of `fit`: schedules, safe stops, averages, progress."""

import contextlib
import math
import sys
import time

import keras
import rich.console
import rich.progress


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
        monitor: str, a name in the epoch's logs; a loss is better the lower, all else the higher.
        patience: int, epochs without an improvement before training ends.
    """

    def __init__(self, monitor, patience):
        mode = "min" if monitor.endswith("loss") else "max"
        super().__init__(monitor, mode=mode, patience=patience, restore_best_weights=True)

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
    """Progress on standard error: a bar in a terminal, a plain line per epoch in a log.

    Args:
        feed: the feed of `fit`. The shapes of its batches are counted, if it knows them: kernels
            are compiled for each, at about a second.
    """

    def __init__(self, feed=None):
        super().__init__()
        self.shapes = getattr(feed, "shapes", ())
        self.counted = 0
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
        if len(self.shapes) > self.counted:
            self.counted = len(self.shapes)
            figures += f"  ({self.counted} batch shapes)"
        print(f"{self.label}  {seconds:.1f} s  {figures}", file=sys.stderr, flush=True)

    def close(self):
        """Takes the bar away, however training ended."""
        if self.bar:
            self.bar.stop()


@contextlib.contextmanager
def progress(verbose, feed=None):
    """Context that gives the callbacks of `verbose="auto"`, and takes a bar away at its end.

    Args:
        verbose: "auto", or a number of Keras's, for which there is none of ours.
        feed: as of `Progress`.
    """
    shown = [Progress(feed)] if verbose == "auto" else []
    try:
        yield shown
    finally:
        for callback in shown:
            callback.close()


def shown(steps, verbose):
    """Goes through steps behind a bar on standard error, if `verbose` is "auto" and a terminal."""
    return rich.progress.track(
        steps,
        description="",
        console=rich.console.Console(stderr=True),
        transient=True,
        disable=verbose != "auto" or not sys.stderr.isatty(),
    )
