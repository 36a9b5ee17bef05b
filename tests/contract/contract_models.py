"""The models that the contract is tried on: small ones for its rules, and the ready-made exports.

`python contract_models.py FOLDER [BASE]` writes them, with the configuration of a server that finds
them at BASE, such as /models in a container.
"""

import pathlib
import shutil
import sys

import tensorflow as tf

EXPORTS = pathlib.Path(__file__).parents[2] / "saved_models"
KINDS = (
    "float32", "float64", "int32", "int16", "int8", "uint8", "int64", "uint32", "uint64", "bool",
    "string",
)  # fmt: skip
APPLICATIONS = ("captioning", "forecasting", "language", "sentiment", "translation")


def write(folder, base=None, applications=APPLICATIONS):
    """Writes the models, `models.config` and `monitoring.config`; returns the folder.

    Args:
        folder: path of a new folder.
        base: path of the folder as the server sees it; the same where it is None.
        applications: the ready-made exports to copy.
    """
    folder = pathlib.Path(folder)
    for version in (1, 2, 3):
        half_plus_two(folder / "half_plus_two" / str(version), offset=version - 1)
    rules(folder / "rules" / "7")
    for application in applications:
        shutil.copytree(EXPORTS / application, folder / application)
    base = folder if base is None else pathlib.PurePosixPath(base)
    policy = (
        "model_version_policy { specific { versions: 1 versions: 2 } } "
        'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }'
    )
    (folder / "models.config").write_text(
        "model_config_list {\n"
        + "".join(
            f'config {{ name: "{name}" base_path: "{base / name}" model_platform: "tensorflow" '
            f"{policy if name == 'half_plus_two' else ''} }}\n"
            for name in ("half_plus_two", "rules", *applications)
        )
        + "}\n"
    )
    (folder / "monitoring.config").write_text(
        'prometheus_config { enable: true, path: "/monitoring/prometheus/metrics" }\n'
    )
    return folder


def spec(kind="float32", shape=(None,), name="x"):
    return tf.TensorSpec(shape, kind, name)


def half_plus_two(folder, offset):
    """x / 2 + 2 + offset, as prediction, as class and as value."""
    module = tf.Module()

    def halves(x):
        return x / 2 + 2 + offset

    def of_examples(inputs):
        parsed = tf.io.parse_example(inputs, {"x": tf.io.FixedLenFeature([], tf.float32)})
        return halves(parsed["x"])

    @tf.function(input_signature=[spec()])
    def predict(x):
        return {"y": halves(x)}

    @tf.function(input_signature=[spec("string", name="inputs")])
    def classify(inputs):
        values = of_examples(inputs)
        classes = tf.tile([["low", "high"]], [tf.size(values), 1])
        return {"classes": classes, "scores": tf.stack([-values, values], 1)}

    @tf.function(input_signature=[spec("string", name="inputs")])
    def scores_only(inputs):
        return {"scores": of_examples(inputs)[:, None]}

    @tf.function(input_signature=[spec("string", name="inputs")])
    def regress(inputs):
        return {"outputs": of_examples(inputs)[:, None]}

    module.functions = predict, classify, scores_only, regress
    signatures = {
        "serving_default": predict,
        "classify": classify,
        "scores_only": scores_only,
        "regress": regress,
    }
    tf.saved_model.save(module, str(folder), signatures)


def rules(folder):
    """One signature for each rule about types, shapes, names and numbers of tensors."""
    module, signatures = tf.Module(), {}

    def add(name, call, *specs):
        signatures[name] = tf.function(call, input_signature=specs)

    for kind in KINDS:
        add(kind, lambda x: {"y": tf.identity(x)}, spec(kind, None))
    add("half", lambda x: {"y": tf.cast(x, "float32")}, spec("float16", None))
    add("half_output", lambda x: {"y": tf.cast(x, "float16")}, spec())
    add("bytes", lambda x: {"y_bytes": tf.identity(x)}, spec("string"))
    add("texts", lambda x: {"y": tf.identity(x), "y_bytes": tf.identity(x)}, spec("string"))
    add("scalar", lambda x: {"y": tf.reduce_sum(x)}, spec())
    add("sizes", lambda x: {"a": tf.concat([x, x], 0), "b": tf.identity(x)}, spec())
    add("sum", lambda a, b: {"y": a + b}, spec(name="a"), spec(name="b"))
    add("pairs", lambda x: {"sum": tf.reduce_sum(x, 1), "x": tf.identity(x)}, spec(shape=(None, 2)))
    add("inverse", lambda x: {"y": 1 / x}, spec())

    def positive(x):
        with tf.control_dependencies([tf.debugging.assert_positive(x, "only positive numbers")]):
            return {"y": tf.identity(x)}

    add("positive", positive, spec())
    signatures["serving_default"] = signatures["sum"]
    module.functions = [*signatures.values()]
    tf.saved_model.save(module, str(folder), signatures)


if __name__ == "__main__":
    write(*sys.argv[1:])
