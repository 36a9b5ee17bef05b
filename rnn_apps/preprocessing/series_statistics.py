"""What a forecaster learns from training bars before it trains: scales and a first spread."""

import numpy as np

from rnn_apps.preprocessing import series
from rnn_apps.preprocessing.windows import SeriesWindows, future_returns


def learn(bars, days, *, window, horizon, levels):
    """Measures training bars.

    Args:
        bars: float (S, D, 5), on one calendar; NaN where unknown.
        days: int32 (D,), dates as days since 1970-01-01, or None where they are not read.
        window: int, bars in a window.
        horizon: int, U.
        levels: the Q quantile levels.

    Returns:
        A dict of plain numbers: `volatility`, the root of the mean squared daily log return;
        `feature_mean` and `feature_deviation`, of each feature; and `spread` (Q), quantiles of the
        scaled return to any step of the horizon, around the middle one.

    Raises:
        ValueError: if there are too few dates, or no price changes.
    """
    closes = bars[..., series.CLOSE]
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
    batches = SeriesWindows(
        bars,
        days=days,
        window=window,
        horizon=horizon,
        origins=np.arange(window // 3, window),
        batch_size=256,
        shuffle=False,
    )
    columns, ahead = zip(*(_measured(*batch, volatility) for batch in batches), strict=True)
    columns = np.concatenate(columns)
    spread = np.nanquantile(np.concatenate(ahead), levels)
    spread -= spread[int(np.argmin(np.abs(np.asarray(levels) - 0.5)))]
    return {
        "volatility": volatility,
        "feature_mean": columns.mean(0).tolist(),
        "feature_deviation": columns.std(0).tolist(),
        "spread": spread.tolist(),
    }


def _measured(inputs, returns, volatility):
    """Features (bars, F) of a batch's bars, and the scaled returns (bars, U) from its origins."""
    known = series.compact(inputs["bars"], inputs.get("dates"))
    columns, scale = series.features(known, volatility)
    scale = np.take_along_axis(scale.numpy(), known["places"].numpy(), axis=1)
    scale = scale[:, -returns.shape[1] :]  # at the origins
    steps = np.sqrt(np.arange(1, returns.shape[2] + 1))
    scaled = returns / (scale[..., None] * steps)
    return columns.numpy()[known["mask"].numpy()], scaled[np.isfinite(returns).any(-1)]
