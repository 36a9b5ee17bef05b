"""What several test modules share: a small trained classifier, prices and a small forecaster."""

import base64
import csv
import gc
import itertools
import pathlib
import shutil
import socket
import subprocess
import sys
import types

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from tensorflow.python.framework.ops import gradient_registry

import rnn_apps
from rnn_apps import export

_GOOD, _BAD = ("fine", "moving", "clever", "warm"), ("dull", "hollow", "loud", "tired")
_THINGS = ("story", "cast", "music", "ending", "pace", "tone")


# The files that take longest, in the order in which the workers of `make test` begin them.
_LONG = ("test_templates.py", "test_readme.py")


def pytest_collection_modifyitems(items):
    """Begins with the longest files, so that no worker is left with one when the other is done."""
    order = {name: number for number, name in enumerate(_LONG)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


# What has been imported stays; the collector need not look at it again.
gc.collect()
gc.freeze()


@pytest.fixture(autouse=True)
def traced_gradients_are_let_go():
    """TensorFlow registers each custom gradient that is traced for good, and with it its graph:
    some 20 MB for each training, 8 GB by the end of a run."""
    yield
    known = gradient_registry._registry
    for name in [name for name in known if name.startswith("CustomGradient-")]:
        del known[name]


def reviews():
    """Short reviews in which "not" turns the label round: (texts, labels)."""
    rows = []
    for words, label in ((_GOOD, "positive"), (_BAD, "negative")):
        other = {"positive": "negative", "negative": "positive"}[label]
        for word, thing in itertools.product(words, _THINGS):
            rows += [(f"The {thing} is {word}.", label), (f"The {thing} is not {word}.", other)]
    return [text for text, _ in rows], [label for _, label in rows]


def small_classifier(**options):
    """A classifier that trains in a second or two."""
    settings = {"cell": "gru", "units": 12, "embedding_dim": 12, "vocabulary_size": 330}
    settings |= {"dropout": 0.1, "row_dropout": 0.0, "max_tokens": 24}
    return rnn_apps.SentimentClassifier(**{**settings, **options})


@pytest.fixture(scope="session")
def trained():
    """A classifier trained on `reviews()`; not to be trained on."""
    keras.utils.set_random_seed(3)
    model = small_classifier()
    model.adapt(*reviews())
    model.compile(learning_rate=0.02)
    model.fit(*reviews(), epochs=25, batch_size=32, verbose=0)
    return model


def write_prices(path, names=("symbol", "date", "close"), dates=150):
    """Writes a CSV file of the closes of three series that nobody can forecast, from 2020 on."""
    random = np.random.default_rng(0)
    days = np.busday_offset("2020-01-01", np.arange(dates))
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for series in ("AAA", "BBB", "CCC"):
            closes = 50 * np.exp(random.normal(0, 0.01, dates).cumsum())
            writer.writerows(
                [series, day, f"{close:.4f}"] for day, close in zip(days, closes, strict=True)
            )
    return path


def serialized(examples):
    """Dicts of texts or of lists of numbers as serialized `tf.train.Example`s."""

    def feature(value):
        if isinstance(value, str):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=value))

    features = [{name: feature(value) for name, value in row.items()} for row in examples]
    return [
        tf.train.Example(features=tf.train.Features(feature=row)).SerializeToString()
        for row in features
    ]


_ASK = """
import sys
import numpy as np, tensorflow as tf
if "tensorflow_text" in sys.argv:
    import tensorflow_text
served = tf.saved_model.load(sys.argv[1]).signatures
given, answers = dict(np.load(sys.argv[2])), {}
signatures = sorted({name.split("/")[0] for name in given})
assert sorted(served) == signatures, sorted(served)
for signature in signatures:
    inputs = {n.split("/")[1]: v for n, v in given.items() if n.startswith(signature + "/")}
    for name, values in inputs.items():
        if values.dtype.kind == "U":
            inputs[name] = np.array([bytes.fromhex(value) for value in values], object)
    count = len(next(iter(inputs.values())))
    for size in (1, count):
        for start in range(0, count, size):
            batch = {n: tf.constant(v[start : start + size]) for n, v in inputs.items()}
            for name, value in served[signature](**batch).items():
                answers.setdefault(f"{size}/{signature}/{name}", []).append(value.numpy())
known = {name.split(".")[0] for name in sys.modules} & {"rnn_apps", "tensorflow_text"}
assert known == {"tensorflow_text"} & set(sys.argv), known
answers = {name: np.concatenate(values) for name, values in answers.items()}
np.savez(sys.argv[3], **{k: v.astype("S") if v.dtype == object else v for k, v in answers.items()})
"""


def answers_elsewhere(version, given, folder, *libraries):
    """What an export answers in a process that knows TensorFlow and these libraries alone.

    Args:
        version: its folder.
        given: {"signature/input": rows}, of every signature; texts as str or bytes.
        folder: for files.
        libraries: "tensorflow_text" or nothing.

    Returns:
        {"size/signature/output": array}, with all rows in batches of one and as one batch.
    """
    arrays = {name: np.asarray(values) for name, values in given.items()}
    for name, values in arrays.items():
        if values.dtype.kind in "UOS":  # numpy would drop zeros at the end of bytes
            rows = given[name] if values.dtype.kind == "S" else values.tolist()
            rows = [row.encode() if isinstance(row, str) else row for row in rows]
            arrays[name] = np.array([row.hex() for row in rows])
    np.savez(folder / "given.npz", **arrays)
    files = [version, folder / "given.npz", folder / "answers.npz"]
    subprocess.run(
        [sys.executable, "-c", _ASK, *files, *libraries],
        check=True,
        cwd=folder,
        env={"PATH": "", "TF_CPP_MIN_LOG_LEVEL": "3", "TF_USE_LEGACY_KERAS": "0"},
    )
    return dict(np.load(folder / "answers.npz"))


def tensors(inputs):
    """Inputs as JSON has them, {name: list}, as tensors; {"b64": …} stands for bytes."""

    def plain(value):
        return base64.b64decode(value["b64"]) if isinstance(value, dict) else value

    return {name: tf.constant([plain(value) for value in each]) for name, each in inputs.items()}


def prices(series=4, dates=140, seed=0, *, swing=1.2):
    """Bars whose volatility comes and goes, in long format, on business days from 2020-01-01.

    Each series has a price and a volume of its own size, and two static columns. More dates are
    more of the same prices, up to 240.
    """
    random, parts = np.random.default_rng(seed), []
    for number in range(series):
        noise = random.standard_normal([5, max(dates, 240)])[:, :dates]
        daily = 0.01 * np.exp(swing * np.sin(np.arange(dates) / 9 + number))
        close = 10.0 * (number + 1) ** 2 * np.exp(np.cumsum(daily * noise[0]))
        opened = np.r_[close[0], close[:-1]] * np.exp(0.3 * daily * noise[1])
        high = np.maximum(opened, close) * np.exp(0.4 * daily * np.abs(noise[2]))
        low = np.minimum(opened, close) * np.exp(-0.4 * daily * np.abs(noise[3]))
        volume = np.rint(10.0 ** (number + 4) * np.exp(0.3 * noise[4]))
        columns = {"open": opened, "high": high, "low": low, "close": close, "volume": volume}
        days = pd.bdate_range("2020-01-01", periods=dates)
        facts = {"sector": ("banks", "energy")[number % 2], "size": float(number)}
        parts.append(pd.DataFrame({"series": f"S{number}", "date": days, **columns, **facts}))
    return pd.concat(parts, ignore_index=True)


def bars_of(frame, series="S0"):
    """The bars of one series of `prices`: float32 (1, D, 5)."""
    rows = frame[frame["series"] == series]
    return np.array(rows[["open", "high", "low", "close", "volume"]], np.float32)[None]


def small_forecaster(**options):
    """A forecaster that trains in a second or two."""
    settings = {"window": 12, "horizon": 3, "levels": (0.1, 0.25, 0.5, 0.75, 0.9), "units": 5}
    return rnn_apps.StockForecaster(**{**settings, **options})


@pytest.fixture(scope="session")
def forecaster():
    """A forecaster with dates and static columns, trained and calibrated; not to be trained on."""
    keras.utils.set_random_seed(3)
    model = small_forecaster(date_features=True, static=("sector", "size"), num_paths=40)
    model.adapt(prices())
    model.compile(learning_rate=0.01)
    model.fit(prices(), validation_split=0.25, epochs=4, verbose=0)
    return model


def pairs():
    """Phrases and what they are in a language of its own, which turns them round: two lists."""
    things = {"cat": "Katze", "dog": "Hund", "house": "Haus", "tree": "Baum", "cup": "Tasse"}
    colours = {"red": "rot", "blue": "blau", "green": "grün", "old": "alt", "new": "neu"}
    rows = [(f"the {c} {t}", f"{things[t]} {colours[c]}") for t in things for c in colours]
    rows += [
        (f"{s} and {r}", f"{u} und {v}") for (s, u), (r, v) in zip(rows, rows[7:], strict=False)
    ]
    return [source for source, _ in rows], [target for _, target in rows]


def small_translator(**options):
    """A translator that trains in a few seconds."""
    settings = {"cell": "gru", "units": 32, "embedding_dim": 32, "vocabulary_size": 400}
    settings |= {"encoder_layers": 1, "decoder_layers": 1, "beams": 3, "label_smoothing": 0.05}
    settings |= {"dropout": 0.0, "hidden_dropout": 0.0, "token_dropout": 0.0}
    return rnn_apps.Translator(**{**settings, **options})


@pytest.fixture(scope="session")
def translator():
    """A translator trained on `pairs()`; not to be trained on."""
    keras.utils.set_random_seed(3)
    model = small_translator()
    model.adapt(*pairs())
    model.compile(learning_rate=0.02)
    model.fit(*pairs(), epochs=16, batch_size=6, verbose=0)
    return model


VERSES = ["one cat sat on one mat", "two dogs ran to two logs", "our frog swam in our pond"] * 20


def small_language_model(**options):
    """A language model of a few thousand weights."""
    settings = {"cell": "lstm", "units": 32, "vocabulary_size": 400, "steps": 24, "dropout": 0.0}
    return rnn_apps.LanguageModel(**{**settings, "shown": 5, **options})


@pytest.fixture(scope="session")
def language_model():
    """A language model trained on `VERSES`; not to be trained on."""
    keras.utils.set_random_seed(3)
    model = small_language_model()
    model.adapt(VERSES)
    model.compile(learning_rate=0.02)
    model.fit(VERSES, epochs=40, batch_size=4, verbose=0)
    return model


def squares():
    """Small pictures of coloured squares, each with two captions: bytes of PNGs, and tuples."""
    colours = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230)}
    places = {"left": (8, 0), "right": (8, 16), "top": (0, 8), "bottom": (16, 8)}
    pictures, captions = [], []
    for (colour, rgb), (place, (row, column)) in itertools.product(colours.items(), places.items()):
        pixels = np.full([24, 24, 3], 230, np.uint8)
        pixels[row : row + 8, column : column + 8] = rgb
        pictures.append(tf.io.encode_png(pixels).numpy())
        captions.append((f"a {colour} square at the {place}", f"a {place} square , {colour}"))
    return pictures, captions


def small_captioner(**options):
    """A captioner that trains in a few seconds."""
    settings = {"image_size": 24, "units": 24, "embedding_dim": 24, "vocabulary_size": 400}
    settings |= {"memory_dropout": 0.0, "hidden_dropout": 0.0, "max_length": 14, "beams": 3}
    return rnn_apps.ImageCaptioner(**{**settings, **options})


@pytest.fixture(scope="session")
def captioner():
    """A captioner trained on `squares()`; not to be trained on."""
    keras.utils.set_random_seed(3)
    model = small_captioner()
    model.adapt(*squares())
    model.compile(learning_rate=0.01)
    model.fit(*squares(), epochs=80, batch_size=6, verbose=0)
    return model


def publish_sums(folder):
    """A version of a model that is none of the applications: three numbers in, their sum out."""
    spec = [tf.TensorSpec([None, 3], tf.float32, name="numbers")]
    summed = tf.function(lambda numbers: {"sum": tf.reduce_sum(numbers, axis=1)}, spec)
    return export.publish({"serving_default": summed.get_concrete_function()}, folder)


def free_port():
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def served(tmp_path_factory):
    """A server of copies of the ready-made exports, and of the model `sums`: `folder`, `url` of
    REST, `address` of gRPC, the `server` itself. Tests may publish further versions of `sums`, and
    of nothing else."""
    from rnn_apps.server.server import Server, Settings

    folder = tmp_path_factory.mktemp("served") / "models"
    for version in (pathlib.Path(__file__).parents[1] / "saved_models").glob("*/1"):
        shutil.copytree(version, folder / version.parent.name / "1")
    publish_sums(folder / "sums")
    server = Server(
        Settings(
            models_folder=folder,
            port=free_port(),
            rest_api_port=free_port(),
            enable_model_warmup=False,
            file_system_poll_wait_seconds=0.2,
        )
    )
    server.start()
    url, address = (f"127.0.0.1:{port}" for port in (server.rest_port, server.grpc_port))
    yield types.SimpleNamespace(folder=folder, url=f"http://{url}", address=address, server=server)
    server.stop()
