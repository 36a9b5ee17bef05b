import dataclasses
import itertools
import random
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from rnn_apps.data import load_captions, scene_captions, scenes, tfds
from rnn_apps.data.scene_drawing import SIDE, draw, png
from rnn_apps.data.scene_parts import BACKGROUNDS, COLOURS, RELATIONS, SHAPES, SIZES, Scene, Thing

CIRCLE, CROSS = Thing("tiny", "red", "circle"), Thing("large", "blue", "cross")
PAIR = Scene((CIRCLE, CROSS), "above", "striped", 5)
ALONE = Scene((CROSS,), None, "plain", 5)


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        patch.delenv("TFDS_DATA_DIR", raising=False)
        yield


@pytest.fixture(scope="module")
def written():
    return {split: scenes.generate(split) for split in scenes.SPLITS}


def kinds(rows):
    return {thing.kind for scene, _ in rows for thing in scene.things}


def combinations(rows):
    """What stands alone, with its size; and what stands together, without sizes and order."""
    return {
        frozenset(
            thing.kind if len(scene.things) == 1 else thing.kind[1:] for thing in scene.things
        )
        for scene, _ in rows
    }


def test_the_pictures_and_captions_are_always_the_same(written):
    columns = {
        split: {
            "image": [png(draw(scene)) for scene, _ in rows],
            "captions": [captions for _, captions in rows],
            "scene": [scene.to_json() for scene, _ in rows],
        }
        for split, rows in written.items()
    }
    assert tfds.fingerprint_splits(columns) == scenes.BuiltinScenes.fingerprint
    pictures = [picture for each in columns.values() for picture in each["image"]]
    assert len(set(pictures)) == len(pictures) == 6600


def test_no_combination_of_things_is_drawn_in_two_splits(written):
    seen = {split: combinations(rows) for split, rows in written.items()}
    assert min(map(len, seen.values())) > 15
    assert not seen["train"] & seen["validation"]
    assert not seen["test"] & (seen["train"] | seen["validation"])
    for split, rows in written.items():
        assert {scenes.split_of(*(t.kind for t in scene.things)) for scene, _ in rows} == {split}
    for one, other in itertools.permutations([thing.kind for thing in (CIRCLE, CROSS)]):
        assert scenes.split_of(one, other) == scenes.split_of(("large", *one[1:]), other)


def test_no_test_caption_of_two_things_was_said_in_training(written):
    said = {text for _, texts in written["train"] for text in texts}
    pairs = [row for row in written["test"] if row[0].relation]
    assert len(pairs) > 200
    assert not said & {text for _, texts in pairs for text in texts}


def test_whatever_a_test_caption_says_was_seen_in_training(written):
    assert kinds(written["train"]) == set(itertools.product(SIZES, COLOURS, SHAPES))
    assert len(kinds(written["test"])) > 40
    for split in ("validation", "test"):  # all shapes beside all, and all colours
        for part in (1, 2):
            beside = [
                {frozenset(thing.kind[part] for thing in scene.things) for scene, _ in rows}
                for rows in (written["train"], written[split])
            ]
            assert beside[1] <= beside[0], split
    for split, rows in written.items():
        count = Counter(scene.relation for scene, _ in rows)
        assert set(count) == {None, *RELATIONS} and min(count.values()) > 0.1 * len(rows), split
        assert {scene.background for scene, _ in rows} == set(BACKGROUNDS)
    words = {
        split: {word for _, captions in rows for text in captions for word in text.split()}
        for split, rows in written.items()
    }
    assert words["test"] <= words["train"] and words["validation"] <= words["train"]


def test_things_lie_as_the_scene_says_and_inside_the_picture(written):
    for scene, _ in (row for rows in written.values() for row in rows):
        for thing in scene.things:
            half = SIZES[thing.size] / 2
            assert half <= thing.x <= SIDE - half and half <= thing.y <= SIDE - half
        if scene.relation is None:
            assert len(scene.things) == 1
            continue
        one, other = scene.things
        assert one.colour != other.colour
        across, down = one.x - other.x, one.y - other.y
        signs = {"left of": -across, "right of": across, "above": -down, "below": down}
        apart = signs[scene.relation]
        assert apart >= (SIZES[one.size] + SIZES[other.size]) / 2 + 1
        rest = down if scene.relation in ("left of", "right of") else across
        assert abs(rest) < apart / 2


def test_a_picture_has_five_captions_that_are_all_true(written):
    forms, size, background = Counter(), Counter(), Counter()
    for scene, captions in (row for rows in written.values() for row in rows):
        assert len(set(captions)) == 5
        for caption in captions:
            assert scenes.is_true(caption, scene), (caption, scene)
            claim = scene_captions.read(caption)
            size[claim.things[0][0] is None] += 1
            background[claim.background is None] += 1
            forms[caption.split()[0], claim.relation] += 1
    assert 0.15 < size[True] / size.total() < 0.35
    assert 0.1 < background[False] / background.total() < 0.4
    assert len(forms) >= 16


def test_captions_of_other_pictures_are_mostly_false(written):
    drawn = random.Random(0)
    rows = written["test"]
    true = sum(
        scenes.is_true(drawn.choice(captions), scene)
        for scene, _ in rows
        for _, captions in drawn.sample(rows, 5)
    )
    assert true / (5 * len(rows)) < 0.01
    single = [row for row in rows if row[0].relation is None]
    true = [scenes.is_true(captions[0], scene) for scene, _ in single for _, captions in single]
    assert 1 / len(single) <= np.mean(true) < 0.15


@pytest.mark.parametrize(
    "caption",
    [
        "a tiny red circle is above a large blue cross",
        "a red circle over a blue cross",
        "there is a red circle above a large blue cross on a striped background",
        "over a blue cross there is a tiny red circle",
        "a large blue cross with a red circle over it",
        "a blue cross is below a red circle",
        "under a red circle there is a large blue cross",
        "a tiny red circle with a large blue cross below it",
        "  A tiny red CIRCLE is\nabove a blue cross. ",
    ],
)
def test_what_is_so_is_true_whatever_is_said_first_and_left_out(caption):
    assert scenes.is_true(caption, PAIR)
    for changes in (
        {"relation": "below"},
        {"relation": "left of"},
        {"things": (CIRCLE,), "relation": None},
        {"things": (CROSS, CIRCLE)},
        {"things": (CIRCLE, dataclasses.replace(CROSS, colour="green"))},
        {"things": (dataclasses.replace(CIRCLE, shape="square"), CROSS)},
    ):
        assert not scenes.is_true(caption, dataclasses.replace(PAIR, **changes))


@pytest.mark.parametrize(
    "caption",
    [
        "a small red circle is above a large blue cross",
        "a red circle is above a blue cross on a plain background",
        "a red circle is left of a blue cross",
        "a red circle is below a blue cross",
        "a blue circle is above a red cross",
        "a red circle",
        "there is a large blue cross",
        "a red circle is above a blue cross and a dog",
        "a red circle a blue cross",
        "a red tiny circle is above a blue cross",
        "red circle is above blue cross",
        "a red circle is above above a blue cross",
        "above a blue cross",
        "[UNK] red circle is above a blue cross",
        "",
    ],
)
def test_what_is_not_so_or_no_caption_of_the_grammar_is_not_true(caption):
    assert not scenes.is_true(caption, PAIR)


def test_one_thing_alone_is_told_from_two():
    for caption in ("a blue cross", "there is only a large blue cross", "a picture of a blue cross",
                    "a blue cross alone on a plain background"):  # fmt: skip
        assert scenes.is_true(caption, ALONE)
        assert not scenes.is_true(caption, PAIR)
    assert not scenes.is_true("a blue cross on a striped background", ALONE)


def test_tensorflow_and_pillow_read_what_is_drawn():
    image = pytest.importorskip("PIL.Image")
    import io

    picture = draw(PAIR)
    assert picture.shape == (48, 48, 3) and picture.dtype == np.uint8
    np.testing.assert_array_equal(tf.io.decode_image(png(picture)), picture)
    np.testing.assert_array_equal(image.open(io.BytesIO(png(picture))), picture)
    image.open(io.BytesIO(png(picture))).verify()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", SIZES)
def test_a_thing_is_as_large_and_of_such_a_colour_as_is_said(size, shape):
    thing = Thing(size, "red", shape, 20.0, 30.0)
    empty, full = (draw(Scene(things, None, "plain", 3)) for things in ((), (thing,)))
    rows, columns = np.nonzero(np.any(empty != full, axis=2))
    assert np.ptp(rows) + 1 == pytest.approx(SIZES[size], abs=2.5)
    assert np.ptp(columns) + 1 == pytest.approx(SIZES[size], abs=2.5)
    assert abs(full[30, 20].astype(int) - COLOURS["red"]).max() <= 13


def test_backgrounds_and_seeds_change_the_picture():
    pictures = [draw(dataclasses.replace(PAIR, background=each)) for each in BACKGROUNDS]
    spreads = [float(np.std(each[:8, :8].astype(float))) for each in pictures]
    assert spreads[0] == 0 and min(spreads[1:]) > 5
    assert np.any(draw(PAIR) != draw(dataclasses.replace(PAIR, seed=6)))
    np.testing.assert_array_equal(draw(PAIR), draw(Scene.from_json(PAIR.to_json())))


def test_the_scene_of_a_test_picture_is_known_again(written):
    splits = load_captions("builtin")
    for (scene, captions), row in zip(written["test"], splits.test.take(20), strict=False):
        assert scenes.scene_of(row) == scene
        assert tuple(text.decode() for text in row["captions"].numpy()) == captions
    names = {"image": "image", "scene": "scene"}
    found = tfds.read_builtin(scenes.BuiltinScenes, names, ("validation",))["validation"]
    for number, (scene, _) in enumerate(written["validation"]):
        assert scenes.scene_of({"scene": found["scene"][number]}) == scene
        assert scenes.scene_of({"image": found["image"][number]}) == scene
    with pytest.raises(ValueError, match="none of the built-in ones"):
        scenes.scene_of({"image": b"other"})


def test_the_set_is_generated_once(monkeypatch):
    load_captions("builtin")
    calls, generate = [], tfds._generate
    monkeypatch.setattr(tfds, "_generate", lambda *args: calls.append(1) or generate(*args))
    splits = load_captions("builtin")
    assert calls == [] and splits.notes == ()
    sizes = [int(part.cardinality()) for part in (splits.train, splits.validation, splits.test)]
    assert sizes == [6000, 200, 400]
