"""LSTM, GRU and SimpleRNN with Keras's weights and our kernels, and the stack built of them."""

import types

import keras
import tensorflow as tf

from rnn_apps.blocks import kernels
from rnn_apps.blocks.initializers import LongMemory


class _FastLoop:
    """Give a `keras.layers.RNN` our kernels; everything around the loop stays Keras's.

    Attributes:
        truncate: Steps of truncated backpropagation through time, or None for all of them. Not
            part of the configuration: `RecurrentStack` sets it.
        beside_another: Whether another layer runs at the same time, as the other direction does.
            Likewise.
        weight_dropout: Fraction of the recurrent weights left out of a training batch. Likewise.
    """

    truncate = None
    beside_another = False
    weight_dropout = 0.0

    def inner_loop(self, sequences, initial_state, mask, training=False):
        path = kernels.choose(self, sequences, training)
        if path == "keras":
            return super().inner_loop(sequences, initial_state, mask, training=training)
        if path == "loop":
            return keras.layers.RNN.inner_loop(self, sequences, initial_state, mask, training)
        return kernels.run(path, self, sequences, initial_state, mask, training)

    def call(self, sequences, initial_state=None, mask=None, training=False):
        if sequences.shape[1] != 0:
            return super().call(
                sequences, initial_state=initial_state, mask=mask, training=training
            )
        # Keras reads the first step before it loops: give it one that is masked.
        batch = tf.shape(sequences)[0]
        result = super().call(
            tf.zeros(tf.stack([batch, 1, sequences.shape[2]]), sequences.dtype),
            initial_state=initial_state,
            mask=tf.zeros(tf.stack([batch, 1]), tf.bool),
            training=training,
        )
        if not self.return_sequences:
            return result
        return (result[0][:, :0], *result[1:]) if self.return_state else result[:, :0]


@keras.saving.register_keras_serializable(package="rnn_apps")
class LSTM(_FastLoop, keras.layers.LSTM):
    """Long short-term memory (Hochreiter & Schmidhuber 1997) on the kernels of this package.

    Constructor, call arguments, weights and results are those of `keras.layers.LSTM`; weights
    load both ways. Only the loop over the steps is ours (see `rnn_apps.blocks.kernels`). The
    gates are i, f, c, o; the forget gate's bias starts at 1 (Jozefowicz et al. 2015).

    Raises:
        ValueError: As `keras.layers.LSTM`; also if a second derivative is asked for in training.

    Example:
    >>> LSTM(4, return_sequences=True)(np.zeros((2, 3, 5), "float32")).shape
    TensorShape([2, 3, 4])
    """


@keras.saving.register_keras_serializable(package="rnn_apps")
class GRU(_FastLoop, keras.layers.GRU):
    """Gated recurrent unit (Cho et al. 2014) on the kernels of this package.

    Constructor, call arguments, weights and results are those of `keras.layers.GRU`; weights load
    both ways. `reset_after=False` runs Keras's own loop.

    Raises:
        ValueError: As `keras.layers.GRU`; also if a second derivative is asked for in training.

    Example:
    >>> GRU(4)(np.zeros((2, 3, 5), "float32")).shape
    TensorShape([2, 4])
    """


@keras.saving.register_keras_serializable(package="rnn_apps")
class SimpleRNN(_FastLoop, keras.layers.SimpleRNN):
    """Simple recurrent network (Elman 1990) on the kernels of this package.

    Constructor, call arguments, weights and results are those of `keras.layers.SimpleRNN`;
    weights load both ways.

    Raises:
        ValueError: As `keras.layers.SimpleRNN`; also if a second derivative is asked for in
            training.

    Example:
    >>> SimpleRNN(4)(np.zeros((2, 3, 5), "float32")).shape
    TensorShape([2, 4])
    """


class _CellLoop(_FastLoop, keras.layers.RNN):
    """A layer around any Keras cell, which Keras's own loop steps unless it is truncated."""


_LAYERS = {"lstm": LSTM, "gru": GRU, "simple_rnn": SimpleRNN}


@keras.saving.register_keras_serializable(package="rnn_apps")
class RecurrentStack(keras.layers.Layer):
    """Recurrent layers on top of each other, one or two directions, ready to use.

    Layer by layer: variational dropout on what enters (one mask for all steps, Gal & Ghahramani
    2016), the recurrent layer or a forward and a backward one side by side (Schuster & Paliwal
    1997), layer normalisation of what leaves (Ba et al. 2016), and the residual sum where the
    widths agree (Wu et al. 2016). Masked steps leave the states alone and come out as zeros, so
    that a padded row gives what the row alone gives.

    Args:
        cell: `"lstm"`, `"gru"`, `"simple_rnn"`, or a Keras cell, which is copied by its
            configuration for each layer and direction and brings its own number of units.
        units: Number of units of each layer and direction. Not used with a Keras cell.
        num_layers: Number of layers.
        bidirectional: Whether each layer also reads backwards; outputs are then 2H wide.
        residual: Whether a layer's input is added to its output where both have one width.
        dropout: Fraction of the features dropped on the way into each layer, in [0, 1).
        recurrent_dropout: Fraction of the state dropped on its way to the next step, in [0, 1);
            for an LSTM and a GRU by a mask for each gate, as Keras does, which costs some time.
        weight_dropout: Fraction of the recurrent weights that are left out of a training batch, in
            [0, 1), the same for all its steps (Wan et al. 2013; Merity et al. 2018).
        layer_norm: Whether what leaves each layer is normalised.
        truncate: Steps of truncated backpropagation through time (Williams & Peng 1990): values
            stay the same, and the gradient through the states is cut every `truncate` steps. None
            for none.
        memory: The longest dependency, in steps, that the gates are open for before training (see
            `LongMemory`); None for Keras's forget bias of 1. Not with a Keras cell or
            `"simple_rnn"`, which has no gates.
        returns: `"sequence"`, `"state"` or `"both"`.
        seed: Seed of the dropout masks, or None.
        **kwargs: `name`, `dtype`, `trainable` of `keras.layers.Layer`.

    Call arguments:
        sequences: floating (B, T, F).
        mask: bool (B, T), True at real steps, padding on the right; or None.
        initial_state: What a stack of the same settings returned as its state; or None for zeros.
        training: Whether dropout is on.

    Returns:
        `"sequence"`: floating (B, T, H), or (B, T, 2H) if bidirectional. `"state"`: a list with
        one entry for each layer, itself a list of the states (B, H) after the last real step: h
        and c for an LSTM, h for the others; backward ones behind the forward ones. `"both"`: a
        tuple of the two.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
    >>> stack = RecurrentStack("gru", 16, num_layers=2, bidirectional=True, returns="both")
    >>> sequence, state = stack(np.zeros((2, 5, 8), "float32"))
    >>> sequence.shape, len(state), state[0][0].shape
    (TensorShape([2, 5, 32]), 2, TensorShape([2, 16]))
    """

    def __init__(
        self,
        cell="lstm",
        units=128,
        *,
        num_layers=1,
        bidirectional=False,
        residual=False,
        dropout=0.0,
        recurrent_dropout=0.0,
        weight_dropout=0.0,
        layer_norm=False,
        truncate=None,
        memory=None,
        returns="sequence",
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self._cell = cell if isinstance(cell, str) else _serialized(cell)
        self.units = units if isinstance(cell, str) else _copy(self._cell).output_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.residual = residual
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.weight_dropout = weight_dropout
        self.layer_norm = layer_norm
        self.truncate = truncate
        self.memory = memory
        self.returns = returns
        self.seed = seed
        self.supports_masking = True
        self._check()
        numbers = range(num_layers)
        self.forward_layers = [self._make_layer(f"forward_{n}", False) for n in numbers]
        self.backward_layers = [
            self._make_layer(f"backward_{n}", True) for n in numbers if bidirectional
        ]
        self.norms = [
            keras.layers.LayerNormalization(name=f"norm_{n}", dtype=self.dtype_policy)
            for n in numbers
            if layer_norm
        ]
        self.dropouts = [
            keras.layers.SpatialDropout1D(
                dropout,
                seed=None if seed is None else seed + n,
                name=f"dropout_{n}",
                dtype=self.dtype_policy,
            )
            for n in numbers
            if dropout
        ]

    def _check(self):
        if isinstance(self._cell, str) and self._cell not in _LAYERS:
            raise ValueError(
                f"Expected cell to be one of {sorted(_LAYERS)} or a Keras cell, but got "
                f"{self._cell!r}; pass one of them."
            )
        for name, least in (("units", 1), ("num_layers", 1), ("truncate", 1)):
            value = getattr(self, name)
            if name == "truncate" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(
                    f"Expected {name} to be an integer of at least {least}, but got {value!r}."
                )
        for name in ("dropout", "recurrent_dropout", "weight_dropout"):
            value = getattr(self, name)
            if not 0 <= value < 1:
                raise ValueError(f"Expected {name} to be in [0, 1), but got {value!r}.")
        if self.recurrent_dropout and not isinstance(self._cell, str):
            raise ValueError(
                f"Got recurrent_dropout={self.recurrent_dropout} beside a Keras cell, which has "
                "its own; set it in the cell."
            )
        if self.weight_dropout and not isinstance(self._cell, str):
            raise ValueError(
                f"Got weight_dropout={self.weight_dropout} beside a Keras cell, whose weights are "
                f"its own; pass one of {sorted(_LAYERS)} as the cell."
            )
        if self.returns not in ("sequence", "state", "both"):
            raise ValueError(
                "Expected returns to be 'sequence', 'state' or 'both', but got "
                f"{self.returns!r}; pass one of them."
            )

    def _make_layer(self, name, backwards):
        options = {
            "return_sequences": True,
            "return_state": True,
            "go_backwards": backwards,
            "zero_output_for_mask": True,
            "name": name,
            "dtype": self.dtype_policy,
        }
        if self.memory is not None:
            cell = self._cell if isinstance(self._cell, str) else "of Keras"
            options["bias_initializer"] = LongMemory(cell, self.memory, self.seed)
            if cell == "lstm":
                options["unit_forget_bias"] = False
        if isinstance(self._cell, str):
            layer = _LAYERS[self._cell](
                self.units, recurrent_dropout=self.recurrent_dropout, seed=self.seed, **options
            )
        else:
            layer = _CellLoop(_copy(self._cell), **options)
        layer.truncate = self.truncate
        layer.beside_another = self.bidirectional
        if self.weight_dropout:
            layer.weight_dropout = self.weight_dropout
            layer.weight_seed = keras.random.SeedGenerator(self.seed)
        return layer

    def build(self, sequences_shape, initial_state_shape=None):
        """Build all layers for sequences of shape (B, T, F)."""
        width = sequences_shape[-1]
        for number, forward in enumerate(self.forward_layers):
            shape = (*sequences_shape[:2], width)
            for layer in self.directions(number):
                layer.build(shape)
                layer.built = True
            width = forward.cell.output_size * (2 if self.bidirectional else 1)
            if self.layer_norm:
                self.norms[number].build((*sequences_shape[:2], width))
        self.built = True

    def directions(self, number):
        """Return the forward and, if there is one, the backward layer of a number."""
        return [layers[number] for layers in (self.forward_layers, self.backward_layers) if layers]

    def call(self, sequences, mask=None, initial_state=None, training=None):
        """Run the stack; see the class."""

        def run(layer, inputs, state):
            return layer(inputs, initial_state=state, mask=mask, training=training)

        return self.walk(sequences, run, mask, initial_state, training)

    def walk(self, sequences, run, mask=None, initial_state=None, training=None):
        """Take sequences through all layers, each recurrent layer being run by `run`.

        Args:
            sequences: floating (B, T, F).
            run: `(layer, inputs, state) -> (outputs, *states)`, what `layer(inputs)` does.
            mask: As in the call.
            initial_state: As in the call.
            training: As in the call.

        Returns:
            What the call returns.

        Raises:
            ValueError: If `initial_state` has not one entry for each layer.
        """
        if initial_state is not None and len(initial_state) != self.num_layers:
            raise ValueError(
                f"Expected initial_state with {self.num_layers} entries, one for each layer, but "
                f"got {len(initial_state)}; pass the state of a stack with the same settings."
            )
        states = []
        for number in range(self.num_layers):
            inputs = sequences
            if self.dropout:
                inputs = self.dropouts[number](inputs, training=training)
            given = None if initial_state is None else initial_state[number]
            sequences, state = self._run_directions(number, inputs, run, given)
            states.append(state)
            if self.layer_norm:
                sequences = self.norms[number](sequences)
            if self.residual and sequences.shape[-1] == inputs.shape[-1]:
                sequences = sequences + keras.ops.cast(inputs, sequences.dtype)
        if mask is not None:
            zeros = keras.ops.zeros_like(sequences)
            sequences = keras.ops.where(keras.ops.cast(mask, "bool")[..., None], sequences, zeros)
        return {"sequence": sequences, "state": states, "both": (sequences, states)}[self.returns]

    def _run_directions(self, number, inputs, run, given):
        layers = self.directions(number)
        share = None if given is None else len(given) // len(layers)
        outputs, states = [], []
        for index, layer in enumerate(layers):
            state = None if given is None else list(given[index * share : (index + 1) * share])
            output, *state = run(layer, inputs, state)
            outputs.append(keras.ops.flip(output, axis=1) if layer.go_backwards else output)
            states.extend(state)
        return (keras.ops.concatenate(outputs, -1) if len(outputs) > 1 else outputs[0]), states

    def get_initial_state(self, batch_size):
        """Return zeros in the structure of the state.

        Args:
            batch_size: B, an integer or int32 ().

        Returns:
            A list with, for each layer, a list of floating (B, H).
        """
        return [
            [s for layer in self.directions(n) for s in layer.get_initial_state(batch_size)]
            for n in range(self.num_layers)
        ]

    def compute_mask(self, sequences, mask=None):
        """The sequence keeps its mask; states have none."""
        if self.returns == "sequence":
            return mask
        states = [[None] * len(s) for s in self._state_sizes()]
        return states if self.returns == "state" else (mask, states)

    def _state_sizes(self):
        """Widths of the states of each layer, nested as the state is."""
        return [
            [size for layer in self.directions(n) for size in layer.state_size]
            for n in range(self.num_layers)
        ]

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        """Shapes of what the call returns, in the same structure."""
        batch, steps = sequences_shape[:2]
        width = self.forward_layers[-1].cell.output_size * (2 if self.bidirectional else 1)
        states = [[(batch, size) for size in sizes] for sizes in self._state_sizes()]
        sequence = (batch, steps, width)
        return {"sequence": sequence, "state": states, "both": (sequence, states)}[self.returns]

    def get_config(self):
        """All constructor arguments."""
        names = ["units", "num_layers", "bidirectional", "residual", "dropout"]
        names += [
            "recurrent_dropout",
            "weight_dropout",
            "layer_norm",
            "truncate",
            "memory",
            "returns",
            "seed",
        ]
        cell = self._cell if isinstance(self._cell, str) else dict(self._cell)
        return {**super().get_config(), "cell": cell, **{n: getattr(self, n) for n in names}}

    @classmethod
    def from_config(cls, config):
        """Make the stack again from `get_config`'s dict."""
        return cls(**config)


def _serialized(cell):
    """Return a cell's configuration, wrapped so that Keras does not track what is in it."""
    if not isinstance(cell, dict):
        if not hasattr(cell, "state_size") or not hasattr(cell, "output_size"):
            raise ValueError(
                f"Expected cell to be one of {sorted(_LAYERS)} or a Keras cell with state_size "
                f"and output_size, but got {cell!r}; pass one of them."
            )
        cell = keras.saving.serialize_keras_object(cell)
    return types.MappingProxyType(cell)


def _copy(config):
    return keras.saving.deserialize_keras_object(dict(config))
