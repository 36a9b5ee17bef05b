"""What a forecaster learns from training bars before it trains: scales of features, first spread."""

import numpy as np

from rnn_apps.preprocessing import series
from rnn_apps.preprocessing.windows import future_returns


def learn(bars, days, *, horizon, levels):
    """Measures training bars.

    Args:
        bars: float (S, D, 5), on one calendar; NaN where unknown.
        days: int32 (D,), dates as days since 1970-01-01, or None where they are not read.
        horizon: int, U.
        levels: the Q quantile levels.

    Returns:
        A dict of plain numbers: `volatility`, the root of the mean squared daily log return;
        `feature_mean` and `feature_deviation`, of each feature; and `spread` (Q), quantiles of the
        scaled return to any step of the horizon, around the middle one.

    Raises:
        ValueError: if there are too few dates, or no price changes.
    """
    closes = bars[..., series.FIELDS.index("close")]
    need = max(20, horizon + 3)
    if closes.shape[1] < need:
        raise ValueError(
            f"Training bars have {closes.shape[1]} dates, but a horizon of {horizon} needs at "
            f"least {need}; give more bars or a shorter horizon."
        )
    moves = future_returns(closes, 1)
    volatility = float(np.sqrt(np.nanmean(moves**2))) if np.isfinite(moves).any() else 0.0
    if not volatility > 0:
        raise ValueError("No training series has a price that changes; look at the close column.")
    columns, scales = zip(*(_of_series(row, days, volatility) for row in bars), strict=True)
    known = np.isfinite(closes)
    ahead = future_returns(closes, horizon)[known]  # (bars, U)
    ahead /= np.stack(scales)[known][:, None] * np.sqrt(np.arange(1, horizon + 1))
    spread = np.nanquantile(ahead, levels)
    spread -= spread[int(np.argmin(np.abs(np.asarray(levels) - 0.5)))]
    columns = np.stack(columns)[known]
    return {
        "volatility": volatility,
        "feature_mean": columns.mean(0).tolist(),
        "feature_deviation": columns.std(0).tolist(),
        "spread": spread.tolist(),
    }


def _of_series(bars, days, volatility):
    """Features (D, F) and scales (D,) of one series, where its bars stood."""
    known = series.compact(np.float32(bars)[None], None if days is None else days[None])
    columns, scale = series.features(known, volatility)
    back = np.argsort(known["order"].numpy()[0])
    return columns.numpy()[0, back], scale.numpy()[0, back]
