"""What is known of a whole series, as numbers for a network: sectors, sizes and the like."""

import numpy as np
import tensorflow as tf


def learn(values):
    """What has to be known of a column: the names in it, or the mean and deviation of its numbers.

    Args:
        values: array (S,) of str or of float.

    Returns:
        {"names": sorted list of str} or {"mean": float, "deviation": float}.

    Example:
        >>> learn(np.array(["energy", "banks", "energy"], dtype=object))
        {'names': ['banks', 'energy']}
    """
    if np.asarray(values).dtype.kind in "fiub":
        numbers = np.asarray(values, float)
        return {"mean": float(numbers.mean()), "deviation": float(numbers.std()) or 1.0}
    return {"names": sorted({str(value) for value in values})}


def width(facts):
    """How many numbers `encode` makes of a value."""
    return len(facts.get("names", "1"))


def encode(values, facts):
    """Turns values into numbers: one for each name, of which a stranger has none, or one number.

    Args:
        values: string or float32 (B,).
        facts: what `learn` returned.

    Returns:
        float32 (B, `width(facts)`).
    """
    if "names" in facts:
        return tf.cast(tf.equal(values[:, None], tf.constant(facts["names"])[None]), tf.float32)
    scaled = (values - facts["mean"]) / facts["deviation"]
    return tf.where(tf.math.is_finite(scaled), tf.clip_by_value(scaled, -8.0, 8.0), 0.0)[:, None]
