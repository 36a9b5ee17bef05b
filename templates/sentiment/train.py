"""Sentiment classification: a text in; a label, probabilities and a score in [-1, +1] out.

    python train.py [RUN]      RUN: a run folder; naming an interrupted one resumes it

Built-in reviews, two cores: at most 60 seconds; test accuracy 0.99 (word counts reach 0.6).
To edit: `data` for your texts, `network` for your layers, SETTINGS for the rest.
"""

import sys
import time

import keras

import rnn_apps

# 1. Settings ---------------------------------------------------------------------------------

SETTINGS = {
    "vocabulary_size": 2000,
    "embedding_dim": 64,
    "max_tokens": 128,
    "row_dropout": 0.0,
    "output_dropout": 0.2,
}
LEARNING_RATE = 5e-3
EPOCHS = 6
RUN = sys.argv[1] if len(sys.argv) > 1 else time.strftime("runs/%Y%m%d-%H%M%S")
EXPORT = "saved_models/sentiment"
REQUEST = {"text": ["I expected a dull evening, but the film is not dull at all."]}

# 2. Your data --------------------------------------------------------------------------------


def data():
    """Raw examples: `train`, `validation` and `test`, each of texts and labels.

    A file of yours with the columns `review` and `stars`, say:
    `rnn_apps.data.load("reviews.csv", columns={"text": "review", "label": "stars"},
    test_fraction=0.1)`; validation examples are held out of the training ones.
    """
    return rnn_apps.data.load("builtin")


# 3. The network ------------------------------------------------------------------------------


def network():
    """What reads the embedded text: float32 (B, T, E) and a mask → (B, T, H).

    Any Keras layer that returns the whole sequence may stand here.
    """
    return rnn_apps.blocks.RecurrentStack("lstm", 64, bidirectional=True, dropout=0.1)


# 4. Train ------------------------------------------------------------------------------------

keras.utils.set_random_seed(0)
splits = data()
model = rnn_apps.SentimentClassifier(encoder=network(), **SETTINGS)
model.adapt(splits.train)
model.compile(learning_rate=LEARNING_RATE)
model.fit(splits.train, validation_data=splits.validation, epochs=EPOCHS, run=RUN)
report = model.report(splits.test, source=splits.name)
report.save(RUN)
print(report)

# 5. Try it -----------------------------------------------------------------------------------

for row in model.records(REQUEST["text"], model.predict(REQUEST["text"])):
    print(f"{row['score']:+.3f}  {row['label']}  {row['text']}")

# 6. Export -----------------------------------------------------------------------------------

version = model.export(EXPORT)
print(f"published {version}")
