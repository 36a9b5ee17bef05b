"""Heads of a forecaster: from the state at an origin to the distribution of what comes after it.

Both take `states` float (B, H) and `scale` float32 (B, 1), the usual size of one step's return, and
know two things: what is trained (`call`), and the forecast (`forecast`). Both compute in float32,
whatever the dtype policy.
"""

import keras
import numpy as np
import tensorflow as tf

from rnn_apps.blocks import distributions
from rnn_apps.blocks.horizon import HorizonDecoder

_T_INITIAL = (0.0, -0.2, 2.0)  # location, scale and degrees of freedom, before training
_T_SAMPLES = 500  # behind the quantiles of a Student-t head


@keras.saving.register_keras_serializable(package="rnn_apps")
class QuantileHead(keras.layers.Layer):
    """Quantiles of the log return up to each step, which cannot cross.

    Args:
        levels: Q quantile levels, ascending.
        horizon: int, U.
        spread: float (Q,), quantiles in units of scale times the root of the step, around 0; what
            comes out before training.
        **decoder: arguments of `HorizonDecoder`: `kind`, `cell`, `units`, `dropout`.

    Call:
        Returns float32 (B, U, Q).

    Example:
        >>> head = QuantileHead([0.1, 0.5, 0.9], 4, [-1.0, 0.0, 1.0], kind="direct")
        >>> head(tf.zeros([2, 8]), tf.ones([2, 1]))[0, 3].numpy().round(3).tolist()
        [-2.0, 0.0, 2.0]
    """

    is_fed = False  # whether it reads what came at the step before

    def __init__(
        self, levels, horizon, spread, *, kind, cell="gru", units=32, dropout=0.0, **kwargs
    ):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.levels = distributions.check_levels(levels)
        self.horizon = horizon
        self.spread = tuple(spread)
        self.centre = distributions.middle(levels)
        initial = distributions.unordered(spread, self.centre).tolist()
        self.decoder = HorizonDecoder(
            kind,
            horizon,
            len(levels),
            initial=initial,
            cell=cell,
            units=units,
            dropout=dropout,
            name="decoder",
        )

    def call(self, states, scale, fed=None, training=None):
        """Gives the quantiles; see the class."""
        ordered = distributions.ordered(self.decoder(states, training=training), self.centre)
        roots = np.sqrt(np.arange(1, self.horizon + 1)).astype("float32")
        return ordered * scale[..., None] * roots[:, None]

    def forecast(self, states, scale, paths):
        """Returns quantiles (B, U, Q), and scores (1, N, U) of sample paths.

        The paths hang together as those of a random walk do.
        """
        scores = distributions.random_walk_scores(paths, self.horizon)
        return self(states, scale), tf.constant(scores)

    def get_config(self):
        """Returns the constructor's arguments."""
        own = {"levels": self.levels, "horizon": self.horizon, "spread": self.spread}
        return {**super().get_config(), **own, **_of_decoder(self.decoder)}


@keras.saving.register_keras_serializable(package="rnn_apps")
class StudentTHead(keras.layers.Layer):
    """Student's t for the log return of each step, from which sample paths are drawn.

    With a recurrent decoder each step is given those before it, as in DeepAR (Salinas et al., 2020,
    section 3.1); with a direct one steps are independent given the state. All requests share the
    random numbers, which are constants, so that no answer hangs on chance or on what else is asked.

    Args:
        levels: Q quantile levels, ascending, at which the samples are read.
        horizon: int, U.
        **decoder: arguments of `HorizonDecoder`: `kind`, `cell`, `units`, `dropout`.

    Call:
        fed: float32 (B, U), the log return up to each step, NaN where unknown; of a recurrent
            decoder only, which reads each step's own return at the step after.
        Returns float32 (B, U, 3), location, scale and degrees of freedom of each step's own return.

    Example:
        >>> head = StudentTHead([0.1, 0.9], 4, kind="recurrent", units=3)
        >>> head(tf.zeros([2, 8]), tf.ones([2, 1]), fed=tf.zeros([2, 4])).shape
        TensorShape([2, 4, 3])
    """

    def __init__(self, levels, horizon, *, kind, cell="gru", units=32, dropout=0.0, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.levels = distributions.check_levels(levels)
        self.horizon = horizon
        self.is_fed = kind == "recurrent"
        self.decoder = HorizonDecoder(
            kind,
            horizon,
            len(_T_INITIAL),
            initial=_T_INITIAL,
            cell=cell,
            units=units,
            dropout=dropout,
            name="decoder",
        )

    def call(self, states, scale, fed=None, training=None):
        """Gives the parameters; see the class."""
        if fed is not None and self.is_fed:
            own = tf.concat([fed[:, :1], fed[:, 1:] - fed[:, :-1]], -1) / scale
            own = tf.where(tf.math.is_finite(own), own, 0.0)
            fed = tf.pad(own[:, :-1], [[0, 0], [1, 0]])[..., None]
        raw = self.decoder(states, fed=fed if self.is_fed else None, training=training)
        location, width, df = distributions.student_t(raw)
        return tf.stack([location * scale, width * scale, df], -1)

    def forecast(self, states, scale, paths):
        """Returns quantiles (B, U, Q) of samples, and scores (B, N, U) of the first of them."""
        uniforms = tf.constant(distributions.even_pairs(max(paths, _T_SAMPLES), self.horizon))
        moves = self._fed_moves(states, uniforms) if self.is_fed else self._moves(states, uniforms)
        sums = tf.cumsum(moves * scale[..., None], axis=-1)
        quantiles = distributions.empirical_quantiles(sums, self.levels)
        return quantiles, distributions.scores_of_ranks(sums[:, :paths])

    def _moves(self, states, uniforms):
        """Steps drawn at once: float32 (B, N, U), in units of scale."""
        said = distributions.student_t(self.decoder(states)[:, None])
        return distributions.student_t_samples(*said, tf.unstack(tf.transpose(uniforms, [1, 2, 0])))

    def _fed_moves(self, states, uniforms):
        """Steps drawn one after another, each fed to the next: float32 (B, N, U)."""
        rows, samples = tf.shape(states)[0], uniforms.shape[2]
        state = self.decoder.start(tf.repeat(states, samples, axis=0))

        def step(place, fed, state, moves):
            raw, state = self.decoder.step(fed, place, state)
            pair = tf.unstack(tf.tile(uniforms[place], [1, rows]))  # two of (B * N,)
            move = distributions.student_t_samples(*distributions.student_t(raw), pair)
            return place + 1, move[:, None], state, moves.write(place, move)

        moves = tf.TensorArray(tf.float32, self.horizon, element_shape=[None])
        start = (tf.constant(0), tf.zeros([rows * samples, 1]), state, moves)
        *_, moves = tf.while_loop(lambda place, *_: place < self.horizon, step, start)
        moves = tf.reshape(moves.stack(), [self.horizon, rows, samples])
        return tf.transpose(moves, [1, 2, 0])

    def get_config(self):
        """Returns the constructor's arguments."""
        own = {"levels": self.levels, "horizon": self.horizon}
        return {**super().get_config(), **own, **_of_decoder(self.decoder)}


def _of_decoder(decoder):
    """A decoder's own arguments, which its head takes too."""
    config = decoder.get_config()
    return {name: config[name] for name in ("kind", "cell", "units", "dropout")}
