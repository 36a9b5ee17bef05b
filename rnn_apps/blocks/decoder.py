"""A recurrent decoder with attention: the whole target at once, or a token at a time."""

import keras
import tensorflow as tf

from rnn_apps.blocks.embedding import TokenEmbedding
from rnn_apps.blocks.memory_attention import MemoryAttention
from rnn_apps.blocks.recurrent import RecurrentStack
from rnn_apps.blocks.tied_embedding import TiedEmbedding, project


@keras.saving.register_keras_serializable(package="rnn_apps")
class AttentionDecoder(keras.layers.Layer):
    """From a memory and the tokens so far to the logits of the next, by global attention.

    h_t = first(y_t, h_{t-1}); c_t = attention(h_t, memory); s_t = upper(h_t + V c_t, s_{t-1});
    tanh(W [c_t; s_t]); logits. With one layer, where s_t is h_t, it is the decoder of Luong et al.
    2015 (section 3, eq. 5 and 6) without input feeding. With more, attention stands after the first
    and the others read what was found, as in Wu et al. 2016 (section 3.1): they remember what has
    been looked at. Nothing goes back into the layer before, so that in training each runs over the
    whole target in one call and all else is a few large products; search calls the same parts with
    one token. The first state is a projection of a summary of the memory, with tanh (Bahdanau et
    al. 2015, appendix A.2.2, who take the backward encoder's; without one given, the mean over the
    real steps, as Sennrich et al. 2017 take).

    Args:
        embedding: The layer that embeds token ids: a `TiedEmbedding`, which makes the logits too,
            or a `TokenEmbedding`, beside which the decoder has an output projection of its own. An
            encoder may share it.
        cell: Cell of the `RecurrentStack`.
        units: H, units of each of its layers.
        num_layers: Number of its layers.
        attention: Score of the `MemoryAttention`, or None for none: the memory is then only read
            by the first state.
        residual: Whether a layer's input is added to its output where the widths agree.
        dropout: Fraction dropped on the way into each recurrent layer, in [0, 1).
        hidden_dropout: Fraction of the hidden vectors dropped before the logits, in [0, 1).
        layer_norm: Whether what leaves each recurrent layer is normalised.
        seed: Seed of the dropout, or None.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        token_ids: int32 (B, U), what goes in: the target from its begin token on, without its end.
            Padding on the right; what comes out there means nothing.
        memory: floating (B, T, M).
        memory_mask: bool (B, T), True at real steps, or None.
        summary: floating (B, S), what the first state is made from, such as the last states of an
            encoder; None for the mean of the memory. Always given, or never.
        training: Whether dropout is on.

    Returns:
        float32 (B, U, V), the logits of the token after each.

    Raises:
        ValueError: If an argument is out of its range, or a step is asked of a decoder that was
            never built.

    Example:
    >>> from rnn_apps.blocks import TiedEmbedding
    >>> decoder = AttentionDecoder(TiedEmbedding(8, 4), "gru", 6)
    >>> memory = np.ones((2, 5, 3), "float32")
    >>> decoder(np.array([[2, 4, 5], [2, 6, 0]]), memory).shape
    TensorShape([2, 3, 8])
    >>> step = decoder.stepper(memory)
    >>> logits, state, weights = step(np.array([[2], [2]]), decoder.start(memory))
    >>> logits.shape, weights.shape
    (TensorShape([2, 1, 8]), TensorShape([2, 1, 5]))
    """

    def __init__(
        self,
        embedding,
        cell="lstm",
        units=256,
        *,
        num_layers=1,
        attention="scaled",
        residual=False,
        dropout=0.0,
        hidden_dropout=0.0,
        layer_norm=False,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(embedding, TokenEmbedding):
            raise ValueError(
                f"Expected embedding to be a TiedEmbedding or a TokenEmbedding, but got "
                f"{embedding!r}; pass for example TiedEmbedding(8000, 256)."
            )
        self.embedding = embedding
        self.num_layers = num_layers
        self.residual = residual
        self.dropout = dropout
        self.layer_norm = layer_norm
        self.seed = seed
        self.supports_masking = True
        policy = self.dtype_policy
        below = 1 if attention is not None else num_layers
        options = {
            "residual": residual,
            "dropout": dropout,
            "layer_norm": layer_norm,
            "returns": "both",
            "seed": seed,
            "dtype": policy,
        }
        self.stack = RecurrentStack(cell, units, num_layers=below, name="stack", **options)
        self.upper = self.mix = None
        if num_layers > below:
            self.upper = RecurrentStack(
                cell, units, num_layers=num_layers - below, name="upper", **options
            )
            self.mix = keras.layers.Dense(self.upper.units, name="mix", dtype=policy)
        self.attention = None
        if attention is not None:
            self.attention = MemoryAttention(attention, name="attention", dtype=policy)
        width = embedding.embedding_dim
        self.combine = keras.layers.Dense(width, activation="tanh", name="combine", dtype=policy)
        self.hidden_dropout = keras.layers.Dropout(
            hidden_dropout, seed=seed, name="hidden_dropout", dtype=policy
        )
        state_width = sum(self._state_widths())
        self.bridge = keras.layers.Dense(
            state_width, activation="tanh", name="bridge", dtype=policy
        )

    def _zero_state(self):
        upper = [] if self.upper is None else self.upper.get_initial_state(1)
        return [*self.stack.get_initial_state(1), *upper]

    def _state_widths(self):
        return [leaf.shape[-1] for leaf in tf.nest.flatten(self._zero_state())]

    @property
    def forward_layers(self):
        """The recurrent layers, a list, the first the one that reads the tokens."""
        upper = [] if self.upper is None else self.upper.forward_layers
        return [*self.stack.forward_layers, *upper]

    @property
    def tied(self):
        """Whether the embedding makes the logits too."""
        return isinstance(self.embedding, TiedEmbedding)

    def build(self, token_ids_shape, memory_shape, summary_shape=None):
        """Make all weights; the memory is (B, T, M) and the summary (B, S) or None."""
        if not self.embedding.built:
            self.embedding.build(token_ids_shape)
            self.embedding.built = True
        width, memory_width = self.embedding.embedding_dim, memory_shape[-1]
        self.stack.build((None, None, width))
        units = self.stack.compute_output_shape((None, None, width))[0][-1]
        self.bridge.build(summary_shape or (None, memory_width))
        if self.attention is not None:
            self.attention.build((None, None, units), memory_shape)
            self.attention.built = True
            if self.upper is not None:
                self.mix.build((None, None, memory_width))
                self.upper.build((None, None, units))
            units += memory_width
        self.combine.build((None, None, units))
        if not self.tied:
            size = self.embedding.vocabulary_size
            self.output_table = self.add_weight(
                name="output_table", shape=(size, width), initializer="glorot_uniform"
            )
            self.output_bias = self.add_weight(
                name="output_bias", shape=(size,), initializer="zeros"
            )
        self.built = True

    def output_weights(self):
        """Table (V, E) and bias (V,) of the output projection, for `vocabulary_loss`."""
        if self.tied:
            return self.embedding.embeddings, self.embedding.bias
        return self.output_table, self.output_bias

    def call(self, token_ids, memory, memory_mask=None, summary=None, training=False):
        """Give the logits after every token; see the class."""
        return self.logits(self.hidden(token_ids, memory, memory_mask, summary, training=training))

    def hidden(
        self,
        token_ids,
        memory,
        memory_mask=None,
        summary=None,
        *,
        training=False,
        return_weights=False,
    ):
        """Give what the output projection is applied to, which a fused loss wants.

        Args:
            token_ids: As in the call.
            memory: As in the call.
            memory_mask: As in the call.
            summary: As in the call.
            training: As in the call.
            return_weights: Whether to return the attention weights too.

        Returns:
            floating (B, U, E), in [-1, 1] before dropout; with `return_weights` a tuple of it and
            float32 (B, U, T), or None without attention.
        """
        state = self.start(memory, memory_mask, summary)
        vectors = self.embedding(token_ids, training=training)

        def look(states):
            return self._look(states, memory, memory_mask)

        hidden, _, weights = self._walk(vectors, state, look, training)
        return (hidden, weights) if return_weights else hidden

    def start(self, memory, memory_mask=None, summary=None):
        """Make the state before the first token.

        Args:
            memory: As in the call.
            memory_mask: As in the call.
            summary: As in the call.

        Returns:
            The nest of a `RecurrentStack`'s state: for each layer a list of floating (B, H).
        """
        if not self.built:
            raise ValueError(
                "The decoder has no weights yet; call it once, or call its build with the shapes "
                "of token ids and memory, before start."
            )
        if summary is None:
            summary = _masked_mean(tf.convert_to_tensor(memory), memory_mask)
        states = tf.split(self.bridge(summary), self._state_widths(), axis=-1)
        return tf.nest.pack_sequence_as(self._zero_state(), states)

    def stepper(self, memory, memory_mask=None):
        """Make the step that a search calls, with all that is the same at each step made once.

        Args:
            memory: As in the call.
            memory_mask: As in the call.

        Returns:
            `step(token_ids, state) → (logits, state, weights)`: `token_ids` int32 (B, K), the last
            token of each of a row's K beams; `state` a nest of floating (B·K, H); logits float32
            (B, K, V) of the next token; weights float32 (B, K, T), or None without attention.
        """
        memory = tf.convert_to_tensor(memory)
        keys = None if self.attention is None else self.attention.prepare(memory)
        kernel = self._kernel()

        def step(token_ids, state):
            return self.step(token_ids, state, memory, memory_mask, keys, kernel)

        return step

    def step(self, token_ids, state, memory, memory_mask=None, keys=None, kernel=None):
        """Go on by one token; `stepper` is the same with the last four settled.

        Args:
            token_ids: int32 (B, K).
            state: What `start` or the last step returned, with B·K rows.
            memory: As in the call, with B rows.
            memory_mask: As in the call, with B rows.
            keys: The attention's `prepare(memory)`, or None to make it.
            kernel: The output projection (E, V), or None to make it.

        Returns:
            `(logits, state, weights)`, as `stepper` says.
        """
        token_ids = tf.convert_to_tensor(token_ids)
        vectors = self.embedding(tf.reshape(token_ids, [-1, 1]))  # (B·K, 1, E)

        def beside(values):  # the beams of a row: (B·K, 1, H) → (B, K, H)
            shape = tf.concat([tf.shape(token_ids), [values.shape[-1]]], 0)
            return tf.ensure_shape(tf.reshape(values, shape), [*token_ids.shape, values.shape[-1]])

        def look(states):
            context, weights = self._look(beside(states), memory, memory_mask, keys)
            if context is not None:
                context = tf.reshape(context, [-1, 1, context.shape[-1]])
            return context, weights

        hidden, state, weights = self._walk(vectors, state, look, False)
        return self.logits(beside(hidden), kernel), state, weights

    def _walk(self, vectors, state, look, training):
        """From vectors (B, U, E) to hidden vectors (B, U, E), the state after, and weights."""
        below = self.stack.num_layers
        states, after = self.stack(vectors, initial_state=state[:below], training=training)
        context, weights = look(states)
        if self.upper is not None:
            states, upper = self.upper(
                states + self.mix(context), initial_state=state[below:], training=training
            )
            after = [*after, *upper]
        if context is not None:
            states = tf.concat([context, states], -1)
        return self.hidden_dropout(self.combine(states), training=training), after, weights

    def _look(self, states, memory, memory_mask, keys=None):
        """Attends: (B, N, H) → context (B, N, M) and weights (B, N, T), or None without."""
        if self.attention is None:
            return None, None
        memory = tf.cast(memory, states.dtype)
        return self.attention(
            states, memory, memory_mask=memory_mask, keys=keys, return_weights=True
        )

    def _kernel(self):
        if self.tied:
            return self.embedding.kernel()
        return tf.transpose(tf.cast(self.output_table, self.compute_dtype))

    def logits(self, hidden, kernel=None):
        """Project hidden vectors, floating (…, E), to logits, float32 (…, V)."""
        _, bias = self.output_weights()
        return project(hidden, self._kernel() if kernel is None else kernel, bias)

    def get_config(self):
        """All constructor arguments."""
        stack = self.stack.get_config()
        own = {name: getattr(self, name) for name in ("num_layers", "residual", "dropout")}
        return {
            **super().get_config(),
            "embedding": keras.saving.serialize_keras_object(self.embedding),
            "cell": stack["cell"],
            "units": stack["units"],
            **own,
            "attention": None if self.attention is None else self.attention.score,
            "hidden_dropout": self.hidden_dropout.rate,
            "layer_norm": self.layer_norm,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        """Make the decoder again from `get_config`'s dict."""
        embedding = keras.saving.deserialize_keras_object(config["embedding"])
        return cls(**{**config, "embedding": embedding})


def _masked_mean(memory, mask):
    """Mean over the real steps: (B, T, M) → (B, M), zeros where there is none."""
    if mask is None:
        return tf.reduce_mean(memory, 1)
    share = tf.cast(mask, tf.float32)
    share /= tf.maximum(tf.reduce_sum(share, 1, keepdims=True), 1.0)
    return tf.einsum("bt,btm->bm", tf.cast(share, memory.dtype), memory)
