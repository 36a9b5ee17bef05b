"""How far back a recurrent stack learns: the gradient's norm at each step."""

import os

import numpy as np
import tensorflow as tf

from rnn_apps.blocks import kernels


def gradient_flow(stack, sequences, loss, mask=None):
    """Measure the gradient that reaches each layer's state at each step.

    Where the norms fall towards the left, the stack does not learn from what happened early
    (Bengio et al. 1994; Pascanu et al. 2013, section 2). A zero is added to the state h after each
    step; the gradient with respect to that zero is the whole derivative of the loss by the state,
    through the step's output and through all steps after it. An LSTM's h is perturbed, not its c.
    Dropout is off, and `truncate` cuts here as it does in training.

    Args:
        stack: A built or unbuilt `RecurrentStack`.
        sequences: floating (B, T, F).
        loss: Takes what `stack(sequences)` returns, gives a scalar.
        mask: bool (B, T), True at real steps, or None.

    Returns:
        numpy float32 (num_layers, T): the norm of the gradient over batch, units and directions.
        Zero at masked steps.

    Raises:
        ValueError: If the loss is not a scalar, or a cell's first state is not its output.

    Example:
    >>> from rnn_apps.blocks import RecurrentStack
    >>> stack = RecurrentStack("gru", 8, num_layers=2)
    >>> x = np.ones((2, 5, 3), "float32")
    >>> gradient_flow(stack, x, lambda outputs: tf.reduce_sum(outputs[:, -1])).shape
    (2, 5)
    """
    sequences = tf.convert_to_tensor(sequences, stack.compute_dtype)
    if not stack.built:
        stack.build(tuple(sequences.shape))
    mask = None if mask is None else tf.cast(mask, tf.bool)

    @tf.function(autograph=False)
    def measure():
        zeros = {}

        def run(layer, inputs, state):
            shape = (*inputs.shape[:2], layer.cell.output_size)
            zeros[layer.name] = tf.zeros(shape, layer.cell.compute_dtype)
            return _run_perturbed(layer, inputs, state, mask, zeros[layer.name])

        value = loss(stack.walk(sequences, run, mask=mask))
        if value.shape.rank != 0:
            raise ValueError(f"Expected loss to give a scalar, but got shape {value.shape}.")
        names = list(zeros)
        gradients = tf.gradients(value, [zeros[name] for name in names])
        return {
            name: tf.zeros_like(zeros[name]) if gradient is None else gradient
            for name, gradient in zip(names, gradients, strict=True)
        }

    by_layer = {name: tf.cast(g, tf.float32).numpy() for name, g in measure().items()}
    norms = np.zeros((stack.num_layers, sequences.shape[1]), np.float32)
    for number in range(stack.num_layers):
        parts = [by_layer[layer.name] for layer in stack.directions(number)]
        squares = sum(np.square(part, dtype=np.float64).sum(axis=(0, 2)) for part in parts)
        norms[number] = np.sqrt(squares)
    return norms


def _run_perturbed(layer, inputs, state, mask, zeros):
    """Run one recurrent layer as its call does, with zeros (B, T, H) added to its states."""
    width = inputs.shape[-1]
    joined = tf.concat([tf.cast(inputs, zeros.dtype), zeros], axis=-1)

    def step(joined_t, states):
        x_t, zeros_t = tf.split(joined_t, [width, layer.cell.output_size], axis=-1)
        output, after = layer.cell(x_t, states)
        first, *rest = after if isinstance(after, (list, tuple)) else [after]
        if not hasattr(first, "shape") or first.shape[-1] != output.shape[-1]:
            raise ValueError(
                f"Expected a cell whose first state is its output, but got {layer.cell!r}, whose "
                f"states have sizes {layer.cell.state_size}."
            )
        return output + zeros_t, [first + zeros_t, *rest]

    state = layer.get_initial_state(inputs.shape[0]) if state is None else state
    return kernels.scan_layer(layer, step, joined, state, mask)


def plot_gradient_flow(norms, path):
    """Draw the norms over the steps, one line for each layer, on a logarithmic scale.

    Args:
        norms: float (num_layers, T), from `gradient_flow`.
        path: Where the PNG goes.

    Raises:
        ValueError: If `norms` does not have two dimensions.

    Example:
    >>> plot_gradient_flow(np.ones((2, 5)), "gradient_flow.png")
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    norms = np.asarray(norms)
    if norms.ndim != 2:
        raise ValueError(f"Expected norms of shape (num_layers, T), but got {norms.shape}.")
    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for number, values in enumerate(norms):
        axes.plot(np.arange(len(values)), np.where(values > 0, values, np.nan), label=f"{number}")
    axes.set(xlabel="step", ylabel="norm of the gradient", yscale="log")
    axes.legend(title="layer")
    figure.savefig(os.fspath(path), format="png", dpi=120)
