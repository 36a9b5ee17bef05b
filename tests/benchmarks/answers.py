"""How long an export takes to answer: a request alone, and thirty-two in a batch.

    python tests/benchmarks/answers.py [SAVED_MODELS]

Each export is called as a model server calls it, with the requests that are stored for it.
"""

import argparse
import base64
import json
import pathlib

import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops of exported tokenizers
import timing

TESTS = pathlib.Path(__file__).parents[1]
BATCH = 32


def first_request(application):
    """Return the inputs of an application's first stored request: name → array of one row."""
    stored = json.loads((TESTS / "ready_made" / f"{application}.json").read_text("utf-8"))
    inputs = next(case["inputs"] for case in stored if case["signature"] == "serving_default")
    return {name: [_plain(values[0])] for name, values in inputs.items()}


def _plain(value):
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def latencies(version, turns):
    """Time one export's `serving_default`; return milliseconds of one request and of a batch."""
    loaded = tf.saved_model.load(str(version))
    call = loaded.signatures["serving_default"]
    specs = call.structured_input_signature[1]
    request = first_request(version.parent.name)
    row = {name: tf.constant(value, specs[name].dtype) for name, value in request.items()}
    batch = {name: tf.repeat(value, BATCH, axis=0) for name, value in row.items()}

    def answer(given):
        return [value.numpy() for value in call(**given).values()]

    taken = timing.medians(
        {"one": lambda: answer(row), "batch": lambda: answer(batch)}, turns, warm_up=3
    )
    return {f"{name} ms": 1000 * seconds for name, seconds in taken.items()}


def main(arguments=None):
    """Time all exports of a folder."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folder", nargs="?", default=str(TESTS.parent / "saved_models"))
    parser.add_argument("--turns", type=int, default=25)
    parser.add_argument("--output")
    options = parser.parse_args(arguments)
    found = {}
    for version in sorted(pathlib.Path(options.folder).glob("*/1")):
        name = version.parent.name
        found[name] = latencies(version, options.turns)
        shown = ", ".join(f"{key.split()[0]} {value:.1f}" for key, value in found[name].items())
        print(f"{name}: {shown} ms (a batch is {BATCH})", flush=True)
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    return found


if __name__ == "__main__":
    main()
