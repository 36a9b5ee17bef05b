"""From token ids to vectors, with whole words dropped in training."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="rnn_apps")
class TokenEmbedding(keras.layers.Layer):
    """Look tokens up, drop whole vocabulary rows in training, and mark padding.

    Row dropout follows Gal & Ghahramani 2016 (section 4.2): the same word is dropped at all its
    places in a batch, and what stays is scaled by 1 / (1 - row_dropout).

    Args:
        vocabulary_size: Number of token ids; ids are in [0, vocabulary_size).
        embedding_dim: Width E of a token's vector.
        row_dropout: Fraction of the vocabulary dropped in each training batch, in [0, 1).
        token_dropout: Fraction of the places whose vector is zero in training, in [0, 1), drawn
            for each place by itself and not made up for by scaling (Iyyer et al. 2015, section
            2.3): the network learns to do with part of a text.
        scale: What the vectors are multiplied by on their way out of the table.
        embeddings_initializer: Keras initialiser of the table.
        seed: Seed of the dropout, or None.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        token_ids: int32 (B, T), 0 for padding.
        training: Whether rows are dropped.

    Returns:
        floating (B, T, E). The mask that travels with it is `token_ids != 0`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
    >>> TokenEmbedding(100, 8)(np.array([[5, 7, 0]])).shape
    TensorShape([1, 3, 8])
    """

    def __init__(
        self,
        vocabulary_size,
        embedding_dim,
        row_dropout=0.0,
        token_dropout=0.0,
        scale=1.0,
        embeddings_initializer="uniform",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        for name, value in (("vocabulary_size", vocabulary_size), ("embedding_dim", embedding_dim)):
            if isinstance(value, bool) or not value >= 1:
                raise ValueError(f"Expected {name} to be a positive integer, but got {value!r}.")
        for name, value in (("row_dropout", row_dropout), ("token_dropout", token_dropout)):
            if not 0 <= value < 1:
                raise ValueError(f"Expected {name} to be in [0, 1), but got {value!r}.")
        self.vocabulary_size = vocabulary_size
        self.embedding_dim = embedding_dim
        self.row_dropout = row_dropout
        self.token_dropout = token_dropout
        self.scale = scale
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True
        self.autocast = False  # token ids are integers, and stay so

    def build(self, token_ids_shape):
        """Make the table, (V, E)."""
        self.embeddings = self.add_weight(
            name="embeddings",
            shape=(self.vocabulary_size, self.embedding_dim),
            initializer=self.embeddings_initializer,
        )

    def call(self, token_ids, training=False):
        """Look up; see the class."""
        token_ids = tf.cast(token_ids, tf.int32)
        vectors = tf.gather(tf.convert_to_tensor(self.embeddings), token_ids)
        vectors = tf.cast(vectors, self.compute_dtype)  # (B, T, E)
        if training and self.row_dropout:
            rows = keras.random.dropout(
                tf.ones((self.vocabulary_size,), self.compute_dtype),
                self.row_dropout,
                seed=self.seed_generator,
            )
            vectors = vectors * tf.gather(rows, token_ids)[..., None]
        if training and self.token_dropout:
            chance = keras.random.uniform(tf.shape(token_ids), seed=self.seed_generator)
            kept = tf.cast(chance >= self.token_dropout, self.compute_dtype)  # (B, T)
            vectors = vectors * kept[..., None]
        return vectors if self.scale == 1 else vectors * self.scale

    def compute_mask(self, token_ids, mask=None):
        """True where there is a token."""
        return keras.ops.not_equal(token_ids, 0)

    def compute_output_shape(self, token_ids_shape):
        """(B, T) → (B, T, E)."""
        return (*token_ids_shape, self.embedding_dim)

    def get_config(self):
        """All constructor arguments."""
        return {
            **super().get_config(),
            "vocabulary_size": self.vocabulary_size,
            "embedding_dim": self.embedding_dim,
            "row_dropout": self.row_dropout,
            "token_dropout": self.token_dropout,
            "scale": self.scale,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
            "seed": self.seed,
        }
