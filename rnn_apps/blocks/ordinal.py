"""Output layer for classes that have an order."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="rnn_apps")
class OrdinalHead(keras.layers.Layer):
    """Proportional-odds classification (McCullagh, 1980, section 2.2), for stars and the like.

    One direction in feature space and C - 1 thresholds in ascending order: a class lies between
    two of them. Against a softmax it cannot put weight on both ends and none between, and needs
    one weight vector for any number of classes.

    Args:
        num_classes: int, at least 2, lowest class first.

    Call:
        features: float (B, H).
        Returns float32 (B, C), log-probabilities, which are logits too.

    Example:
        >>> tf.reduce_sum(tf.exp(OrdinalHead(5)(tf.zeros([1, 8]))), -1).numpy().round(5)
        array([1.], dtype=float32)
    """

    def __init__(self, num_classes, **kwargs):
        super().__init__(**kwargs)
        if num_classes < 2:
            raise ValueError(f"num_classes={num_classes}; an order needs at least 2 classes.")
        self.num_classes = num_classes
        self.position = keras.layers.Dense(1, use_bias=False, name="position")

    def build(self, features_shape):
        """Makes the direction and the thresholds, which start evenly spaced around 0."""
        self.position.build(features_shape)
        self.first = self.add_weight(
            name="first",
            shape=(),
            initializer=keras.initializers.Constant(-0.5 * (self.num_classes - 2)),
        )
        self.gaps = self.add_weight(
            name="gaps",
            shape=(self.num_classes - 2,),
            initializer=keras.initializers.Constant(0.5413),  # softplus gives 1
        )
        self.built = True

    def call(self, features):
        """Returns log P(class) for each class."""
        position = tf.cast(self.position(features), tf.float32)  # (B, 1)
        steps = tf.cumsum(tf.nn.softplus(tf.cast(self.gaps, tf.float32)))
        first = tf.cast(self.first, tf.float32)
        thresholds = first + tf.concat([[0.0], steps], 0)  # (C - 1,)
        above = position - thresholds  # (B, C - 1), logits of P(class > k)
        # log(s(a) - s(b)) with a > b equals log s(a) + log s(-b) + log(1 - exp(b - a)).
        gap = above[:, :-1] - above[:, 1:]
        between = (
            tf.math.log_sigmoid(above[:, :-1])
            + tf.math.log_sigmoid(-above[:, 1:])
            + tf.math.log1p(-tf.exp(-gap))
        )
        lowest, highest = tf.math.log_sigmoid(-above[:, :1]), tf.math.log_sigmoid(above[:, -1:])
        return tf.concat([lowest, between, highest], 1)  # (B, C)

    def compute_output_shape(self, features_shape):
        """(B, H) → (B, C)."""
        return (features_shape[0], self.num_classes)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "num_classes": self.num_classes}
