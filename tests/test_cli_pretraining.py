"""The one command that trains a language model and the classifier that begins as it."""

import json

import numpy as np
import pytest
import yaml
from conftest import reviews
from test_cli import call, write_csv

import rnn_apps
from rnn_apps import cli_pretraining, language

TEXTS, LABELS = reviews()
SMALL = (
    "--cell", "gru", "--units", 8, "--embedding_dim", 6, "--vocabulary_size", 300, "--pooling",
    "last+max", "--learning_rate", 0.02, "--fit.epochs", 2, "--fit.batch_size", 96, "--seed", 3,
    "--pretrain.epochs", 1, "--pretrain.steps", 32, "--pretrain.batch_size", 32,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with data, unlabelled texts and a run that was trained on them by the command."""
    folder = tmp_path_factory.mktemp("work")
    write_csv(folder / "train.csv", {"text": TEXTS, "label": LABELS})
    held = [f"Well: {text}" for text in TEXTS[:8]]
    write_csv(folder / "valid.csv", {"text": held, "label": LABELS[:8]})
    write_csv(folder / "more.csv", {"text": ["Nobody has judged the waltz.", held[0]]})
    assert call(*command(folder)) == 0
    return folder


def command(folder, run="run", *more):
    data = ("--data", folder / "train.csv", "--validation", folder / "valid.csv")
    texts = ("--pretrain.texts", folder / "more.csv")
    return ("train", "sentiment", *data, *texts, *SMALL, "--run", folder / run, *more)


def test_one_command_trains_a_language_model_and_begins_as_it(folder):
    settings = yaml.safe_load((folder / "run" / "config.yaml").read_text())
    assert settings["pretrain"]["epochs"] == 1
    assert settings["pretrained"] is None
    model = rnn_apps.load_model(folder / "run")
    written = rnn_apps.load_model(folder / "run" / "language_model")
    assert isinstance(written, language.LanguageModel)
    assert (written.cell, written.units, written.embedding_dim) == ("gru", 8, 6)
    assert (model.bidirectional, model.embedding_dim) == (False, 6)
    token_ids = written.tokenizer.encode(["It was judged."])
    np.testing.assert_array_equal(model.tokenizer.encode(["It was judged."]), token_ids)


def test_only_training_texts_and_unlabelled_ones_are_read(folder):
    record = yaml.safe_load((folder / "run" / "language_model" / "config.yaml").read_text())
    texts = np.array([*TEXTS, "Nobody has judged the waltz."], object)
    assert record["fingerprint"] == rnn_apps.data.fingerprint({"text": texts})


def test_a_run_that_goes_on_does_not_train_the_language_model_again(folder, monkeypatch, capsys):
    class Interrupted(Exception):
        pass

    def interrupted(*arguments, **options):
        raise Interrupted

    with monkeypatch.context() as patch:
        patch.setattr(rnn_apps.SentimentClassifier, "fit", interrupted)
        with pytest.raises(Interrupted):
            call(*command(folder, "again"))
    assert call(*command(folder, "again", "--pretrain.epochs", 2)) == 1
    assert "epochs was 1 and is now 2. Repeat the first command" in capsys.readouterr().err
    with monkeypatch.context() as patch:
        patch.setattr(language.LanguageModel, "fit", interrupted)
        assert call(*command(folder, "again")) == 0
    shown = capsys.readouterr().err
    assert "1 texts of" in shown
    assert "carried over from" in shown
    histories = [(folder / run / "history.csv").read_text() for run in ("run", "again")]
    assert histories[0] == histories[1]


def test_pretrain_alone_asks_for_the_defaults(capsys):
    arguments = ("train", "sentiment", "--data", "builtin", "--run", "x", "--pretrain")
    assert call(*arguments, "--print_config") == 0
    shown = yaml.safe_load(capsys.readouterr().out)["pretrain"]
    assert shown == json.loads(json.dumps(vars(cli_pretraining.Pretraining())))
    assert call(*arguments, "--pretrained", "y", "--fit.epochs", 1) == 1
    assert "--pretrain and --pretrained came both" in capsys.readouterr().err
    assert call(*arguments[:-1], "--pretrain.epoch", 1) == 2
    assert "--pretrain has no epoch" in capsys.readouterr().err
