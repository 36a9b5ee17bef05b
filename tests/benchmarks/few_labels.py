"""What a language model of all texts is worth where few of them have labels.

    python tests/benchmarks/few_labels.py train.tsv test.tsv --language RUN/language_model

trains the same classifier twice on a few labelled texts, once from the language model and once
from nothing, and compares both on all test texts.
"""

import argparse
import json

import keras
import numpy as np

import rnn_apps
from rnn_apps.evaluation import labels

SETTINGS = {
    "units": 256,
    "embedding_dim": 128,
    "bidirectional": False,
    "pooling": "attention+max",
    "dropout": 0.2,
    "output_dropout": 0.3,
    "token_dropout": 0.2,
    "unfreeze": 0,
    "layer_rate": 0.3,
}
RATE, EPOCHS, BATCH = 5e-3, 12, 16


def drawn(examples, count, seed):
    """Draw so many labelled texts, as many of each class, without a text twice."""
    classes = np.asarray(examples["label"]).astype(str)
    order = np.random.default_rng(seed).permutation(len(classes))
    names = np.unique(classes)
    rows = [order[classes[order] == name][: count // len(names)] for name in names]
    chosen = np.concatenate(rows)
    return {name: np.asarray(values)[chosen] for name, values in examples.items()}


def trained(examples, **more):
    """Train a classifier on all of the examples."""
    keras.utils.set_random_seed(0)
    model = rnn_apps.SentimentClassifier(**SETTINGS, **more)
    model.adapt(examples)
    model.compile(learning_rate=RATE)
    model.fit(examples, epochs=EPOCHS, batch_size=BATCH, patience=None, verbose=0)
    return model


def main(arguments=None):
    """Print both accuracies, and the difference with its paired interval."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("train", help="labelled texts, as `rnn_apps.data.load` takes them")
    parser.add_argument("test", help="likewise")
    parser.add_argument("--language", required=True, help="a language model of their texts")
    parser.add_argument("--labels", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0])
    parser.add_argument("--output", help="a JSON file for all of it")
    options = parser.parse_args(arguments)
    splits = rnn_apps.data.load(options.train, test=options.test, validation_fraction=0.0)
    train, test = (
        rnn_apps.data.as_columns(part, features=("text", "label"))
        for part in (splits.train, splits.test)
    )
    found = {}
    for seed in options.seeds:
        few = drawn(train, options.labels, seed)
        models = {"pretrained": options.language, "from nothing": None}
        answers = {}
        for name, pretrained in models.items():
            model = trained(few, pretrained=pretrained)
            answers[name] = model.predict(test["text"], verbose="auto")["probabilities"]
        names = list(model.class_names)
        report = labels.judge(
            [names.index(str(label)) for label in test["label"]],
            answers.pop("pretrained"),
            names,
            baselines=answers,
            data=options.test,
            application=type(model).__name__,
        )
        print(f"{len(few['label'])} labelled texts, drawn with seed {seed}\n{report}", flush=True)
        found[seed] = report.to_dict()
    if options.output:
        with open(options.output, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)
    return found


if __name__ == "__main__":
    main()
