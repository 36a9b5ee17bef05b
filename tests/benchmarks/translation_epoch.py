"""A training epoch of the translator against the same architecture in plain Keras layers.

    python tests/benchmarks/translation_epoch.py train.en+train.de

Both see the same batches, in turns of a few steps, after every shape of batch has been seen once;
the sums over all batches of an epoch, the medians of each shape's turns, are compared. Not beside
anything else.
"""

import argparse
import functools
import itertools

import epochs
import keras
import timing

import rnn_apps

TURNS = 5


def plain(translator, jit_compile):
    """What `Translator` is, written with `keras.layers` and a loss of Keras."""
    layers, units, width = keras.layers, translator.units, translator.embedding_dim
    size = translator.tokenizer.num_pieces
    lstm = {"return_sequences": True, "dropout": translator.dropout}
    source, target = (
        keras.Input([None], dtype="int32", name=name) for name in ("source", "target")
    )
    embedding = layers.Embedding(size, width, mask_zero=True)
    memory = layers.Bidirectional(layers.LSTM(units, **lstm))(embedding(source))
    for _ in range(translator.encoder_layers - 1):
        memory = layers.LSTM(units, **lstm)(memory)
    summary = layers.GlobalAveragePooling1D()(memory)
    attention = layers.AdditiveAttention if translator.attention == "additive" else layers.Attention
    states, keys, context = embedding(target), layers.Dense(units)(memory), None
    for layer in range(translator.decoder_layers):
        start = [layers.Dense(units, activation="tanh")(summary) for _state in "hc"]
        if layer == 1:
            states = layers.Add()([states, layers.Dense(units)(context)])
        above = layers.LSTM(units, **lstm)(states, initial_state=start)
        states = layers.Add()([above, states]) if states.shape[-1] == units else above
        if layer == 0:
            context = attention()([layers.Dense(units)(states), memory, keys])
    hidden = layers.Dense(width, activation="tanh")(layers.Concatenate()([context, states]))
    logits = layers.Dense(size)(layers.Dropout(translator.hidden_dropout)(hidden))
    model = keras.Model({"source": source, "target": target}, logits)
    model.compile(
        keras.optimizers.Adam(1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=0),
        jit_compile=jit_compile,
    )
    return model


def train_on_next(model, batches):
    """Trains on one batch."""
    model.train_on_batch(*next(batches))


def main():
    """Prints seconds of an epoch, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data")
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--xla", action="store_true", help="also plain Keras compiled by XLA")
    options = parser.parse_args()
    train = rnn_apps.data.load_pairs(options.data, validation_fraction=0).train
    ours = rnn_apps.Translator()
    ours.adapt(train)
    ours.compile()
    feed = ours.feed(
        ours.examples(train),
        batch_size=options.batch_size,
        shuffle=True,
        seed=0,
        sample_weight=None,
    )
    models = {"rnn_apps": ours, "plain Keras": plain(ours, False)}
    if options.xla:
        models["plain Keras, XLA"] = plain(ours, True)
    seconds = dict.fromkeys(models, 0.0)
    shapes = epochs.by_shape(feed)
    for group in shapes:
        calls = {
            name: functools.partial(train_on_next, model, itertools.cycle(group[: TURNS + 1]))
            for name, model in models.items()
        }
        for name, taken in timing.medians(calls, TURNS, warm_up=1).items():
            seconds[name] += len(group) * taken
    print(f"{len(feed)} batches of {len(shapes)} shapes")
    for name, spent in seconds.items():
        ratio = seconds["rnn_apps"] / spent
        print(f"{name:<18} {spent:6.1f} s an epoch   rnn_apps takes {ratio:.2f} of it")


if __name__ == "__main__":
    main()
