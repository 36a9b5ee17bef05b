"""From the state of a sequence to numbers for each future step."""

import keras
import tensorflow as tf

from rnn_apps.blocks.recurrent import RecurrentStack


@keras.saving.register_keras_serializable(package="rnn_apps")
class HorizonDecoder(keras.layers.Layer):
    """Reads each state of an encoder as what is known before U future steps.

    `"direct"` reads all steps off the state by one dense layer, as the sequence-to-sequence
    forecaster of Wen et al. (2017, section 3.1) does. `"recurrent"` is an encoder-decoder
    (Sutskever et al., 2014): the state begins a second recurrent network that goes through the
    steps, and may be fed what came at the step before. It computes in float32, whatever the dtype
    policy, as the returns of a day need.

    Args:
        kind: "direct" or "recurrent".
        horizon: int, U.
        size: int, P, the numbers for each step.
        initial: float (P,) or (U, P), what comes out before training, whatever goes in.
        cell: "lstm", "gru" or "simple_rnn", of a recurrent decoder.
        units: int, its units.
        dropout: float, of the states that come in.

    Call:
        states: float (B, H).
        fed: float (B, U, 1) for a recurrent decoder, what came one step before each step; None
            for zeros.
        Returns float32 (B, U, P).

    Raises:
        ValueError: if `kind` is neither of the two.

    Example:
        >>> HorizonDecoder("recurrent", 5, 3, units=4)(tf.zeros([2, 8])).shape
        TensorShape([2, 5, 3])
    """

    def __init__(
        self, kind, horizon, size, *, initial=None, cell="gru", units=32, dropout=0.0, **kwargs
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        if kind not in ("direct", "recurrent"):
            raise ValueError(f"kind={kind!r} is no decoder; give 'direct' or 'recurrent'.")
        self.kind = kind
        self.horizon = horizon
        self.size = size
        self.initial = initial
        self.cell = cell
        self.units = units
        self.dropout = keras.layers.Dropout(dropout, name="dropout", dtype="float32")
        steps = horizon if kind == "direct" else 1
        self.read = keras.layers.Dense(
            steps * size, use_bias=False, kernel_initializer="zeros", name="read", dtype="float32"
        )
        if kind == "recurrent":
            self.stack = RecurrentStack(cell, units, returns="both", name="stack", dtype="float32")
            self.begin = keras.layers.Dense(
                units * len(self.stack.get_initial_state(1)[0]),
                activation="tanh",
                name="begin",
                dtype="float32",
            )

    def build(self, states_shape, fed_shape=None):
        """Makes all weights."""
        if self.kind == "recurrent":
            self.begin.build(states_shape)
            self.stack.build((None, None, 1 + self.horizon))
            self.read.build((None, self.units))
        else:
            self.read.build(states_shape)
        initial = 0.0 if self.initial is None else self.initial
        self.bias = self.add_weight(
            name="bias",
            shape=(self.horizon, self.size),
            initializer=lambda shape, dtype=None: tf.broadcast_to(tf.cast(initial, dtype), shape),
        )

    def call(self, states, fed=None, training=None):
        """Decodes all steps; see the class."""
        states = self.dropout(states, training=training)
        if self.kind == "direct":
            raw = tf.reshape(self.read(states), [-1, self.horizon, self.size])
            return raw + self.bias
        fed = tf.zeros([tf.shape(states)[0], self.horizon, 1]) if fed is None else fed
        sequence, _ = self.stack(
            self._inputs(fed), initial_state=self.start(states), training=training
        )
        return self.read(sequence) + self.bias

    def _inputs(self, fed):
        steps = tf.eye(self.horizon, batch_shape=[tf.shape(fed)[0]])
        return tf.concat([fed, steps], -1)

    def start(self, states):
        """The recurrent state before the first step: float (B, H) → that of a `RecurrentStack`."""
        return [tf.split(self.begin(states), len(self.stack.get_initial_state(1)[0]), axis=-1)]

    def step(self, fed, place, state):
        """One step of a recurrent decoder, the same arithmetic as the whole.

        Args:
            fed: float (B, 1), what came one step before.
            place: int32 (), which step it is, from 0.
            state: what `start` or the last `step` returned.

        Returns:
            `(raw, state)`: float32 (B, P), and the state after this step.
        """
        which = tf.one_hot(place, self.horizon) + tf.zeros_like(fed)  # (B, U)
        sequence, state = self.stack(
            tf.concat([fed, which], -1)[:, None], initial_state=state, training=False
        )
        return self.read(sequence)[:, 0] + self.bias[place], state

    def get_config(self):
        """Returns the constructor's arguments."""
        names = ("kind", "horizon", "size", "initial", "cell", "units")
        own = {name: getattr(self, name) for name in names}
        return {**super().get_config(), **own, "dropout": self.dropout.rate}
