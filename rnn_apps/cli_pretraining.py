"""`rnn-apps train APP --pretrain …`: a language model first, then what begins as it.

TensorFlow comes with the application that these functions are given.
"""

import dataclasses
import itertools
import pathlib
from typing import Literal

_TEXTS = {"SentimentClassifier": "text"}
"""The applications that can be trained so, and their feature that a language model reads."""

_SHARED = ("cell", "units", "num_layers", "embedding_dim", "vocabulary_size", "lowercase", "dtype")


@dataclasses.dataclass
class Pretraining:
    """How a language model is trained that an application begins as.

    Cell, units, layers, sizes of vectors and vocabulary are those of the application.

    Args:
        epochs: int, epochs of the language model; those of the application are `fit.epochs`.
        texts: unlabelled data to read beside the training examples, named as `--data` is, or a
            .txt file or a folder of such.
        batch_size: int, streams of text that are read side by side.
        steps: int, tokens of each stream in a batch.
        optimizer: "adam" or "sgd".
        learning_rate: float, the highest.
        clipnorm: float, to which the norm of the whole gradient is clipped.
        embedding_scale: float or None, what the vectors are multiplied by; None for the square
            root of their size. 1 suits "sgd".
        dropout: float, of what enters each recurrent layer and of what leaves the last.
        embedding_dropout: float, share of the subwords whose vector is left out of a batch.
        weight_dropout: float, share of the recurrent weights left out of a batch.
        sampled_words: int or None, with how many drawn tokens each is compared in training; None
            for the whole vocabulary, which takes longer.
        residual: bool, whether a layer's input is added to its output.
    """

    epochs: int = 4
    texts: str | None = None
    batch_size: int = 64
    steps: int = 64
    optimizer: Literal["adam", "sgd"] = "adam"
    learning_rate: float = 2e-3
    clipnorm: float | None = 1.0
    embedding_scale: float | None = None
    dropout: float = 0.2
    embedding_dropout: float = 0.0
    weight_dropout: float = 0.0
    sampled_words: int | None = 1000
    residual: bool = False


def add_option(parser, cls):
    """Adds `--pretrain` to a `jsonargparse` parser, where the application can be trained so."""
    if cls.__name__ in _TEXTS:
        what = "begin as a language model of the training texts, which is trained before"
        more = "--pretrain alone for its defaults, --pretrain.help for its options"
        parser.add_argument("--pretrain", type=Pretraining | None, help=f"{what}; {more}")


def spelled_out(arguments):
    """Makes a `--pretrain` without a value one that asks for the defaults.

    Example:
        >>> spelled_out(["--pretrain", "--seed", "3"])
        ['--pretrain={}', '--seed', '3']
    """
    pairs = itertools.pairwise([*arguments, "--"])
    return [
        "--pretrain={}" if one == "--pretrain" and after.startswith("--") else one
        for one, after in pairs
    ]


def with_language_model(cls, settings, splits, run, say):
    """Trains the language model that the settings ask for, if any, in the run folder.

    One that is there already, from an interrupted training, is not trained again.

    Args:
        cls: the application's class.
        settings: the options of `train`, as `cli_training.settings_of` returns them.
        splits: `rnn_apps.data.Splits` of the application's examples.
        run: path of the run folder.
        say: function of sentences, for remarks.

    Returns:
        The settings, with `pretrained` as the application is to be given it.

    Raises:
        ValueError: if `pretrained` was given too, or the run folder holds a language model that
            was trained otherwise.
    """
    if settings.get("pretrain") is None:
        return settings
    if settings["pretrained"] is not None:
        raise ValueError("--pretrain and --pretrained came both; give one of them.")
    from rnn_apps import training

    folder = pathlib.Path(run) / training.LANGUAGE_FOLDER
    asked = Pretraining(**settings["pretrain"])
    texts, notes = _texts(cls, asked, splits)
    say(*notes)
    record = _record(settings, asked, texts)
    _check_same(folder / training.CONFIG_FILE, record)
    if not (folder / training.MODEL_FILE).exists():
        say(f"a language model reads {len(texts):,} texts, kept in {folder}")
        _train(settings, asked, texts, folder, record)
    return {**settings, "pretrained": str(folder)}


def _texts(cls, asked, splits):
    """The training texts and the unlabelled ones, without any to validate or test on."""
    from rnn_apps import data

    feature = _TEXTS[cls.__name__]

    def of(split):
        given = data.as_columns(split, features=cls.features)[feature] if split is not None else ()
        return [str(text) for text in given]

    texts = of(splits.train)
    if asked.texts is None:
        return texts, ()
    more = data.load_texts(asked.texts, validation_fraction=0.0)
    held = {*of(splits.validation), *of(splits.test)}
    kept = [str(text) for text in more.train["text"] if str(text) not in held]
    notes = more.notes
    if len(kept) < len(more.train["text"]):
        left_out = len(more.train["text"]) - len(kept)
        notes += (f"{left_out:,} texts of {asked.texts} to validate or test on were left out.",)
    return texts + kept, notes


def _record(settings, asked, texts):
    """All that the language model depends on, for its folder."""
    import numpy as np
    import yaml

    from rnn_apps import data

    shared = {name: settings[name] for name in _SHARED}
    record = {**dataclasses.asdict(asked), **shared, "seed": settings["seed"]}
    record["fingerprint"] = data.fingerprint({"text": np.array(texts, object)})
    return yaml.safe_dump(record, sort_keys=False, allow_unicode=True).encode()


def _check_same(path, record):
    import yaml

    if not path.exists():
        return
    before, now = yaml.safe_load(path.read_bytes()), yaml.safe_load(record)
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        name = changed[0]
        raise ValueError(
            f"{path.parent} holds a language model of other settings: {name} was "
            f"{before.get(name)} and is now {now[name]}. Repeat the first command to go on with "
            "it, or name another run folder."
        )


def _train(settings, asked, texts, folder, record):
    import keras

    from rnn_apps import training
    from rnn_apps.language import LanguageModel

    own = dataclasses.asdict(asked)
    fit = {name: own.pop(name) for name in ("epochs", "batch_size")}
    how = {name: own.pop(name) for name in ("optimizer", "learning_rate", "clipnorm")}
    del own["texts"]
    folder.mkdir(parents=True, exist_ok=True)
    training.write_atomically(folder / training.CONFIG_FILE, record)
    keras.utils.set_random_seed(settings["seed"])
    model = LanguageModel(**own, **{name: settings[name] for name in _SHARED})
    model.adapt(texts)
    model.compile(**how)
    model.fit(texts, **fit, seed=settings["seed"], run=folder)
