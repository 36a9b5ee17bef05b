"""How good a captioner is: its captions beside others', and pictures of both."""

import dataclasses

import numpy as np
import tensorflow as tf

from rnn_apps import picture_features, writing
from rnn_apps.data import scene_drawing
from rnn_apps.evaluation import caption_baselines, caption_figures, captions
from rnn_apps.evaluation.caption_scores import METRICS, CaptionScores, score

_AT_ONCE = 64  # validation pictures
_ON_SHEET = 12  # pictures of a contact sheet


def report(model, test, train, beside, source, seed):
    """Judges a captioner; see `ImageCaptioner.report`.

    Args:
        model: the captioner.
        test: {"image": object array (N,) of bytes, "captions": object array (N,) of tuples of str}.
        train: likewise, or None.
        beside: {name: another captioner, or N texts}.
        source: str, the name of the test data.
        seed: int.

    Returns:
        `rnn_apps.evaluation.report.Report`, with figures.
    """
    images, references = test["image"], [list(texts) for texts in test["captions"]]
    said = model.predict(images)["caption"].tolist()
    others = {} if train is None else _of_training(model, train, images)
    if len(images) > 1:
        order = caption_baselines.shuffled(len(images), seed)
        others[captions.SHUFFLED_PICTURES] = [said[row] for row in order]
    if min(map(len, references)) > 1:
        others["another person"] = caption_baselines.human_leave_one_out(references)
    others |= writing.written_beside(beside, images, "caption")
    judged = captions.judge(
        references,
        said,
        baselines=others,
        data=source,
        application=type(model).__name__,
        seed=seed,
        truth=truth_of(images, said),
    )
    rows = np.unique(np.linspace(0, len(images) - 1, _ON_SHEET).round().astype(int))

    first = [texts[0] for texts in references]

    def sheet():
        some = ([_printable(each[row]) for row in rows] for each in (said, first))
        return caption_figures.contact_sheet(_seen(model, images[rows]), *some)

    looked = {"attention": lambda: overlay(model, images)} if model.attention else {}
    return dataclasses.replace(judged, figures={**looked, "captions": sheet})


def _of_training(model, train, images):
    """What two baselines that know the training examples say of pictures."""
    known = [list(texts) for texts in train["captions"]]
    old, new = (_summaries(model, pictures) for pictures in (train["image"], images))
    return {
        "most frequent caption": caption_baselines.most_frequent_caption(known, len(images)),
        "nearest neighbour": caption_baselines.nearest_neighbour(old, known, new),
    }


def _summaries(model, image_bytes):
    """The mean of a picture's features, float32 (N, M); zeros for one that cannot be read."""
    keep = not model.encoder.trainable
    found = picture_features.features(model.encoder, image_bytes, model.framing, keep=keep)
    return np.nan_to_num(found.values.mean((1, 2), dtype=np.float32))


def _seen(model, image_bytes):
    """Pictures as a model sees them: uint8 (N, S, S, 3)."""
    decoded = picture_features.Decoded(image_bytes, model.image_size, model.framing)
    return decoded.take(np.arange(len(image_bytes)))[0]["images"]


def overlay(model, image_bytes):
    """Draws where a captioner with attention looked.

    Args:
        model: the captioner.
        image_bytes: object array (N,) of bytes, of which the first that can be read is drawn.

    Returns:
        `matplotlib.figure.Figure`; None if none can be read.
    """
    for row in range(len(image_bytes)):
        image = image_bytes[row : row + 1]
        found = model.answers({"image_bytes": image}, signature="attention")
        if found["ok"][0]:
            length = found["length"][0]
            return caption_figures.attention_overlay(
                _seen(model, image)[0],
                [_printable(token) for token in found["tokens"][0][:length]],
                found["weights"][0][:length],
                title=_printable(found["caption"][0]),
            )
    return None


def _printable(text):
    """Text without the control characters that a model may write, which no font has."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def truth_of(image_bytes, said):
    """Tells whether captions are true of built-in scenes.

    Args:
        image_bytes: N bytes.
        said: N texts.

    Returns:
        bool (N,); None if a picture is none of the built-in ones.

    Example:
        >>> truth_of([b"(a photograph)"], ["a dog"])
    """
    sides = scene_drawing.SIDE.to_bytes(4, "big") * 2
    if not all(image[16:24] == sides for image in image_bytes):  # where a PNG has its size
        return None
    from rnn_apps.data import scenes  # which imports TensorFlow Datasets

    pairs = zip(said, image_bytes, strict=True)
    try:
        return np.array(
            [scenes.is_true(text, scenes.scene_of({"image": image})) for text, image in pairs]
        )
    except ValueError:
        return None


class Validated:
    """Validation pictures that a captioner captions greedily after each epoch of `fit`.

    Args:
        model: the captioner.
        examples: {"image": object array (N,) of bytes, "captions": object array (N,) of tuples of
            str}. Of more than 500, as many are taken, evenly apart.
    """

    def __init__(self, model, examples):
        captions = examples["captions"]
        self.model = model
        self.pictures = model.pictures(examples["image"])
        self.rows = writing.validated(len(captions))
        self.references = [list(captions[row]) for row in self.rows]
        self._graphs = {}

    def _graph(self):
        """The greedy search as a graph, of which there is another once the network is trained."""
        model, trained = self.model, self.model.encoder.trainable

        def say(pictures, ok):
            writer = dataclasses.replace(model.writer(), beams=1)
            memory = model.encode(**pictures)
            found = writer.search(memory, None, model.max_length, ~ok, n_best=1)
            return writer.texts(found)[:, 0]

        if trained not in self._graphs:
            specs = [self.pictures.specs, tf.TensorSpec([None], tf.bool)]
            self._graphs[trained] = tf.function(say, input_signature=specs, autograph=False)
        return self._graphs[trained]

    def captions(self):
        """What the captioner says now, a list of str."""
        said, say = [], self._graph()
        for start in range(0, len(self.rows), _AT_ONCE):
            found = say(*self.pictures.take(self.rows[start : start + _AT_ONCE]))
            said += [text.decode("utf-8", "replace") for text in found.numpy()]
        return said

    def cider_d(self):
        """The CIDEr-D of that, from 0 to 10; 0 where it is not defined, as of one picture alone."""
        sums = CaptionScores(self.references).statistics(self.captions()).sum(axis=0)
        found = dict(zip(METRICS, score(sums), strict=True))["cider_d"]
        return float(np.nan_to_num(found))
