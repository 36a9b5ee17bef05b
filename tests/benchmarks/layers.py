"""Our recurrent layers beside those of Keras, PyTorch and ONNX Runtime, on a CPU.

    python tests/benchmarks/layers.py [--cells lstm gru simple_rnn] [--output layers.json]

For each shape in turn: a training step (outputs, then the gradients of the weights and of the
input), and inference by an export. PyTorch and ONNX Runtime stand beside where they are installed.
"""

import argparse
import json
import os
import tempfile

import keras
import numpy as np
import tensorflow as tf
import timing

from rnn_apps import blocks
from rnn_apps.blocks import kernels

try:
    import torch
except ImportError:
    torch = None
try:
    import onnx
    import onnxruntime
except ImportError:
    onnx = onnxruntime = None

SHAPES = ((64, 100, 128, 256), (32, 500, 64, 128), (128, 25, 256, 512), (64, 250, 100, 64))
OURS = {"lstm": blocks.LSTM, "gru": blocks.GRU, "simple_rnn": blocks.SimpleRNN}
KERAS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "simple_rnn": keras.layers.SimpleRNN}
GATES = {"lstm": 4, "gru": 3, "simple_rnn": 1}
KERAS_ALONE, KERAS_XLA = "Keras", "Keras + XLA"


class Case:
    """One layer at one shape: its inputs, and the candidates that run it.

    Args:
        cell: "lstm", "gru" or "simple_rnn".
        shape: (B, T, F, H).
        masked: Whether lengths are uniform from T/4 to T.
        directions: 1 or 2.
    """

    def __init__(self, cell, shape, masked, directions):
        self.cell, self.shape, self.masked, self.directions = cell, shape, masked, directions
        batch, steps, features, units = shape
        random = np.random.default_rng(0)
        self.inputs = random.normal(size=(batch, steps, features)).astype("float32")
        self.above = random.normal(size=(batch, steps, units * directions)).astype("float32")
        low = steps // 4 if masked else steps
        self.lengths = random.integers(low, steps, size=batch, endpoint=True)
        self.lengths[0] = steps
        self.mask = np.arange(steps) < self.lengths[:, None]
        self.above *= self.mask[..., None]

    @property
    def name(self):
        """What a line of the table is called."""
        marks = [self.cell, "×".join(map(str, self.shape))]
        marks += ["masked"] * self.masked + ["both ways"] * (self.directions == 2)
        return " ".join(marks)

    def operations(self):
        """Floating point operations of the products of one forward pass."""
        batch, steps, features, units = self.shape
        width = GATES[self.cell] * units * self.directions
        return 2 * batch * steps * (features + units) * width

    def layer(self, kinds):
        """Make the layer of a library, with `keras.layers` or ours as `kinds`."""
        units = self.shape[-1]
        layer = kinds[self.cell](units, return_sequences=True)
        if self.directions == 2:
            layer = keras.layers.Bidirectional(layer)
        layer.build(self.inputs.shape)
        return layer

    def stack(self):
        """Make our layer as an application has it."""
        both = self.directions == 2
        stack = blocks.RecurrentStack(self.cell, self.shape[-1], bidirectional=both)
        stack.build(self.inputs.shape)
        return stack

    def training_step(self, layer, jit_compile=None):
        """Make a function that runs one training step of a Keras layer."""
        x, above = tf.constant(self.inputs), tf.constant(self.above)
        mask = tf.constant(self.mask) if self.masked else None

        @tf.function(jit_compile=jit_compile, autograph=False)
        def step(x, above, mask):
            weights = [weight.value for weight in layer.trainable_weights]
            with tf.GradientTape() as tape:
                tape.watch(x)
                outputs = layer(x, mask=mask, training=True)
            return outputs, tape.gradient(outputs, [x, *weights], output_gradients=above)

        return lambda: step(x, above, mask)[1][1].numpy()

    def torch_layer(self):
        """Make PyTorch's layer."""
        kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "simple_rnn": torch.nn.RNN}[self.cell]
        _, _, features, units = self.shape
        return kind(features, units, batch_first=True, bidirectional=self.directions == 2)

    def torch_step(self):
        """Make a function that runs one training step of PyTorch, packed if there is a mask."""
        layer = self.torch_layer()
        x = torch.tensor(self.inputs, requires_grad=True)
        above, lengths = torch.tensor(self.above), torch.tensor(self.lengths)

        def step():
            layer.zero_grad()
            x.grad = None
            given = x
            if self.masked:
                pack = torch.nn.utils.rnn.pack_padded_sequence
                given = pack(x, lengths, batch_first=True, enforce_sorted=False)
            outputs = layer(given)[0]
            if self.masked:
                unpack = torch.nn.utils.rnn.pad_packed_sequence
                outputs = unpack(outputs, batch_first=True)[0]
            outputs.backward(above)

        return step

    def torch_inference(self):
        """Make a function that runs PyTorch's layer without gradients."""
        layer, x = self.torch_layer().eval(), torch.tensor(self.inputs)

        def infer():
            with torch.inference_mode():
                layer(x)

        return infer

    def exported(self, layer, scope):
        """Export a Keras layer, load it, and make a function that calls it."""
        features = self.shape[2]
        inputs = {"x": keras.Input((None, features), name="x")}
        if self.masked:
            inputs["mask"] = keras.Input((None,), dtype="bool", name="mask")
        model = keras.Model(inputs, layer(inputs["x"], mask=inputs.get("mask")))
        with tempfile.TemporaryDirectory() as folder, scope:
            model.export(folder, format="tf_saved_model", verbose=False)
            loaded = tf.saved_model.load(folder)
        given = {"x": tf.constant(self.inputs)}
        if self.masked:
            given["mask"] = tf.constant(self.mask)
        signature = loaded.signatures["serving_default"]

        def infer():
            for output in signature(**given).values():
                output.numpy()

        infer.loaded = loaded  # whose variables live as long as it
        return infer

    def onnx_inference(self):
        """Make a function that runs the layer as one ONNX operation."""
        _, _, features, units = self.shape
        gates, both = GATES[self.cell], self.directions
        random = np.random.default_rng(0)
        weights = {
            "W": random.normal(0, 0.1, (both, gates * units, features)),
            "R": random.normal(0, 0.1, (both, gates * units, units)),
            "B": np.zeros((both, 2 * gates * units)),
        }
        make = onnx.helper
        kind = {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "RNN"}[self.cell]
        options = {"linear_before_reset": 1} if self.cell == "gru" else {}
        way = "bidirectional" if both == 2 else "forward"
        names = ["x", *weights] + ["lengths"] * self.masked
        node = make.make_node(kind, names, ["y"], hidden_size=units, direction=way, **options)
        floats, ints = onnx.TensorProto.FLOAT, onnx.TensorProto.INT32
        given = {"x": np.ascontiguousarray(self.inputs.swapaxes(0, 1))}
        inputs = [make.make_tensor_value_info("x", floats, [None, None, features])]
        if self.masked:
            given["lengths"] = self.lengths.astype("int32")
            inputs.append(make.make_tensor_value_info("lengths", ints, [None]))
        graph = make.make_graph(
            [node],
            "layer",
            inputs,
            [make.make_tensor_value_info("y", floats, [None, None, None, None])],
            [onnx.numpy_helper.from_array(v.astype("float32"), k) for k, v in weights.items()],
        )
        model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=9)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = os.cpu_count()
        # Threads that wait for work must not do so on the cores on which another is timed.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        return lambda: session.run(None, given)

    def training(self):
        """Give the candidates for a training step."""
        found = {
            "rnn_apps": self.training_step(self.stack()),
            KERAS_ALONE: self.training_step(self.layer(KERAS)),
            KERAS_XLA: self.training_step(self.layer(KERAS), jit_compile=True),
        }
        if torch:
            found["PyTorch"] = self.torch_step()
        return found

    def inference(self):
        """Give the candidates for inference."""
        found = {
            "rnn_apps": self.exported(self.stack(), kernels.portable()),
            KERAS_ALONE: self.exported(self.layer(KERAS), kernels.use("auto")),
        }
        if torch and not self.masked:
            found["PyTorch"] = self.torch_inference()
        if onnx:
            found["ONNX Runtime"] = self.onnx_inference()
        return found


def row(case, kind, turns, peak):
    """Time one case, print its line, and return it."""
    seconds = timing.medians(getattr(case, kind)(), turns)
    ratios = timing.ratios(seconds)
    if KERAS_XLA in ratios:
        ratios["better of Keras"] = min(ratios[KERAS_ALONE], ratios[KERAS_XLA])
    passes = 3 if kind == "training" else 1
    share = passes * case.operations() / seconds["rnn_apps"] / peak
    spent = "  ".join(f"{name} {1000 * s:.1f}" for name, s in seconds.items())
    print(f"  {case.name:<44} {spent}  ms; {share:.0%} of peak", flush=True)
    return {
        "case": case.name,
        "kind": kind,
        "milliseconds": {name: 1000 * s for name, s in seconds.items()},
        "ratios": ratios,
        "share_of_peak": share,
    }


def table(cell, kind, masked, directions, turns, peak, shapes=SHAPES):
    """Time one kind of work of one cell at all shapes; print and return rows and means."""
    rows = [row(Case(cell, s, masked, directions), kind, turns, peak) for s in shapes]
    means = timing.geometric_means([r["ratios"] for r in rows])
    least = min(r["ratios"].get("better of Keras", np.inf) for r in rows)
    text = ", ".join(f"{name} {mean:.2f}" for name, mean in means.items())
    print(f"  others over ours, geometric mean: {text}\n", flush=True)
    return {"rows": rows, "means": means, "least_over_keras": float(least)}


def decoder_step(cell, beams, turns, steps=64, width=256):
    """Time a greedy loop of a cell, ours and Keras's, as an export would run it."""
    own = blocks.RecurrentStack(cell, width, returns="both")
    own.build((None, None, width))
    keras_cell = KERAS[cell](width).cell
    keras_cell.build((None, width))
    x = tf.random.normal([beams, width])

    def looped(step, state):
        def call(x):
            flat = tf.nest.flatten(state)
            zeros = [tf.zeros([tf.shape(x)[0], s.shape[-1]]) for s in flat]
            start = tf.nest.pack_sequence_as(state, zeros)

            def body(t, x, state):
                x, state = step(x, state)
                x.set_shape([None, width])
                return t + 1, x, state

            return tf.while_loop(lambda t, *_: t < steps, body, (0, x, start))[1]

        with kernels.portable():
            spec = tf.TensorSpec([None, width], tf.float32)
            traced = tf.function(call, autograph=False).get_concrete_function(spec)
        return lambda: traced(x).numpy()

    def ours(x, state):
        outputs, state = own(x[:, None], initial_state=state)
        return outputs[:, 0], state

    candidates = {
        "rnn_apps": looped(ours, own.get_initial_state(1)),
        KERAS_ALONE: looped(keras_cell, keras_cell.get_initial_state(1)),
    }
    seconds = timing.medians(candidates, turns)
    ratio = seconds[KERAS_ALONE] / seconds["rnn_apps"]
    micros = {name: 1e6 * s / steps for name, s in seconds.items()}
    print(f"  {cell} {width}, {beams} rows: {micros} µs a step, ratio {ratio:.2f}", flush=True)
    return {"cell": cell, "rows": beams, "microseconds": micros, "ratio": ratio}


def main(arguments=None):
    """Time all layers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--cells", nargs="+", default=list(OURS), choices=list(OURS))
    parser.add_argument("--kinds", nargs="+", default=["training", "inference", "decoder"])
    parser.add_argument("--variants", nargs="+", default=["plain", "masked", "both"])
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--output")
    options = parser.parse_args(arguments)
    if torch:
        torch.set_num_threads(os.cpu_count())
    peak = timing.peak()
    print(f"{peak / 1e9:.0f} GFLOP/s in a large product on {os.cpu_count()} cores\n")
    found = {"peak_gflops": peak / 1e9}
    variants = {"plain": (False, 1), "masked": (True, 1), "both": (False, 2)}
    for cell in options.cells:
        for kind in set(options.kinds) & {"training", "inference"}:
            for variant in options.variants:
                print(f"{cell}, {kind}, {variant}")
                masked, directions = variants[variant]
                name = f"{cell}, {kind}, {variant}"
                found[name] = table(cell, kind, masked, directions, options.turns, peak)
        if "decoder" in options.kinds:
            found[f"{cell}, decoder"] = [decoder_step(cell, n, 3 * options.turns) for n in (1, 5)]
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    return found


if __name__ == "__main__":
    main()
