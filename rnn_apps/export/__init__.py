"""From traced endpoints to a published SavedModel version, and what is wrong with any of them."""

from rnn_apps.export.checking import check
from rnn_apps.export.graphs import Finding
from rnn_apps.export.publishing import Endpoint, graph_of, publish

__all__ = ["Endpoint", "Finding", "check", "graph_of", "publish"]
