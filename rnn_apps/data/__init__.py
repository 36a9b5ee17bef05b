"""From files and data sets to raw examples.

One way to name data everywhere: `builtin`, `tfds:NAME`, or the path of a CSV, TSV or JSONL file.
"""

from rnn_apps.data.bars import FIELDS, Bars, as_bars
from rnn_apps.data.calendars import future_dates
from rnn_apps.data.examples import as_columns, as_dataset, fingerprint
from rnn_apps.data.forecast_frames import forecast_frame, frame_records
from rnn_apps.data.pair_checks import PairLimits
from rnn_apps.data.parallel import load_pairs
from rnn_apps.data.pictures import as_captioned, load_captions
from rnn_apps.data.price_splits import load_bars
from rnn_apps.data.requests import read_bars, read_requests
from rnn_apps.data.splits import Splits, load
from rnn_apps.data.texts import load_texts

__all__ = [
    "FIELDS",
    "Bars",
    "PairLimits",
    "Splits",
    "as_bars",
    "as_captioned",
    "as_columns",
    "as_dataset",
    "fingerprint",
    "forecast_frame",
    "frame_records",
    "future_dates",
    "load",
    "load_bars",
    "load_captions",
    "load_pairs",
    "load_texts",
    "read_bars",
    "read_requests",
]
