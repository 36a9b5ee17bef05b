"""A recurrent encoder: reads a sequence both ways, then again and again."""

import keras

from rnn_apps.blocks.recurrent import RecurrentStack


@keras.saving.register_keras_serializable(package="rnn_apps")
class RecurrentEncoder(keras.layers.Layer):
    """A recurrent layer in both directions, and further ones, with residuals, in one.

    The encoder of Wu et al. 2016 (sections 3.1 and 3.2): what the first layer has seen from both
    ends the others need to read once only, which saves half of their time.

    Args:
        cell: Cell of the layers, as of `RecurrentStack`.
        units: H, units of each layer, and of each direction of the first.
        num_layers: Number of layers, at least 1.
        dropout: Fraction dropped on the way into each layer, in [0, 1).
        seed: Seed of the dropout, or None.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        sequences: floating (B, T, F).
        mask: bool (B, T), True at real steps, on the left; or None.
        training: Whether dropout is on.

    Returns:
        floating (B, T, H); of a single layer (B, T, 2·H).

    Example:
    >>> RecurrentEncoder("gru", 8, num_layers=3)(np.ones((2, 5, 4), "float32")).shape
    TensorShape([2, 5, 8])
    """

    def __init__(self, cell="lstm", units=256, *, num_layers=2, dropout=0.0, seed=None, **kwargs):
        super().__init__(**kwargs)
        if isinstance(num_layers, bool) or not num_layers >= 1:
            raise ValueError(f"Expected num_layers to be 1 or more, but got {num_layers!r}.")
        self.num_layers = num_layers
        self.dropout = dropout
        self.seed = seed
        self.supports_masking = True
        options = {"dropout": dropout, "seed": seed, "dtype": self.dtype_policy}
        self.first = RecurrentStack(cell, units, bidirectional=True, name="first", **options)
        self.rest = None
        if num_layers > 1:
            options |= {"num_layers": num_layers - 1, "residual": True}
            self.rest = RecurrentStack(cell, units, name="rest", **options)

    @property
    def forward_layers(self):
        """The recurrent layers that read forwards, a list."""
        rest = [] if self.rest is None else self.rest.forward_layers
        return [*self.first.forward_layers, *rest]

    def build(self, sequences_shape):
        """Make all weights."""
        self.first.build(sequences_shape)
        if self.rest is not None:
            self.rest.build(self.first.compute_output_shape(sequences_shape))
        self.built = True

    def call(self, sequences, mask=None, training=False):
        """Read; see the class."""
        states = self.first(sequences, mask=mask, training=training)
        return states if self.rest is None else self.rest(states, mask=mask, training=training)

    def compute_output_shape(self, sequences_shape):
        """(B, T, F) → (B, T, H)."""
        shape = self.first.compute_output_shape(sequences_shape)
        return shape if self.rest is None else self.rest.compute_output_shape(shape)

    def get_config(self):
        """All constructor arguments."""
        stack = self.first.get_config()
        own = {name: getattr(self, name) for name in ("num_layers", "dropout", "seed")}
        return {**super().get_config(), "cell": stack["cell"], "units": stack["units"], **own}
