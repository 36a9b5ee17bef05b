"""The command line: `rnn-apps VERB …`, the same verbs for every application.

Results go to standard output, progress and remarks to standard error. The exit status is 0 if all
was done, 1 if not, 2 for a wrong call, 130 when interrupted. TensorFlow is imported when a command
first needs it.
"""

import argparse
import contextlib
import csv
import importlib
import json
import os
import pathlib
import runpy
import shutil
import sys
import tempfile

import rnn_apps

APPLICATIONS = {
    "sentiment": ("SentimentClassifier", "a text → label, score in [-1, +1], probabilities"),
}
CELLS = ("lstm", "gru", "simple_rnn")
_DATA_HELP = "builtin, tfds:NAME, or the path of a CSV, TSV or JSONL file (also .gz)"


def main(arguments=None):
    """Runs one command; returns the exit status."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.command is not _train:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return options.command(options, rest) or 0
    except KeyboardInterrupt:
        print("rnn-apps: interrupted. What was finished is kept; the same command goes on from "
              "there where a run folder was named.", file=sys.stderr)  # fmt: skip
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError, FloatingPointError) as error:
        print(f"rnn-apps: {error}", file=sys.stderr)
        return 1


def _parser():
    parser = argparse.ArgumentParser(
        prog="rnn-apps", description=rnn_apps.__doc__, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=rnn_apps.__version__)
    verbs = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def verb(function, name, summary, **options):
        added = verbs.add_parser(
            name, help=summary, description=summary, allow_abbrev=False, **options
        )
        added.set_defaults(command=function)
        return added

    app = {"type": _known, "metavar": "APP", "help": " or ".join(APPLICATIONS)}
    run = {"metavar": "RUN", "help": "a run folder or a .keras file"}
    verb(_list, "list", "list applications, templates, cells and built-in data")
    added = verb(_quickstart, "quickstart", "train, judge, export and ask, on built-in data")
    added.add_argument("applications", nargs="*", **app)
    added = verb(_new, "new", "copy a template into a new folder")
    added.add_argument("application", **app)
    added.add_argument("folder", metavar="FOLDER")
    added = verb(_train, "train", "train on raw examples; APP --help lists options", add_help=False)
    added.add_argument("application", nargs="?", **app)
    added = verb(_evaluate, "evaluate", "judge a model beside honest baselines")
    added.add_argument("run", **run)
    _add_data(added, required=True)
    added = verb(_predict, "predict", "answer raw requests")
    added.add_argument("run", **run)
    added.add_argument("inputs", nargs="*", metavar="INPUT", help="requests; none reads --input")
    added.add_argument("--input", default="-", help="a file of one request a line, or a CSV, TSV "
                       "or JSONL file with the model's columns; - for standard input")  # fmt: skip
    added.add_argument("--output", default="-", help="a file; - for standard output")
    added.add_argument("--format", choices=("text", "csv", "jsonl"),
                       help="how to write answers; by default as --output is called")  # fmt: skip
    added = verb(_export, "export", "publish the next version of a SavedModel")
    added.add_argument("run", **run)
    added.add_argument("folder", metavar="FOLDER", help="such as saved_models/sentiment")
    added = verb(_check, "check", "explain what is wrong with a SavedModel, if anything is")
    added.add_argument("saved_model", metavar="SAVED_MODEL")
    return parser


def _known(name):
    if name not in APPLICATIONS:
        raise argparse.ArgumentTypeError(
            f"there is no application {name!r}, only {', '.join(APPLICATIONS)}"
        )
    return name


def _add_data(parser, required):
    parser.add_argument("--data", required=required, type=str, help=_DATA_HELP)
    parser.add_argument("--columns", type=str, metavar="FEATURE=COLUMN,…", help="where a file or "
                        "data set calls features otherwise, such as text=review,label=stars")  # fmt: skip
    parser.add_argument("--bad_rows", type=str, choices=("stop", "skip"), default="stop",
                        help="what to do about rows that cannot be read")  # fmt: skip


def _columns(text):
    pairs = [pair.split("=", 1) for pair in (text or "").split(",") if pair]
    wrong = [pair[0] for pair in pairs if len(pair) < 2]
    if wrong:
        raise ValueError(f"--columns got {wrong[0]!r}; it takes FEATURE=COLUMN, as in text=review.")
    return dict(pairs)


@contextlib.contextmanager
def _quiet_import():
    """Imports TensorFlow without its start-up lines, which no setting of its own silences."""
    if "tensorflow" in sys.modules:
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_logical_devices()
            yield
        except BaseException:
            said.seek(0)
            os.write(screen, said.read())
            raise
        finally:
            os.dup2(screen, 2)
            os.close(screen)


def _application(name):
    with _quiet_import():
        return getattr(rnn_apps, APPLICATIONS[name][0])


def _load(run):
    with _quiet_import():
        importlib.import_module("rnn_apps.application")
    return rnn_apps.load_model(run)


def _say(*lines):
    print(*lines, sep="\n", file=sys.stderr, flush=True)


def _list(options, rest):
    print("applications")
    for name, (_, summary) in APPLICATIONS.items():
        print(f"  {name:<12} {summary}")
    print("templates")
    for folder in sorted(path for path in _templates().iterdir() if path.is_dir()):
        print(f"  {folder.name}")
    print("cells", *(f"  {cell}" for cell in CELLS), sep="\n")
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
        ignore=shutil.ignore_patterns("__pycache__", "__init__.py"),
    )
    print(f"cd {folder} && python train.py")


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
            print(f"  {key}: {_plain(value.numpy()[0])}")


def _train(options, rest):
    import jsonargparse

    if options.application is None:
        print(f"usage: rnn-apps train APP --data DATA --run RUN …   APP: {', '.join(APPLICATIONS)}")
        return 0 if set(rest) & {"-h", "--help"} else 2
    cls = _application(options.application)
    import keras

    from rnn_apps import data, training

    parser = jsonargparse.ArgumentParser(
        prog=f"rnn-apps train {options.application}", allow_abbrev=False
    )
    parser.add_argument("--config", action="config", help="a YAML file of these options")
    _add_data(parser, required=True)
    parser.add_argument("--validation", type=str | None, help="DATA to validate on; by default a "
                        "share of the training examples")  # fmt: skip
    parser.add_argument("--test", type=str | None, help="DATA to report on when trained")
    parser.add_argument("--run", type=str, required=True, help="folder to keep the run in; an "
                        "interrupted run is resumed")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of weights, dropout and batches")
    own = set(parser.get_defaults().as_dict()) | {"data", "run"}
    parser.add_class_arguments(cls, skip={"encoder", "name"})
    parser.add_method_arguments(cls, "compile", skip={"optimizer", "loss", "metrics"})
    skipped = {"x", "y", "validation_data", "sample_weight", "seed", "run", "callbacks"}
    parser.add_method_arguments(cls, "fit", "fit", skip=skipped)
    settings = parser.parse_args(rest)
    chosen = settings.as_dict()
    fit, compilation = chosen.pop("fit"), {"learning_rate": chosen.pop("learning_rate")}
    hyperparameters = {key: value for key, value in chosen.items() if key not in own}

    splits = _splits(cls, data, chosen)
    _say(*splits.notes)
    keras.utils.set_random_seed(settings.seed)
    model = cls(**hyperparameters)
    model.adapt(splits.train)
    model.compile(**compilation)
    written = parser.dump(settings, skip_none=False).encode()
    config = pathlib.Path(settings.run, training.CONFIG_FILE)
    keep = keras.callbacks.LambdaCallback(
        on_train_begin=lambda logs: training.write_atomically(config, written)
    )
    model.fit(
        splits.train,
        validation_data=splits.validation,
        run=settings.run,
        seed=settings.seed,
        callbacks=[keep],
        **fit,
    )
    if splits.test is not None:
        report = model.report(splits.test, source=splits.name)
        print(report)
        report.save(settings.run)
    _say(f"kept in {settings.run}")


def _splits(cls, data, chosen):
    return data.load(
        chosen["data"],
        features=cls.features,
        columns=_columns(chosen["columns"]),
        validation=chosen.get("validation"),
        test=chosen.get("test"),
        bad_rows=chosen["bad_rows"],
        seed=chosen["seed"],
    )


def _evaluate(options, rest):
    model = _load(options.run)
    from rnn_apps import data

    splits = data.load(
        None,
        test=options.data,
        features=model.features,
        columns=_columns(options.columns),
        bad_rows=options.bad_rows,
    )
    _say(*splits.notes)
    report = model.report(
        splits.test, train=_training_examples(options.run, type(model)), source=splits.name
    )
    print(report)
    if pathlib.Path(options.run).is_dir():
        report.save(options.run)


def _training_examples(run, cls):
    """The examples a run was trained on, for the baselines; None where they are out of reach."""
    import yaml

    from rnn_apps import data, training

    config = pathlib.Path(run, training.CONFIG_FILE)
    try:
        return _splits(cls, data, yaml.safe_load(config.read_text())).train
    except (OSError, ValueError) as error:
        _say(f"The baselines that need training examples are left out: {error}")
        return None


def _predict(options, rest):
    model = _load(options.run)
    requests = options.inputs or _read_requests(options.input, model)
    form = options.format or {".csv": "csv", ".jsonl": "jsonl"}.get(
        pathlib.Path(options.output).suffix, "text"
    )
    rows = model.records(requests, model.predict(requests))
    if options.output == "-":
        _write_rows(sys.stdout, rows, form)
        return
    from rnn_apps import training

    with training.written_beside(options.output) as beside, open(beside, "w", newline="") as file:
        _write_rows(file, rows, form)


def _read_requests(source, model):
    path = pathlib.Path(source)
    if any(
        path.name.endswith(f"{kind}{gz}")
        for kind in (".csv", ".tsv", ".jsonl")
        for gz in ("", ".gz")
    ):
        from rnn_apps import data

        return data.load(None, test=source, features=tuple(model.request)).test
    if source == "-":
        if sys.stdin.isatty():
            _say("reading requests from the keyboard, one a line; end with Ctrl-D")
        raw = sys.stdin.buffer.read()
    else:
        raw = path.read_bytes()
    return [line.rstrip(b"\r") for line in raw.removesuffix(b"\n").split(b"\n")] if raw else []


def _write_rows(file, rows, form):
    if form == "jsonl":
        for row in rows:
            print(json.dumps(row, ensure_ascii=False), file=file)
    elif form == "csv":
        writer = csv.DictWriter(file, fieldnames=list(rows[0]) if rows else [])
        writer.writeheader()
        writer.writerows(rows)
    else:
        for row in rows:
            cells = (f"{v:+.4f}" if isinstance(v, float) else str(v) for v in row.values())
            print(
                "\t".join(cell.replace("\t", " ").replace("\n", " ") for cell in cells), file=file
            )


def _plain(value):
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _export(options, rest):
    print(_load(options.run).export(options.folder))


def _check(options, rest):
    with _quiet_import():
        from rnn_apps import export
    findings = export.check(options.saved_model)
    for finding in findings:
        print(f"{finding.level}: {finding.what} {finding.advice}")
    if not findings:
        print(f"{options.saved_model}: nothing to find fault with.")
    return int(any(finding.level == "error" for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
