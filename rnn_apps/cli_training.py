"""What `rnn-apps train` is told, and the examples it names.

The options are those of an application's `load`, constructor, `compile` and `fit`, read off their
signatures and docstrings. TensorFlow comes with the application that these functions are given.
"""

import argparse
import inspect
import json
import re

from rnn_apps import cli_pretraining

DATA = (
    "builtin (for forecasting also builtin/random_walk), tfds:NAME, or the path of a CSV, TSV or "
    "JSONL file (also .gz), for translation also two aligned files, as in train.en+train.de, for "
    "captioning also a token file of Flickr8k, an annotation JSON of COCO, or a folder with such"
)
COLUMNS = {
    "metavar": "FEATURE=COLUMN,…",
    "help": "where a file or data set calls features otherwise, such as text=review,label=stars, "
    "series=ticker,close=last, source=en or captions=text",
}


def columns_of(text):
    """FEATURE=COLUMN,… → {feature: column}; `argparse.ArgumentTypeError` if it is not such."""
    pairs = [pair.split("=", 1) for pair in (text or "").split(",") if pair]
    wrong = [pair[0] for pair in pairs if len(pair) < 2 or not all(pair)]
    if wrong:
        raise argparse.ArgumentTypeError(
            f"--columns got {wrong[0]!r} where FEATURE=COLUMN is expected, such as text=review"
        )
    return dict(pairs)


def settings_of(cls, prog, arguments):
    """Reads the options of `train`, or prints them and leaves.

    Args:
        cls: the application's class.
        prog: the command, for `--help`.
        arguments: list of str.

    Returns:
        A dict from option to value; those of `fit` are in a dict of their own.

    Raises:
        argparse.ArgumentError: if an option is not as described.
    """
    import jsonargparse
    import keras

    parser = jsonargparse.ArgumentParser(prog=prog, allow_abbrev=False, exit_on_error=False)
    add = parser.add_argument
    add("--config", action="config", help="a YAML file of these options; those after it override")
    add("--data", type=str, required=True, help=f"examples to train on: {DATA}")
    add("--columns", type=str | None, **COLUMNS)
    own = {"source", "columns", "limits", "seed", *inspect.signature(cls).parameters}
    parser.add_method_arguments(cls, "load", as_group=False, skip=own)
    add("--run", type=str, required=True, help="folder of the run; an interrupted one goes on")
    add("--seed", type=int, default=0, help="of weights, dropout, batches and shares of examples")
    parser.add_class_arguments(cls, skip={"encoder", "name"})
    cli_pretraining.add_option(parser, cls)
    skipped = set(inspect.signature(keras.Model.compile).parameters) - {"self", "optimizer"}
    parser.add_method_arguments(cls, "compile", skip=skipped)
    skipped = set(inspect.signature(keras.Model.fit).parameters) - {"self"}
    skipped = skipped - {"batch_size", "epochs", "shuffle", "verbose"} | {"seed", "run"}
    parser.add_method_arguments(cls, "fit", "fit", as_group=False, skip=skipped)
    try:
        settings = parser.parse_args(cli_pretraining.spelled_out(arguments)).as_dict()
        columns_of(settings["columns"])
    except (argparse.ArgumentError, argparse.ArgumentTypeError) as error:
        text = str(error)
        unknown = re.search(r"Option '(\w+)' is not accepted", text)
        if unknown:
            raise argparse.ArgumentError(None, f"--pretrain has no {unknown[1]}") from error
        key = re.search(r'Parser key "(.+?)":', text)
        value = re.search(r"(?:Got|Given) value: (.*)", text)
        if key and value:
            text = f"--{key[1]} does not take {value[1]!r}"
            is_list = isinstance(parser.get_default(key[1]), (list, tuple))
            text += f", only a list such as [{value[1]}]" if is_list else ""
        raise argparse.ArgumentError(None, text) from error
    return {name: value for name, value in settings.items() if name != "config"}


def arguments_of(function, settings):
    """Those of the settings that a function takes by name."""
    return {n: settings[n] for n in inspect.signature(function).parameters if n in settings}


def options_of(cls, method):
    """The names of what an application's method takes beside the source, those of `**options` too.

    Args:
        cls: the application's class.
        method: "load", "read_requests", "predict" or "report".

    Returns:
        A set of str.
    """
    import jsonargparse

    parser = jsonargparse.ArgumentParser()
    return set(
        parser.add_method_arguments(cls, method, as_group=False, skip={"self", "source", "x"})
    )


def load(cls, source, settings):
    """Loads examples by those of the settings that the application's `load` takes."""
    taken = options_of(cls, "load")
    return cls.load(source, **{name: settings[name] for name in taken if name in settings})


def load_named(cls, settings):
    """The examples that the settings of a training name, as `rnn_apps.data.Splits`."""
    return load(cls, settings["data"], {**settings, "columns": columns_of(settings["columns"])})


def adapted(cls, settings, splits, run, say):
    """Makes the application that the settings ask for, and adapts it.

    Args:
        cls: the application's class.
        settings: a dict from option to value, as of `settings_of`.
        splits: `rnn_apps.data.Splits` of the examples.
        run: path of the run folder, where a language model is kept that it begins as.
        say: function of sentences, for remarks.

    Returns:
        The application.
    """
    import keras

    settings = cli_pretraining.with_language_model(cls, settings, splits, run, say)
    keras.utils.set_random_seed(settings["seed"])
    model = cls(**arguments_of(cls, settings))
    model.adapt(splits.train)
    if settings.get("pretrained"):
        say(f"carried over from {settings['pretrained']}: {model.pretraining.carried_over}")
    return model


def training_examples(run, model):
    """The examples that a run was trained on.

    Args:
        run: `pathlib.Path` of the run folder.
        model: the application that was trained.

    Returns:
        `(examples, "")`, as of `Application.examples`; or None and why they are out of reach.
    """
    import yaml

    from rnn_apps import training

    config, record = run / training.CONFIG_FILE, run / training.RUN_FILE
    try:
        if not config.is_file():
            raise ValueError(f"{run} has no {config.name} that names them.")
        settings = yaml.safe_load(config.read_text("utf-8"))
        examples = model.examples(load_named(type(model), settings).train)
        known = json.loads(record.read_text("utf-8"))["settings"]["training examples"]
        if known != model.fingerprint(examples):
            raise ValueError(f"what {config} names has changed since.")
        return examples, ""
    except (OSError, ValueError) as error:
        return None, error
    except (KeyError, TypeError, yaml.YAMLError):
        return None, f"{config} is not as train wrote it."
