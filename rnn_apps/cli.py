"""The command line: `rnn-apps VERB …`, the same verbs for every application.

Results go to standard output, progress and remarks to standard error. The exit status is 0 if all
was done, 1 if not, 2 for a wrong call, 130 when interrupted. TensorFlow is imported when a command
first needs it.
"""

import argparse
import contextlib
import inspect
import json
import os
import pathlib
import re
import runpy
import shlex
import shutil
import sys
from typing import Literal

import rnn_apps

APPLICATIONS = {
    "sentiment": ("SentimentClassifier", "a text → label, score in [-1, +1], probabilities"),
}
_APPS = " or ".join(APPLICATIONS)
_DATA_HELP = "builtin, tfds:NAME, or the path of a CSV, TSV or JSONL file (also .gz)"
_COLUMNS = {
    "metavar": "FEATURE=COLUMN,…",
    "help": "where a file or data set calls features otherwise, such as text=review,label=stars",
}
_BAD_ROWS_HELP = "whether a row of a file that cannot be read stops the run or is left out"
_EPILOG = f"""\
DATA is {_DATA_HELP}.
RUN is a run folder or a .keras file. `rnn-apps COMMAND --help` says what a command takes.
Exit status: 0 all was done, 1 it was not, 2 a wrong call, 130 interrupted."""
_AS_OPTIONS = (  # what errors call by its name in Python, and how it is called here
    (r"columns=\{'?(\w+)'?: '?(.*?)'?\}( to `load`)?", r"--columns \1=\2"),
    (r'Parser key "(.+?)"', r"--\1"),
    (r"bad_rows='(\w+)'", r"--bad_rows \1"),
)


class _Parser(argparse.ArgumentParser):
    """A parser that refuses a wrong call in one sentence."""

    def error(self, message):
        self.exit(2, f"rnn-apps: {_sentence(message).rstrip('.')}; see `{self.prog} --help`.\n")


def main(arguments=None):
    """Runs one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # what the locale cannot show becomes "?"
    options, rest = _parser().parse_known_args(arguments)
    if rest and options.command not in (_train, _predict):
        options.refuse(f"unrecognized arguments: {' '.join(rest)}")
    try:
        status = options.command(options, rest) or 0
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        kept = "; the same command goes on after the last epoch that finished"
        _say(f"rnn-apps: interrupted{kept * (options.command is _train)}.")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, FloatingPointError) as error:
        _say(f"rnn-apps: {_sentence(error)}")
        return 1


def _sentence(error):
    """What went wrong, on one line, in the words of the command line."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    for pattern, option in _AS_OPTIONS:
        text = re.sub(pattern, option, text)
    text = " ".join(text.split())
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _parser():
    look = {"epilog": _EPILOG, "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = _Parser(prog="rnn-apps", description=rnn_apps.__doc__, allow_abbrev=False, **look)
    parser.add_argument("--version", action="version", version=rnn_apps.__version__)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    app = {"type": _known, "metavar": "APP", "help": _APPS}
    run = {"metavar": "RUN", "help": "a run folder or a .keras file"}

    def verb(function, summary, more="", **options):
        options |= {"help": summary, "description": f"{summary[0].upper()}{summary[1:]}. {more}"}
        added = verbs.add_parser(function.__name__[1:], allow_abbrev=False, **options)
        added.set_defaults(command=function, refuse=added.error, show_help=added.print_help)
        return added.add_argument

    verb(_list, "list applications, templates, cells and built-in data")
    writes = "Writes runs/ and saved_models/ into the current folder."
    add = verb(_quickstart, "train, judge, export and ask, on built-in data", writes)
    add("applications", nargs="*", default=[], **app)
    add = verb(_new, "copy a template into a new folder", "It runs there as it is.")
    add("application", **app)
    add("folder", metavar="FOLDER", help="a new or an empty folder")
    more = f"`rnn-apps train APP --help` lists every option. APP is {_APPS}."
    usage = "rnn-apps train APP --data DATA --run RUN [options]"
    add = verb(_train, "train on raw examples", more, usage=usage, add_help=False)
    add("application", nargs="?", **app | {"help": argparse.SUPPRESS})
    more = "Prints the report; a run folder keeps it as report.json, with pictures."
    add = verb(_evaluate, "judge a model beside honest baselines", more)
    add("run", **run)
    add("--data", required=True, help=f"examples to judge on: {_DATA_HELP}")
    add("--columns", type=_columns, **_COLUMNS)
    add("--bad_rows", choices=("stop", "skip"), default="stop", help=_BAD_ROWS_HELP)
    more = "Requests are answered in their order; an empty line is a request too."
    _add_predict(verb(_predict, "answer raw requests", more), run)
    add = verb(_export, "publish the next version of a SavedModel", "Prints its folder.")
    add("run", **run)
    add("folder", metavar="FOLDER", help="such as saved_models/sentiment")
    more = "The exit status is 1 if a finding is an error."
    add = verb(_check, "explain what is wrong with a SavedModel, if anything is", more)
    add("saved_model", metavar="SAVED_MODEL", help="the folder of a version, or of versions")
    return parser


def _add_predict(add, run):
    add("run", **run)
    add("inputs", nargs="*", default=[], metavar="INPUT", help="requests, after -- if one begins "
        "like an option; without any, --input is read")  # fmt: skip
    add("--input", metavar="FILE", default="-", help="one request a line, or a CSV, TSV or JSONL "
        "file with the model's columns; by default standard input")  # fmt: skip
    add("--columns", type=_columns, **_COLUMNS)
    add("--output", metavar="FILE", default="-", help="by default standard output")
    add("--format", choices=("text", "csv", "jsonl"), help="of answers: text has tabs between, "
        "and no header; by default as --output is called, else text")  # fmt: skip


def _known(name):
    if name not in APPLICATIONS:
        raise argparse.ArgumentTypeError(f"{name!r} is no application; {_APPS} is")
    return name


def _columns(text):
    """FEATURE=COLUMN,… → {feature: column}."""
    pairs = [pair.split("=", 1) for pair in (text or "").split(",") if pair]
    wrong = [pair[0] for pair in pairs if len(pair) < 2 or not all(pair)]
    if wrong:
        raise argparse.ArgumentTypeError(
            f"--columns got {wrong[0]!r} where FEATURE=COLUMN is expected, such as text=review"
        )
    return dict(pairs)


@contextlib.contextmanager
def _quiet_import():
    """Imports TensorFlow without its start-up lines, which no setting of its own silences."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    screen, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        import tensorflow as tf

        tf.config.list_logical_devices()
        yield
    finally:
        os.dup2(screen, 2)
        os.close(screen)
        os.close(nowhere)


def _load(run):
    with _quiet_import():
        from rnn_apps import load_model
    return load_model(run)


def _say(*lines):
    for line in lines:
        print(line, file=sys.stderr, flush=True)


def _list(options, rest):
    templates = sorted(script.parent.name for script in _templates().glob("*/train.py"))
    print("applications", *(f"  {n:<12} {what}" for n, (_, what) in APPLICATIONS.items()), sep="\n")
    print("templates", *(f"  {name}" for name in templates), sep="\n")
    print("cells", "  lstm", "  gru", "  simple_rnn", sep="\n")
    print("built-in data", *(f"  builtin      for {name}" for name in APPLICATIONS), sep="\n")


def _templates():
    """The folder of templates: of an installed package, or of a checkout."""
    package = pathlib.Path(rnn_apps.__file__).parent
    inside = package / "templates"
    return inside if inside.is_dir() else package.parent / "templates"


def _new(options, rest):
    folder = pathlib.Path(options.folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists and is not empty; name a new folder.")
    shutil.copytree(
        _templates() / options.application,
        folder,
        dirs_exist_ok=True,
        copy_function=shutil.copyfile,  # whoever may not write the installed file may write this
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    print(f"cd {shlex.quote(str(folder))} && python train.py")


def _quickstart(options, rest):
    for name in options.applications or APPLICATIONS:
        with _quiet_import():
            import tensorflow as tf
            import tensorflow_text  # noqa: F401  registers the ops of exported tokenizers
        script = _templates() / name / "train.py"
        _say(f"== {name}: {script}")
        sys.argv = [str(script)]
        finished = runpy.run_path(str(script), run_name="__main__")
        version, request = finished["version"], finished["REQUEST"]
        served = tf.saved_model.load(version).signatures["serving_default"]
        answer = served(**{key: tf.constant(value) for key, value in request.items()})
        print(f"\n{version} answers {json.dumps(request, ensure_ascii=False)}")
        for key, value in sorted(answer.items()):
            value = value.numpy()[0]
            print(f"  {key}: {value.decode() if isinstance(value, bytes) else value}")


def _train(options, rest):
    if options.application is None:
        if {"-h", "--help"}.isdisjoint(rest):
            options.refuse("name an application first, as in rnn-apps train sentiment")
        return options.show_help()
    with _quiet_import():
        cls = getattr(rnn_apps, APPLICATIONS[options.application][0])
    settings = _train_settings(cls, f"rnn-apps train {options.application}", rest)
    import keras
    import yaml

    from rnn_apps import training

    run = pathlib.Path(settings.pop("run"))
    training.check_run_folder(run)  # before, not after, the examples are read
    splits = _splits(cls, settings)
    _say(*splits.notes)
    keras.utils.set_random_seed(settings["seed"])
    model = cls(**_arguments_of(cls, settings))
    model.adapt(splits.train)
    model.compile(**_arguments_of(cls.compile, settings))
    record = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).encode()
    keep = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: training.write_atomically(run / training.CONFIG_FILE, record)
    )
    model.fit(
        splits.train,
        validation_data=splits.validation,
        run=run,
        seed=settings["seed"],
        callbacks=[keep],
        **settings["fit"],
    )
    if splits.test is not None:
        report = model.report(splits.test, source=splits.name)
        report.save(run)
        print(report)
    _say(f"kept in {run}")


def _arguments_of(function, settings):
    return {n: settings[n] for n in inspect.signature(function).parameters if n in settings}


def _train_settings(cls, prog, rest):
    """The options of `train`: of the data, of the constructor, of `compile` and of `fit`."""
    import jsonargparse
    import keras

    parser = jsonargparse.ArgumentParser(prog=prog, allow_abbrev=False, exit_on_error=False)
    add = parser.add_argument
    add("--config", action="config", help="a YAML file of these options; those after it override")
    add("--data", type=str, required=True, help=f"examples to train on: {_DATA_HELP}")
    add("--columns", type=str | None, **_COLUMNS)
    add("--validation", type=str | None, help="DATA to validate on, if --data has none of its own")
    add("--validation_fraction", type=float, default=0.1, help="share to validate on otherwise")
    add("--test", type=str | None, help="DATA to report on at the end")
    add("--test_fraction", type=float, default=0.0, help="share to report on otherwise")
    add("--bad_rows", type=Literal["stop", "skip"], default="stop", help=_BAD_ROWS_HELP)
    add("--run", type=str, required=True, help="folder of the run; an interrupted one goes on")
    add("--seed", type=int, default=0, help="of weights, dropout, batches and shares of examples")
    parser.add_class_arguments(cls, skip={"encoder", "name"})
    skipped = set(inspect.signature(keras.Model.compile).parameters) - {"self"}
    parser.add_method_arguments(cls, "compile", skip=skipped)
    skipped = set(inspect.signature(keras.Model.fit).parameters) - {"self"}
    skipped = skipped - {"batch_size", "epochs", "shuffle", "verbose"} | {"seed", "run"}
    parser.add_method_arguments(cls, "fit", "fit", as_group=False, skip=skipped)
    try:
        settings = parser.parse_args(rest).as_dict()
        _columns(settings["columns"])
    except (argparse.ArgumentError, argparse.ArgumentTypeError) as error:
        text = str(error)
        key = re.search(r'Parser key "(.+?)":', text)
        value = re.search(r"(?:Got|Given) value: (.*)", text)
        text = f"--{key[1]} does not take {value[1]!r}" if key and value else text
        _Parser(prog=prog).error(text)
    return {name: value for name, value in settings.items() if name != "config"}


def _splits(cls, settings):
    from rnn_apps import data

    own = ("validation", "validation_fraction", "test", "test_fraction", "bad_rows", "seed")
    given = {name: settings[name] for name in own}
    columns = _columns(settings["columns"])
    return data.load(settings["data"], features=cls.features, columns=columns, **given)


def _evaluate(options, rest):
    model = _load(options.run)
    from rnn_apps import data

    how = {"columns": options.columns, "bad_rows": options.bad_rows}
    splits = data.load(None, test=options.data, features=model.features, **how)
    _say(*splits.notes)
    train = _training_examples(pathlib.Path(options.run), type(model))
    report = model.report(splits.test, train=train, source=splits.name)
    if os.path.isdir(options.run):
        report.save(options.run)
    print(report)


def _training_examples(run, cls):
    """The examples a run was trained on, for the baselines; None where they are out of reach."""
    import yaml

    from rnn_apps import data, training

    config, record = run / training.CONFIG_FILE, run / training.RUN_FILE
    try:
        if not config.is_file():
            raise ValueError(f"{run} has no {config.name} that names them.")
        splits = _splits(cls, yaml.safe_load(config.read_text("utf-8")))
        columns = data.as_columns(splits.train, features=cls.features)
        known = json.loads(record.read_text("utf-8"))["settings"]["training examples"]
        if known != data.fingerprint(columns):
            raise ValueError(f"what {config} names has changed since.")
        return columns
    except (OSError, ValueError) as error:
        what = _sentence(error)
    except (KeyError, TypeError, yaml.YAMLError):
        what = f"{config} is not as train wrote it."
    _say(f"Baselines that need the training examples are left out: {what}")
    return None


def _predict(options, rest):
    cut = rest.index("--") if "--" in rest else len(rest)
    wrong = [text for text in rest[:cut] if re.fullmatch(r"--?[^\W\d]\S*", text)]
    given = [*options.inputs, *rest[:cut], *rest[cut + 1 :]]
    if wrong:
        options.refuse(f"unrecognized arguments: {' '.join(wrong)}")
    if given and options.input != "-":
        options.refuse("requests came as arguments and by --input; give one of them")
    model = _load(options.run)
    from rnn_apps import training
    from rnn_apps.data import requests

    asked = [text.encode("utf-8", "surrogateescape") for text in given]  # the bytes typed
    if not given:
        source = sys.stdin.buffer if options.input == "-" else options.input
        if options.input == "-" and sys.stdin.isatty():
            _say("reading requests from the keyboard, one a line; end with Ctrl-D")
        asked = requests.read_requests(source, model.request, options.columns)
    output = pathlib.Path(options.output)
    form = options.format or {".csv": "csv", ".jsonl": "jsonl"}.get(output.suffix, "text")
    text = requests.written(model.records(asked, model.predict(asked)), form)
    if options.output == "-":
        sys.stdout.write(text)
    elif output.exists() and not output.is_file():  # a device, which is not to be replaced
        output.write_text(text, "utf-8")
    else:
        training.write_atomically(output.resolve(), text.encode())


def _export(options, rest):
    print(_load(options.run).export(options.folder))


def _check(options, rest):
    with _quiet_import():
        from rnn_apps import export
    findings = export.check(options.saved_model)
    print(*findings or [f"{options.saved_model}: nothing to find fault with."], sep="\n")
    return int(any(finding.level == "error" for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
