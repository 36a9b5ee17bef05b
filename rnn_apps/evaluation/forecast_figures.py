"""Pictures of forecasts: of the days to come, of single origins, calibration, skill by step."""

from collections.abc import Mapping, Sequence

import numpy as np

from rnn_apps.evaluation.scores import central, median_of

_HISTORY = 3  # horizons of it in a fan chart, but 40 days or more
_ROWS, _COLUMNS = 3, 3
_MOST = 12  # series in a picture of the days to come
_LAST = 60  # closes before them
_OFF = 20  # percent: a baseline that loses by more would flatten the others


def choose_origins(origins: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Choose up to three series, and up to three origins of each, spread over what there is.

    Args:
        origins: int64 (N, 2), series and date.
        known: bool (N, H), which steps have an actual price.

    Returns:
        int64 (series, columns), rows of `origins`; origins with the most to show come first, and a
        series with fewer origins has some twice.

    Example:
        >>> choose_origins(np.array([[0, 5], [0, 9], [2, 5]]), np.ones((3, 1), bool)).tolist()
        [[0, 1], [2, 2]]
    """
    full = np.flatnonzero(known.all(axis=1))
    rows = full if len(full) else np.arange(len(origins))
    rows = rows[np.lexsort((origins[rows, 1], origins[rows, 0]))]
    series = np.unique(origins[rows, 0])
    chosen = [rows[origins[rows, 0] == s] for s in _spread(series, _ROWS)]
    columns = min(_COLUMNS, max(len(own) for own in chosen))
    return np.array([own[np.linspace(0, len(own) - 1, columns).round().astype(int)]
                     for own in chosen])  # fmt: skip


def draw_fans(
    closes: np.ndarray,
    dates: np.ndarray,
    names: Sequence[str],
    origins: np.ndarray,
    quantiles: np.ndarray,
    levels: np.ndarray,
):
    """Draw forecasts with what came before and after.

    Args:
        closes: float64 (S, D), in currency, NaN where missing.
        dates: datetime64 (D,).
        names: of the S series.
        origins: int64 (rows, columns, 2), series and date of each panel.
        quantiles: float (rows, columns, H, Q), in currency.
        levels: float64 (Q,).

    Returns:
        A `matplotlib.figure.Figure`.
    """
    from matplotlib.figure import Figure

    rows, columns, horizon, _ = quantiles.shape
    size = (1 + 4.2 * columns, 0.8 + 2.4 * rows)
    figure = Figure(figsize=size, layout="constrained")
    for at, panel in np.ndenumerate(figure.subplots(rows, columns, squeeze=False)):
        series, date = origins[at]
        shown = np.arange(max(0, date - max(_HISTORY * horizon, 40)), date + horizon + 1)
        inside = shown[shown < len(dates)]
        panel.plot(inside - date, closes[series, inside], color="black", linewidth=1, label="price")
        steps, last = np.arange(horizon + 1), np.full((1, len(levels)), closes[series, date])
        _draw_fan(panel, steps, np.vstack([last, quantiles[at]]), levels)  # opens at the last price
        panel.axvline(0, color="grey", linewidth=0.6)
        panel.set_title(f"{names[series]}, {dates[date]}", fontsize=9, parse_math=False)
        panel.tick_params(labelsize=8)
    figure.supxlabel("days from the origin", fontsize=9)
    figure.supylabel("price", fontsize=9)
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), fontsize=8)
    return figure


def draw_forecasts(closes: np.ndarray, dates: np.ndarray, frame):
    """Draw what is to come after the last closes of up to twelve series.

    Args:
        closes: float64 (S, D), in currency, NaN where missing; each series has some.
        dates: datetime64 (D,).
        frame: a DataFrame with H rows for each of the S series, in their order: `series`, `date`
            and quantiles in columns such as `q0.1`, in currency.

    Returns:
        A `matplotlib.figure.Figure`, whose title says what is shown.
    """
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.figure import Figure

    names = [name for name in frame.columns if name.startswith("q0.")]
    levels = np.array([float(name[1:]) for name in names])
    ahead = frame["date"].to_numpy().reshape(len(closes), -1)
    quantiles = frame[names].to_numpy().reshape(*ahead.shape, len(names))
    shown = min(len(closes), _MOST)
    rows = int(np.sqrt(shown))
    columns = -(-shown // rows)
    size = (1.2 + max(3.6 * columns, 6), 1.2 + 2.6 * rows)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel in panels[shown:]:
        panel.remove()
    for row, panel in enumerate(panels[:shown]):
        there = np.flatnonzero(np.isfinite(closes[row]))[-_LAST:]
        past, last = closes[row, there], dates[there[-1]]
        panel.plot(dates[there], past, color="black", linewidth=1, label="close")
        days = np.concatenate([[last], ahead[row]]).astype("datetime64[D]")
        start = np.full((1, len(levels)), past[-1])
        _draw_fan(panel, days, np.vstack([start, quantiles[row]]), levels)
        panel.axvline(last, color="grey", linewidth=0.6)
        panel.set_title(
            f"{frame['series'].iloc[row * ahead.shape[1]]}", fontsize=9, parse_math=False
        )
        panel.xaxis.set_major_locator(locator := AutoDateLocator(maxticks=5))
        panel.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        panel.xaxis.get_offset_text().set_fontsize(8)
        panel.tick_params(labelsize=8)
    of = f"{shown} of {len(closes)} series" if shown < len(closes) else f"{shown} series"
    figure.suptitle(f"The last closes and the next {ahead.shape[1]} days of {of}", fontsize=10)
    figure.supylabel("price", fontsize=9)
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), fontsize=8)
    return figure


def _draw_fan(panel, days, fan, levels):
    """Central intervals and median of quantiles (T, Q) over T days."""
    from matplotlib import colormaps

    intervals = central(levels)[::-1]
    shades = colormaps["Blues"](np.linspace(0.2, 0.5, len(intervals)))
    for (percent, low, high), shade in zip(intervals, shades, strict=True):
        panel.fill_between(days, fan[:, low], fan[:, high], color=shade, label=f"{percent} %")
    panel.plot(days, median_of(fan, levels), color="tab:blue", linewidth=1.2, label="median")


def draw_calibration(levels: np.ndarray, steps: Sequence[int], shares: np.ndarray):
    """Draw the share of actual prices at or below each quantile beside its level.

    Args:
        levels: float64 (Q,).
        steps: the steps to draw.
        shares: float64 (steps, Q), NaN where unknown.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 5.2), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="perfectly calibrated")
    for step, share in zip(steps, shares, strict=True):
        axes.plot(levels, share, "o-", markersize=4, label=f"step {step}")
    axes.set(xlabel="level of the quantile", ylabel="share of prices at or below")
    axes.set(title="Calibration", xlim=(0, 1), ylim=(0, 1))
    axes.legend(loc="upper left", fontsize=8)
    return figure


def draw_skill(skills: Mapping[str, Mapping[str, Sequence]], best: str | None):
    """Draw by how much the model's loss lies below each baseline's, step by step.

    Args:
        skills: name of a baseline → "value", "low" and "high" of 1 - loss / loss of the baseline,
            H each, None where unknown.
        best: name of the best baseline, drawn thicker and with its interval; or None.

    Returns:
        A `matplotlib.figure.Figure`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.axhline(0, color="grey", linewidth=0.8)
    shown = [np.zeros(1)]
    for name, skill in skills.items():
        value, low, high = (100 * np.array(skill[end], float) for end in ("value", "low", "high"))
        steps = np.arange(1, len(value) + 1)
        width = 2.4 if name == best else 1
        (line,) = axes.plot(steps, value, "o-", markersize=3, linewidth=width, label=name)
        if name == best:
            axes.fill_between(steps, low, high, color=line.get_color(), alpha=0.15)
            shown += [low, high]
        if value.max() < _OFF:
            shown.append(value)
        else:
            line.set_label(f"{name} (some or all above {_OFF})")
    shown = np.concatenate(shown)
    least, most = np.nanmin(shown), np.nanmax(shown)
    margin = 0.08 * (most - least) + 0.1
    axes.set(xlabel="step", ylabel="loss below the baseline's, %", title="Skill by step")
    axes.set_ylim(least - margin, most + margin)
    axes.xaxis.get_major_locator().set_params(integer=True)
    if skills:
        axes.legend(fontsize=8)
    return figure


def _spread(values, most):
    return values[np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).astype(int))]
