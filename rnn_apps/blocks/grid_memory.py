"""From the features of a picture's places to a memory that knows the places."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="rnn_apps")
class GridMemory(keras.layers.Layer):
    """Project features, normalise them, and add what is learnt of each place of the picture.

    A convolution finds the same thing everywhere alike; "left of" and "above" need the place
    (learnt vectors of places, as in Gehring et al. 2017, section 3.1).

    Args:
        units: Width of the memory.
        dropout: Fraction of the memory that is dropped in training, in [0, 1).
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        features: floating (B, T, M), the same T always.
        training: Whether dropout is on.

    Returns:
        floating (B, T, units).

    Example:
    >>> GridMemory(4)(np.ones((2, 9, 6), "float32")).shape
    TensorShape([2, 9, 4])
    """

    def __init__(self, units, *, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        policy = self.dtype_policy
        self.units = units
        self.project = keras.layers.Dense(units, name="project", dtype=policy)
        self.normalise = keras.layers.LayerNormalization(name="normalise", dtype=policy)
        self.dropout = keras.layers.Dropout(dropout, name="dropout", dtype=policy)

    def build(self, features_shape):
        """Make the weights for features of shape (B, T, M)."""
        self.project.build(features_shape)
        shape = (*features_shape[:2], self.units)
        self.normalise.build(shape)
        self.places = self.add_weight(
            name="places",
            shape=shape[1:],
            initializer=keras.initializers.RandomNormal(stddev=0.5),
        )

    def call(self, features, training=False):
        """Make a memory; see the class."""
        memory = self.normalise(self.project(features))
        memory += tf.cast(self.places, memory.dtype)
        return self.dropout(memory, training=training)

    def get_config(self):
        """All constructor arguments."""
        return {**super().get_config(), "units": self.units, "dropout": self.dropout.rate}
