"""Batches of pictures with all their captions, for `fit`: a known number, in an order that repeats.

A picture stands in a batch once, however many captions it has, so that a network that is trained
along reads it once an epoch.
"""

import numpy as np
import tensorflow as tf

from rnn_apps.preprocessing.batches import PlannedBatches, padded_length


class CaptionBatches(PlannedBatches):
    """A feed for `fit`: pictures, and their captions, right-padded.

    Pictures whose longest captions are of similar length stand together. There are always a
    multiple of `batch_size` captions, rows of padding among them where need be, so that there are
    few shapes to compile kernels for. The captions of a picture that cannot be read are padding
    too, and train nothing.

    Args:
        pictures: what gives the pictures of rows: has `take(rows)`, which returns {name: array (P,
            …)} and bool (P,), whether each could be read, and `specs`, {name: `tf.TensorSpec`}; see
            `rnn_apps.picture_features`.
        captions: `tf.RaggedTensor` int32 (sum of counts, None), all captions, those of one picture
            after those of the one before, with their begin and end tokens.
        counts: int (N,), captions of each picture, 1 at least.
        batch_size: int, pictures in a batch; the last may have fewer.
        sample_weight: float (N,), the weight of each picture's captions, or None.
        shuffle: bool. If not, batches go from the shortest captions to the longest.
        seed: int, of the shuffling.

    Each batch is ``({name: (P, …), "caption_of": int32 (B,), "target": int32 (B, U)}, next int32
    (B, U)[, weight float32 (B,)])``: caption b is one of picture `caption_of[b]` of the batch;
    without its last token it goes in, without its first it is to come out. Which pictures stand
    together is a function of the lengths, the seed and the `epoch`, which is to be set before each
    one (`rnn_apps.training.FeedEpoch` does).

    Raises:
        ValueError: if there are no pictures, one has no caption, or a caption lacks its begin or
            end token.

    Example:
        >>> from rnn_apps.picture_features import Stored
        >>> pictures = Stored("images", np.zeros([1, 4, 4, 3], "uint8"), np.array([True]))
        >>> captions = tf.ragged.constant([[2, 5, 3], [2, 6, 7, 3]], dtype=tf.int32)
        >>> (inputs, following), = CaptionBatches(pictures, captions, [2], batch_size=1)
        >>> inputs["caption_of"].tolist(), inputs["target"][:, :4].tolist()
        ([0, 0], [[2, 5, 0, 0], [2, 6, 7, 0]])
        >>> following[:, :4].tolist()
        [[5, 3, 0, 0], [6, 7, 3, 0]]
    """

    def __init__(
        self,
        pictures,
        captions,
        counts,
        *,
        batch_size=64,
        sample_weight=None,
        shuffle=True,
        seed=0,
    ):
        self.pictures = pictures
        self.values, self.splits = captions.flat_values.numpy(), captions.row_splits.numpy()
        self.counts = np.asarray(counts, np.int64)
        self.lengths = np.diff(self.splits) - 1  # of what goes in
        if not len(self.counts) or self.counts.min() < 1 or self.lengths.min() < 1:
            raise ValueError(
                f"Got {len(self.counts)} pictures with {len(self.lengths)} captions; batches need "
                "one picture at least, each with a caption, and a begin and an end token of each."
            )
        self.first = np.cumsum(self.counts) - self.counts
        super().__init__(len(self.counts), batch_size, sample_weight, shuffle, seed)

    def dataset(self):
        """Returns a `tf.data.Dataset` of known length; each pass yields the current `epoch`."""
        ids = tf.TensorSpec([None, None], tf.int32)
        of = tf.TensorSpec([None], tf.int32)
        # Keras weighs a batch by the rows of the first input by name: one that always has rows.
        inputs = {"caption_of": of, **self.pictures.specs, "target": ids}
        signature = (inputs, ids)
        if self.sample_weight is not None:
            signature += (tf.TensorSpec([None], tf.float32),)
        return self._feed(signature)

    def _divide(self, order):
        longest = padded_length(np.maximum.reduceat(self.lengths, self.first))
        order = order[np.argsort(longest[order], kind="stable")]
        return np.split(order, range(self.batch_size, len(order), self.batch_size))

    def __getitem__(self, index):
        """Returns one batch; see the class."""
        rows = self.plan()[index]
        pictures, ok = self.pictures.take(rows)
        counts = self.counts[rows]
        captions = np.concatenate([np.arange(n) for n in counts]) + np.repeat(
            self.first[rows], counts
        )
        beyond = [0, -len(captions) % self.batch_size]
        picture = np.pad(np.repeat(np.arange(len(rows)), counts), beyond).astype(np.int32)
        real = np.pad(np.repeat(ok, counts), beyond)
        captions = np.pad(captions, beyond)
        target, following = (self._padded(captions, real, skip) for skip in (0, 1))
        inputs = {"caption_of": picture, **pictures, "target": target}
        if self.sample_weight is None:
            return inputs, following
        return inputs, following, self.sample_weight[rows][picture]

    def _padded(self, captions, real, skip):
        """The tokens of captions, each from its `skip`-th on: int32 (B, U)."""
        lengths = np.where(real, self.lengths[captions], 0)
        steps = np.arange(padded_length(self.lengths[captions].max()))
        inside = steps < lengths[:, None]
        places = np.where(inside, self.splits[captions][:, None] + skip + steps, 0)
        return np.where(inside, self.values[places], 0).astype(np.int32)
