"""How far back a stack learns."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.blocks.gradient_flow import gradient_flow, plot_gradient_flow
from rnn_apps.blocks.recurrent import RecurrentStack

B, T, F, H = 3, 5, 4, 6


def sequences(seed=0):
    return np.random.default_rng(seed).normal(size=(B, T, F)).astype("float32")


def squared(outputs):
    return tf.reduce_sum(outputs**2)


def test_the_norm_is_that_of_the_derivative_by_the_state():
    stack = RecurrentStack("gru", H)
    x = sequences()
    norms = gradient_flow(stack, x, squared)
    assert norms.shape == (1, T) and norms.dtype == np.float32
    layer = stack.forward_layers[0]
    state = layer.get_initial_state(B)
    states = []
    with tf.GradientTape() as tape:
        total = 0.0
        for t in range(T):
            output, state = layer.cell(x[:, t], state)
            tape.watch(output)
            state = [output]
            states.append(output)
            total += squared(output)
    # the derivative by h_t through its own output and all later steps
    expected = [np.linalg.norm(g) for g in tape.gradient(total, states)]
    np.testing.assert_allclose(norms[0], expected, rtol=1e-4)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn", "keras"])
def test_every_layer_and_step_has_a_norm(cell, bidirectional):
    cell = keras.layers.GRUCell(H, reset_after=False) if cell == "keras" else cell
    stack = RecurrentStack(
        cell, H, num_layers=2, bidirectional=bidirectional, layer_norm=True, residual=True
    )
    x = sequences()
    mask = np.arange(T)[None] < np.array([4, 2, 1])[:, None]
    seen = []

    def loss(outputs):
        seen.append(outputs)
        return tf.reduce_sum(tf.sin(outputs))

    norms = gradient_flow(stack, x, loss, mask=mask)
    assert norms.shape == (2, T)
    assert (norms[:, :4] > 0).all()
    np.testing.assert_array_equal(norms[:, 4], 0)


def test_measuring_sees_what_the_stack_returns():
    stack = RecurrentStack("lstm", H, num_layers=2, bidirectional=True, returns="both")
    x = sequences()
    expected = stack(x)
    found = []

    def loss(result):
        tf.nest.map_structure(
            lambda a, b: tf.debugging.assert_near(a, b, atol=1e-5), result, expected
        )
        found.append(True)
        return squared(result[0])

    gradient_flow(stack, x, loss)
    assert found


def test_truncation_shows_in_the_flow():
    stack = RecurrentStack("gru", H, truncate=3)
    norms = gradient_flow(stack, sequences(), lambda outputs: squared(outputs[:, -1]))
    np.testing.assert_array_equal(norms[0] > 0, [False, False, False, True, True])


def adding_problem(batch=32, steps=200):
    """Values in [0, 1), two of them marked, one in each half; the target is their sum."""
    rng = np.random.default_rng(0)
    values, marks = rng.uniform(size=(batch, steps)), np.zeros((batch, steps))
    for low, high in ((0, steps // 2), (steps // 2, steps)):
        marks[np.arange(batch), rng.integers(low, high, batch)] = 1
    return np.stack([values, marks], -1).astype("float32"), (values * marks).sum(1)


def flow(cell, bias=None, **options):
    """The gradient's norm at each of 200 steps of the adding problem, before any training."""
    keras.utils.set_random_seed(0)
    x, target = adding_problem()
    stack, head = RecurrentStack(cell, 64, **options), keras.layers.Dense(1)
    stack.build(x.shape)
    head.build((None, 64))
    if bias is not None:
        stack.forward_layers[0].cell.bias.assign(bias)
    return gradient_flow(
        stack, x, lambda outputs: tf.reduce_mean((head(outputs[:, -1])[:, 0] - target) ** 2)
    )[0]


def test_over_200_steps_a_simple_network_forgets_and_an_lstm_with_open_gates_does_not():
    """Untrained, Keras's initialisers; the LSTM's forget bias log T (Tallec & Ollivier 2018)."""
    simple = flow("simple_rnn")
    open_gates = np.concatenate([np.zeros(64), np.full(64, np.log(200)), np.zeros(128)])
    lstm = flow("lstm", open_gates)
    assert simple[0] / simple[-1] < 1e-4
    assert lstm[0] / lstm[-1] > 1e3 * simple[0] / simple[-1]


def test_memory_carries_the_gradient_from_the_middle_to_the_first_step():
    lost = {cell: flow(cell) for cell in ("simple_rnn", "lstm", "gru")}
    kept = {cell: flow(cell, memory=200) for cell in ("lstm", "gru")}
    for norms in lost.values():
        assert norms[0] < 0.05 * norms[100]
    for norms in kept.values():
        assert norms[0] > 0.3 * norms[100]


def test_the_picture_is_a_png_of_some_size(tmp_path):
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    norms = np.geomspace(1e-8, 1, 20).reshape(2, 10)
    plot_gradient_flow(norms, tmp_path / "flow.png")
    content = (tmp_path / "flow.png").read_bytes()
    assert content.startswith(b"\x89PNG") and len(content) > 5000
    assert pyplot.get_fignums() == before


def test_what_cannot_be_measured_is_said():
    stack = RecurrentStack("gru", H)
    with pytest.raises(ValueError, match="scalar"):
        gradient_flow(stack, sequences(), lambda outputs: outputs)
    with pytest.raises(ValueError, match="num_layers"):
        plot_gradient_flow(np.ones(3), "unused.png")
