"""Answers requests through TensorFlow's C API, as Go, Java and Rust do: no line of its Python runs.

Reads a task as JSON from standard input, {"folder": TensorFlow's, "operations": a library of more
operations, "version": the SavedModel, "requests": [{"inputs": {tensor: [dtype, shape, values]},
"outputs": {name: tensor}}, …]}, with the bytes of strings in base64; prints the answers likewise,
[{name: [dtype, shape, values]}, …].
"""

import base64
import ctypes
import json
import math
import sys

STRING, STRING_BYTES = 7, 24  # TF_STRING, sizeof(TF_TString)
CODES = {"float32": 1, "int32": 3, "bool": 10, "int64": 9, "string": STRING}
C_TYPES = {1: ctypes.c_float, 3: ctypes.c_int32, 9: ctypes.c_int64, 10: ctypes.c_bool}
NAMES = {code: name for name, code in CODES.items()}
P, SIZE, TEXT, INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_int


class Output(ctypes.Structure):
    """TF_Output: an operation and which of its results."""

    _fields_ = (("operation", P), ("index", INT))


DIMS, OUTPUTS, POINTERS = ctypes.POINTER(ctypes.c_int64), ctypes.POINTER(Output), ctypes.POINTER(P)
DECLARED = {  # name: (returns, takes)
    "TF_NewStatus": (P, ()),
    "TF_GetCode": (INT, (P,)),
    "TF_Message": (TEXT, (P,)),
    "TF_LoadLibrary": (P, (TEXT, P)),
    "TF_NewGraph": (P, ()),
    "TF_NewSessionOptions": (P, ()),
    "TF_LoadSessionFromSavedModel": (
        P,
        (P, P, TEXT, ctypes.POINTER(TEXT), INT, P, P, P),
    ),
    "TF_GraphOperationByName": (P, (P, TEXT)),
    "TF_AllocateTensor": (P, (INT, DIMS, INT, SIZE)),
    "TF_DeleteTensor": (None, (P,)),
    "TF_TensorData": (P, (P,)),
    "TF_TensorType": (INT, (P,)),
    "TF_NumDims": (INT, (P,)),
    "TF_Dim": (ctypes.c_int64, (P, INT)),
    "TF_StringInit": (None, (P,)),
    "TF_StringCopy": (None, (P, TEXT, SIZE)),
    "TF_StringDealloc": (None, (P,)),
    "TF_StringGetDataPointer": (P, (P,)),
    "TF_StringGetSize": (SIZE, (P,)),
    "TF_SessionRun": (
        None,
        (P, P, OUTPUTS, POINTERS, INT, OUTPUTS, POINTERS, INT, POINTERS, INT, P, P),
    ),
    "TF_CloseSession": (None, (P, P)),
    "TF_DeleteSession": (None, (P, P)),
}


def library(folder):
    """The C API of an installed wheel, with the types of what is called."""
    # Libraries of more operations find the framework only if it is already there for all.
    ctypes.CDLL(f"{folder}/libtensorflow_framework.so.2", mode=ctypes.RTLD_GLOBAL)
    tf = ctypes.CDLL(f"{folder}/libtensorflow_cc.so.2", mode=ctypes.RTLD_GLOBAL)
    for name, (returns, takes) in DECLARED.items():
        function = getattr(tf, name)
        function.restype, function.argtypes = returns, takes
    return tf


def made(tf, dtype, shape, values):
    """A tensor of a flat list of values."""
    code, count = CODES[dtype], len(values)
    dims = (ctypes.c_int64 * len(shape))(*shape)
    size = STRING_BYTES if code == STRING else ctypes.sizeof(C_TYPES[code])
    tensor = tf.TF_AllocateTensor(code, dims, len(shape), count * size)
    data = tf.TF_TensorData(tensor)
    if code != STRING:
        ctypes.memmove(data, (C_TYPES[code] * count)(*values), count * size)
        return tensor
    for number, value in enumerate(map(base64.b64decode, values)):
        tf.TF_StringInit(data + number * STRING_BYTES)
        tf.TF_StringCopy(data + number * STRING_BYTES, value, len(value))
    return tensor


def read(tf, tensor):
    """[dtype, shape, flat values] of a tensor."""
    code, data = tf.TF_TensorType(tensor), tf.TF_TensorData(tensor)
    shape = [tf.TF_Dim(tensor, axis) for axis in range(tf.TF_NumDims(tensor))]
    count = math.prod(shape)
    if code != STRING:
        values = list((C_TYPES[code] * count).from_address(data)) if count else []
        return [NAMES[code], shape, values]
    values = []
    for place in range(data, data + count * STRING_BYTES, STRING_BYTES):
        content = ctypes.string_at(tf.TF_StringGetDataPointer(place), tf.TF_StringGetSize(place))
        values.append(base64.b64encode(content).decode())
    return [NAMES[code], shape, values]


def answer(task):
    """Loads the SavedModel and runs every request; an error of the C API ends the process."""
    tf = library(task["folder"])
    status, graph = tf.TF_NewStatus(), tf.TF_NewGraph()

    def checked(result=None):
        if tf.TF_GetCode(status):
            sys.exit(tf.TF_Message(status).decode())
        return result

    def output(tensor):
        name, index = tensor.split(":")
        return Output(tf.TF_GraphOperationByName(graph, name.encode()), int(index))

    checked(tf.TF_LoadLibrary(task["operations"].encode(), status))
    session = checked(
        tf.TF_LoadSessionFromSavedModel(
            tf.TF_NewSessionOptions(),
            None,
            task["version"].encode(),
            (TEXT * 1)(b"serve"),
            1,
            graph,
            None,
            status,
        )  # fmt: skip
    )
    answers = []
    for request in task["requests"]:
        inputs = [output(name) for name in request["inputs"]]
        given = [made(tf, *each) for each in request["inputs"].values()]
        fetched = [output(name) for name in request["outputs"].values()]
        results = (P * len(fetched))()
        tf.TF_SessionRun(
            session, None,
            (Output * len(inputs))(*inputs), (P * len(inputs))(*given), len(inputs),
            (Output * len(fetched))(*fetched), results, len(fetched),
            None, 0, None, status,
        )  # fmt: skip
        checked()
        names = request["outputs"]
        answers.append({name: read(tf, each) for name, each in zip(names, results, strict=True)})
        for tensor in [*given, *results]:
            tf.TF_DeleteTensor(tensor)
    tf.TF_CloseSession(session, status)
    tf.TF_DeleteSession(session, status)
    return checked(answers)


if __name__ == "__main__":
    result = answer(json.load(sys.stdin))
    assert "tensorflow" not in sys.modules
    json.dump(result, sys.stdout)
