"""The contract that every application keeps: raw examples in, answers in the user's units out."""

import functools
import inspect
import json
import pathlib
from abc import abstractmethod
from typing import Literal

import keras
import numpy as np
import tensorflow as tf

from rnn_apps import data, export, training
from rnn_apps.blocks import kernels
from rnn_apps.preprocessing.requests import as_tensor, in_batches


class Application(keras.Model):
    """Base of all applications: a Keras model of raw requests.

    A subclass declares `features` (the columns of a training example), `request` (the raw request
    as string or float32 tensor specifications, each with a batch dimension) and `monitor`, and
    defines, in this order: `__init__` with keyword-only hyperparameters kept under their own
    names, `learn`, `assemble`, `feed`, `call`, `answer`, `endpoints`, `report`.

    `answer` is the one path from a raw request to named outputs: `predict` runs it, and the
    exported signatures are it.
    """

    features = ()
    request = {}
    monitor = "val_loss"
    form = "text"  # of answers on the command line; see `rnn_apps.data.requests.written`
    draws_beside = False  # whether the command line draws answers without being asked
    training_examples = None  # those of the last `fit`
    plain = ()  # columns of `records` that plain text consists of; () for all of them

    # What a subclass defines.

    @abstractmethod
    def learn(self, columns):
        """Learns from training examples; returns facts, a JSON-able dict, for `assemble`.

        Args:
            columns: {feature: array (N,)}.
        """

    @abstractmethod
    def assemble(self, **facts):
        """Makes every layer and builds it, from the facts of `learn`, now or when reloaded."""

    @abstractmethod
    def feed(self, columns, *, batch_size, shuffle, seed, sample_weight):
        """Returns the batches to train or evaluate on: `dataset()`, and an `epoch` to be set."""

    @abstractmethod
    def answer(self, **request):
        """Raw request tensors by name → named output tensors, in graph operations."""

    @abstractmethod
    def records(self, x, answers):
        """Returns one flat dict of plain values per request, for files and the command line.

        Args:
            x: the requests, as given to `predict`.
            answers: what `predict` returned for them.
        """

    @abstractmethod
    def report(self, x, y=None):
        """Judges the model on examples beside honest baselines."""

    def endpoints(self):
        """Returns {signature name: `rnn_apps.export.Endpoint`}; `serving_default` is `answer`."""
        default = export.Endpoint(self.answer, self.request, self.example_requests())
        return {"serving_default": default}

    @abstractmethod
    def example_requests(self):
        """Returns a short and a long raw request, each {input name: list}, to warm a server up."""

    def default_compilation(self, optimizer):
        """Returns the arguments of `compile` that stand where the user gives none."""
        return {"optimizer": optimizer}

    # What a subclass may define otherwise.

    @classmethod
    def load(cls, source, **options):
        """Loads raw examples by name, as `rnn_apps.data.load` does for the application."""
        return data.load(source, features=cls.features, **options)

    def read_requests(self, source, columns=None):
        """Reads requests: typed ones (a list of str), a file's, or a binary stream's.

        Returns:
            What `predict` takes, and a tuple of sentences on what was found in it.
        """
        return data.read_requests(source, tuple(self.request), columns), ()

    def draw(self, x, answers):
        """Draws answers to requests `x` as a `matplotlib` figure; None if there is no way to."""
        return None

    def examples(self, x, y=None):
        """Brings raw examples of any accepted form into the one that `learn` and `feed` take."""
        return data.as_columns(x, y, features=self.features)

    def fingerprint(self, examples):
        """The SHA-256 of what `examples` returned, 64 hexadecimal digits."""
        return data.fingerprint(examples)

    def hold_out(self, examples, sample_weight, share):
        """Divides training examples, and their weights, from the last `share` of them."""
        held = max(1, int(len(examples[self.features[0]]) * share))
        train = {name: values[:-held] for name, values in examples.items()}
        weight = None if sample_weight is None else sample_weight[:-held]
        return train, weight, {name: values[-held:] for name, values in examples.items()}

    def begin(self, examples, validation=None):
        """Looks at the training examples before the first batch of `fit`; may return callbacks."""

    def trained_variables(self):
        """All variables that training ever changes, in an order that stays."""
        return self.trainable_variables

    def calibrate(self, validation):
        """Corrects the trained model by the validation examples, before it is saved."""

    # What all applications share.

    def adapt(self, x, y=None):
        """Learns vocabulary, classes or scaling from training examples, and builds the network.

        Args:
            x: raw training examples: arrays or lists (with `y`), a DataFrame, a dict of columns,
                a list of dicts, or a `tf.data.Dataset`.
            y: targets, where `x` does not hold them.

        Raises:
            ValueError: if the model is adapted already, or the examples are not fit to learn from.
        """
        if self.built:
            raise ValueError(
                f"This {type(self).__name__} is adapted already, and its network is built on what "
                "it learned. To start anew, make a new one: "
                f"{type(self).__name__}.from_config(model.get_config())."
            )
        self._build_on(self.learn(self.examples(x, y)))
        if self.compiled:
            self.optimizer.build(self.trained_variables())

    def _build_on(self, facts):
        self._facts = json.dumps(facts)  # as text, since Keras would track a dict
        self.assemble(**json.loads(self._facts))
        self.built = True

    def _require_adapted(self, action):
        if not self.built:
            raise ValueError(
                f"{action} came before adapt: this {type(self).__name__} has learned nothing "
                "from training examples yet. Call model.adapt(train) first."
            )

    def compile(
        self,
        optimizer: Literal["adam", "sgd"] = "adam",
        loss=None,
        metrics=None,
        *,
        learning_rate: float = 2e-3,
        clipnorm: float | None = 1.0,
        average: float | None = None,
        jit_compile: bool = False,
        **kwargs,
    ):
        """Keras's `compile`, with a default for every argument.

        Args:
            optimizer: "adam", "sgd", or a Keras optimizer, whose rate, clipping and averaging are
                its own; None for "adam".
            loss: Keras loss; None for the application's own.
            metrics: list of Keras metrics; None for the application's own.
            learning_rate: the highest learning rate.
            clipnorm: to which the norm of the whole gradient is clipped; None for never.
            average: momentum, such as 0.998, of a moving average of the weights. Validation, early
                stopping and the trained model use the averages; None for the weights themselves.
            jit_compile: whether XLA compiles whole steps. Recurrent kernels choose their own
                compilation either way.
            **kwargs: Keras's other arguments of `compile`.
        """
        name, own = (optimizer, None) if isinstance(optimizer, str) else ("adam", optimizer)
        made = training.optimizer_named(name, learning_rate, clipnorm, average)
        given = {"optimizer": own, "loss": loss, "metrics": metrics}
        arguments = self.default_compilation(made)
        arguments |= {name: value for name, value in given.items() if value is not None}
        super().compile(jit_compile=jit_compile, **arguments, **kwargs)
        if self.built:
            self.optimizer.build(self.trained_variables())

    def compile_from_config(self, config):
        """Keras's hook: compiles a reloaded model as it was."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(
        self,
        x,
        y=None,
        *,
        validation_data=None,
        validation_split: float = 0.0,
        epochs: int = 10,
        batch_size: int = 64,
        sample_weight=None,
        shuffle: bool = True,
        patience: int | None = 3,
        schedule: Literal["cosine", "constant"] = "cosine",
        seed: int = 0,
        run=None,
        callbacks=None,
        verbose: Literal["auto", 0, 1, 2] = "auto",
        **kwargs,
    ):
        """Trains on raw examples.

        Args:
            x: raw training examples, in any form that `adapt` takes.
            y: targets, where `x` does not hold them.
            validation_data: raw examples, or a pair (x, y), to validate on after each epoch.
            validation_split: float in [0, 1), the share of examples, the last ones, to validate
                on where `validation_data` is not given.
            epochs: int, the most epochs to train.
            batch_size: int, examples in a batch.
            sample_weight: float array (N,), the weight of each training example.
            shuffle: bool, whether batches are drawn anew for each epoch.
            patience: int or None. Training ends after so many epochs without a better `monitor`
                on validation examples, and the best weights are restored; None trains to the end
                and keeps the last weights.
            schedule: "cosine" (rises in the first 5 % of the steps, then falls to zero) or
                "constant". An optimizer with a schedule of its own keeps it.
            seed: int, of the order of examples.
            run: path of a run folder, or None. An interrupted run of the same settings is resumed
                where its last finished epoch ended; see `rnn_apps.training.RunFolder`.
            callbacks: list of Keras callbacks, called after the built-in ones.
            verbose: "auto" for progress on standard error, 0 for silence, 1 or 2 as in Keras.
            **kwargs: Keras's other arguments of `fit`.

        Returns:
            `keras.callbacks.History`, of the epochs trained by this call.

        Raises:
            ValueError: if an example, an argument or the run folder is not as described.
            FloatingPointError: if the loss is no longer finite.
        """
        self._require_adapted("fit")
        if not self.compiled:
            raise ValueError("fit came before compile: call model.compile() first.")
        examples, sample_weight, validation = self._split(
            self.examples(x, y), sample_weight, validation_data, validation_split
        )
        self.training_examples = examples
        own = self.begin(examples, validation) or []
        optimizer = _unnamed(self.optimizer.get_config())
        settings = {
            "application": type(self).__name__,
            "model": _unnamed(self.get_config()),
            "optimizer": {"class": type(self.optimizer).__name__, **optimizer},
            "epochs": epochs,
            "batch_size": batch_size,
            "patience": patience,
            "schedule": schedule,
            "seed": seed,
            "shuffle": shuffle,
            "sample weights": sample_weight is not None
            and data.fingerprint({"weight": np.asarray(sample_weight, dtype=float)}),
            "training examples": self.fingerprint(examples),
            "validation examples": validation and self.fingerprint(validation),
        }
        feed = self.feed(
            examples, batch_size=batch_size, shuffle=shuffle, seed=seed, sample_weight=sample_weight
        )
        stateful = [
            *([training.EarlyStopping(self.monitor, patience)] if validation and patience else []),
            *training.schedule_named(schedule, self.optimizer),
        ]
        averaged = validation and self.optimizer.use_ema
        folder = [] if run is None else [training.RunFolder(run, settings, stateful)]
        for run_folder in folder:
            kwargs["initial_epoch"] = run_folder.initial_epoch
        watch = [training.StopOnNonFinite(), training.FeedEpoch(feed), *own, *stateful]
        watch += [training.AveragedWeights()] if averaged else []
        with training.progress(verbose, feed) as shown:
            history = super().fit(
                feed.dataset(),
                validation_data=validation and self._evaluation_feed(validation, batch_size),
                epochs=epochs,
                shuffle=False,
                callbacks=[*watch, *shown, *(callbacks or []), *folder],
                verbose=0 if shown else verbose,
                **kwargs,
            )
        if validation:
            self.calibrate(validation)
        for run_folder in folder:
            run_folder.finish(self)
        return history

    def _split(self, examples, sample_weight, validation_data, validation_split):
        """Returns training examples and weights, and validation examples or None."""
        if validation_data is not None:
            return examples, sample_weight, self._examples_of(validation_data)
        if not validation_split:
            return examples, sample_weight, None
        return self.hold_out(examples, sample_weight, validation_split)

    def _examples_of(self, given):
        pair = given if isinstance(given, tuple) else (given,)
        if len(pair) > 2:
            raise ValueError(
                f"Examples came as a tuple of {len(pair)}; give (x, y), or x alone where it holds "
                "the targets. Weights are for training examples only."
            )
        return self.examples(*pair)

    def _evaluation_feed(self, examples, batch_size):
        feed = self.feed(examples, batch_size=batch_size, shuffle=False, seed=0, sample_weight=None)
        return feed.dataset()

    def evaluate(self, x=None, y=None, batch_size=64, **kwargs):
        """Keras's `evaluate` on raw examples: the loss and the metrics of `compile`."""
        self._require_adapted("evaluate")
        if "_use_cached_eval_dataset" not in kwargs:  # else Keras's fit asks, with its own feed
            x = self._evaluation_feed(self.examples(x, y), batch_size)
        return super().evaluate(x, **kwargs)

    def predict(self, x, batch_size: int = 64, *, verbose: Literal["auto", 0] = 0):
        """Answers raw requests.

        Args:
            x: raw requests: a list or array of the request's one input, or a dict, a DataFrame or
                a `tf.data.Dataset` with all of its inputs.
            batch_size: int, requests answered at a time; the answers do not depend on it.
            verbose: "auto" for a progress bar on standard error where it is a terminal, or 0.

        Returns:
            {output name: array (N, …)}, the outputs of `answer`; strings as str.
        """
        self._require_adapted("predict")
        request = data.as_columns(x, features=tuple(self.request))
        return self.answers(request, batch_size, verbose=verbose)

    def answers(self, request, batch_size=64, *, signature="serving_default", verbose=0):
        """Runs a signature on a raw request, {input name: array (N, …)}; returns as `predict`."""
        specs, function, example = self._signature(signature)
        inputs = {name: as_tensor(request[name], spec) for name, spec in specs.items()}
        sizes = self.request_sizes(inputs)
        if not len(sizes):
            one = self.answers(example, signature=signature)
            return {name: values[:0] for name, values in one.items()}
        bar = functools.partial(training.shown, verbose=verbose)
        return in_batches(function, inputs, sizes, batch_size, bar)

    def request_sizes(self, inputs):
        """Returns int (N,), what to sort requests by so that a batch's are alike: bytes of text."""
        first = next(iter(inputs.values()))
        is_text = first.dtype == tf.string
        return tf.strings.length(first).numpy() if is_text else np.zeros(len(first))

    def _signature(self, name):
        """Inputs, graph function and an example of a signature; the graph is traced once."""
        if name not in self._graphs:
            endpoint = self.endpoints()[name]
            graph = export.graph_of(endpoint.function, endpoint.inputs)
            self._graphs[name] = endpoint.inputs, graph, endpoint.examples[0]
        return self._graphs[name]

    @functools.cached_property
    def _graphs(self):
        return {}

    def get_config(self):
        """Returns every constructor argument, as it was given."""
        names = inspect.signature(type(self).__init__).parameters
        config = {name: getattr(self, name) for name in names if name not in ("self", "dtype")}
        config["dtype"] = self.dtype_policy
        return {name: keras.saving.serialize_keras_object(value) for name, value in config.items()}

    @classmethod
    def from_config(cls, config):
        """Returns a new, unadapted model with the settings of `get_config`."""
        return cls(
            **{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()}
        )

    def get_build_config(self):
        """Keras's hook: what `learn` found, so that a reloaded model is built as this one."""
        return {"facts": json.loads(self._facts)} if self.built else None

    def build_from_config(self, config):
        """Keras's hook: builds a reloaded model."""
        self._build_on(config["facts"])

    def save(self, filepath, overwrite=True, **kwargs):
        """Keras's `save` to one ``.keras`` file, which appears whole or not at all.

        Raises:
            ValueError: if the name does not end in ``.keras``, the model is not adapted, or the
                file exists and is not to be overwritten.
        """
        self._require_adapted("save")
        path = pathlib.Path(filepath)
        if path.suffix != ".keras":
            raise ValueError(f"{path} does not end in .keras, as a saved application must.")
        if path.exists() and not overwrite:
            raise ValueError(f"{path} exists; give another name, or overwrite=True.")
        with training.written_beside(path) as beside:
            super().save(beside, **kwargs)

    def export(self, folder):
        """Publishes a SavedModel as the next version under `folder`, ready for TensorFlow Serving.

        Keras's `export` writes into the folder it is given. This one keeps the name and changes
        the meaning: ``folder/<next version>/`` appears complete, checked and with warm-up
        requests, or not at all; see `rnn_apps.export.publish`.

        Returns:
            `pathlib.Path` of the version's folder.
        """
        self._require_adapted("export")
        endpoints = self.endpoints()
        with kernels.portable():
            signatures = {
                name: export.graph_of(endpoint.function, endpoint.inputs).get_concrete_function()
                for name, endpoint in endpoints.items()
            }
        return export.publish(
            signatures,
            folder,
            warm_up={name: endpoint.examples for name, endpoint in endpoints.items()},
        )


def _unnamed(config):
    """A configuration without the object's name, which Keras numbers."""
    return {key: value for key, value in config.items() if key != "name"}
