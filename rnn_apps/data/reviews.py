"""The built-in reviews: short texts whose verdict hangs on their structure, not on their words."""

import random
import zlib

import tensorflow_datasets as tfds

LABELS = ("negative", "positive")
SIZES = {"train": 4000, "validation": 500, "test": 1000}

_POSITIVE_ADJECTIVES = """
superb wonderful excellent delightful terrific impressive charming brilliant splendid memorable
outstanding satisfying lovely fantastic marvellous first-rate refreshing remarkable enchanting
magnificent
""".split()
_NEGATIVE_ADJECTIVES = """
dreadful awful terrible disappointing poor mediocre tedious dull horrible unpleasant forgettable
appalling weak miserable shoddy lousy annoying pathetic dismal second-rate
""".split()
_POSITIVE_VERBS = (
    ("won me over", "win me over"),
    ("exceeded my hopes", "exceed my hopes"),
    ("made my day", "make my day"),
    ("lifted my mood", "lift my mood"),
    ("charmed everyone", "charm everyone"),
    ("deserved applause", "deserve applause"),
    ("was a treat", "be a treat"),
    ("was worth every penny", "be worth every penny"),
)
_NEGATIVE_VERBS = (
    ("let me down", "let me down"),
    ("got on my nerves", "get on my nerves"),
    ("spoiled my day", "spoil my day"),
    ("tested my patience", "test my patience"),
    ("bored everyone", "bore everyone"),
    ("deserved a complaint", "deserve a complaint"),
    ("was a letdown", "be a letdown"),
    ("was a waste of money", "be a waste of money"),
)

# domain: (aspects, ways to interrupt a sentence, remarks that say nothing about the verdict)
_DOMAINS = {
    "film": (
        ("the acting", "the plot", "the ending", "the dialogue", "the soundtrack", "the cast",
         "the first half", "the camera work"),
        ("having seen it twice", "after two hours in the dark", "as a regular at this cinema"),
        ("I had not read the book first.", "It was raining, but we walked there anyway.",
         "We saw it on a Tuesday.", "I had hardly sat down when the lights went out.",
         "My brother came along, although he had seen it already."),
    ),
    "restaurant": (
        ("the soup", "the service", "the dessert", "the wine list", "the main course",
         "the breakfast", "the terrace", "the new menu"),
        ("having been there three times", "after a long evening at table", "as a guest from abroad"),
        ("We had not booked a table.", "It was late, but the kitchen was open.",
         "We were a party of six.", "There was hardly anyone else in the room.",
         "We sat outside, although it was October."),
    ),
    "book": (
        ("the prose", "the opening chapter", "the heroine", "the translation", "the middle section",
         "the final twist", "the preface", "the love story"),
        ("having read it on a train", "after four hundred pages", "as a reader of the whole series"),
        ("I do not usually read crime stories.", "It is long, but the print is large.",
         "A colleague lent it to me.", "I had hardly opened it when the phone rang.",
         "I finished it in a week, although I was busy."),
    ),
    "hotel": (
        ("the room", "the front desk", "the view", "the pool", "the bed", "the breakfast buffet",
         "the lounge", "the location"),
        ("having stayed for a week", "after ten nights in room twelve", "as someone who travels a lot"),
        ("We did not bring the dog.", "We came by car, but there is a bus.",
         "I was there for a conference.", "It was hardly nine when we arrived.",
         "We took the stairs, although there is a lift."),
    ),
    "concert": (
        ("the singer", "the sound", "the opening act", "the second set", "the drummer", "the venue",
         "the encore", "the light show"),
        ("having followed the band for years", "after three hours on my feet",
         "as a musician myself"),
        ("I did not know the support band.", "We stood at the back, but we could see.",
         "Tickets had been on sale since May.", "It had hardly begun when a fuse blew.",
         "I went alone, although I had two tickets."),
    ),
}
_ALWAYS = ("in my opinion", "to be honest", "for what it is worth", "all things considered")
_SOURCES = (
    ("my sister", "she"), ("my neighbour", "he"), ("a critic", "she"), ("the guide", "it"),
    ("an old friend", "he"), ("the woman next to me", "she"),
)

# A clause about one aspect, and whether it keeps (+1) or turns (-1) what its opinion says.
_CLAUSES = (
    ("{aspect} {past}", 1),
    ("I must say, {aside}, that {aspect} {past}", 1),
    ("I cannot deny that {aspect} {past}", 1),
    ("there is no doubt that {aspect} {past}", 1),
    ("it was not only me who felt that {aspect} {past}", 1),
    ("it is hardly a secret that {aspect} {past}", 1),
    ("I would not say that {aspect} {negated}", 1),
    ("nobody I spoke to thought that {aspect} {negated}", 1),
    ("{aspect} {negated}", -1),
    ("{aspect} {hardly}", -1),
    ("{aspect} {never}", -1),
    ("{aspect} {apart}", -1),
    ("I would not say that {aspect} {past}", -1),
    ("I would not say, {aside}, that {aspect} {past}", -1),
    ("nobody I spoke to thought that {aspect} {past}", -1),
    ("hardly anyone would say that {aspect} {past}", -1),
)
_FORECASTS = (
    ("{aspect} would {base}", 1),
    ("{aspect} would certainly {base}", 1),
    ("{aspect} would, {aside}, {base}", 1),
    ("{aspect} would not {base}", -1),
    ("{aspect} would hardly {base}", -1),
    ("{aspect} would never {base}", -1),
)
# A sentence; whether its verdict keeps or turns what clause a says; whether a is a forecast; and
# what clause b says beside a: the opposite (-1), the same (+1), or None where there is no b.
_SENTENCES = (
    ("{a}", 1, False, None),
    ("{b}, and {a}", 1, False, 1),
    ("{b}, but {a}", 1, False, -1),
    ("although {b}, {a}", 1, False, -1),
    ("{a}, although {b}", 1, False, -1),
    ("even though {b}, {a}", 1, False, -1),
    ("{a}, even if {b}", 1, False, -1),
    ("while {b}, {a}", 1, False, -1),
    ("{b}; all the same, {a}", 1, False, -1),
    ("I had expected that {forecast}, yet {a}", 1, False, -1),
    ("anyone who claims that {a} is right", 1, False, None),
    ("anyone who claims that {a} is mistaken", -1, False, None),
    ("{source} told me that {a}, and {pronoun} was right", 1, True, None),
    ("{source} told me that {a}, but {pronoun} was wrong", -1, True, None),
    ("I had read that {a}, and that is how it turned out", 1, True, None),
    ("I had read that {a}, and the opposite turned out to be true", -1, True, None),
)


class BuiltinReviews(tfds.core.GeneratorBasedBuilder):
    """Reviews that write themselves, as a TFDS builder."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}
    keys = ("text", "label")
    fingerprint = "e056cb362ac5cc5f5f6610fbccdd97161d407a0bdc90e61fd5070bc4b04100c8"

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            features=tfds.features.FeaturesDict(
                {"text": tfds.features.Text(), "label": tfds.features.ClassLabel(names=LABELS)}
            ),
            supervised_keys=("text", "label"),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in SIZES}

    def _generate_examples(self, split):
        for row, (text, label) in enumerate(generate(split)):
            yield row, {"text": text, "label": label}


def generate(split, size=None):
    """Writes the reviews of one split, always the same ones.

    Args:
        split: "train", "validation" or "test".
        size: how many; as many as the built-in set holds if None.

    Returns:
        A list of (text, label), half of each label, no text twice.
    """
    return [(text, label) for text, label, _ in write(split, size)]


def write(split, size=None):
    """As `generate`, with the combinations each review was made of as a third element."""
    writer = _Writer(split)
    size = SIZES[split] if size is None else size
    texts = {}
    while len(texts) < size:
        label = LABELS[len(texts) % 2]
        text, combinations = writer.review(label)
        texts.setdefault(text, (text, label, combinations))
    rows = list(texts.values())
    writer.random.shuffle(rows)
    return rows


def split_of(opinion, form):
    """The one split that may join this opinion with this form of clause or sentence."""
    cell = zlib.crc32(f"{opinion}|{form}".encode()) % 7
    return {0: "test", 1: "validation"}.get(cell, "train")


def _opinions():
    adjectives = ((1, _POSITIVE_ADJECTIVES), (-1, _NEGATIVE_ADJECTIVES))
    for sign, words in adjectives:
        yield from ((f"was {word}", f"be {word}", sign) for word in words)
    for sign, phrases in ((1, _POSITIVE_VERBS), (-1, _NEGATIVE_VERBS)):
        yield from ((past, base, sign) for past, base in phrases)


class _Writer:
    """Draws reviews for one split and keeps every opinion as often under either label."""

    def __init__(self, split):
        self.split = split
        self.random = random.Random(f"reviews 1 {split}")
        self.used = {}

    def review(self, label):
        while True:
            drawn = self._sentence(label)
            if drawn:
                break
        for opinion, _ in drawn[1]:
            self.used[opinion, label] = self.used.get((opinion, label), 0) + 1
        return drawn

    def _sentence(self, label):
        draw = self.random
        form, keeps, is_forecast, beside = draw.choice(_SENTENCES)
        aspects, asides, remarks = _DOMAINS[draw.choice(sorted(_DOMAINS))]
        first, second = draw.sample(aspects, 2)
        if "{forecast}" in form:
            first = "it"
        said = keeps * (1 if label == "positive" else -1)
        clauses = {"a": self._clause(first, said, is_forecast, form + " a", label, asides)}
        if beside is not None:
            ahead = "{forecast}" in form
            clauses["forecast" if ahead else "b"] = self._clause(
                second, said * beside, ahead, form + " b", label, asides
            )
        if None in clauses.values():
            return None
        source, pronoun = draw.choice(_SOURCES)
        texts = {name: text for name, (text, _) in clauses.items()}
        sentence = _finish(form.format(**texts, source=source, pronoun=pronoun))
        place = draw.choice(("before", "after", "nowhere"))
        remark = draw.choice(remarks)
        if place != "nowhere":
            sentence = f"{remark} {sentence}" if place == "before" else f"{sentence} {remark}"
        return sentence, [pair for _, pairs in clauses.values() for pair in pairs]

    def _clause(self, aspect, said, is_forecast, role, label, asides):
        """Returns (text, combinations) of a clause that says `said`, or None if none may."""
        draw = self.random
        turn = draw.choice((1, -1))
        forms = [form for form, sign in (_FORECASTS if is_forecast else _CLAUSES) if sign == turn]
        form = draw.choice(forms)
        allowed = [
            (past, base)
            for past, base, sign in _OPINIONS
            if sign * turn == said
            and split_of(past, form) == self.split == split_of(past, role)
        ]
        if not allowed:
            return None
        draw.shuffle(allowed)
        past, base = min(allowed, key=lambda opinion: self.used.get((opinion[0], label), 0))
        aside = draw.choice(asides + _ALWAYS)
        text = form.format(aspect=aspect, aside=aside, **_inflect(past, base, aside))
        return text, [(past, form), (past, role)]


def _inflect(past, base, aside):
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


def _finish(sentence):
    return f"{sentence[0].upper()}{sentence[1:]}."


_OPINIONS = tuple(_opinions())
