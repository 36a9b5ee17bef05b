"""Stock series forecasting: bars in; quantiles of the next closing prices out.

    python train.py [RUN]      RUN: a run folder; naming an interrupted one resumes it

Built-in market, two cores: at most 70 seconds; test achieved 0.9 (of what there is to win).
To edit: `data` for your prices, `network` for your layers, SETTINGS for the rest.
"""

import sys
import time

import keras

import rnn_apps

# 1. Settings ---------------------------------------------------------------------------------

SETTINGS = {"window": 60, "horizon": 5}
LEARNING_RATE = 5e-3
EPOCHS = 10
RUN = sys.argv[1] if len(sys.argv) > 1 else time.strftime("runs/%Y%m%d-%H%M%S")
EXPORT = "saved_models/forecasting"
CLOSES = [100 + day % 7 - day % 4 for day in range(60)]
REQUEST = {"bars": [[[close - 1, close + 2, close - 2, close, 1e6] for close in CLOSES]]}

# 2. Your data --------------------------------------------------------------------------------


def data():
    """Raw bars: `train`, `validation` and `test`, parted by date, each with what came before it.

    A file of yours with the columns `ticker`, `day` and `last` (and more, where known), say:
    `rnn_apps.data.load_bars("prices.csv", columns={"series": "ticker", "date": "day",
    "close": "last"}, validation="2018-07-01", test="2019-01-02")`.
    """
    return rnn_apps.data.load_bars("builtin")


# 3. The network ------------------------------------------------------------------------------


def network():
    """What reads the features of the bars: float32 (B, T, F) and a mask → (B, T, H).

    Any Keras layer that returns the whole sequence, each step from no later one, may stand here.
    """
    return rnn_apps.blocks.RecurrentStack("gru", 32, dropout=0.1)


# 4. Train ------------------------------------------------------------------------------------

keras.utils.set_random_seed(0)
splits = data()
model = rnn_apps.StockForecaster(encoder=network(), **SETTINGS)
model.adapt(splits.train)
model.compile(learning_rate=LEARNING_RATE)
model.fit(splits.train, validation_data=splits.validation, epochs=EPOCHS, patience=None, run=RUN)
report = model.report(splits.test, source=splits.name)
report.save(RUN)
print(report)

# 5. Try it -----------------------------------------------------------------------------------

frame = model.predict(splits.test)
of_one = frame[frame["series"] == frame["series"][0]]
print(
    of_one[["series", "date", "q0.1", "q0.5", "q0.9"]].to_string(index=False, float_format="%.2f")
)

# 6. Export -----------------------------------------------------------------------------------

version = model.export(EXPORT)
print(f"published {version}")
