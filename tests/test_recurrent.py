"""The recurrent layers and the stack built of them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.blocks import kernels, recurrent
from rnn_apps.blocks.recurrent import RecurrentStack

B, T, F, H = 3, 6, 5, 4
LENGTHS = (6, 3, 1)
CELLS = ("lstm", "gru", "simple_rnn")
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in ("gru", "simple_rnn", "keras")]


def sequences(seed=0, shape=(B, T, F)):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def right_mask():
    return np.arange(T)[None] < np.array(LENGTHS)[:, None]


def flat(result):
    return [np.asarray(leaf) for leaf in tf.nest.flatten(result)]


def make(cell="lstm", **options):
    return RecurrentStack(cell, H, **{"num_layers": 2, "returns": "both", **options})


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "SimpleRNN"])
def test_weights_load_both_ways(cell, tmp_path):
    def model(module):
        layer = getattr(module, cell)(H, name="rnn")
        return keras.Sequential([keras.Input((T, F)), layer])

    ours, theirs = model(recurrent), model(keras.layers)
    for source, target, path in ((ours, theirs, "a"), (theirs, ours, "b")):
        source.set_weights([w + 0.1 for w in source.get_weights()])
        source.save_weights(tmp_path / f"{path}.weights.h5")
        target.load_weights(tmp_path / f"{path}.weights.h5")
        np.testing.assert_allclose(ours(sequences()), theirs(sequences()), atol=1e-5)


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "SimpleRNN"])
def test_our_layers_have_keras_s_configuration(cell):
    ours = getattr(recurrent, cell)(H, dropout=0.3, go_backwards=True, name="rnn")
    theirs = getattr(keras.layers, cell).from_config(ours.get_config())
    assert theirs.get_config() == ours.get_config()


@pytest.mark.parametrize("cell", ["lstm", *SLOW])
def test_a_padded_row_gives_what_the_row_alone_gives_in_training(cell):
    check_padded(cell, bidirectional=True, training=True)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", [*CELLS, "keras"])
def test_a_padded_row_gives_what_the_row_alone_gives(cell, bidirectional):
    check_padded(cell, bidirectional, training=False)


def check_padded(cell, bidirectional, training):
    cell = keras.layers.GRUCell(H, reset_after=False) if cell == "keras" else cell
    stack = make(cell, bidirectional=bidirectional, residual=True, layer_norm=True, truncate=2)
    x = sequences().numpy()
    outputs, states = stack(x, mask=right_mask(), training=training)
    for row, length in enumerate(LENGTHS):
        alone, alone_states = stack(x[row : row + 1, :length], training=training)
        np.testing.assert_allclose(outputs[row, :length], alone[0], atol=1e-5)
        np.testing.assert_array_equal(outputs[row, length:], 0 * outputs[row, length:])
        for state, alone_state in zip(flat(states), flat(alone_states), strict=True):
            np.testing.assert_allclose(state[row], alone_state[0], atol=1e-5)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_the_stack_is_keras_s_layers_on_top_of_each_other(cell, bidirectional):
    stack = make(cell, bidirectional=bidirectional, returns="sequence")
    x = expected = sequences()
    stack(x)
    for number in range(2):
        parts = []
        for layer in stack.directions(number):
            parent = type(layer).__mro__[2]
            twin = parent(H, return_sequences=True, go_backwards=layer.go_backwards)
            twin.build(expected.shape)
            twin.set_weights(layer.get_weights())
            out = twin(expected)
            parts.append(out[:, ::-1] if layer.go_backwards else out)
        expected = tf.concat(parts, -1)
    np.testing.assert_allclose(stack(x), expected, atol=1e-5)
    np.testing.assert_allclose(stack(x, training=True), expected, atol=1e-5)


@pytest.mark.parametrize("cell", [*CELLS, "keras"])
def test_two_halves_with_the_state_between_are_the_whole(cell):
    cell = keras.layers.LSTMCell(H) if cell == "keras" else cell
    stack = make(cell)
    x = sequences()
    outputs, states = stack(x)
    first, between = stack(x[:, :2])
    second, last = stack(x[:, 2:], initial_state=between)
    np.testing.assert_allclose(tf.concat([first, second], 1), outputs, atol=1e-5)
    for state, expected in zip(flat(last), flat(states), strict=True):
        np.testing.assert_allclose(state, expected, atol=1e-5)
    zeros = stack.get_initial_state(B)
    tf.nest.assert_same_structure(zeros, states)
    np.testing.assert_allclose(stack(x, initial_state=zeros)[0], outputs, atol=1e-6)


def test_the_state_can_start_another_stack():
    encoder, decoder = make("lstm", returns="state"), make("lstm", returns="sequence")
    x = sequences()
    with tf.GradientTape() as tape:
        outputs = decoder(x, initial_state=encoder(x, training=True), training=True)
        loss = tf.reduce_sum(outputs)
    gradients = tape.gradient(loss, [v.value for v in encoder.trainable_variables])
    assert all(np.abs(g).max() > 0 for g in gradients)


def segment_gradients(stack, x, n):
    """Reference: run the stack segment by segment, cutting the gradient of what is carried."""
    states, outputs = None, []
    for start in range(0, x.shape[1], n):
        if states is not None:
            states = tf.nest.map_structure(tf.stop_gradient, states)
        part, states = stack(x[:, start : start + n], initial_state=states)
        outputs.append(part)
    return tf.concat(outputs, 1)


@pytest.mark.parametrize("path", ["plain", "xla"])
@pytest.mark.parametrize("cell", ["lstm", *SLOW])
def test_truncation_keeps_the_values_and_cuts_the_gradient(cell, path):
    cell = keras.layers.GRUCell(H, reset_after=False) if cell == "keras" else cell
    truncated, full = make(cell, truncate=4), make(cell)
    x = sequences()
    truncated(x), full(x)
    full.set_weights(truncated.get_weights())

    def gradients(stack, run):
        variables = [v.value for v in stack.trainable_variables]
        with tf.GradientTape() as tape:
            outputs = run(stack)
            loss = tf.reduce_sum(tf.sin(3 * outputs[:, -1])) + tf.reduce_sum(outputs**2)
        return outputs, tape.gradient(loss, variables)

    with kernels.use(path):
        values, ours = gradients(truncated, lambda s: s(x, training=True)[0])
        expected_values, expected = gradients(full, lambda s: segment_gradients(s, x, 4))
        _, uncut = gradients(full, lambda s: s(x, training=True)[0])
    np.testing.assert_allclose(values, expected_values, atol=1e-5)
    for gradient, reference in zip(ours, expected, strict=True):
        np.testing.assert_allclose(gradient, reference, atol=1e-4)
    assert max(np.abs(a - b).max() for a, b in zip(ours, uncut, strict=True)) > 1e-3


@pytest.mark.parametrize("cell", ["gru", pytest.param("lstm", marks=pytest.mark.slow)])
def test_a_truncated_padded_row_has_the_gradient_of_the_row_alone(cell):
    stack = make(cell, bidirectional=True, truncate=2, returns="sequence")
    x = sequences()
    stack(x)
    variables = [v.value for v in stack.trainable_variables]

    def gradients(inputs, mask=None):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(stack(inputs, mask=mask, training=True)))
        return tape.gradient(loss, variables)

    alone = [gradients(x[n : n + 1, :length]) for n, length in enumerate(LENGTHS)]
    for padded, *rows in zip(gradients(x, right_mask()), *alone, strict=True):
        np.testing.assert_allclose(padded, sum(rows), atol=1e-4)


@pytest.mark.parametrize("cell", [*CELLS, "keras"])
def test_a_training_step_moves_every_weight(cell):
    cell = keras.layers.LSTMCell(H) if cell == "keras" else cell
    stack = make(
        cell, bidirectional=True, residual=True, layer_norm=True, dropout=0.1, returns="sequence"
    )
    model = keras.Sequential([keras.Input((T, F)), stack, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    before = model.get_weights()
    model.fit(sequences(), np.ones((B, T, 1)), verbose=0)
    for weight, old in zip(model.trainable_weights, before, strict=True):
        assert np.abs(weight.numpy() - old).max() > 0, weight.path


def test_dropout_uses_one_mask_for_all_steps():
    class Remember(keras.layers.Layer):
        """A cell that gives its input out."""

        state_size = output_size = F

        def call(self, inputs, states):
            return inputs, states

    keras.saving.register_keras_serializable("test")(Remember)
    stack = RecurrentStack(Remember(), dropout=0.5, seed=1)
    outputs = stack(tf.ones((B, T, F)), training=True).numpy()
    assert set(np.unique(outputs)) == {0.0, 2.0}
    np.testing.assert_array_equal(outputs, np.broadcast_to(outputs[:, :1], outputs.shape))
    np.testing.assert_array_equal(stack(tf.ones((B, T, F))), np.ones((B, T, F)))


def test_recurrent_dropout_changes_training_only():
    stack = make("lstm", recurrent_dropout=0.5, returns="sequence", seed=2)
    x = sequences()
    np.testing.assert_array_equal(stack(x), stack(x, training=False))
    assert np.abs(stack(x, training=True) - stack(x)).max() > 1e-4


def test_residual_adds_the_input_where_widths_agree():
    stack = RecurrentStack("gru", F, residual=True)
    plain = RecurrentStack("gru", F)
    x = sequences()
    stack(x), plain(x)
    plain.set_weights(stack.get_weights())
    np.testing.assert_allclose(stack(x), plain(x) + x, atol=1e-6)


FULL = {
    "num_layers": 2,
    "bidirectional": True,
    "residual": True,
    "dropout": 0.2,
    "recurrent_dropout": 0.1,
    "layer_norm": True,
    "truncate": 3,
    "returns": "both",
    "seed": 7,
}


@pytest.mark.parametrize("cell", [*CELLS, "keras"])
def test_a_keras_file_gives_the_stack_back(cell, tmp_path):
    options = dict(FULL)
    if cell == "keras":
        cell = keras.layers.GRUCell(H, reset_after=False, dropout=0.1)
        del options["recurrent_dropout"]
    inputs = keras.Input((None, F))
    model = keras.Model(inputs, RecurrentStack(cell, H, name="stack", **options)(inputs))
    x = sequences()
    model.save(tmp_path / "stack.keras")
    loaded = keras.saving.load_model(tmp_path / "stack.keras")
    for ours, theirs in zip(flat(model(x)), flat(loaded(x)), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    stack = loaded.get_layer("stack")
    assert stack.get_config() == model.get_layer("stack").get_config()
    for name, value in options.items():
        assert getattr(stack, name) == value
    assert all(layer.truncate == 3 for n in range(2) for layer in stack.directions(n))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float64"])
@pytest.mark.parametrize("training", [False, True])
def test_other_precisions_work(policy, training):
    stack = make(bidirectional=True, layer_norm=True, residual=True, dtype=policy, truncate=2)
    outputs, states = stack(sequences(), mask=right_mask(), training=training)
    expected = "bfloat16" if policy == "mixed_bfloat16" else "float64"
    assert {leaf.dtype.name for leaf in [outputs, *tf.nest.flatten(states)]} == {expected}
    assert np.isfinite(tf.cast(outputs, "float32")).all()


def test_the_mask_travels_with_the_sequence_and_not_with_the_states():
    ids = keras.Input((None, F))
    masked = keras.layers.Masking()(ids)
    sequence, states = make()(masked)
    assert sequence._keras_mask is not None
    assert all(getattr(s, "_keras_mask", None) is None for s in keras.tree.flatten(states))


def test_shapes_without_running_are_the_shapes_of_running():
    for returns in ("sequence", "state", "both"):
        stack = make(bidirectional=True, returns=returns)
        shapes = stack.compute_output_shape((B, T, F)) if stack.built else None
        result = stack(sequences())
        shapes = stack.compute_output_shape((B, T, F))
        found = keras.tree.map_structure(lambda t: tuple(t.shape), result)
        assert keras.tree.flatten(shapes) == keras.tree.flatten(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "rnn"}, "'rnn'"),
        ({"cell": 3}, "Keras cell"),
        ({"units": 0}, "units"),
        ({"num_layers": 0}, "num_layers"),
        ({"dropout": 1.0}, "dropout"),
        ({"truncate": 0}, "truncate"),
        ({"returns": "last"}, "'last'"),
        ({"cell": keras.layers.GRUCell(3), "recurrent_dropout": 0.5}, "recurrent_dropout"),
    ],
)
def test_a_wrong_setting_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        RecurrentStack(**options)


def test_a_state_of_another_stack_is_refused():
    with pytest.raises(ValueError, match="one for each layer"):
        make()(sequences(), initial_state=make(num_layers=1)(sequences())[1])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_memory_opens_the_gates_that_keep(cell):
    stack = RecurrentStack(cell, 500, memory=50, bidirectional=True, seed=1)
    stack.build((None, None, 3))
    for layer in (*stack.forward_layers, *stack.backward_layers):
        bias = layer.cell.bias.numpy()
        keep = bias[500:1000] if cell == "lstm" else bias[0, :500]
        assert 0 <= keep.min() < 0.5 and np.log(45) < keep.max() <= np.log(49)
        np.testing.assert_allclose(np.exp(keep).mean(), 25, rtol=0.1)
        if cell == "lstm":
            np.testing.assert_array_equal(bias[:500], -keep)
            assert not bias[1000:].any()
        else:
            assert not bias[0, 500:].any() and not bias[1].any()
    again = RecurrentStack.from_config(stack.get_config())
    assert again.memory == 50


def test_memory_needs_gates():
    for cell in ("simple_rnn", keras.layers.GRUCell(4)):
        with pytest.raises(ValueError, match="'lstm' or 'gru'"):
            RecurrentStack(cell, 4, memory=10)


@pytest.mark.parametrize("path", ["plain", "halves", "keras"])
def test_dropped_weights_are_the_same_at_all_steps_of_a_batch_and_others_in_the_next(path):
    """A batch with dropped weights is what a stack with those weights at zero gives."""
    stack = recurrent.RecurrentStack("gru", 6, weight_dropout=0.5, seed=3)
    x = tf.constant(np.random.default_rng(0).normal(size=(3, 5, 4)).astype("float32"))
    stack.build(x.shape)
    (layer,) = stack.forward_layers
    kept = keras.random.SeedGenerator(3)
    whole = layer.cell.recurrent_kernel.numpy()
    plain = recurrent.RecurrentStack("gru", 6)
    plain.build(x.shape)
    for _ in range(2):
        plain.set_weights(layer.cell.get_weights())
        (other,) = plain.forward_layers
        other.cell.recurrent_kernel.assign(keras.random.dropout(whole, 0.5, seed=kept))
        assert not np.allclose(other.cell.recurrent_kernel, whole)
        with kernels.use(path):
            np.testing.assert_allclose(stack(x, training=True), plain(x), atol=1e-5)
    plain.set_weights(layer.cell.get_weights())
    np.testing.assert_allclose(stack(x), plain(x), atol=1e-6)
