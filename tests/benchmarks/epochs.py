"""A training epoch of each application, ours beside the same on Keras's own recurrent layers.

    python tests/benchmarks/epochs.py [APPLICATION …] [--data APPLICATION=DATA …]

Three ways with one pipeline, in turns of a step, after every shape of batch has been seen once:
ours; the same model on the loops of `keras.layers`; and those on batches that are all padded to
the longest row's length, as Keras's examples do. Compared are the sums over all batches of an
epoch, each shape's median times its count. Not beside anything else.
"""

import argparse
import collections
import json

import numpy as np
import tensorflow as tf
import timing

import rnn_apps
from rnn_apps.blocks import kernels

WAYS = ("rnn_apps", "Keras's layers", "Keras's layers, one length")
READERS = {
    "sentiment": (rnn_apps.SentimentClassifier, rnn_apps.data.load, {}),
    "forecasting": (rnn_apps.StockForecaster, rnn_apps.data.load_bars, {}),
    "captioning": (rnn_apps.ImageCaptioner, rnn_apps.data.load_captions, {}),
    "translation": (rnn_apps.Translator, rnn_apps.data.load_pairs, {}),
}


def prepared(application, data):
    """Return a compiled model and its feed of an epoch on the data's training part."""
    make, read, options = READERS[application]
    train = read(data, **options).train
    model = make()
    model.adapt(train)
    model.compile()
    examples = model.examples(train)
    return model, model.feed(examples, batch_size=64, shuffle=True, seed=0, sample_weight=None)


def longest(batches):
    """Return, for each leaf of the batches, its most steps, or None if none of it is padding."""
    leaves = [tf.nest.flatten(batch) for batch in batches]
    padded = [np.ndim(leaf) == 2 and np.asarray(leaf).dtype.kind == "i" for leaf in leaves[0]]
    return [
        max(row[n].shape[1] for row in leaves) if is_padded else None
        for n, is_padded in enumerate(padded)
    ]


def at_one_length(batch, lengths):
    """Pad every leaf of a batch that has steps to its most steps."""
    leaves = [
        leaf if most is None else np.pad(leaf, [(0, 0), (0, most - np.shape(leaf)[1])])
        for leaf, most in zip(tf.nest.flatten(batch), lengths, strict=True)
    ]
    return tf.nest.pack_sequence_as(batch, leaves)


def by_shape(batches):
    """Group batches by the shapes of their leaves."""
    groups = collections.defaultdict(list)
    for batch in batches:
        groups[tuple(np.shape(leaf) for leaf in tf.nest.flatten(batch))].append(batch)
    return list(groups.values())


def seconds(model, batches, scope, turns):
    """Return the seconds of an epoch over batches, as the docstring of this file says."""
    total = 0.0
    for group in by_shape(batches):
        given = [tf.nest.map_structure(tf.constant, batch) for batch in group[: turns + 1]]
        state = {"turn": 0}

        def step(given=given, state=state):
            with kernels.use(scope):
                model.train_on_batch(*given[state["turn"] % len(given)])
            state["turn"] += 1

        total += len(group) * timing.medians({"": step}, turns, warm_up=1)[""]
    return total


def compare(application, data, turns):
    """Time an epoch of an application in each way; print and return seconds and ratios."""
    model, feed = prepared(application, data)
    batches = list(feed)
    lengths = longest(batches)
    padded = [at_one_length(batch, lengths) for batch in batches]
    ways = {WAYS[0]: ("auto", batches), WAYS[1]: ("keras", batches)}
    if len(by_shape(padded)) < len(by_shape(batches)):
        ways[WAYS[2]] = ("keras", padded)
    spent = {}
    for way, (scope, given) in ways.items():
        model.make_train_function(force=True)  # traced anew, on other kernels
        spent[way] = seconds(model, given, scope, turns)
    found = {
        "data": data,
        "batches": len(batches),
        "shapes": len(by_shape(batches)),
        "seconds": spent,
        "ratios": timing.ratios(spent),
    }
    print(f"{application}, {len(batches)} batches of {found['shapes']} shapes", flush=True)
    for way, taken in spent.items():
        over = taken / spent[WAYS[0]]
        print(f"  {way:<28} {taken:7.1f} s an epoch, {over:.2f} of ours", flush=True)
    return found


def main(arguments=None):
    """Time all applications."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("applications", nargs="*", default=list(READERS))
    parser.add_argument("--data", nargs="*", default=[], metavar="APPLICATION=DATA")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--output")
    options = parser.parse_args(arguments)
    data = dict(given.split("=", 1) for given in options.data)
    found = {
        name: compare(name, data.get(name, "builtin"), options.turns)
        for name in options.applications
    }
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    return found


if __name__ == "__main__":
    main()
