"""What a model server cannot do with a graph: its operations, its signatures, their names."""

import dataclasses
import re

import tensorflow as tf

_SENTENCEPIECE = {f"Sentencepiece{kind}Op" for kind in ("", "Tokenize", "Detokenize", "IdToString")}
_OP_RULES = (
    (
        r"_?Xla\w+",
        "error",
        "calls XLA, which a model server has switched off by default",
        "Trace the function without jit_compile",
    ),
    (
        r"Cudnn\w+",
        "error",
        "runs on an NVIDIA GPU only",
        "Export with use_cudnn=False, or on a machine without GPU",
    ),
    (
        r"(Eager)?PyFunc(Stateless)?",
        "error",
        "calls back into a Python process, which is not there",
        "Replace tf.py_function and tf.numpy_function by TensorFlow operations",
    ),
    (
        r"Debug\w+|Print(V2)?",
        "warning",
        "writes debug output at every request",
        "Remove tf.print and tf.debugging from the endpoint",
    ),
)
_UNKNOWN_OP = (
    "error",
    "is neither core TensorFlow nor SentencePiece of tensorflow-text",
    "A stock model server may refuse to load it; say it in core operations",
)
_JSON_TYPES = {"float32", "float64", "bool", "string"} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
} - {"uint16"}
_GENERIC_NAME = r"(output|input|args|keras_tensor|inputs)_?\d+|keras_tensor"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One thing `check` noticed: `what` it is, and what to do about it (`advice`).

    `level` is "error" (a model server fails), "warning" (it works, but not as wished) or "note".
    """

    level: str
    what: str
    advice: str

    def __str__(self):
        return f"{self.level}: {self.what}. {self.advice}."


def nodes(graph):
    """Yields every node of a MetaGraphDef, those of its functions too."""
    yield from graph.graph_def.node
    for function in graph.graph_def.library.function:
        yield from function.node_def


def check_operations(graph):
    """Yields a `Finding` for each kind of operation that a model server does not run."""
    functions = {f.signature.name: f for f in graph.graph_def.library.function}
    compiled = [name for name, f in functions.items() if _is_compiled(f)]
    compiled += [node.name for node in nodes(graph) if _is_compiled(node)]
    if compiled:
        yield Finding(
            "error",
            f"XLA must compile {listed(compiled)} (_XlaMustCompile), which a "
            "model server refuses by default",
            "Trace the function without jit_compile",
        )
    found = {}
    for op in sorted({node.op for node in nodes(graph)} - set(functions) - _SENTENCEPIECE):
        rules = (rule[1:] for rule in _OP_RULES if re.fullmatch(rule[0], op))
        known = hasattr(tf.raw_ops, op) or op.startswith("_")
        rule = next(rules, None if known else _UNKNOWN_OP)
        if rule:
            found.setdefault(rule, []).append(op)
    for (level, what, advice), ops in found.items():
        yield Finding(level, f"{listed(ops)} {what}", advice)


def _is_compiled(proto):
    return "_XlaMustCompile" in proto.attr and proto.attr["_XlaMustCompile"].b


def listed(names):
    """Writes names with commas, the first eight of them."""
    names = list(dict.fromkeys(names))
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def check_signatures(signatures):
    """Yields a `Finding` for each input or output that a client or a batch stumbles over."""
    names = sorted(name for name in signatures if not name.startswith("__saved_model"))
    if not names:
        yield Finding(
            "error",
            "There is no signature, so nothing can be asked",
            "Save with signatures={'serving_default': …}",
        )
    elif "serving_default" not in names:
        yield Finding(
            "warning",
            f"No signature is called serving_default, only {listed(names)}",
            "Requests that name no signature fail; give the main one this name",
        )
    for name in names:
        for side in ("input", "output"):
            for key, info in sorted(getattr(signatures[name], f"{side}s").items()):
                where = f"The {side} {key!r} of {name!r}"
                yield from _check_shape(where, side, info)
                yield from _check_name_and_type(where, key, info)


def _check_shape(where, side, info):
    if info.WhichOneof("encoding") in ("coo_sparse", "composite_tensor"):
        yield Finding(
            "error",
            f"{where} is a sparse or ragged tensor",
            "JSON and batching carry dense tensors only; take and give those",
        )
        return
    dims = [dim.size for dim in info.tensor_shape.dim]
    if info.tensor_shape.unknown_rank:
        yield Finding("warning", f"{where} has no known rank", "Give it a shape: batch first")
    elif not dims or dims[0] != -1:
        yield Finding(
            "error",
            f"{where} has no batch dimension: its shape is {dims}",
            "Make dimension 0 the batch, of any size, or a server cannot batch requests",
        )
    elif -1 in dims[1:] and side == "output":
        yield Finding(
            "warning",
            f"{where} has the shape {dims}: its size depends on what else is in the batch",
            "Give a fixed size with a count or length beside it",
        )
    elif -1 in dims[1:]:
        yield Finding(
            "note",
            f"{where} has the shape {dims}: requests of different sizes cannot share a batch",
            "Set pad_variable_length_inputs, or take raw strings",
        )


def _check_name_and_type(where, key, info):
    dtype = tf.dtypes.as_dtype(info.dtype).name if info.dtype else "unknown"
    if dtype not in _JSON_TYPES:
        yield Finding("error", f"{where} is {dtype}, which REST cannot carry", "Cast it to float32")
    if key.endswith("_bytes") and dtype != "string":
        yield Finding(
            "warning",
            f"{where} is {dtype}, but the ending _bytes promises base64 text",
            "Rename it",
        )
    if re.fullmatch(_GENERIC_NAME, key):
        yield Finding(
            "warning",
            f"{where} has a name that says nothing",
            "Name inputs by tf.TensorSpec(…, name=…) and outputs by a dict",
        )
