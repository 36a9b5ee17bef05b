"""An embedding table that is the output projection too."""

import keras
import tensorflow as tf

from rnn_apps.blocks.embedding import TokenEmbedding


@keras.saving.register_keras_serializable(package="rnn_apps")
class TiedEmbedding(TokenEmbedding):
    """One table for the way in and the way out (Press & Wolf 2017).

    Drawn as N(0, 1 / E), so that the logits of hidden vectors of size √E begin near size 1, and
    multiplied by √E on the way in, so that what goes into a network begins at size 1 too.

    Args:
        vocabulary_size: V.
        embedding_dim: E.
        scale: What the vectors are multiplied by on the way in; None for √E.
        embeddings_initializer: Keras initializer of the table; None for N(0, 1 / E).
        **kwargs: `row_dropout`, `token_dropout`, `seed` of `TokenEmbedding`, which act on the way
            in only; `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        token_ids: int32 (B, T).
        training: Whether dropout is on.

    Returns:
        floating (B, T, E).

    Example:
    >>> embedding = TiedEmbedding(8, 4)
    >>> vectors = embedding(np.array([[2, 5, 3]]))
    >>> vectors.shape, embedding.logits(vectors).shape
    (TensorShape([1, 3, 4]), TensorShape([1, 3, 8]))
    """

    def __init__(
        self, vocabulary_size, embedding_dim, *, scale=None, embeddings_initializer=None, **kwargs
    ):
        if embeddings_initializer is None:
            embeddings_initializer = keras.initializers.RandomNormal(
                stddev=embedding_dim**-0.5, seed=kwargs.get("seed")
            )
        super().__init__(
            vocabulary_size,
            embedding_dim,
            scale=embedding_dim**0.5 if scale is None else scale,
            embeddings_initializer=embeddings_initializer,
            **kwargs,
        )

    def build(self, token_ids_shape):
        """Make the table, (V, E), and the bias of the way out, (V,)."""
        super().build(token_ids_shape)
        self.bias = self.add_weight(name="bias", shape=(self.vocabulary_size,), initializer="zeros")

    def kernel(self):
        """The table as a way out, floating (E, V), to be made once before a loop of steps."""
        return tf.transpose(tf.cast(self.embeddings, self.compute_dtype))

    def logits(self, hidden, kernel=None):
        """Multiply by the table and add the bias.

        Args:
            hidden: floating (…, E).
            kernel: What `kernel` returned, or None to make it.

        Returns:
            float32 (…, V).
        """
        return project(hidden, self.kernel() if kernel is None else kernel, self.bias)


def project(hidden, kernel, bias):
    """Project hidden vectors to logits.

    Args:
        hidden: floating (…, E).
        kernel: floating (E, V), in whose dtype the product is made.
        bias: floating (V,).

    Returns:
        float32 (…, V).

    Example:
    >>> project(tf.ones([2, 3, 4]), tf.ones([4, 5]), tf.zeros([5])).shape
    TensorShape([2, 3, 5])
    """
    hidden = tf.convert_to_tensor(hidden)
    rows = tf.reshape(hidden, [-1, kernel.shape[0]])
    rows = tf.cast(tf.matmul(tf.cast(rows, kernel.dtype), kernel), tf.float32)
    rows += tf.cast(bias, tf.float32)
    logits = tf.reshape(rows, tf.concat([tf.shape(hidden)[:-1], [kernel.shape[1]]], 0))
    return tf.ensure_shape(logits, [*hidden.shape[:-1], kernel.shape[1]])
