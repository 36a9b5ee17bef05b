"""The sequence kernels under the recurrent layers, and the one place that chooses between them.

A recurrent layer can run on one of these paths:

- `"plain"`: a minimal `tf.while_loop` that takes several steps in a round and projects their
  inputs in one product, while they are in the cache. Only core TensorFlow ops, differentiable to
  any order. Inference, exports and everything inside `portable()` run it.
- `"xla"`: the input projection of all steps in one product, then a recurrence with a hand-written
  gradient, whose forward and backward loops are each compiled by XLA.
- `"halves"`: the same for each half of the batch, side by side. Training runs one of these two.
- `"keras"`: Keras's own code, for settings the others do not cover, and for a GPU (cuDNN).

All give the same values and gradients; `choose` decides.
"""

import contextlib
import contextvars

import keras
import tensorflow as tf

from rnn_apps.blocks import cells, compiled, halves, loops

_PATHS = ("auto", "plain", "xla", "halves", "keras")
_override = contextvars.ContextVar("rnn_apps_kernel", default="auto")


@contextlib.contextmanager
def use(path):
    """Run the recurrent layers inside the block on one path, whatever `choose` would say.

    A layer whose settings that path does not cover still falls back to Keras's own code.

    Args:
        path: `"auto"`, `"plain"`, `"xla"`, `"halves"` or `"keras"`.

    Yields:
        None.

    Raises:
        ValueError: If `path` is none of those.

    Example:
    >>> from rnn_apps import blocks
    >>> with use("plain"):
    ...     outputs = blocks.GRU(4)(np.zeros((2, 3, 5), "float32"), training=True)
    """
    if path not in _PATHS:
        raise ValueError(f"Expected path to be one of {_PATHS}, but got {path!r}.")
    token = _override.set(path)
    try:
        yield
    finally:
        _override.reset(token)


@contextlib.contextmanager
def portable():
    """Trace functions that run anywhere: no XLA, no cuDNN and no custom gradient inside the block.

    A TensorFlow Serving on a machine without a GPU and without XLA can run what is traced here.

    Yields:
        None.

    Example:
    >>> from rnn_apps import blocks
    >>> spec = tf.TensorSpec([None, None, 8], tf.float32)
    >>> with portable():
    ...     concrete = tf.function(blocks.LSTM(4)).get_concrete_function(spec)
    """
    with use("plain"):
        yield


def choose(layer, sequences, training):
    """Return the path that one call of a recurrent layer takes.

    Args:
        layer: The `keras.layers.RNN` that is called.
        sequences: floating (B, T, F), its input.
        training: Whether the call is part of training.

    Returns:
        `"plain"`, `"xla"` or `"halves"`: our kernels. `"keras"`: the layer's Keras parent, which
        takes cuDNN on a GPU. `"loop"`: the same without cuDNN. `"cell"`: the layer's own cell
        stepped in a plain loop, for truncated backpropagation, which Keras does not have.
    """
    asked = _override.get()
    truncated = getattr(layer, "truncate", None)
    covered = cells.of(layer) is not None
    plain = covered and not (training and cells.drops_by_gate(layer.cell))
    if training and getattr(layer, "weight_dropout", 0.0):  # which nothing of Keras's has
        if asked in ("auto", "keras") or (asked == "plain" and not plain):
            return "halves" if _gains_by_halves(layer) else "xla"
        return asked
    if not covered or asked == "keras" or (asked == "plain" and not plain):
        if truncated:
            return "cell"
        return "loop" if asked == "plain" else "keras"
    if asked != "auto":
        return asked
    if tf.config.list_logical_devices("GPU"):
        return ("plain" if plain else "cell") if truncated else "keras"
    if not training or 0 in sequences.shape[:2]:
        return "plain"
    return "halves" if _gains_by_halves(layer) else "xla"


def _gains_by_halves(layer):
    """Tell whether two halves of a batch side by side are faster than the whole.

    They are up to 1.6 times as fast with gates, and slower without, where a step is a small product
    and little else; a layer that runs beside another has no idle core to gain.
    """
    return cells.of(layer) is not cells.Simple and not getattr(layer, "beside_another", False)


def compiles(training):
    """Tell whether a block may have XLA compile a part of it, by the same rules.

    Args:
        training: Whether the call is part of training.

    Returns:
        bool: in training, unless a scope asks for the plain path or Keras's own.
    """
    return bool(training) and _override.get() in ("auto", "xla", "halves")


def run(path, layer, sequences, initial_state, mask, training):
    """Run a recurrent layer over whole sequences on one of our paths.

    Args:
        path: `"plain"`, `"xla"`, `"halves"` or `"cell"`, from `choose`.
        layer: A `keras.layers.RNN` with its cell built. Its `truncate` attribute, if it has one,
            is the number of steps after which the gradient through the state is cut.
        sequences: floating (B, T, F).
        initial_state: List of state tensors, each (B, H), as `keras.layers.RNN` passes them.
        mask: bool (B, T), False where a step is to be skipped, or None.
        training: Whether dropout is on.

    Returns:
        `(last_output, outputs, states)` as from `keras.layers.RNN.inner_loop`: floating (B, H),
        floating (B, T, H) — or (B, 1, H) without `return_sequences` — and a list of (B, H).
    """
    states = tf.nest.map_structure(tf.convert_to_tensor, list(initial_state))
    if path == "plain" and sequences.shape[1] == 1 and mask is None:
        return _one_step(layer, sequences, states, training)
    x, mask, cut = _time_major(layer, sequences, mask)
    if path == "cell":
        outputs, states = loops.cell_loop(layer, x, states, mask, cut, training)
        return *_finish(layer, outputs, mask, x), states
    cell = cells.of(layer)
    kernel, weights = _parts(layer, training)
    x = tf.cast(x, kernel.dtype)
    drops = _drops(layer.cell, x[0], states, training)
    whole = layer.return_sequences
    if path == "plain":
        x = x * drops[0][0] if drops[0] else x

        def loop(x, states, mask, cut, drops=None):
            return loops.plain_loop(cell, x, kernel, weights, states, mask, cut, whole)

        alone = not getattr(layer, "beside_another", False)
        run_loop = halves.halves_if_many if alone else _at_once
        outputs, states = run_loop(loop, x, states, mask, cut)
    else:

        def loop(x, states, mask, cut, drops):
            given = (states, mask, cut, whole, drops)
            return compiled.compiled_loop(cell, x, kernel, weights, *given)

        run_loop = halves.both_halves if path == "halves" else _at_once
        outputs, states = run_loop(loop, x, states, mask, cut, drops)
    return *_finish(layer, outputs, mask, x), states


def _at_once(loop, *given):
    return loop(*given)


def _parts(layer, training):
    """Return a layer's kernel and the weights of its recurrence, some dropped in training."""
    kernel, (recurrent, *others) = cells.of(layer).parts(layer.cell)
    rate = getattr(layer, "weight_dropout", 0.0)
    if training and rate:
        recurrent = keras.random.dropout(recurrent, rate, seed=layer.weight_seed)
    return kernel, [recurrent, *others]


def _drops(cell, x, states, training):
    """Return the dropout masks of input (B, F) and state, which Keras's cell makes and keeps.

    Each is a list: of no mask, of one for all gates, or of one for each of them.
    """
    if not training:
        return [], []
    masks = cell.get_dropout_mask(x), cell.get_recurrent_dropout_mask(states[0])
    return tuple([] if m is None else m if isinstance(m, list) else [m] for m in masks)


def _one_step(layer, sequences, states, training):
    """Take the only step of a sequence, as a decoder does for each token it writes.

    The bias is added to the sum of both products: beside one of them TensorFlow would fuse it, and
    the fused product takes up to twice as long for a few rows.
    """
    x = tf.squeeze(tf.convert_to_tensor(sequences), 1)
    drops, _ = _drops(layer.cell, x, states, training)
    x = x * drops[0] if drops else x
    cell = cells.of(layer)
    kernel, weights = _parts(layer, training)
    states = cell.step(tf.matmul(tf.cast(x, kernel.dtype), kernel), weights, states)
    return states[0], states[0][:, None], states


def _time_major(layer, sequences, mask):
    """Return (T, B, F), the mask and the truncation's boundaries, in the layer's own order."""
    x = tf.transpose(tf.convert_to_tensor(sequences), (1, 0, 2))  # (T, B, F)
    if mask is not None:
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        mask = tf.transpose(tf.cast(mask, tf.bool))[..., None]  # (T, B, 1)
    if layer.go_backwards:
        x = tf.reverse(x, (0,))
        mask = None if mask is None else tf.reverse(mask, (0,))
    return x, mask, _boundaries(getattr(layer, "truncate", None), mask, tf.shape(x)[0])


def scan_layer(layer, step, sequences, initial_state, mask=None):
    """Run a layer over whole sequences with a step of your own in place of its cell.

    Args:
        layer: A `keras.layers.RNN` that returns its sequence; gives direction and truncation.
        step: `(x_t, states) -> (output, states)`, the output as wide as the first state.
        sequences: floating (B, T, F).
        initial_state: List of floating (B, H).
        mask: bool (B, T) or None.

    Returns:
        `(outputs, *states)`: floating (B, T, H), zeros at masked steps, and the last states.
    """
    x, mask, cut = _time_major(layer, sequences, mask)
    states = [tf.convert_to_tensor(state, x.dtype) for state in initial_state]
    outputs, states = loops.scan(step, x, states, mask, cut, states[0].shape[-1])
    return _finish(layer, outputs, mask, x)[1], *states


def _boundaries(truncate, mask, steps):
    """Mark the steps before which truncated backpropagation cuts the gradient.

    A row's n-th, 2n-th, … step that is not masked begins a new segment, so that a padded row is
    cut where the same row alone would be. The initial state keeps its gradient.
    """
    if not truncate:
        return None
    if mask is None:
        seen = tf.range(steps)[:, None, None]  # (T, 1, 1)
        return (seen > 0) & (seen % truncate == 0)
    seen = tf.cumsum(tf.cast(mask, tf.int32), axis=0, exclusive=True)  # (T, B, 1)
    return mask & (seen > 0) & (seen % truncate == 0)


def _finish(layer, outputs, mask, x):
    """Turn the state after each step into Keras's outputs: masked steps repeat, or are zero."""
    if outputs.shape.rank == 2:  # only the last step was kept
        outputs = outputs[None]
        if mask is not None:
            seen = mask[-1:] if layer.zero_output_for_mask else mask
            seen = tf.reduce_any(seen, axis=0, keepdims=True)
            outputs = tf.where(seen, outputs, tf.zeros_like(outputs))
        elif x.shape[0] is None or x.shape[0] == 0:
            outputs = tf.where(tf.shape(x)[0] > 0, outputs, tf.zeros_like(outputs))
        return outputs[0], tf.transpose(outputs, (1, 0, 2))
    if mask is not None:
        seen = mask
        if not layer.zero_output_for_mask:
            seen = tf.cumsum(tf.cast(mask, tf.int32), axis=0) > 0
        outputs = tf.where(seen, outputs, tf.zeros_like(outputs))
    last = tf.reduce_sum(outputs[-1:], axis=0)  # zeros where there is no step at all
    return last, tf.transpose(outputs, (1, 0, 2))
