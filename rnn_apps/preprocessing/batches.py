"""Batches of sequences of similar length, for `fit`: a known number, in an order that repeats.

Which rows stand together and in which order is a function of the lengths, the seed and the epoch
alone, so a resumed training sees the batches that the interrupted one would have seen.
"""

import numpy as np
import tensorflow as tf


def padded_length(length):
    """Rounds a length up to one of four boundaries per octave (at least 8 apart).

    Few distinct lengths mean few compilations of a kernel; see `LengthBatches`.

    Args:
        length: int or int array, at least 1.

    Returns:
        int64 array of the same shape.
    """
    length = np.asarray(length, dtype=np.int64)
    octave = np.ceil(np.log2(np.maximum(length, 8))).astype(np.int64)
    step = np.maximum(8, 2 ** np.maximum(octave - 3, 0))
    return -(-length // step) * step


class PlannedBatches:
    """Base of feeds: which rows stand together in an epoch, and in which order.

    A subclass defines `_divide`, and `__getitem__`, which makes a batch of `plan()[index]`.

    Attributes:
        shapes: set of the shapes of the batches given so far, each a tuple of its arrays' shapes.
            A kernel is compiled once for each, so there should be few.

    Args:
        rows: int, how many there are.
        batch_size: int, as the subclass says.
        sample_weight: float (rows,) or None.
        shuffle: bool, whether batches are drawn anew for each epoch.
        seed: int, of the shuffling.
    """

    def __init__(self, rows, batch_size, sample_weight, shuffle, seed):
        self.rows = rows
        self.batch_size = batch_size
        self.sample_weight = None if sample_weight is None else np.float32(sample_weight)
        self.shuffle = shuffle
        self.seed = seed
        self.epoch = 0
        self.shapes = set()
        self._plan_of = (None, None)

    def __len__(self):
        """The number of batches, the same in every epoch."""
        return len(self.plan())

    def __iter__(self):
        """Goes through the batches of the current `epoch`."""
        for index in range(len(self)):
            batch = self[index]
            self.shapes.add(tuple(np.shape(array) for array in tf.nest.flatten(batch)))
            yield batch

    def plan(self):
        """Returns the row numbers of each batch of the current `epoch`, a list of arrays."""
        if self._plan_of[0] != self.epoch:
            self._plan_of = (self.epoch, self._make_plan())
        return self._plan_of[1]

    def _make_plan(self):
        random = np.random.default_rng([self.seed, self.epoch])
        order = np.arange(self.rows)
        if self.shuffle:
            order = random.permutation(order)
        batches = self._divide(order)
        if self.shuffle:
            batches = [batches[i] for i in random.permutation(len(batches))]
        return batches

    def _feed(self, signature):
        """A `tf.data.Dataset` of known length; each pass yields the current `epoch`."""
        batches = tf.data.Dataset.from_generator(lambda: iter(self), output_signature=signature)
        return batches.apply(tf.data.experimental.assert_cardinality(len(self))).prefetch(2)


class LengthBatches(PlannedBatches):
    """A feed for `fit`: right-padded batches of rows of similar length.

    Keras takes it as `dataset()`. (A `keras.utils.PyDataset` will not do: Keras 3.15 takes its
    shapes from the first two batches, and refuses the third if those two had one length.)

    Args:
        values: int32 (sum of lengths,), the token ids of all rows, one row after the other.
        row_splits: int64 (rows + 1,), where each row starts and the last one ends.
        targets: array (rows, …), what to predict for each row.
        sample_weight: float32 (rows,) or None.
        batch_size: int, rows in a batch; the last may have fewer.
        token_budget: int or None. If given, a batch holds as many rows as stay within that many
            padded tokens (at least one) instead of `batch_size`.
        shuffle: bool. If not, batches go from the shortest rows to the longest.
        seed: int, of the shuffling.

    Each batch is ``(token_ids int32 (B, T), targets (B, …)[, sample_weight (B,)])``. `epoch` is
    to be set before each epoch (`rnn_apps.training.FeedEpoch` does).

    Raises:
        ValueError: if there are no rows, or a row is empty.

    Example:
        >>> batches = LengthBatches(np.arange(1, 6), [0, 2, 5], np.array([0, 1]), batch_size=2)
        >>> batches[0][0].shape
        (2, 8)
    """

    def __init__(
        self,
        values,
        row_splits,
        targets,
        *,
        sample_weight=None,
        batch_size=64,
        token_budget=None,
        shuffle=True,
        seed=0,
    ):
        self.values = np.asarray(values, dtype=np.int32)
        self.starts = np.asarray(row_splits, dtype=np.int64)[:-1]
        self.lengths = np.diff(row_splits)
        if not len(self.lengths) or self.lengths.min() < 1:
            raise ValueError(
                f"Got {len(self.lengths)} rows, {int((self.lengths < 1).sum())} of them empty; "
                "batches need at least one row, and every row at least one token."
            )
        self.targets = np.asarray(targets)
        self.token_budget = token_budget
        super().__init__(len(self.lengths), batch_size, sample_weight, shuffle, seed)

    def dataset(self):
        """Returns a `tf.data.Dataset` of known length; each pass yields the current `epoch`."""
        specs = [
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([None, *self.targets.shape[1:]], self.targets.dtype),
            tf.TensorSpec([None], tf.float32),
        ]
        parts = 2 if self.sample_weight is None else 3
        return self._feed(tuple(specs[:parts]))

    def _divide(self, order):
        padded = padded_length(self.lengths)
        order = order[np.argsort(padded[order], kind="stable")]
        return np.split(order, self._cuts(padded[order]))

    def _cuts(self, padded):
        """Where batches end, for rows in ascending order of padded length."""
        if self.token_budget is None:
            return np.arange(self.batch_size, len(padded), self.batch_size)
        cuts, start = [], 0
        for row in range(1, len(padded)):
            if (row + 1 - start) * padded[row] > self.token_budget:
                cuts.append(row)
                start = row
        return cuts

    def __getitem__(self, index):
        """Returns one batch; see the class."""
        rows = self.plan()[index]
        steps = np.arange(padded_length(self.lengths[rows].max()))
        inside = steps < self.lengths[rows, None]  # (B, T)
        positions = np.where(inside, self.starts[rows, None] + steps, 0)
        token_ids = np.where(inside, self.values[positions], 0).astype(np.int32)
        batch = (token_ids, self.targets[rows])
        return batch if self.sample_weight is None else (*batch, self.sample_weight[rows])
