"""A training epoch of each application, ours beside the same on Keras's own recurrent layers.

    python tests/benchmarks/epochs.py [APPLICATION …] [--data APPLICATION=DATA …]

Three ways with one pipeline, in turns of a step, after every shape of batch has been seen once:
ours; the same model on the loops of `keras.layers`; and those on batches that are all padded to
the longest row's length, as Keras's examples do. Compared are the sums over all batches of an
epoch, each shape's median times its count. Not beside anything else.
"""

import argparse
import collections
import functools
import itertools
import json

import numpy as np
import tensorflow as tf
import timing

import rnn_apps
from rnn_apps.blocks import kernels

WAYS = ("rnn_apps", "Keras's layers", "Keras's layers, one length")
READERS = {
    "sentiment": (rnn_apps.SentimentClassifier, rnn_apps.data.load),
    "forecasting": (rnn_apps.StockForecaster, rnn_apps.data.load_bars),
    "captioning": (rnn_apps.ImageCaptioner, rnn_apps.data.load_captions),
    "translation": (rnn_apps.Translator, rnn_apps.data.load_pairs),
}


def prepared(application, data):
    """Return a compiled model and its feed of an epoch on the data's training part."""
    make, read = READERS[application]
    train = read(data).train
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


def stepper(model, scope):
    """Return a function that trains on a batch, with a training function of its own."""
    model.make_train_function(force=True)
    function = model.train_function

    def step(batches):
        model.train_function = function
        with kernels.use(scope):
            model.train_on_batch(*next(batches))

    return step


def compare(application, data, turns):
    """Time an epoch of an application in each way; print and return seconds and ratios."""
    model, feed = prepared(application, data)
    batches = list(feed)
    groups, lengths = by_shape(batches), longest(batches)
    steps = {way: stepper(model, "auto" if way == WAYS[0] else "keras") for way in WAYS}
    if len(groups) == len(by_shape([at_one_length(batch, lengths) for batch in batches])):
        del steps[WAYS[2]]  # there is no padding
    spent = dict.fromkeys(steps, 0.0)
    for group in groups:
        given = {way: itertools.cycle(group[: turns + 1]) for way in steps}
        if WAYS[2] in given:
            padded = [at_one_length(batch, lengths) for batch in group[: turns + 1]]
            given[WAYS[2]] = itertools.cycle(padded)
        calls = {way: functools.partial(steps[way], given[way]) for way in steps}
        for way, seconds in timing.medians(calls, turns, warm_up=1).items():
            spent[way] += len(group) * seconds
    found = {
        "data": data,
        "batches": len(batches),
        "shapes": len(groups),
        "seconds": spent,
        "ratios": timing.ratios(spent),
    }
    print(f"{application}, {len(batches)} batches of {len(groups)} shapes", flush=True)
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
