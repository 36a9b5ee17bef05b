"""The optimizers that `Application.compile` knows by name, and the schedules of `fit`."""

import keras

from rnn_apps.training.callbacks import WarmupCosine

_CLASSES = {"adam": keras.optimizers.Adam, "sgd": keras.optimizers.SGD}


def optimizer_named(name, learning_rate, clipnorm, average=None):
    """Makes an optimizer.

    Args:
        name: "adam" (Kingma and Ba, 2015) or "sgd", plain gradient descent.
        learning_rate: float.
        clipnorm: float, to which the norm of the whole gradient is clipped; None for never.
        average: float, momentum of a moving average of the weights; None for none.

    Returns:
        A Keras optimizer.

    Raises:
        ValueError: if the name is another one.

    Example:
        >>> optimizer = optimizer_named("sgd", 20, 0.25)
        >>> float(optimizer.learning_rate), optimizer.global_clipnorm
        (20.0, 0.25)
    """
    if name not in _CLASSES:
        raise ValueError(
            f'optimizer={name!r} is unknown; give "adam", "sgd" or a Keras optimizer, such as '
            "keras.optimizers.RMSprop()."
        )
    averaged = {} if average is None else {"use_ema": True, "ema_momentum": average}
    return _CLASSES[name](float(learning_rate), global_clipnorm=clipnorm, **averaged)


def schedule_named(name, optimizer):
    """Makes the callbacks of a schedule of the learning rate.

    Args:
        name: "cosine" or "constant".
        optimizer: Keras optimizer; one with a schedule of its own keeps it.

    Returns:
        A list of at most one callback.

    Raises:
        ValueError: if the name is another one.

    Example:
        >>> len(schedule_named("cosine", keras.optimizers.Adam()))
        1
    """
    if name not in ("cosine", "constant"):
        raise ValueError(f'schedule={name!r} is unknown; give "cosine" or "constant".')
    own = isinstance(optimizer._learning_rate, keras.optimizers.schedules.LearningRateSchedule)
    return [] if own or name == "constant" else [WarmupCosine()]
