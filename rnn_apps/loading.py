"""`load_model`: any saved application, from a file or a run folder."""

import importlib
import json
import pathlib
import zipfile

import keras

from rnn_apps import training
from rnn_apps.application import Application


def load_model(path):
    """Loads any application from a ``.keras`` file or a run folder.

    Args:
        path: path.

    Returns:
        The application, compiled as it was.

    Raises:
        ValueError: if there is no such file, it is incomplete, needs a class that is not there, or
            holds no application of ours.

    Example:
        >>> model = load_model("runs/sentiment")  # doctest: +SKIP
    """
    path = pathlib.Path(path)
    file = path / training.MODEL_FILE if path.is_dir() else path
    if not path.exists():
        raise ValueError(f"There is no file {path}; name a .keras file or a run folder.")
    if not file.exists():
        raise ValueError(
            f"{path} holds no {file.name}: its training has not finished (repeat the command that "
            "began it), or it is no run folder."
        )
    try:
        with zipfile.ZipFile(file) as archive:
            if archive.testzip() is not None:
                raise zipfile.BadZipFile
            config = json.loads(archive.read("config.json"))
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise ValueError(
            f"{file} is not a whole .keras file ({file.stat().st_size} bytes); save it again."
        ) from error
    try:
        if str(config.get("module", "")).startswith("rnn_apps."):
            importlib.import_module(config["module"])
        model = keras.saving.load_model(file)
    except (ImportError, TypeError, ValueError) as error:
        what = str(error).split(". ")[0]  # the rest is the whole configuration
        raise ValueError(f"{file} cannot be loaded here: {what}.") from error
    if not isinstance(model, Application):
        raise ValueError(
            f"{file} holds a {type(model).__name__}, which is no application of this package."
        )
    return model
