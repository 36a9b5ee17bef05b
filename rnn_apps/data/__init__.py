"""From files and data sets to raw examples.

One way to name data everywhere: `builtin`, `tfds:NAME`, or the path of a CSV, TSV or JSONL file.
"""

from rnn_apps.data.examples import as_columns, as_dataset, fingerprint
from rnn_apps.data.splits import Splits, load

__all__ = ["Splits", "as_columns", "as_dataset", "fingerprint", "load"]
