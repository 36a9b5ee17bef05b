"""Training a part of a model along later than the rest, at a learning rate of its own."""

import contextlib

import keras


class _SharedRate:
    """Mixin of a Keras optimizer: parts of a model have a share of the learning rate."""

    def __init__(self, learning_rate=0.001, *, shares=None, **kwargs):
        super().__init__(learning_rate, **kwargs)
        self.shares = dict(shares or {})

    def update_step(self, gradient, variable, learning_rate):
        """Keras's hook: one step of one variable."""
        path = self._trainable_variables[self._get_variable_index(variable)].path
        share = next((s for begin, s in self.shares.items() if path.startswith(begin)), 1.0)
        super().update_step(gradient, variable, learning_rate * share)

    def finalize_variable_values(self, var_list):
        """Keras's hook: puts averages into variables, if they are kept."""
        if self.use_ema:
            for variable in var_list:
                index = self._get_variable_index(variable)
                variable.assign(self._model_variables_moving_average[index])

    def get_config(self):
        """All constructor arguments."""
        return {**super().get_config(), "shares": dict(self.shares)}


@keras.saving.register_keras_serializable(package="rnn_apps")
class SharedRateAdam(_SharedRate, keras.optimizers.Adam):
    """Adam in which parts of a model have a share of the learning rate.

    It may be built on variables that are not trained yet. Averages (`use_ema`) are put into those
    variables only that it is asked for.

    Args:
        learning_rate: float, of all that `shares` does not name.
        shares: {how the path of a variable begins, such as "encoder/": float}.
        **kwargs: as of `keras.optimizers.Adam`.

    Example:
        >>> weight, other = (keras.Variable([0.0], name=name) for name in ("slow", "other"))
        >>> optimizer = SharedRateAdam(0.1, shares={"slow": 0.5})
        >>> optimizer.apply([tf.ones(1), tf.ones(1)], [weight, other])
        >>> round(float(other[0] / weight[0]), 3)
        2.0
    """


@keras.saving.register_keras_serializable(package="rnn_apps")
class SharedRateSGD(_SharedRate, keras.optimizers.SGD):
    """Gradient descent likewise.

    Args:
        learning_rate: float, of all that `shares` does not name.
        shares: as of `SharedRateAdam`.
        **kwargs: as of `keras.optimizers.SGD`.

    Example:
        >>> weight, other = (keras.Variable([0.0], name=name) for name in ("slow", "other"))
        >>> optimizer = SharedRateSGD(0.1, shares={"slow": 0.5})
        >>> optimizer.apply([tf.ones(1), tf.ones(1)], [weight, other])
        >>> round(float(other[0] / weight[0]), 3)
        2.0
    """


class TrainFrom(keras.callbacks.Callback):
    """Trains a layer from an epoch on, and holds it still until then.

    It is held still from when the callback is made, so that a feed may go by it. The optimizer must
    know the layer's variables from the beginning; see `Application.trained_variables`.

    Args:
        layer: Keras layer.
        epoch: int, counted from 1.
    """

    def __init__(self, layer, epoch):
        super().__init__()
        self.layer = layer
        self.layer.trainable = False
        self.epoch = epoch
        self._traced = None

    def on_epoch_begin(self, epoch, logs=None):
        """Has the steps traced anew where the layer is to be trained or no longer to be."""
        self.layer.trainable = epoch + 1 >= self.epoch
        if self.layer.trainable != self._traced:
            self._traced = self.layer.trainable
            self.model.make_train_function(force=True)
            self.model.make_test_function(force=True)


def thaw(layers, epochs):
    """Makes the callbacks that train layers along, one after the other.

    This is the gradual unfreezing of Howard and Ruder, 2018, section 3.3.

    Args:
        layers: list of Keras layers, in this order.
        epochs: int, how long each waits for the one before it, the first for what is never held
            still; 0 to train everything from the beginning.

    Returns:
        A list of `TrainFrom`.

    Example:
        >>> layers = [keras.layers.Dense(1), keras.layers.Dense(1)]
        >>> [callback.epoch for callback in thaw(layers, 2)]
        [3, 5]
    """
    return [TrainFrom(layer, 1 + number * epochs) for number, layer in enumerate(layers, 1)]


def falling_shares(paths, share):
    """Gives each layer a share of the learning rate of the one before it.

    This is the discriminative fine-tuning of Howard and Ruder, 2018, section 3.2.

    Args:
        paths: list of the layers' paths, in this order; the first has `share` itself.
        share: float.

    Returns:
        `shares` of a `SharedRateAdam`.

    Example:
        >>> falling_shares(["recurrent/forward_1", "recurrent/forward_0"], 0.5)
        {'recurrent/forward_1/': 0.5, 'recurrent/forward_0/': 0.25}
    """
    return {f"{path}/": share**number for number, path in enumerate(paths, 1)}


def with_shares(optimizer, shares):
    """Makes of an unused optimizer one in which parts of a model have a share of its rate.

    Args:
        optimizer: `keras.optimizers.Adam` or `keras.optimizers.SGD`.
        shares: as of `SharedRateAdam`.

    Returns:
        `SharedRateAdam` or `SharedRateSGD`.

    Example:
        >>> with_shares(keras.optimizers.Adam(0.1), {"encoder/": 0.5}).shares
        {'encoder/': 0.5}
    """
    found = SharedRateSGD if isinstance(optimizer, keras.optimizers.SGD) else SharedRateAdam
    return found.from_config(optimizer.get_config() | {"shares": shares})


@contextlib.contextmanager
def trainable(*layers):
    """Context in which layers are trainable.

    Example:
        >>> layer = keras.layers.Dense(1, trainable=False)
        >>> with trainable(layer):
        ...     layer.trainable
        True
        >>> layer.trainable
        False
    """
    before = [layer.trainable for layer in layers]
    for layer in layers:
        layer.trainable = True
    try:
        yield
    finally:
        for layer, was in zip(layers, before, strict=True):
            layer.trainable = was
