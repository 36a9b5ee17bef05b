"""The built-in captions: pictures of one or two coloured shapes, and five captions of each.

Pictures differ in where things are, in tints and in texture; captions differ in form, in what they
name first (and so in whether it is "left of" or "right of"), and in whether they name sizes and the
background. Two things of a picture differ in colour. All of it is drawn, and no file lies anywhere.

Any two coloured shapes ("red circle" and "blue cross") stand together in one split only, whatever
their sizes and relation, and a thing of one size, colour and shape stands alone in one split only
(`split_of`). So no test picture shows a combination that was seen in training, though all coloured
shapes in all sizes, and all relations, were.
"""

import dataclasses
import functools
import hashlib
import io
import itertools
import random
import zlib

import tensorflow_datasets as tfds

from rnn_apps.data import scene_captions
from rnn_apps.data.scene_drawing import SIDE, draw, png
from rnn_apps.data.scene_parts import BACKGROUNDS, COLOURS, RELATIONS, SHAPES, SIZES, Scene, Thing
from rnn_apps.data.tfds import read_builtin

SPLITS = {"train": 6000, "validation": 200, "test": 400}
CAPTIONS = 5
_ALONE = 0.2  # the share of pictures of one thing
_MARGIN = 1.0  # pixels between a thing and the picture's edge, at least
_GAP = 4.0  # between two things, at least
_SHIFT = 4.0  # how far one of two side by side may be above the other; less than their distance / 2


class BuiltinScenes(tfds.core.GeneratorBasedBuilder):
    """Pictures of coloured shapes with captions, as a TFDS builder.

    "image" is a PNG file of 48×48 pixels, "captions" are five texts, and "scene" is what the
    picture shows, as JSON text (see `scene_of`). `fingerprint` is that of its splits.

    Example:
        >>> BuiltinScenes.keys
        ('image', 'captions', 'scene')
    """

    VERSION = tfds.core.Version("1.1.0")
    RELEASE_NOTES = {"1.0.0": "First version.", "1.1.0": "Three times as many training pictures."}
    keys = ("image", "captions", "scene")
    fingerprint = "8012fb047c71c3daa6489d577978bab1df15da11d373b45ab6b2fac245c17436"

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="Coloured shapes that lie to each other in some way, and captions.",
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(SIDE, SIDE, 3), encoding_format="png"),
                    "captions": tfds.features.Sequence(tfds.features.Text(), length=CAPTIONS),
                    "scene": tfds.features.Text(),
                }
            ),
            supervised_keys=("image", "captions"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split):
        for row, (scene, captions) in enumerate(generate(split)):
            picture = io.BytesIO(png(draw(scene)))
            yield row, {"image": picture, "captions": captions, "scene": scene.to_json()}


def generate(split, size=None):
    """Draws the scenes of one split up and writes their captions, always the same ones.

    Args:
        split: "train", "validation" or "test".
        size: how many; as many as the built-in set holds if None.

    Returns:
        A list of (scene, captions): a `Scene`, which `rnn_apps.data.scene_drawing.draw` makes a
        picture of, and a tuple of five different texts.

    Example:
        >>> scene, captions = generate("test", size=1)[0]
        >>> all(is_true(caption, scene) for caption in captions)
        True
    """
    drawn = random.Random(f"scenes 1 {split}")
    rows = []
    for _ in range(SPLITS[split] if size is None else size):
        scene = _scene(split, drawn)
        captions = {}  # in the order they came
        while len(captions) < CAPTIONS:
            captions[scene_captions.write(scene, drawn)] = None
        rows.append((scene, tuple(captions)))
    return rows


def is_true(caption, scene):
    """Whether a caption is true of a scene.

    A caption names all there is: that of one thing is not true of two. What it leaves out (sizes,
    the background) may be anything, but what it says must be so.

    Args:
        caption: str; its case, its spacing and a full stop do not matter. A caption that is none
            of the grammar is not true.
        scene: `Scene`.

    Returns:
        bool.

    Example:
        >>> things = Thing("tiny", "red", "circle"), Thing("large", "blue", "cross")
        >>> scene = Scene(things, "above", "plain", 0)
        >>> is_true("a large blue cross is below a red circle", scene)
        True
        >>> is_true("a red circle", scene) or is_true("something is below a red circle", scene)
        False
    """
    claim = scene_captions.read(caption)
    if claim is None or len(claim.things) != len(scene.things):
        return False
    if claim.background not in (None, scene.background):
        return False
    ways = [(scene.things, scene.relation)]
    if scene.relation is not None:
        ways.append((scene.things[::-1], RELATIONS[scene.relation]))
    return any(
        claim.relation == relation and all(map(_fits, claim.things, things))
        for things, relation in ways
    )


def scene_of(example):
    """What a built-in picture shows.

    Args:
        example: a dict with the "scene" of the built-in set; or with an "image" of it, bytes, as
            `load_captions("builtin")` has it.

    Returns:
        `Scene`.

    Raises:
        ValueError: if the picture is none of the built-in ones.

    Example:
        >>> scene = generate("test", size=1)[0][0]
        >>> scene_of({"scene": scene.to_json()}) == scene
        True
    """
    if "scene" in example:
        text = example["scene"]
        return Scene.from_json(text if isinstance(text, (str, bytes)) else text.numpy())
    image = example["image"]
    image = image if isinstance(image, bytes) else image.numpy()
    text = _scenes_by_picture().get(hashlib.sha256(image).digest())
    if text is None:
        raise ValueError(
            f"The picture of {len(image):,} bytes is none of the built-in ones, so it is not known "
            "what it shows; give a row of load_captions('builtin'), with its image unchanged."
        )
    return Scene.from_json(text)


def split_of(*things):
    """The one split that may draw these things together, or this one alone.

    Args:
        *things: one or two, each as its (size, colour, shape). Of two, the sizes do not count,
            and the order does not.

    Returns:
        "train", "validation" or "test": about a sixth of all combinations for each of the last
        two.

    Example:
        >>> split_of(("tiny", "red", "circle"), ("large", "blue", "cross"))
        'train'
    """
    names = [" ".join(thing if len(things) == 1 else thing[1:]) for thing in things]
    cell = zlib.crc32("|".join(sorted(names)).encode()) % 6
    return {0: "test", 1: "validation"}.get(cell, "train")


def _fits(named, thing):
    return all(said in (None, is_so) for said, is_so in zip(named, thing.kind, strict=True))


@functools.cache
def _scenes_by_picture():
    found = read_builtin(BuiltinScenes, {"image": "image", "scene": "scene"})
    return {
        hashlib.sha256(image).digest(): scene
        for columns in found.values()
        for image, scene in zip(columns["image"], columns["scene"], strict=True)
    }


@functools.cache
def _combinations(split, count):
    """All (size, colour, shape) of one thing, or pairs of two, that a split may draw."""
    kinds = tuple(itertools.product(SIZES, COLOURS, SHAPES))
    return tuple(
        each
        for each in itertools.product(kinds, repeat=count)
        if len({colour for _, colour, _ in each}) == count and split_of(*each) == split
    )


def _scene(split, drawn):
    background = drawn.choice(BACKGROUNDS)
    count = 1 if drawn.random() < _ALONE else 2
    things = [Thing(*kind) for kind in drawn.choice(_combinations(split, count))]
    if count == 1:
        things, relation = (_anywhere(things[0], drawn),), None
    else:
        relation = drawn.choice(tuple(RELATIONS))
        things = _placed(things, relation, drawn)
    return Scene(things, relation, background, drawn.getrandbits(31))


def _anywhere(thing, drawn):
    return dataclasses.replace(
        thing, x=_within(thing, drawn.random()), y=_within(thing, drawn.random())
    )


def _within(thing, share):
    """A place for a thing along one axis, from one edge (0) to the other (1)."""
    near = _MARGIN + SIZES[thing.size] / 2
    return near + share * (SIDE - 2 * near)


def _placed(things, relation, drawn):
    """Two things with places: one after the other along one axis, nearly alike on the other."""
    axis, other = ("x", "y") if relation in ("left of", "right of") else ("y", "x")
    turned = relation in ("right of", "below")
    first, last = things[::-1] if turned else things
    room = SIDE - 2 * _MARGIN - _GAP - SIZES[first.size] - SIZES[last.size]
    before, after = sorted(drawn.random() * room for _ in range(2))
    places = {
        first: _MARGIN + before + SIZES[first.size] / 2,
        last: SIDE - _MARGIN - (room - after) - SIZES[last.size] / 2,
    }
    wider = max(things, key=lambda thing: SIZES[thing.size])
    level = _within(wider, drawn.random())
    placed = []
    for thing in things:
        across = level + (drawn.random() - 0.5) * _SHIFT
        across = min(max(across, _within(thing, 0)), _within(thing, 1))
        placed.append(dataclasses.replace(thing, **{axis: places[thing], other: across}))
    return tuple(placed)
