"""The command line: `rnn-apps VERB …`, the same verbs for every application.

Results go to standard output, progress and remarks to standard error. The exit status is 0 if all
was done, 1 if not, 2 for a wrong call, 130 when interrupted. TensorFlow is imported when a command
first needs it.
"""

import argparse
import contextlib
import inspect
import os
import pathlib
import re
import shlex
import shutil
import sys

import rnn_apps
from rnn_apps import (
    cli_deployment,
    cli_generation,
    cli_pretraining,
    cli_quickstart,
    cli_serving,
    cli_training,
)
from rnn_apps.cli_training import COLUMNS, DATA, columns_of

APPLICATIONS = {
    "sentiment": ("SentimentClassifier", "a text → label, score in [-1, +1], probabilities"),
    "forecasting": ("StockForecaster", "bars → quantiles of the next closing prices"),
    "translation": ("Translator", "a sentence → its translations, with scores"),
    "captioning": ("ImageCaptioner", "a picture → captions of it, with scores"),
    "language": ("LanguageModel", "a text → its next words, or a continuation"),
}
_BUILT_IN = {
    "sentiment": ("builtin",),
    "forecasting": ("builtin", "builtin/random_walk"),
    "translation": ("builtin",),
    "captioning": ("builtin",),
    "language": ("builtin",),
}
_APPS = " or ".join(APPLICATIONS)
_READING = {
    "bad_rows": ("stop skip", "whether a row of a file that cannot be read stops or is left out"),
    "splits": ("refuse adjust keep", "of prices: a split of a share that was left unadjusted"),
}
_READ = ("columns", "folder", *_READING)
_ANSWERING = {  # what some applications' `predict` takes
    "beam_size": (int, "of a search, at most the model's `beams`; 1 is greedy"),
    "n_best": (int, "hypotheses of each request, with scores"),
    "length_penalty": (float, "of a search, in place of the model's own"),
}
_EPILOG = f"""\
DATA is {DATA}.
RUN is a run folder or a .keras file. `rnn-apps COMMAND --help` says what a command takes.
Exit status: 0 all was done, 1 it was not, 2 a wrong call, 130 interrupted."""
_AS_OPTIONS = (  # what errors call by its name in Python, and how it is called here
    (r"columns=\{'?(\w+)'?: '?(.*?)'?\}( to `load`)?", r"--columns \1=\2"),
    (r'Parser key "(.+?)"', r"--\1"),
    (r"(bad_rows|splits)='(\w+)'( to `load_bars`)?", r"--\1 \2"),
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
    add("--data", required=True, help=f"examples to judge on: {DATA}")
    add("--beside", metavar="RUN", help="another run, of what writes, to compare with")
    add("--folder", help="where the pictures lie that --data names; by default looked for near it")
    _add_reading(add)
    more = "Requests are answered in their order; of texts, an empty line is one too."
    _add_predict(verb(_predict, "answer raw requests", more), run)
    more = "On the screen it appears as it is written."
    cli_generation.add_options(verb(_generate, "continue a text by a language model", more), run)
    add = verb(_export, "publish the next version of a SavedModel", "Prints its folder.")
    add("run", **run)
    add("folder", metavar="FOLDER", help="such as saved_models/sentiment")
    cli_deployment.add_export_options(add)
    cli_deployment.add_commands(verb)
    more = "The exit status is 1 if a finding is an error."
    add = verb(_check, "explain what is wrong with a SavedModel, if anything is", more)
    add("saved_model", metavar="SAVED_MODEL", help="the folder of a version, or of versions")
    about = "answer over REST and gRPC as TensorFlow Serving does"
    cli_serving.add_options(verb(_serve, about, cli_serving.MORE))
    return parser


def _add_predict(add, run):
    add("run", **run)
    add("inputs", nargs="*", default=[], metavar="INPUT", help="texts, after -- if one begins like "
        "an option, files of bars, or pictures and folders of them; without any, --input is "
        "read")  # fmt: skip
    add("--input", metavar="FILE", default="-", help="one text, or name of a picture, a line, or a "
        "CSV, TSV or JSONL file with the model's columns; by default standard input (of bars: "
        "CSV; a picture itself will do too)")  # fmt: skip
    _add_reading(add)
    add("--output", metavar="FILE", default="-", help="by default standard output")
    add("--format", choices=("text", "csv", "jsonl"), help="of answers: text has tabs between, "
        "and no header, and of translations and captions no scores; by default as --output is "
        "called, else text, of forecasts csv")  # fmt: skip
    for name, (kind, what) in _ANSWERING.items():
        add(f"--{name}", type=kind, metavar="NUMBER", help=what)
    add(
        "--plot",
        type=_picture,
        metavar="FILE.png",
        help="a picture: forecasts (by default beside --output), or what the first translation or "
        "caption attended to",
    )


def _picture(name):
    if pathlib.Path(name).suffix != ".png":
        raise argparse.ArgumentTypeError(f"{name} does not end in .png, as a picture must")
    return name


def _add_reading(add):
    add("--columns", type=columns_of, **COLUMNS)
    for name, (choices, what) in _READING.items():
        choices = choices.split()
        add(f"--{name}", choices=choices, help=f"{what}; by default {choices[0]}")


def _asked(options, names, cls, method):
    """Those of the options that were given, {name: value}; refuses what a method does not take."""
    given = {name: getattr(options, name, None) for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    strange = sorted(set(given) - cli_training.options_of(cls, method))
    if strange:
        options.refuse(f"{_one(cls)} does not take --{strange[0]} here")
    return given


def _one(cls):
    return f"{'an' if cls.__name__[0] in 'AEIOU' else 'a'} {cls.__name__}"


def _known(name):
    if name not in APPLICATIONS:
        raise argparse.ArgumentTypeError(f"{name!r} is no application; {_APPS} is")
    return name


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
    print("built-in data", *(
        f"  {data:<20} for {name}" for name, there in _BUILT_IN.items() for data in there
    ), sep="\n")  # fmt: skip


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
            import tensorflow_text  # noqa: F401  registers the ops of exported tokenizers
        script = _templates() / name / "train.py"
        _say(f"== {name}: {script}")
        cli_quickstart.run(script)


def _train(options, rest):
    if options.application is None:
        if {"-h", "--help"}.isdisjoint(rest):
            options.refuse("name an application first, as in rnn-apps train sentiment")
        return options.show_help()
    with _quiet_import():
        cls = getattr(rnn_apps, APPLICATIONS[options.application][0])
    prog = f"rnn-apps train {options.application}"
    try:
        settings = cli_training.settings_of(cls, prog, rest)
    except argparse.ArgumentError as error:
        _Parser(prog=prog).error(str(error))
    import keras
    import yaml

    from rnn_apps import training

    run = pathlib.Path(settings.pop("run"))
    training.check_run_folder(run)  # before, not after, the examples are read
    splits = cli_training.load_named(cls, settings)
    _say(*splits.notes)
    started = cli_pretraining.with_language_model(cls, settings, splits, run, _say)
    keras.utils.set_random_seed(settings["seed"])
    model = cls(**cli_training.arguments_of(cls, started))
    model.adapt(splits.train)
    if started.get("pretrained"):
        _say(f"carried over from {started['pretrained']}: {model.pretraining.carried_over}")
    model.compile(**cli_training.arguments_of(cls.compile, settings))
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


def _evaluate(options, rest):
    model = _load(options.run)
    cls = type(model)
    # What a model was made with, such as its `static` columns, also says what is to be read.
    how = {**vars(model), **_asked(options, _READ, cls, "load"), "test": options.data}
    splits = cli_training.load(cls, None, how)
    _say(*splits.notes)
    more = {}
    if "train" in inspect.signature(cls.report).parameters:
        more["train"], missing = cli_training.training_examples(pathlib.Path(options.run), model)
        if missing:
            what = _sentence(missing)
            _say(f"Baselines that need the training examples are left out: {what}")
    if options.beside:
        _asked(options, ("beside",), cls, "report")
        more["beside"] = {options.beside: _load(options.beside)}
    report = model.report(splits.test, **more, source=splits.name)
    if os.path.isdir(options.run):
        report.save(options.run)
    print(report)


def _predict(options, rest):
    cut = rest.index("--") if "--" in rest else len(rest)
    wrong = [text for text in rest[:cut] if re.fullmatch(r"--?[^\W\d]\S*", text)]
    given = [*options.inputs, *rest[:cut], *rest[cut + 1 :]]
    if wrong:
        options.refuse(f"unrecognized arguments: {' '.join(wrong)}")
    if given and options.input != "-":
        options.refuse("requests came as arguments and by --input; give one of them")
    model = _load(options.run)
    from rnn_apps.data import requests

    how = _asked(options, _READ, type(model), "read_requests")
    asking = _asked(options, _ANSWERING, type(model), "predict")
    if not given and options.input == "-" and sys.stdin.isatty():
        _say("reading requests from the keyboard; end with Ctrl-D")
    typed = sys.stdin.buffer if options.input == "-" else options.input
    asked, notes = model.read_requests(given or typed, **how)
    _say(*notes)
    answers = model.predict(asked, verbose="auto", **asking)
    output = pathlib.Path(options.output)
    named = {".csv": "csv", ".jsonl": "jsonl", ".txt": "text"}
    form = options.format or named.get(output.suffix, model.form)
    columns = model.plain if form == "text" and "n_best" not in asking else ()
    text = requests.written(model.records(asked, answers), form, columns).encode()
    is_file = options.output != "-" and (output.is_file() or not output.exists())
    beside = output.with_suffix(".png") if is_file and model.draws_beside else None
    plot = options.plot or beside
    figure = plot and model.draw(asked, answers)
    if options.plot and figure is None:
        options.refuse(f"{_one(type(model))} has nothing to draw for --plot")
    _write(output, text, is_file)
    if figure is not None:
        from rnn_apps.evaluation.report import as_png

        _write(pathlib.Path(plot), as_png(figure, dpi=120), True)
        _say(f"drawn in {plot}: {figure.get_suptitle()}".removesuffix(": "))


def _write(path, content, is_file):
    from rnn_apps import training

    if str(path) == "-":
        sys.stdout.write(content.decode())
    elif is_file:
        training.write_atomically(path.resolve(), content)
    else:
        path.write_bytes(content)  # to a device, which is not to be replaced


def _generate(options, rest):
    cli_generation.generate(_load(options.run), options)


def _export(options, rest):
    version = _load(options.run).export(options.folder)
    print(version)
    cli_deployment.write_files(version, options.files)


def _check(options, rest):
    with _quiet_import():
        from rnn_apps import export
    findings = export.check(options.saved_model)
    print(*findings or [f"{options.saved_model}: nothing to find fault with."], sep="\n")
    return int(any(finding.level == "error" for finding in findings))


def _serve(options, rest):
    cli_serving.serve(options, _quiet_import())


if __name__ == "__main__":
    sys.exit(main())
