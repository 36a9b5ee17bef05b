"""Counters and histograms under TensorFlow Serving's names, and the page that Prometheus reads."""

import bisect
import itertools
import re
import threading

REQUEST_COUNT = "/tensorflow/serving/request_count"
REQUEST_LATENCY = "/tensorflow/serving/request_latency"
RUNTIME_LATENCY = "/tensorflow/serving/runtime_latency"
EXAMPLE_COUNTS = "/tensorflow/serving/request_example_counts"
EXAMPLE_COUNT_TOTAL = "/tensorflow/serving/request_example_count_total"
QUEUING_LATENCY = "/tensorflow/serving/batching_session/queuing_latency"
WARM_UP_LATENCY = "/tensorflow/serving/model_warmup_latency"
WARM_UP_RECORDS = "/tensorflow/serving/model_warmup_records_read"

_MICROSECONDS = tuple(10 * 1.8**power for power in range(33))  # to about 20 minutes
_POWERS_OF_TWO = tuple(float(1 << power) for power in range(15))
_LABELS = {
    REQUEST_COUNT: ("model_name", "status"),
    REQUEST_LATENCY: ("model_name", "API", "entrypoint"),
    RUNTIME_LATENCY: ("model_name", "API", "runtime"),
    EXAMPLE_COUNTS: ("model",),
    EXAMPLE_COUNT_TOTAL: ("model",),
    QUEUING_LATENCY: ("thread_pool_name",),
    WARM_UP_LATENCY: ("model_path", "status"),
    WARM_UP_RECORDS: ("model_path",),
}
_BOUNDS = {
    REQUEST_LATENCY: _MICROSECONDS,
    RUNTIME_LATENCY: _MICROSECONDS,
    EXAMPLE_COUNTS: _POWERS_OF_TWO,
    QUEUING_LATENCY: _MICROSECONDS,
    WARM_UP_LATENCY: _MICROSECONDS,
}


class Metrics:
    """What a server counts; may be written to and read from any thread.

    Example:
        >>> metrics = Metrics()
        >>> metrics.count(REQUEST_COUNT, "sentiment", "OK")
        >>> metrics.page().splitlines()[1]
        ':tensorflow:serving:request_count{model_name="sentiment",status="OK"} 1'
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._counts = {}  # {(name, label values): number}
        self._histograms = {}  # {(name, label values): [the numbers in its buckets, the sum]}

    def count(self, name, *labels, by=1):
        """Adds to a counter.

        Args:
            name: one of this module's names.
            labels: the values of its labels, each a str.
            by: int.
        """
        key = _key(name, labels)
        with self._lock:
            self._counts[key] = self._counts.get(key, 0) + by

    def observe(self, name, value, *labels):
        """Adds a value to a histogram: a time in microseconds or a number of examples.

        Args:
            name: one of this module's names.
            value: float.
            labels: the values of its labels, each a str.
        """
        key, bounds = _key(name, labels), _BOUNDS[name]
        with self._lock:
            histogram = self._histograms.setdefault(key, [[0] * (len(bounds) + 1), 0.0])
            histogram[0][bisect.bisect_left(bounds, value)] += 1
            histogram[1] += value

    def request(self, model, api, entrypoint, status, seconds):
        """Counts one request.

        Args:
            model: str, a name that is served, or "": clients could else make any number of rows.
            api: str, "Predict", "Classify", "Regress" or "MultiInference".
            entrypoint: str, "REST" or "GRPC".
            status: str, the name of a gRPC status.
            seconds: float, from its arrival to its answer.
        """
        self.count(REQUEST_COUNT, model, status)
        if status == "OK":
            self.observe(REQUEST_LATENCY, seconds * 1e6, model, api, entrypoint)

    def ran(self, model, api, seconds):
        """Counts one run of a model for a request; see `request`."""
        self.observe(RUNTIME_LATENCY, seconds * 1e6, model, api, "TF1")

    def examples(self, model, number):
        """Counts the examples of one request to classify, to regress or to do both."""
        self.observe(EXAMPLE_COUNTS, number, model)
        self.count(EXAMPLE_COUNT_TOTAL, model, by=number)

    def page(self):
        """Returns all that was counted, as text in Prometheus's format."""
        with self._lock:
            counts = sorted(self._counts.items())
            copied = ((key, ([*each[0]], each[1])) for key, each in self._histograms.items())
            histograms = sorted(copied)
        lines = []
        for name, rows in itertools.groupby(counts, lambda row: row[0][0]):
            lines.append(f"# TYPE {_shown(name)} counter")
            lines += [f"{_shown(name)}{{{_labels(*key)}}} {count}" for key, count in rows]
        for name, rows in itertools.groupby(histograms, lambda row: row[0][0]):
            lines.append(f"# TYPE {_shown(name)} histogram")
            for key, (buckets, total) in rows:
                lines += _histogram_lines(
                    _shown(name), _labels(*key), _BOUNDS[name], buckets, total
                )
        return "\n".join(lines) + "\n"


def _key(name, labels):
    if len(labels) != len(_LABELS[name]):
        raise ValueError(f"{name} has the labels {_LABELS[name]}, but {labels} were given")
    return name, labels


def _shown(name):
    return re.sub(r"\W", ":", name, flags=re.ASCII)


def _labels(name, values):
    escaped = (
        value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for value in values
    )
    return ",".join(
        f'{label}="{value}"' for label, value in zip(_LABELS[name], escaped, strict=True)
    )


def _histogram_lines(name, labels, bounds, buckets, total):
    limits = [*(f"{bound:g}" for bound in bounds), "+Inf"]
    for limit, count in zip(limits, itertools.accumulate(buckets), strict=True):
        yield f'{name}_bucket{{{labels},le="{limit}"}} {count}'
    yield f"{name}_sum{{{labels}}} {total:g}"
    yield f"{name}_count{{{labels}}} {sum(buckets)}"
