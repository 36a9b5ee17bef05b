"""Prices of any accepted form to one table, and which of its columns holds what."""

import re
from collections.abc import Mapping

import numpy as np
import pandas as pd
import tensorflow as tf

from rnn_apps.data.examples import find_column

ALIASES = {
    "series": ("series", "symbol", "unique_id", "ticker"),
    "date": ("date", "ds", "timestamp", "datetime"),
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close", "y", "price"),
    "volume": ("volume",),
    "adj_close": ("adj_close", "adjusted_close", "adjclose"),
}
_READ_AT_ONCE = 4096  # elements of a tf.data.Dataset


def as_table(x):
    """Brings prices of any accepted form into a DataFrame, its columns as they came.

    Args:
        x: a DataFrame, a dict of columns, a list of dicts, a `tf.data.Dataset` of such rows, of
            batches or of whole series, a Series, or a 1-D array or list of closing prices.

    Returns:
        `(table, name)`: the DataFrame with an index 0 … N-1, and the name of a Series, or
        "series" where there is none.

    Raises:
        ValueError: if the form is none of the above.

    Example:
        >>> as_table([10.0, 10.5])[0]["close"].tolist()
        [10.0, 10.5]
    """
    if isinstance(x, pd.Series):
        name = "series" if x.name is None else str(x.name)
        return _with_index(x.rename("close").to_frame()), name
    if isinstance(x, tf.data.Dataset):
        return _from_dataset(x), "series"
    if isinstance(x, pd.DataFrame):
        return _with_index(x), "series"
    records = isinstance(x, (list, tuple)) and len(x) > 0 and isinstance(x[0], Mapping)
    if not records and not isinstance(x, Mapping):
        return pd.DataFrame({"close": _closes(x)}), "series"
    try:
        return pd.DataFrame(list(x) if records else dict(x)), "series"
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            f"The columns of the prices make no table ({error}); give as many values for each "
            "column, one per bar."
        ) from error


def find_columns(found, columns=None, static=()):
    """Says which column holds what: by the names given, then by the field's usual names.

    Case, spaces and punctuation do not matter for the usual names: "Adj Close" is adj_close.

    Args:
        found: the names of the columns that are there.
        columns: a dict from "series", "date", "open", "high", "low", "close", "volume",
            "adj_close" or the name of a static column to the column that holds it.
        static: the names of the static columns.

    Returns:
        A dict from each of these names that is there to its column. There is always "close".

    Raises:
        ValueError: if a named column or the closes are not there, or two columns hold the same.

    Example:
        >>> find_columns(["unique_id", "ds", "Adj Close", "y"])
        {'series': 'unique_id', 'date': 'ds', 'close': 'y', 'adj_close': 'Adj Close'}
    """
    found, columns = [str(each) for each in found], dict(columns or {})
    static = (static,) if isinstance(static, str) else tuple(static)
    clash = [name for name in static if name in ALIASES]
    if clash:
        raise ValueError(
            f"'{clash[0]}' cannot be static, it is a column of the bars themselves; name columns "
            "that hold one value per series."
        )
    unknown = sorted(set(columns) - set(ALIASES) - set(static))
    if unknown:
        raise ValueError(
            f"columns names '{unknown[0]}', but what a column can hold is "
            f"{', '.join(map(repr, (*ALIASES, *static)))}; write columns={{'close': COLUMN}}."
        )
    named = {**{name: name for name in static}, **columns}
    for name, column in named.items():
        find_column(column, found, feature=name, where="the prices")
        if found.count(column) > 1:
            raise ValueError(f"The prices have two columns '{column}'; rename one of them.")
    free = [column for column in found if column not in named.values()]
    places = {name: named.get(name) or _by_alias(name, free) for name in ALIASES}
    places = {name: column for name, column in places.items() if column}
    if "close" not in places:
        places["close"] = _instead_of_close(places, found)
    return {**places, **{name: named[name] for name in static}}


def _instead_of_close(places, found):
    """The adjusted closes, where they came alone."""
    ranges = [name for name in ("open", "high", "low") if name in places]
    if "adj_close" in places and ranges:
        raise ValueError(
            f"The prices have adjusted closes ('{places['adj_close']}') and '{places[ranges[0]]}', "
            "but no close to adjust it by; give the column 'close' too."
        )
    if "adj_close" in places:
        return places.pop("adj_close")
    raise ValueError(
        "There is no column 'close' (or 'y', 'price') in the prices, which have "
        f"{', '.join(map(repr, found[:8])) or 'none'}{', …' if len(found) > 8 else ''}; pass "
        "columns={'close': COLUMN}, or bring a table with a column per series into long format: "
        "frame.rename_axis('date').reset_index().melt('date', var_name='series', "
        "value_name='close')."
    )


def _by_alias(name, found):
    plain = {column: re.sub(r"\W+", "_", column.strip().casefold()).strip("_") for column in found}
    there = [column for column in found if plain[column] in ALIASES[name]]
    exact = [column for column in there if plain[column] == name] or there
    if len(exact) > 1:
        raise ValueError(
            f"'{exact[0]}' and '{exact[1]}' could both be the {name}; pass "
            f"columns={{'{name}': '{exact[0]}'}} to say which."
        )
    return exact[0] if exact else None


def _with_index(frame):
    """The frame with its index among its columns, where that holds dates or series."""
    if isinstance(frame.columns, pd.MultiIndex):
        raise ValueError(
            "The columns of the DataFrame have several levels; bring it into long format, one row "
            "per series and date, for instance with frame.stack(level=-1).reset_index()."
        )
    index = frame.index
    if index.nlevels == 1 and isinstance(index, (pd.DatetimeIndex, pd.PeriodIndex)):
        frame = frame.rename_axis("date") if _lacks_dates(frame) else frame
        return _flat(frame, drop="date" not in frame.index.names)
    usual = {alias for name in ("series", "date") for alias in ALIASES[name]}
    names = [str(name).casefold() for name in index.names]
    return _flat(frame, drop=not set(names) & usual)


def _lacks_dates(frame):
    return _by_alias("date", [str(column) for column in frame.columns]) is None


def _flat(frame, *, drop):
    clash = set(frame.index.names) & set(frame.columns)
    frame = frame.reset_index(drop=drop or bool(clash))
    return frame.set_axis([str(column) for column in frame.columns], axis=1)


def _closes(x):
    if isinstance(x, (str, bytes)) or not hasattr(x, "__len__"):
        raise ValueError(
            f"Prices came as {type(x).__name__}; pass a DataFrame in long format, a dict of "
            "columns, a list of dicts, a Series, or a list of closing prices."
        )
    try:
        shape = (closes := np.asarray(x)).shape
    except ValueError:
        shape = (len(x), "…")
    if len(shape) != 1:
        raise ValueError(
            f"Closing prices came in the shape {shape} where (D,) is expected; pass several "
            "series as a DataFrame with the columns 'series', 'date' and 'close'."
        )
    return closes


def _from_dataset(dataset):
    """Rows, batches of rows, and whole series are all put one below the other."""
    spec = dataset.element_spec
    if not isinstance(spec, Mapping):
        raise ValueError(
            f"The dataset gives {type(spec).__name__}; let it give dicts with the keys 'series', "
            "'date' and 'close'."
        )
    dataset = dataset.map(_unnested)
    if all(each.shape.rank == 0 for each in dataset.element_spec.values()):
        dataset = dataset.batch(_READ_AT_ONCE)
    parts = {name: [] for name in dataset.element_spec}
    for element in dataset.as_numpy_iterator():
        values = {name: np.asarray(value) for name, value in element.items()}
        rows = next((len(value) for value in values.values() if value.ndim), 1)
        for name, value in values.items():
            if value.ndim > 1 or (value.ndim and len(value) != rows):
                raise ValueError(
                    f"'{name}' of the dataset has the shape {value.shape} beside {rows} rows; give "
                    "one value per bar, or one per series."
                )
            parts[name].append(np.broadcast_to(value, rows))
    return pd.DataFrame(
        {name: np.concatenate(all_) if all_ else [] for name, all_ in parts.items()}
    )


def _unnested(element):
    flat = {}
    for name, value in element.items():
        inner = _unnested(value) if isinstance(value, Mapping) else None
        flat.update({f"{name}/{each}": part for each, part in inner.items()} if inner else {})
        if inner is None:
            flat[name] = value
    return flat
