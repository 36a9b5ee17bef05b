"""Training on texts that are moved against the network."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import reviews, small_classifier

from rnn_apps import training

STILL = {"dropout": 0.0, "output_dropout": 0.0}
TEXTS, LABELS = reviews()


def classifier(**options):
    keras.utils.set_random_seed(1)
    model = small_classifier(**{**STILL, **options})
    model.adapt(TEXTS, LABELS)
    model.compile(learning_rate=0.01)
    return model


def batch_of(model, weights=None):
    """Texts of several lengths, in one batch."""
    texts = [*TEXTS[:4], "fine", TEXTS[5] * 2]
    token_ids = model.tokenizer.encode(tf.constant(texts))
    targets = tf.constant([0, 1, 0, 1, 1, 0])
    return (token_ids, targets) if weights is None else (token_ids, targets, tf.constant(weights))


def read_in_a_step(model, batch, size):
    """The vectors, and their losses, of the two readings of one step."""
    readings, logits = [], model.logits

    def noted(vectors, mask, training=None):
        found = logits(vectors, mask, training)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(batch[1], found)
        readings.append((vectors.numpy(), losses.numpy()))
        return found

    model.logits = noted
    metrics = training.adversarial_step(model, batch, size)
    return readings, {name: float(value) for name, value in metrics.items()}


def test_each_text_is_moved_as_far_as_asked_and_becomes_harder():
    model = classifier()
    batch = batch_of(model)
    (vectors, losses), (moved, harder) = read_in_a_step(model, batch, 0.02)[0]
    inside = (batch[0].numpy() != 0)[..., None]
    assert not inside.all()
    assert np.all((moved - vectors)[~inside[..., 0]] == 0)
    far = np.linalg.norm((moved - vectors).reshape(6, -1), axis=1)
    long = np.linalg.norm((vectors * inside).reshape(6, -1), axis=1)
    np.testing.assert_allclose(far, 0.02 * long, rtol=1e-3)
    assert np.all(harder > losses)


def test_the_metrics_are_those_of_the_texts_as_they_came():
    model = classifier()
    readings, metrics = read_in_a_step(model, batch_of(model), 0.5)
    assert metrics["loss"] == pytest.approx(readings[0][1].mean(), rel=1e-5)
    assert readings[1][1].mean() > 1.01 * readings[0][1].mean()


@pytest.mark.parametrize("weights", [None, [1.0, 2.0, 0.0, 1.0, 3.0, 1.0]])
def test_where_nothing_is_moved_a_step_is_the_plain_one(weights):
    plain, moved = classifier(), classifier()
    moved.set_weights(plain.get_weights())
    expected = plain.train_step(batch_of(plain, weights))
    found = training.adversarial_step(moved, batch_of(moved, weights), 0.0)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5)
    for one, other in zip(plain.get_weights(), moved.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_step_follows_the_mean_of_both_gradients():
    model = classifier()
    model.compile("sgd", learning_rate=1, clipnorm=None)
    batch = batch_of(model)
    weights, before = model.trainable_weights, model.get_weights()
    ((vectors, _), (moved, _)), _ = read_in_a_step(model, batch, 0.3)
    after = [weight.numpy() for weight in weights]
    model.set_weights(before)
    with tf.GradientTape() as tape:
        looked_up, mask = model.embedding(batch[0]), batch[0] != 0
        losses = [
            model.compute_loss(None, batch[1], type(model).logits(model, looked_up + by, mask))
            for by in (0.0, moved - vectors)
        ]
        loss = sum(losses) / 2
    for weight, gradient, new in zip(weights, tape.gradient(loss, weights), after, strict=True):
        expected = weight - tf.convert_to_tensor(gradient)
        np.testing.assert_allclose(new, expected, atol=1e-5, err_msg=weight.path)


def test_vectors_that_are_held_still_stay_as_they_are():
    model = classifier()
    model.embedding.trainable = False
    held, weights = model.embedding.embeddings, model.trainable_weights
    before = [weight.numpy() for weight in (held, *weights)]
    training.adversarial_step(model, batch_of(model), 0.02)
    still = [np.array_equal(*pair) for pair in zip((held, *weights), before, strict=True)]
    assert still == [True, *[False] * len(weights)]


def test_fit_trains_so_where_it_is_asked_to():
    found = {}
    for size in (0.0, 0.1):
        model = classifier(adversarial=size)
        model.fit(TEXTS, LABELS, epochs=1, verbose=0)
        found[size] = model.get_weights()
    assert not np.allclose(found[0.0][0], found[0.1][0], atol=1e-6)


@pytest.mark.slow
def test_it_learns_all_the_same():
    model = classifier(adversarial=0.05)
    model.fit(TEXTS, LABELS, epochs=25, batch_size=32, verbose=0)
    assert np.mean(model.predict(TEXTS)["label"] == np.array(LABELS)) > 0.95
