"""The recurrent layers give Keras's values and gradients on every path."""

import inspect
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from rnn_apps.blocks import kernels, recurrent

B, T, F, H = 3, 5, 4, 6
NAMES = ("LSTM", "GRU", "SimpleRNN")
MASKS = {
    "none": None,
    "right": [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]],
    "any": [[0, 1, 0, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 0, 0]],
}


def sequences(seed=0, shape=(B, T, F)):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def mask_of(name):
    return None if MASKS[name] is None else np.array(MASKS[name], bool)


def pair(name, **options):
    """Keras's layer and ours with the same weights, none of them zero."""
    options = {"bias_initializer": "uniform", **options}
    if name == "LSTM":
        options["unit_forget_bias"] = False
    theirs = getattr(keras.layers, name)(H, **options)
    ours = getattr(recurrent, name)(H, **options)
    theirs.build((B, T, F))
    ours.build((B, T, F))
    ours.set_weights(theirs.get_weights())
    return theirs, ours


def values_and_gradients(layer, path, mask, training, state=None):
    x = sequences()
    with kernels.use(path), tf.GradientTape() as tape:
        tape.watch([x, *(state or [])])
        outputs = layer(x, mask=mask, training=training, initial_state=state)
        outputs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
        loss = sum(tf.reduce_sum(tf.sin(o * (n + 1.3))) for n, o in enumerate(outputs))
    wanted = [x, *(state or []), *(v.value for v in layer.trainable_variables)]
    return outputs, tape.gradient(loss, wanted)


def assert_same(layers, path, mask, training, state=None):
    (values, gradients), (ours, our_gradients) = (
        values_and_gradients(layer, path, mask, training, state) for layer in layers
    )
    for expected, value in zip(values, ours, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-5)
    for expected, value in zip(gradients, our_gradients, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-4)


@pytest.mark.parametrize("path", ["plain", "xla", pytest.param("halves", marks=pytest.mark.slow)])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", NAMES)
def test_values_and_gradients_are_keras_s(name, mask, path):
    state = [sequences(n + 1, (B, H)) for n in range(2 if name == "LSTM" else 1)]
    layers = pair(name, return_sequences=True, return_state=True)
    assert_same(layers, path, mask_of(mask), True, state)
    layers = pair(name, go_backwards=True, zero_output_for_mask=True)
    assert_same(layers, path, mask_of(mask), True)


@pytest.mark.slow
@pytest.mark.parametrize("path", ["plain", "xla"])
@pytest.mark.parametrize("name", NAMES)
def test_every_combination_of_settings_gives_keras_s_values_and_gradients(name, path):
    state = [sequences(n + 1, (B, H)) for n in range(2 if name == "LSTM" else 1)]
    flags = itertools.product((False, True), repeat=5)
    for (whole, states, backwards, zero, bias), mask in itertools.product(flags, MASKS):
        options = {"return_sequences": whole, "return_state": states, "use_bias": bias}
        layers = pair(name, go_backwards=backwards, zero_output_for_mask=zero, **options)
        assert_same(layers, path, mask_of(mask), True, state if states else None)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("LSTM", {"activation": "relu"}),
        ("LSTM", {"recurrent_activation": "hard_sigmoid"}),
        ("LSTM", {"implementation": 1}),
        ("LSTM", {"unroll": True}),
        ("GRU", {"reset_after": False}),
        ("GRU", {"use_bias": False}),
        ("SimpleRNN", {"activation": "relu"}),
    ],
)
def test_unusual_settings_give_keras_s_values_and_gradients(name, options):
    for path in ("auto", "plain"):
        assert_same(pair(name, **options), path, mask_of("right"), True)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    path=st.sampled_from(["plain", "xla", "halves"]),
    mask=st.sampled_from(sorted(MASKS)),
    sequence=st.booleans(),
    backwards=st.booleans(),
    use_bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_gradients_are_the_numerical_ones(name, path, mask, sequence, backwards, use_bias, seed):
    options = {"return_sequences": sequence, "go_backwards": backwards, "use_bias": use_bias}
    layer = getattr(recurrent, name)(H, dtype="float64", **options)
    layer.build((B, T, F))
    random = np.random.default_rng(seed)
    x = tf.constant(random.normal(size=(B, T, F)))
    wanted = [x, *(weight.value for weight in layer.trainable_variables)]
    ways = [random.normal(size=value.shape) for value in wanted]

    def loss(inputs):
        with kernels.use(path):
            return tf.reduce_sum(tf.sin(1.3 * layer(inputs, mask=mask_of(mask), training=True)))

    with tf.GradientTape() as tape:
        tape.watch(x)
        found = loss(x)
    gradients = tape.gradient(found, wanted)
    along = sum(np.sum(g * way) for g, way in zip(gradients, ways, strict=True))
    start, sides = [weight.numpy() for weight in layer.trainable_variables], []
    for far in (1e-5, -1e-5):
        for weight, value, way in zip(layer.trainable_variables, start, ways[1:], strict=True):
            weight.assign(value + far * way)
        sides.append(float(loss(x + far * ways[0])))
    np.testing.assert_allclose(along, (sides[0] - sides[1]) / 2e-5, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "options",
    [
        {"dropout": 0.5},
        {"recurrent_dropout": 0.5},
        {"dropout": 0.5, "recurrent_dropout": 0.5},
    ],
    ids="+".join,
)
@pytest.mark.parametrize("name", NAMES)
def test_dropout_gives_keras_s_values_and_gradients_for_the_same_seed(name, options):
    for path in ("auto", "plain"):
        layers = pair(name, seed=3, return_sequences=True, **options)
        assert_same(layers, path, mask_of("right"), True)
    ours = pair(name, seed=3, **options)[1]
    assert kernels.choose(ours, sequences(), True) in ("xla", "halves")
    with_dropout, _ = values_and_gradients(pair(name, seed=3, **options)[1], "auto", None, True)
    without, _ = values_and_gradients(pair(name, seed=3, **options)[1], "auto", None, False)
    assert np.abs(with_dropout[0] - without[0]).max() > 1e-3


@pytest.mark.parametrize(
    ("name", "path"), [("LSTM", "halves"), ("GRU", "halves"), ("SimpleRNN", "xla")]
)
def test_training_runs_a_layer_with_gates_in_halves_unless_another_runs_beside_it(name, path):
    layer = getattr(recurrent, name)(H)
    layer.build((B, T, F))
    assert kernels.choose(layer, sequences(), True) == path
    assert kernels.choose(layer, sequences(), False) == "plain"
    cell = {"LSTM": "lstm", "GRU": "gru", "SimpleRNN": "simple_rnn"}[name]
    stack = recurrent.RecurrentStack(cell, H, bidirectional=True)
    stack.build((B, T, F))
    assert [kernels.choose(layer, sequences(), True) for layer in stack.directions(0)] == [
        "xla"
    ] * 2


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_halves_of_an_unknown_number_of_rows_give_the_values_and_gradients_of_the_whole(rows):
    layer = recurrent.LSTM(H, return_sequences=True, dropout=0.3, seed=3)
    layer.build((B, T, F))
    layer.truncate = 2
    found = {}
    for path in ("xla", "halves"):
        layer.cell.seed_generator.state.assign(tf.zeros_like(layer.cell.seed_generator.state))

        @tf.function(input_signature=[tf.TensorSpec([None, None, F])], autograph=False)
        def gradients(x, path=path):
            with kernels.use(path), tf.GradientTape() as tape:
                tape.watch(x)
                outputs = layer(x, training=True)
            return outputs, *tape.gradient(outputs, [x, *(w.value for w in layer.weights[:3])])

        found[path] = gradients(sequences(0, (rows, T, F)))
    for whole, halves in zip(found["xla"], found["halves"], strict=True):
        np.testing.assert_allclose(halves, whole, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_one_step_of_no_rows_is_answered_with_a_mask_for_each_gate(name):
    layer = getattr(recurrent, name)(H, dropout=0.5, recurrent_dropout=0.5)
    assert layer(tf.zeros([0, 1, F]), training=True).shape == (0, H)


@pytest.mark.parametrize("name", NAMES)
def test_a_stateful_layer_carries_its_state(name):
    theirs, ours = (
        keras.Sequential([keras.Input(batch_shape=(B, T, F)), layer])
        for layer in (
            getattr(keras.layers, name)(H, stateful=True),
            getattr(recurrent, name)(H, stateful=True),
        )
    )
    ours.set_weights(theirs.get_weights())
    x = sequences()
    first = ours(x)
    np.testing.assert_allclose(first, theirs(x), atol=1e-5)
    second = ours(x)
    np.testing.assert_allclose(second, theirs(x), atol=1e-5)
    assert np.abs(second - first).max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_keras_s_bidirectional_wraps_our_layers(name):
    theirs, ours = (
        keras.layers.Bidirectional(layer)
        for layer in (
            getattr(keras.layers, name)(H, return_sequences=True),
            getattr(recurrent, name)(H, return_sequences=True),
        )
    )
    x, mask = sequences(), mask_of("right")
    theirs(x), ours(x)
    ours.set_weights(theirs.get_weights())
    for training in (False, True):
        expected = theirs(x, mask=mask)
        np.testing.assert_allclose(ours(x, mask=mask, training=training), expected, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_stepping_the_cell_gives_the_whole_sequence(name):
    layer = getattr(recurrent, name)(H, return_sequences=True)
    x = sequences()
    whole = layer(x)
    states = layer.get_initial_state(B)
    for t in range(T):
        output, states = layer.cell(x[:, t], states)
        np.testing.assert_allclose(output, whole[:, t], atol=1e-5)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_no_rows_and_no_steps_are_answered(name, training):
    layer = getattr(recurrent, name)(H, return_sequences=True, return_state=True)
    layer.build((None, None, F))
    traced = tf.function(
        lambda x: layer(x, training=training), input_signature=[tf.TensorSpec((None, None, F))]
    )
    for call in (lambda x: layer(x, training=training), traced):
        outputs, *states = call(tf.zeros((0, T, F)))
        assert outputs.shape == (0, T, H)
        assert states[0].shape == (0, H)
        outputs, *states = call(tf.zeros((B, 0, F)))
        assert outputs.shape == (B, 0, H)
        np.testing.assert_array_equal(states[0], np.zeros((B, H)))


@pytest.mark.parametrize("name", NAMES)
def test_no_steps_have_a_zero_gradient_in_a_compiled_loop(name):
    layer = getattr(recurrent, name)(H)
    layer.build((None, None, F))

    @tf.function(input_signature=[tf.TensorSpec((None, None, F))])
    def gradients(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(loss, [v.value for v in layer.trainable_variables])

    for gradient in gradients(tf.zeros((B, 0, F))):
        np.testing.assert_array_equal(gradient, np.zeros(gradient.shape))


def operations(concrete):
    graph = concrete.graph.as_graph_def()
    nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
    attributes = {key for f in graph.library.function for key in f.attr}
    must_compile = any(
        holder.attr["_XlaMustCompile"].b
        for holder in [*graph.node, *graph.library.function, *nodes]
        if "_XlaMustCompile" in holder.attr
    )
    names = {node.op for node in nodes}
    gradients = {node.attr["_gradient_op_type"].s for node in nodes} - {b""}
    return names, attributes, must_compile, {g for g in gradients if b"CustomGradient" in g}


@pytest.mark.parametrize("name", NAMES)
def test_a_portable_function_holds_no_xla_no_cudnn_and_no_custom_gradient(name):
    layer = getattr(recurrent, name)(H, return_sequences=True)
    layer(sequences(), training=True)

    def trace():
        function = tf.function(lambda x: layer(x, training=True), autograph=False)
        return function.get_concrete_function(tf.TensorSpec((None, None, F)))

    with kernels.portable():
        names, _, must_compile, gradients = operations(trace())
    assert not must_compile
    assert not gradients
    assert not {n for n in names if "Cudnn" in n or "Xla" in n}
    _, _, must_compile, gradients = operations(trace())
    assert must_compile and gradients  # else the assertions above could not fail


@pytest.mark.parametrize("name", NAMES)
def test_a_second_derivative_is_right_or_refused(name):
    _, layer = pair(name)
    x = sequences()

    def second(path, training=True):
        with kernels.use(path), tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                loss = tf.reduce_sum(layer(x, training=training))
            first = inner.gradient(loss, x)
            norm = tf.reduce_sum(first**2)
        return outer.gradient(norm, x)

    np.testing.assert_allclose(second("plain"), second("keras"), atol=1e-4)
    with pytest.raises(ValueError, match="second derivative"):
        second("xla")
    with pytest.raises(ValueError, match="second derivative"):
        tf.function(second, autograph=False)("xla")


def test_the_signature_of_inner_loop_is_the_one_we_override():
    expected = ["self", "sequences", "initial_state", "mask", "training"]
    for parent in (keras.layers.RNN, keras.layers.LSTM, keras.layers.GRU, keras.layers.SimpleRNN):
        assert list(inspect.signature(parent.inner_loop).parameters) == expected
    for layer in (recurrent.LSTM, recurrent.GRU, recurrent.SimpleRNN):
        assert list(inspect.signature(layer.inner_loop).parameters) == expected


@pytest.mark.parametrize("path", ["plain", pytest.param("xla", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_other_precisions_work(name, path):
    x = sequences()
    for policy, tolerance in (("float64", 1e-12), ("mixed_bfloat16", 0.05)):
        theirs = getattr(keras.layers, name)(H, return_sequences=True, dtype=policy)
        ours = getattr(recurrent, name)(H, return_sequences=True, dtype=policy)
        theirs.build((B, T, F))
        ours.build((B, T, F))
        ours.set_weights(theirs.get_weights())
        with kernels.use(path), tf.GradientTape() as tape:
            outputs = ours(x, training=True, mask=mask_of("right"))
            loss = tf.reduce_sum(tf.cast(outputs, "float32"))
        expected = theirs(x, mask=mask_of("right"))
        assert outputs.dtype == expected.dtype
        np.testing.assert_allclose(
            tf.cast(outputs, "float64"), tf.cast(expected, "float64"), atol=tolerance
        )
        gradients = tape.gradient(loss, [v.value for v in ours.trainable_variables])
        assert [g.dtype for g in gradients] == [v.dtype for v in ours.trainable_variables]
        assert all(np.isfinite(tf.cast(g, "float64")).all() for g in gradients)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_a_served_layer_answers_many_rows_as_it_answers_them_one_by_one(whole, masked):
    layer = recurrent.LSTM(128, return_sequences=whole, return_state=True)
    layer.build((None, T, F))

    @tf.function(
        input_signature=[tf.TensorSpec([None, None, F]), tf.TensorSpec([None, None], bool)]
    )
    def served(x, mask):
        with kernels.portable():
            return layer(x, mask=mask if masked else None)

    graph = served.get_concrete_function().graph.as_graph_def()
    assert any(node.op in ("If", "StatelessIf") for node in graph.node)  # many rows go in halves
    x, mask = sequences(0, (33, T, F)), np.arange(T) < np.arange(1, 34)[:, None]
    together = served(x, mask)
    alone = [served(x[n : n + 1], mask[n : n + 1]) for n in range(33)]
    for outputs, parts in zip(together, zip(*alone, strict=True), strict=True):
        np.testing.assert_allclose(outputs, np.concatenate(parts), atol=1e-6)


def test_two_layers_of_different_width_share_the_compiled_functions():
    for units in (4, 7):
        layer = recurrent.LSTM(units)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(sequences(), training=True))
        assert tape.gradient(loss, layer.cell.recurrent_kernel.value).shape == (units, 4 * units)


@pytest.mark.slow
def test_a_training_step_compiled_as_a_whole_gives_the_same_loss():
    losses = []
    for compiled in (False, True):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((T, F)), recurrent.LSTM(H), keras.layers.Dense(1)])
        model.compile("sgd", "mse", jit_compile=compiled)
        losses.append(model.fit(sequences(), np.ones(B), epochs=3, verbose=0).history["loss"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_an_unknown_path_is_refused():
    with pytest.raises(ValueError, match="'fast'"), kernels.use("fast"):
        pass


def test_the_override_ends_with_its_block():
    layer = recurrent.LSTM(H)
    layer.build((B, T, F))
    with kernels.portable():
        assert kernels.choose(layer, sequences(), True) == "plain"
        with kernels.use("xla"):
            assert kernels.choose(layer, sequences(), False) == "xla"
        assert kernels.choose(layer, sequences(), True) == "plain"
    assert kernels.choose(layer, sequences(), False) == "plain"


def test_portable_reaches_threads_only_where_it_is_entered():
    """The scope is the caller's: another thread that trains meanwhile keeps its kernels."""
    import threading

    layer = recurrent.LSTM(H)
    layer.build((B, T, F))
    seen = []
    with kernels.use("keras"):
        thread = threading.Thread(
            target=lambda: seen.append(kernels.choose(layer, sequences(), False))
        )
        thread.start()
        thread.join()
    assert seen != ["keras"]
