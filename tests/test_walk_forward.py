"""Which bars are judged, and by which model."""

import numpy as np
import pytest

from rnn_apps.evaluation.walk_forward import origins_after, walk_forward

DATES = np.arange("2020-01-01", "2020-01-11", dtype="datetime64[D]")


def test_origins_are_known_bars_after_a_date_with_the_whole_horizon_before_the_end():
    closes = np.ones([3, 10])
    closes[1, 5] = np.nan
    closes[2, :7] = np.nan
    found = origins_after(closes, DATES, DATES[3], 2)
    expected = [[0, d] for d in (4, 5, 6, 7)] + [[1, d] for d in (4, 6, 7)] + [[2, 7]]
    assert found.tolist() == expected
    assert origins_after(closes, DATES, DATES[0] - 500, 9).tolist() == [[0, 0], [1, 0]]


@pytest.mark.parametrize("after, horizon", [(DATES[8], 1), (DATES[0], 9), (DATES[-1] + 9, 1)])
def test_no_origin_is_a_sentence(after, horizon):
    with pytest.raises(ValueError, match=f"No bar after {after} has {horizon} dates after it"):
        origins_after(np.ones([1, 10]), DATES, after, horizon)


def test_models_are_retrained_at_the_first_origin_of_each_block():
    origins = np.array([[0, 4], [0, 5], [0, 6], [0, 9], [1, 5], [1, 7]])
    asked = []

    def retrained(date):
        asked.append(date)
        return date

    def forecast(model, some):
        return {"model": np.full(len(some), model), "origin": np.array(some, np.float32)}

    found = walk_forward(origins, -1, forecast, retrained=retrained, every=2)
    assert asked == [4, 6, 9]
    assert found["model"].tolist() == [4, 4, 6, 9, 4, 6]
    assert (found["model"] <= origins[:, 1]).all()
    np.testing.assert_array_equal(found["origin"], origins)
    assert found["origin"].dtype == np.float32
    assert walk_forward(origins, -1, forecast)["model"].tolist() == [-1] * 6
    with pytest.raises(ValueError, match="refit_every=0"):
        walk_forward(origins, -1, forecast, retrained=retrained, every=0)
