"""Timing for the benchmarks: candidates in turn, medians, ratios and geometric means."""

import statistics
import time

import tensorflow as tf


def medians(candidates, turns=15, warm_up=2):
    """Time candidates in turn, so that whatever else the machine does hits all of them.

    Args:
        candidates: name → function without arguments that does the work, and returns when done.
        turns: Timed calls of each.
        warm_up: Calls of each before that are not timed.

    Returns:
        name → median seconds of a call.
    """
    for _ in range(warm_up):
        for call in candidates.values():
            call()
    taken = {name: [] for name in candidates}
    for _ in range(turns):
        for name, call in candidates.items():
            began = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def peak(size=2048, turns=20):
    """Return the most FLOP/s that a large float32 product of TensorFlow reaches here."""
    a = tf.random.normal([size, size])
    product = tf.function(tf.matmul, jit_compile=False)
    rates = []
    for _ in range(turns + 2):
        began = time.perf_counter()
        product(a, a).numpy()
        rates.append(2 * size**3 / (time.perf_counter() - began))
    return max(rates[2:])


def ratios(seconds, ours="rnn_apps"):
    """Return how many times as long as ours the others take: name → ratio."""
    return {name: taken / seconds[ours] for name, taken in seconds.items() if name != ours}


def geometric_means(rows):
    """Average ratios over rows, for every name that all rows have.

    Args:
        rows: List of dicts, name → ratio.

    Returns:
        name → geometric mean.
    """
    names = set.intersection(*(set(row) for row in rows))
    return {
        name: statistics.geometric_mean(row[name] for row in rows)
        for name in rows[0]
        if name in names
    }
