"""The report every application hands out: metrics beside baselines, with intervals and a verdict.

It knows nothing of what was measured: a metric is a name with a value and the two ends of its
interval, a picture is a function that draws one.
"""

import dataclasses
import io
import json
import math
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

_FEW = 4  # columns; from here on only the model's cells show their intervals


@dataclasses.dataclass(frozen=True)
class Report:
    """Metrics of a model on one data set, beside the same metrics of its baselines.

    A metric is `{"value": float, "low": float, "high": float}`, where low and high are the ends of
    its 95 % interval. A metric that is not defined has None there and a "reason": a sentence.

    Args:
        application: name of the application, e.g. "sentiment".
        data: name of the data that was judged on.
        examples: how many examples that is.
        metrics: name → metric, of the model.
        baselines: name of a baseline → name → metric.
        verdict: a sentence that says whether the model beats its baselines.
        extras: further JSON-like results, each under a key of its own in the file.
        tables: title → rows of text, the first of them the head; printed, not in the file.
        figures: name → function that returns a `matplotlib.figure.Figure`, saved as `<name>.png`.

    Example:
        >>> metrics = {"accuracy": {"value": 0.9, "low": 0.88, "high": 0.92}}
        >>> report = Report("sentiment", "builtin", 400, metrics, {}, "There was no baseline.")
        >>> report.to_dict()["metrics"]["accuracy"]["value"]
        0.9
    """

    application: str
    data: str
    examples: int
    metrics: Mapping[str, Mapping]
    baselines: Mapping[str, Mapping[str, Mapping]]
    verdict: str
    extras: Mapping[str, object] = dataclasses.field(default_factory=dict)
    tables: Mapping[str, Sequence[Sequence[str]]] = dataclasses.field(
        default_factory=dict, repr=False, compare=False
    )
    figures: Mapping[str, Callable] = dataclasses.field(
        default_factory=dict, repr=False, compare=False
    )

    def to_dict(self) -> dict:
        """Return what `report.json` holds: plain Python types, None for what is not a number."""
        own = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        extras = own.pop("extras")
        del own["figures"], own["tables"]
        clash = sorted(set(own) & set(extras))
        if clash:
            raise ValueError(f"The extra results {clash} bear names of the report's own; rename.")
        return _plain({**own, **extras})

    def save(self, folder: str | os.PathLike) -> list[Path]:
        """Write `report.json`, `metrics.png` and a PNG per figure, each whole or not at all.

        Args:
            folder: made if it is not there; files of an earlier report are replaced.

        Returns:
            The paths written, `report.json` last: when it is there, so are its pictures.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        paths, bars = [], {"metrics": self._draw_metrics} if self.metrics else {}
        for name, draw in {**bars, **self.figures}.items():
            paths.append(_write(folder / f"{name}.png", as_png(draw())))
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        return [*paths, _write(folder / "report.json", f"{text}\n".encode())]

    def __str__(self):
        columns = {"model": self.metrics, **self.baselines}
        few = len(columns) <= _FEW
        rows = [["metric", *columns]]
        for metric in self.metrics:
            cells = [_cell(c.get(metric), few or name == "model") for name, c in columns.items()]
            rows.append([metric.replace("_", " "), *cells])
        title = f"{self.application} on {self.data}, {_counted(self.examples)}"
        shown = [
            _table(
                rows,
                title,
                "value [95 % interval]",
                34 + (24 * len(columns) if few else 14 + 15 * len(columns)),
            )
        ]
        shown += [_table(rows, title, None, 160) for title, rows in self.tables.items()]
        reasons = {m["reason"]: None for c in columns.values() for m in c.values() if "reason" in m}
        return "\n".join([*shown, *reasons, self.verdict])

    def _draw_metrics(self):
        """One panel a metric, one bar a column of the table, with its interval."""
        from matplotlib.figure import Figure

        columns = {"model": self.metrics, **self.baselines}
        height = 0.9 + 0.42 * len(columns)
        figure = Figure(figsize=(7.5, height * len(self.metrics) + 0.4), layout="constrained")
        panels = figure.subplots(len(self.metrics), 1, squeeze=False)[:, 0]
        for panel, metric in zip(panels, self.metrics, strict=True):
            _draw_bars(panel, {name: c.get(metric) or {} for name, c in columns.items()})
            panel.set_title(metric.replace("_", " "), loc="left", fontsize=11)
        figure.suptitle(
            f"{self.application} on {self.data} ({_counted(self.examples)})", parse_math=False
        )
        return figure


def _draw_bars(panel, metrics):
    for row, metric in enumerate(metrics.values()):
        value, low, high = (metric.get(key) for key in ("value", "low", "high"))
        if value is None:
            panel.text(0, row, " not defined", va="center", fontsize=9)
            continue
        panel.barh(row, value, height=0.6, color="tab:blue" if row == 0 else "silver")
        if low is not None and high is not None:
            panel.hlines(row, low, high, color="black", linewidth=1.5)
        panel.annotate(
            _number(value),
            (max(value, high or value), row),
            va="center",
            fontsize=9,
            xytext=(5, 0),
            textcoords="offset points",
        )
    panel.set_yticks(range(len(metrics)), list(metrics), fontsize=9, parse_math=False)
    panel.invert_yaxis()
    panel.margins(x=0.12)
    panel.spines[["top", "right"]].set_visible(False)


def as_png(figure, dpi: int = 150) -> bytes:
    r"""Draw a figure; letters that no font has, which a model may write, are boxes in it.

    Args:
        figure: `matplotlib.figure.Figure`.
        dpi: pixels an inch.

    Returns:
        The bytes of a PNG file.

    Example:
        >>> from matplotlib.figure import Figure
        >>> as_png(Figure())[:4]
        b'\x89PNG'
    """
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(picture, format="png", dpi=dpi)
    return picture.getvalue()


def _table(rows, title, caption, width):
    from rich.console import Console
    from rich.table import Table

    head, *rows = rows
    table = Table(title=title, caption=caption, title_justify="left", caption_justify="left")
    for place, name in enumerate(head):
        table.add_column(name, justify="right" if place else "left")
    for row in rows:
        table.add_row(*row)
    console = Console(file=io.StringIO(), width=width, color_system=None)
    console.print(table)
    return console.file.getvalue().rstrip()


def _cell(metric, interval):
    if not metric or metric["value"] is None:
        return "–"
    if not interval or metric["low"] is None or metric["high"] is None:
        return _number(metric["value"])
    return f"{_number(metric['value'])} [{_number(metric['low'])}, {_number(metric['high'])}]"


def _counted(examples):
    return "1 example" if examples == 1 else f"{examples:,} examples"


def _number(value):
    """Three decimals where they say enough, else four digits."""
    return f"{value:.3f}" if value == 0 or 0.1 <= abs(value) < 100 else f"{value:.4g}"


def _plain(value):
    """Turn arrays, numpy numbers and tuples into what JSON has; six digits say enough."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _write(path, content):
    """Write beside, then replace, so that no reader meets half a file."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path
