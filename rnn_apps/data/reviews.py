"""The built-in reviews: short texts whose verdict hangs on their structure, not on their words.

A review is a sentence of one or two clauses about aspects of a film, a restaurant, a book, a hotel
or a concert, and perhaps a remark that says nothing about them. Its label follows from

- the opinion ("superb", "let me down"), whose sign each clause keeps or turns: "not", "hardly",
  "never", "nobody thought that ...", near it or far away, and twice ("nobody thought that it was
  not ..."). A turned opinion counts as the opposite one;
- the sentence: of two clauses that disagree the main one counts ("although B, A", "B, but A",
  "I had expected that B, yet A"), and what somebody said counts as it turned out.

The remarks hold the same "not", "but", "although" and "hardly", to no effect. Three clauses of ten
turn their opinion, and half of all reviews are positive.

Each opinion may stand in each form of clause, and in each place of each form of sentence, in one
split only (`split_of`). So no pair of the test split was seen in training, and word counts,
which learn pairs, do little better than chance there: see `tests/test_reviews.py`.
"""

import random
import zlib

import tensorflow_datasets as tfds

from rnn_apps.data import phrases

LABELS = ("negative", "positive")
SIZES = {"train": 5000, "validation": 500, "test": 1000}

# Form of a clause about one aspect; whether it keeps (1) or turns (-1) what its opinion says; how
# often it is drawn.
_CLAUSES = (
    ("{aspect} {past}", 1, 9),
    ("I must say, {aside}, that {aspect} {past}", 1, 1),
    ("I cannot deny that {aspect} {past}", 1, 1),
    ("there is no doubt that {aspect} {past}", 1, 1),
    ("it was not only me who felt that {aspect} {past}", 1, 1),
    ("it is hardly a secret that {aspect} {past}", 1, 1),
    ("I would not say that {aspect} {negated}", 1, 1),
    ("nobody I spoke to thought that {aspect} {negated}", 1, 1),
    ("{aspect} {negated}", -1, 5),
    ("{aspect} {hardly}", -1, 5),
    ("{aspect} {never}", -1, 1),
    ("{aspect} {apart}", -1, 1),
    ("I would not say that {aspect} {past}", -1, 1),
    ("I would not say, {aside}, that {aspect} {past}", -1, 1),
    ("nobody I spoke to thought that {aspect} {past}", -1, 1),
    ("hardly anyone would say that {aspect} {past}", -1, 1),
)
_FORECASTS = (
    ("{aspect} would {base}", 1, 1),
    ("{aspect} would certainly {base}", 1, 1),
    ("{aspect} would, {aside}, {base}", 1, 1),
    ("{aspect} would not {base}", -1, 1),
    ("{aspect} would hardly {base}", -1, 1),
    ("{aspect} would never {base}", -1, 1),
)
_KEEPING = 0.7  # the share of clauses drawn from forms that keep what their opinion says
# Form of a sentence; whether its verdict keeps or turns what clause a says; whether a is a
# forecast; what the other clause says beside a: the opposite (-1), the same (1), or None where
# there is no other; how often it is drawn.
_SENTENCES = (
    ("{a}", 1, False, None, 9),
    ("{b}, and {a}", 1, False, 1, 1),
    ("{b}, but {a}", 1, False, -1, 1),
    ("although {b}, {a}", 1, False, -1, 1),
    ("{a}, although {b}", 1, False, -1, 1),
    ("even though {b}, {a}", 1, False, -1, 1),
    ("{a}, even if {b}", 1, False, -1, 1),
    ("while {b}, {a}", 1, False, -1, 1),
    ("{b}; all the same, {a}", 1, False, -1, 1),
    ("I had expected that {forecast}, yet {a}", 1, False, -1, 1),
    ("anyone who claims that {a} is right", 1, False, None, 1),
    ("anyone who claims that {a} is mistaken", -1, False, None, 1),
    ("{source} told me that {a}, and {pronoun} was right", 1, True, None, 1),
    ("{source} told me that {a}, but {pronoun} was wrong", -1, True, None, 1),
    ("I had read that {a}, and that is how it turned out", 1, True, None, 1),
    ("I had read that {a}, and the opposite turned out to be true", -1, True, None, 1),
)


class BuiltinReviews(tfds.core.GeneratorBasedBuilder):
    """Reviews that write themselves, as a TFDS builder; `fingerprint` is that of its splits.

    Example:
        >>> BuiltinReviews.keys
        ('text', 'label')
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    keys = ("text", "label")
    fingerprint = "2e40895f23e87ca8c0758a8b1bcc204fdbb2c7a5814fa9d8e66db18cedb70065"

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description="Reviews whose verdict hangs on their structure.",
            features=tfds.features.FeaturesDict(
                {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=LABELS)}
            ),
            supervised_keys=("text", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SIZES}

    def _generate_examples(self, split):
        for row, (text, label, _) in enumerate(generate(split)):
            yield row, {"text": text, "label": label}


def generate(split, size=None):
    """Writes the reviews of one split, always the same ones.

    Args:
        split: "train", "validation" or "test".
        size: how many; as many as the built-in set holds if None.

    Returns:
        A list of (text, label, pairs): half of each label, no text twice; `pairs` are the
        (opinion, form) that the review joins.

    Example:
        >>> len(generate("test", size=10))
        10
    """
    writer = _Writer(split)
    size = SIZES[split] if size is None else size
    reviews = {}
    while len(reviews) < size:
        label = LABELS[len(reviews) % 2]
        text, pairs = writer.review(label)
        reviews.setdefault(text, (text, label, pairs))
    rows = list(reviews.values())
    writer.random.shuffle(rows)
    return rows


def split_of(opinion, form):
    """The one split that may join this opinion with this form: a seventh each for judging.

    Args:
        opinion: an opinion in the past tense: "was superb", "let me down".
        form: a form of clause, or a form of sentence and the clause's place in it.

    Returns:
        "train", "validation" or "test".

    Example:
        >>> split_of("was superb", "{aspect} {negated}")
        'test'
    """
    cell = zlib.crc32(f"{opinion}|{form}".encode()) % 7
    return {0: "test", 1: "validation"}.get(cell, "train")


def _opinions():
    """Yields (past, base, sign) of every opinion."""
    for sign, words in ((1, phrases.POSITIVE_ADJECTIVES), (-1, phrases.NEGATIVE_ADJECTIVES)):
        yield from ((f"was {word}", f"be {word}", sign) for word in words)
    for sign, verbs in ((1, phrases.POSITIVE_VERBS), (-1, phrases.NEGATIVE_VERBS)):
        yield from ((past, base, sign) for past, base in verbs)


OPINIONS = tuple(_opinions())


class _Writer:
    """Draws reviews for one split; takes the opinion least used under the label."""

    def __init__(self, split):
        self.split = split
        self.random = random.Random(f"reviews 1 {split}")
        self.used = dict.fromkeys(((past, label) for past, _, _ in OPINIONS for label in LABELS), 0)

    def review(self, label):
        """Returns (text, pairs) of one review."""
        drawn = None
        while drawn is None:  # some forms have no opinion that this split may join with them
            drawn = self._sentence(label)
        sentence, remarks, pairs = drawn
        for opinion in {opinion for opinion, _ in pairs}:
            self.used[opinion, label] += 1
        remark = self.random.choice(remarks)
        texts = (f"{remark} {sentence}", f"{sentence} {remark}", sentence)
        return self.random.choice(texts), pairs

    def _draw(self, forms):
        return self.random.choices(forms, [form[-1] for form in forms])[0]

    def _sentence(self, label):
        """Returns (sentence, remarks that fit it, pairs), or None if this split has none."""
        form, keeps, is_forecast, beside, _ = self._draw(_SENTENCES)
        aspects, asides, remarks = phrases.DOMAINS[self.random.choice(sorted(phrases.DOMAINS))]
        first, second = self.random.sample(aspects, 2)
        says = keeps if label == "positive" else -keeps
        other = "forecast" if "{forecast}" in form else "b"
        clauses = {}
        aspect = "it" if other == "forecast" else first
        clauses["a"] = self._clause(aspect, says, is_forecast, form + " a", label, asides)
        if beside is not None:
            clauses[other] = self._clause(
                second, says * beside, other == "forecast", form + " b", label, asides
            )
        if None in clauses.values():
            return None
        source, pronoun = self.random.choice(phrases.SOURCES)
        texts = {name: text for name, (text, _) in clauses.items()}
        text = form.format(**texts, source=source, pronoun=pronoun)
        pairs = [pair for _, pairs in clauses.values() for pair in pairs]
        return f"{text[0].upper()}{text[1:]}.", remarks, pairs

    def _clause(self, aspect, says, is_forecast, place, label, asides):
        """Returns (text, pairs) of a clause that says `says`, or None if this split has none."""
        sign = 1 if self.random.random() < _KEEPING else -1
        forms = _FORECASTS if is_forecast else _CLAUSES
        form = self._draw([each for each in forms if each[1] == sign])[0]
        allowed = [
            (past, base)
            for past, base, opinion in OPINIONS
            if opinion * sign == says
            and split_of(past, form) == self.split == split_of(past, place)
        ]
        if not allowed:
            return None
        self.random.shuffle(allowed)
        past, base = min(allowed, key=lambda opinion: self.used[opinion[0], label])
        aside = self.random.choice(asides + phrases.ASIDES)
        text = form.format(aspect=aspect, aside=aside, **_inflect(past, base, aside))
        return text, ((past, form), (past, place))


def _inflect(past, base, aside):
    """The forms of an opinion by name: "was superb", "was not superb", "was hardly superb" ..."""
    if past.startswith("was "):
        rest = past.removeprefix("was ")
        auxiliary, hardly, never = "was", f"was hardly {rest}", f"was never {rest}"
    else:
        rest, auxiliary, hardly, never = base, "did", f"hardly {past}", f"never {past}"
    return {
        "past": past,
        "base": base,
        "negated": f"{auxiliary} not {rest}",
        "hardly": hardly,
        "never": never,
        "apart": f"{auxiliary} not, {aside}, {rest}",
    }
