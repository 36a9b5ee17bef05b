"""How gates begin, where a state has to last."""

import keras


@keras.saving.register_keras_serializable(package="rnn_apps")
class LongMemory(keras.initializers.Initializer):
    """Biases under which an LSTM or a GRU keeps its state for up to a given number of steps.

    Chrono initialisation (Tallec & Ollivier 2018, section 2): the gate that keeps gets the bias
    log u with u uniform in [1, memory - 1], so that units forget at rates from one step to
    `memory` steps; the LSTM's input gate gets the opposite. With a forget bias of 1, Keras's
    default, a gradient is gone after some twenty steps until training has opened the gates.

    Args:
        cell: `"lstm"` or `"gru"`.
        memory: The longest dependency, in steps; at least 3.
        seed: Seed of the draw, or None.

    Raises:
        ValueError: If there is no gate that keeps, or `memory` is below 3.

    Example:
    >>> bias = LongMemory("lstm", memory=100)((16,))
    >>> bool(np.all(bias[4:8] >= 0)), bool(np.all(bias[:4] == -bias[4:8]))
    (True, True)
    """

    def __init__(self, cell, memory, seed=None):
        if cell not in ("lstm", "gru") or memory < 3:
            raise ValueError(
                f"Got memory={memory} for the cell {cell!r}; memory takes the gates of 'lstm' or "
                "'gru', and at least 3 steps."
            )
        self.cell = cell
        self.memory = memory
        self.seed = seed

    def __call__(self, shape, dtype=None):
        """Draw the bias: (4H,) of an LSTM; (3H,) or (2, 3H) of a GRU."""
        units = shape[-1] // (4 if self.cell == "lstm" else 3)
        keep = keras.ops.log(keras.random.uniform((units,), 1, self.memory - 1, dtype, self.seed))
        rest = keras.ops.zeros((2 * units,), dtype)
        parts = [-keep, keep, rest] if self.cell == "lstm" else [keep, rest]
        bias = keras.ops.concatenate(parts)
        if len(shape) == 2:  # the input's bias, and the recurrent product's
            return keras.ops.stack([bias, keras.ops.zeros_like(bias)])
        return bias

    def get_config(self):
        """All constructor arguments."""
        return {"cell": self.cell, "memory": self.memory, "seed": self.seed}
