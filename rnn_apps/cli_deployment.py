"""The commands that say which versions are served, and what `export` writes beside them."""

import argparse
import sys

_FILES = "models.config, batching_parameters.txt, monitoring.config, docker-compose.yml or clients"


def add_commands(verb):
    """Adds `rollback`, `label` and `keep` to the command line.

    Args:
        verb: function of a command's function and summary that gives its `add_argument`.
    """
    folder = {"metavar": "FOLDER", "help": "of a model's versions, such as saved_models/sentiment"}
    config = {"metavar": "FILE", "help": "by default models.config beside FOLDER"}
    server = {"metavar": "URL", "help": "REST of the server to wait for: http://localhost:8501"}
    more = "Edits the models.config beside FOLDER, which a server of it follows."
    add = verb(_rollback, "serve an earlier version of a model, or the newest again", more)
    add("folder", **folder)
    add("--to", type=_version_or_latest, metavar="VERSION", help="a number, or latest; by default "
        "the one before that which is served")  # fmt: skip
    add("--models_config", **config)
    add("--server", **server)
    add = verb(_label, "give a version of a model a label, such as stable", more)
    add("folder", **folder)
    add("label", nargs="?", metavar="LABEL", help="without one, what is served is printed")
    add("version", nargs="?", type=int, metavar="VERSION", help="a number; it is served, too")
    add("--remove", action="store_true", help="take the label away")
    add("--models_config", **config)
    add("--server", **server)
    more = "One that is served by default, or has a label, stays in any case."
    add = verb(_keep, "remove all versions of a model but the newest", more)
    add("folder", **folder)
    add("count", type=int, metavar="COUNT", help="how many stay")
    add("--models_config", **config)


def add_export_options(add):
    """Adds the option of `export` that names what a server and its clients need."""
    add("--with", dest="files", type=_files, default=[], metavar="FILE,…", help="what a model "
        f"server and its clients need, too: {_FILES}, with commas between, or all")  # fmt: skip


def _files(text):
    from rnn_apps.deployment import server_files

    try:
        return server_files.names_of(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _version_or_latest(text):
    if text != "latest" and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no version; a number is, or latest")
    return text if text == "latest" else int(text)


def write_files(version, files):
    """Writes what `export` was asked for, and says where it lies and what is served now.

    Args:
        version: `pathlib.Path` of the version that was published.
        files: names of `deployment.server_files.NAMES`; nothing is done without any.
    """
    from rnn_apps.deployment import model_config, served_versions, server_files

    for path in server_files.write(version, files) if files else ():
        _say(f"written: {path}")
    if (version.resolve().parent.parent / model_config.FILE).exists():
        now = served_versions.current(version.parent)
        if int(version.name) not in now.versions:
            _say(
                f"{model_config.FILE}: {now}; rnn-apps rollback {version.parent} --to latest "
                f"serves {version.name}"
            )


def _rollback(options, rest):
    from rnn_apps.deployment import served_versions

    where = {"config": options.models_config, "server": options.server}
    return _shown(served_versions.rollback(options.folder, options.to, **where))


def _label(options, rest):
    from rnn_apps.deployment import served_versions

    name, version = options.label, options.version
    where = {"config": options.models_config, "server": options.server}
    if name is None and not options.remove:
        return _shown(served_versions.current(options.folder, config=options.models_config))
    if name is None or (version is None) != options.remove:
        options.refuse("give a LABEL and the VERSION it is for, or a LABEL and --remove")
    return _shown(served_versions.label(options.folder, name, version, **where))


def _keep(options, rest):
    from rnn_apps.deployment import served_versions

    now, removed = served_versions.keep(options.folder, options.count, config=options.models_config)
    _say(f"removed: {', '.join(map(str, removed)) or 'nothing'}")
    return _shown(now)


def _shown(now):
    """Prints what is served; the status is 1 while a second edit is to come."""
    print(now)
    _say(*now.notes)
    if now.loading:
        _say(
            f"Not done yet: labels can move to {', '.join(map(str, now.loading))} once the server "
            "has loaded it. Then give this command again, or give it with --server to wait."
        )
    return int(bool(now.loading))


def _say(*lines):
    for line in lines:
        print(line, file=sys.stderr, flush=True)
