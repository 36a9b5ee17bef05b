"""A language model: a text in; its likeliest next words, a continuation, its probability out.

    python train.py [RUN]      RUN: a run folder; naming an interrupted one resumes it

Built-in reviews, two cores: at most 80 seconds; test perplexity_per_word at most 3.4 (5-grams 3.8).
To edit: `data` for your texts, `network` for the size of the model, SETTINGS for the rest.
"""

import sys
import time

import keras

import rnn_apps

# 1. Settings ---------------------------------------------------------------------------------

SETTINGS = {
    "level": "subword",
    "vocabulary_size": 1000,
    "lowercase": False,
    "steps": 32,
}
LEARNING_RATE = 5e-3
EPOCHS = 7
RUN = sys.argv[1] if len(sys.argv) > 1 else time.strftime("runs/%Y%m%d-%H%M%S")
EXPORT = "saved_models/language"
REQUEST = {"text": ["I had hardly"]}

# 2. Your data --------------------------------------------------------------------------------


def data():
    """Raw texts: `train`, `validation` and `test`.

    A book of yours: `rnn_apps.data.load_texts("book.txt", test_fraction=0.05)`; for one with verses
    or code, add `"line_breaks": True` to SETTINGS.
    """
    return rnn_apps.data.load_texts("builtin")


# 3. The network ------------------------------------------------------------------------------


def network():
    """How large the recurrent network is, and how it is kept from learning texts by heart."""
    return {"cell": "lstm", "units": 128, "num_layers": 1, "dropout": 0.2}


# 4. Train ------------------------------------------------------------------------------------

keras.utils.set_random_seed(0)
splits = data()
model = rnn_apps.LanguageModel(**network(), **SETTINGS)
model.adapt(splits.train)
model.compile(learning_rate=LEARNING_RATE)
model.fit(splits.train, validation_data=splits.validation, epochs=EPOCHS, run=RUN)
report = model.report(splits.test, source=splits.name)
report.save(RUN)
print(report)

# 5. Try it -----------------------------------------------------------------------------------

for row in model.records(REQUEST["text"], model.predict(REQUEST["text"]))[:3]:
    print(f"{row['probability']:.3f}  {row['text']}{row['next']}")
print(REQUEST["text"][0], *model.stream(REQUEST["text"][0], 30), sep="")

# 6. Export -----------------------------------------------------------------------------------

version = model.export(EXPORT)
print(f"published {version}")
