"""Captioning: a picture in; what is to be seen on it, and a score, out.

    python train.py [RUN]      RUN: a run folder; naming an interrupted one resumes it

Built-in scenes, two cores: at most 340 seconds; test true_captions 0.95 (on others: 0.003).
To edit: `data` for your pictures, `network` for what looks at them, SETTINGS for the rest.
"""

import sys
import time

import keras

import rnn_apps

# 1. Settings ---------------------------------------------------------------------------------

SETTINGS = {"units": 160, "decoder_layers": 2, "vocabulary_size": 1000, "hidden_dropout": 0.1}
LEARNING_RATE = 3e-3
BATCH_SIZE = 24  # pictures, each with all of its captions
EPOCHS = 4
RUN = sys.argv[1] if len(sys.argv) > 1 else time.strftime("runs/%Y%m%d-%H%M%S")
EXPORT = "saved_models/captioning"

# 2. Your data --------------------------------------------------------------------------------


def data():
    """Raw examples: `train`, `validation` and `test`, each of pictures with their captions.

    Yours, say: `rnn_apps.data.load_captions("captions.csv", test_fraction=0.1)` of a table with the
    columns "image", the name of a file, and "caption".
    """
    return rnn_apps.data.load_captions("builtin")


# 3. The network ------------------------------------------------------------------------------


def network():
    """What looks at a picture, as arguments of `ImageCaptioner`: a small network, trained along.

    For photographs, one of Keras's that has been trained before, say {"backbone": "MobileNet",
    "backbone_weights": "imagenet", "image_size": 224}: it looks at each picture once.
    """
    return {"backbone": "convnet", "image_size": 48}


# 4. Train ------------------------------------------------------------------------------------

keras.utils.set_random_seed(0)
splits = data()
model = rnn_apps.ImageCaptioner(**network(), **SETTINGS)
model.adapt(splits.train)
model.compile(learning_rate=LEARNING_RATE)
model.fit(
    splits.train,
    validation_data=splits.validation,
    epochs=EPOCHS,
    batch_size=BATCH_SIZE,
    patience=None,
    run=RUN,
)
report = model.report(splits.test, source=splits.name)
report.save(RUN)
print(report)

# 5. Try it -----------------------------------------------------------------------------------

REQUEST = {"image_bytes": [row["image"].numpy() for row in splits.test.take(1)]}
for row in model.records(REQUEST, model.predict(REQUEST, n_best=3)):
    print(f"{row['score']:+.3f}  {row['caption']}")

# 6. Export -----------------------------------------------------------------------------------

version = model.export(EXPORT)
print(f"published {version}")
