"""Long texts cut into streams for truncated backpropagation through time, for `fit`.

All texts stand one behind the other, and that one long sequence is cut into as many streams as a
batch has rows. A batch is the next few tokens of every stream, so that the recurrent state after
one batch is where the next one goes on.
"""

import numpy as np
import tensorflow as tf

from rnn_apps.preprocessing.batches import PlannedBatches
from rnn_apps.preprocessing.text import BEGIN, PADDING


class TokenStreams(PlannedBatches):
    """A feed for `fit`: the next tokens of continuous streams, batch by batch.

    With `shuffle`, each epoch puts the texts in another order and begins at another token, so that
    no two epochs cut a text at the same places. All batches of a feed have one shape: the streams'
    ends are padded.

    Args:
        values: int32 (sum of lengths,), the token ids of all texts, one text after the other.
        row_splits: int64 (texts + 1,), where each text starts and the last one ends.
        batch_size: int, the most streams, B. Few tokens make fewer of them.
        steps: int, the most tokens of each stream in a batch. T is at most so many, so that all
            batches hold about as many tokens.
        shuffle: bool.
        seed: int, of the shuffling.

    Each batch is ``({"tokens": int32 (B, T), "fresh": bool (B,)}, targets int32 (B, T))``: targets
    are the tokens one step later, 0 where there is none; `fresh` is True where a stream goes on
    from nothing, since the epoch begins, or a text does. `epoch` is to be set before each epoch.

    Raises:
        ValueError: if there are not two tokens.

    Example:
        >>> feed = TokenStreams(np.arange(1, 10), [0, 9], batch_size=2, steps=3, shuffle=False)
        >>> [targets.tolist() for _, targets in feed]
        [[[2, 3], [6, 7]], [[4, 5], [8, 9]]]
    """

    def __init__(self, values, row_splits, *, batch_size=32, steps=64, shuffle=True, seed=0):
        self.values = np.asarray(values, dtype=np.int32)
        self.row_splits = np.asarray(row_splits, dtype=np.int64)
        if len(self.values) < 2:
            raise ValueError(
                f"Got {len(self.values)} tokens in all; a stream needs two at least, one to read "
                "and one to predict. Give longer texts."
            )
        self.pairs = len(self.values) - 1
        streams = max(1, min(batch_size, self.pairs // steps))
        self.stream_length = -(-self.pairs // streams)
        self.batches = -(-self.stream_length // steps)
        self.steps = -(-self.stream_length // self.batches)  # as even as can be
        super().__init__(len(self.row_splits) - 1, streams, None, shuffle, seed)

    def dataset(self):
        """Returns a `tf.data.Dataset` of known length; each pass yields the current `epoch`."""
        shape = [self.batch_size, self.steps]
        fresh = tf.TensorSpec([self.batch_size], tf.bool)
        read = {"tokens": tf.TensorSpec(shape, tf.int32), "fresh": fresh}
        return self._feed((read, tf.TensorSpec(shape, tf.int32)))

    def _make_plan(self):
        """The tokens of the epoch, (B, batches · T + 1), as a list of the batches' columns."""
        random = np.random.default_rng([self.seed, self.epoch])
        tokens = self.values
        if self.shuffle:
            texts = np.split(self.values, self.row_splits[1:-1])
            tokens = np.concatenate([texts[n] for n in random.permutation(len(texts))])
            tokens = np.roll(tokens, -random.integers(len(tokens)))
        starts = np.arange(self.batch_size)[:, None] * self.stream_length
        places = np.arange(self.batches * self.steps + 1)
        inside = places <= np.minimum(self.stream_length, self.pairs - starts)
        at = np.minimum(starts + places, self.pairs)
        self._streams = np.where(inside, tokens[at], PADDING).astype(np.int32)
        return [slice(n * self.steps, (n + 1) * self.steps + 1) for n in range(self.batches)]

    def __getitem__(self, index):
        """Returns one batch; see the class."""
        tokens = self._streams[:, self.plan()[index]]
        fresh = (tokens[:, 0] == BEGIN) | (index == 0)
        return {"tokens": tokens[:, :-1], "fresh": fresh}, tokens[:, 1:]
