"""Translation: a sentence in; its translation and its score out.

    python train.py [RUN]      RUN: a run folder; naming an interrupted one resumes it

Built-in sentences, two cores: at most 300 seconds; test exact_match 0.93 (word table: 0.03).
To edit: `data` for your pairs, `network` for your layers, SETTINGS for the rest.
"""

import sys
import time

import keras

import rnn_apps

# 1. Settings ---------------------------------------------------------------------------------

SETTINGS = {
    "vocabulary_size": 2000,
    "embedding_dim": 64,
    "units": 96,
    "dropout": 0.0,
    "hidden_dropout": 0.0,
    "label_smoothing": 0.0,
}
LEARNING_RATE = 4e-3
BATCH_SIZE = 96
EPOCHS = 4
RUN = sys.argv[1] if len(sys.argv) > 1 else time.strftime("runs/%Y%m%d-%H%M%S")
EXPORT = "saved_models/translation"
REQUEST = {"text": ["The old man did not buy a red car on Friday."]}

# 2. Your data --------------------------------------------------------------------------------


def data():
    """Raw pairs: `train`, `validation` and `test`, each of sources and targets.

    Two files of yours of one sentence a line, say: `rnn_apps.data.load_pairs("train.en+train.de",
    test="test.en+test.de")`; validation pairs are held out of the training ones. Or one table:
    `rnn_apps.data.load_pairs("pairs.csv", columns={"source": "english", "target": "german"})`.
    """
    return rnn_apps.data.load_pairs("builtin")


# 3. The network ------------------------------------------------------------------------------


def network():
    """What reads the embedded source: float32 (B, T, E) and a mask → (B, T, M).

    Any Keras layer that returns the whole sequence may stand here.
    """
    return rnn_apps.blocks.RecurrentEncoder("lstm", 96, num_layers=1)


# 4. Train ------------------------------------------------------------------------------------

keras.utils.set_random_seed(0)
splits = data()
model = rnn_apps.Translator(encoder=network(), **SETTINGS)
model.adapt(splits.train)
model.compile(learning_rate=LEARNING_RATE)
model.fit(
    splits.train, validation_data=splits.validation, epochs=EPOCHS, batch_size=BATCH_SIZE, run=RUN
)
report = model.report(splits.test, source=splits.name)
report.save(RUN)
print(report)

# 5. Try it -----------------------------------------------------------------------------------

for row in model.records(REQUEST["text"], model.predict(REQUEST["text"], n_best=3)):
    print(f"{row['score']:+.3f}  {row['translation']}")

# 6. Export -----------------------------------------------------------------------------------

version = model.export(EXPORT)
print(f"published {version}")
