from collections import Counter, defaultdict

import pytest

from rnn_apps.data import sentence_words as words
from rnn_apps.data import sentences
from rnn_apps.data.sentence_english import english
from rnn_apps.data.sentence_german import german
from rnn_apps.data.sentence_parts import Anaphor, Clause, NounPhrase, Sentence
from rnn_apps.data.tfds import fingerprint_splits
from rnn_apps.evaluation.text_baselines import word_table

VERBS = {
    " ".join(part for part in (verb.english[0], verb.particle, verb.prepositions[0]) if part): verb
    for group in (words.GIVING, words.MOVING, words.INTRANSITIVE, words.TRANSITIVE)
    for verb in group
}
GIVE = words.GIVING[0]
NOUNS = {noun.english: noun for noun in (*words.PERSONS, *words.THINGS)}
ADJECTIVES = {each.english: each for each in words.ADJECTIVES}
ME, HE, SHE, WE, THEY = words.PRONOUNS
TIMES = {time[0]: time for time in words.TIMES}
PLACES = {place[0]: place for place in words.PLACES}


@pytest.fixture(scope="module")
def written():
    return {split: sentences.generate(split) for split in sentences.SIZES}


def the(noun, adjective=None, plural=False, relative=None, determiner="the"):
    return NounPhrase(determiner, NOUNS[noun], plural, ADJECTIVES.get(adjective), relative)


def a(noun, adjective=None, plural=False, relative=None):
    return the(noun, adjective, plural, relative, determiner="a")


def told(clause, **options):
    sentence = Sentence(clause, **options)
    return english(sentence), german(sentence)


def said(verb, *rest, **options):
    return Clause(options.pop("subject", HE), VERBS[verb], *rest, **options)


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        (said("buy", object=a("coat", "old")), "Er kauft einen alten Mantel."),
        (said("buy", object=a("lamp", "old")), "Er kauft eine alte Lampe."),
        (said("buy", object=a("book", "old")), "Er kauft ein altes Buch."),
        (said("buy", object=a("book", "old", True)), "Er kauft alte Bücher."),
        (said("buy", object=the("coat", "expensive")), "Er kauft den teuren Mantel."),
        (said("buy", object=the("book", "new")), "Er kauft das neue Buch."),
        (
            said("buy", object=the("book", "new", True, None, "many")),
            "Er kauft viele neue Bücher.",
        ),
        (
            said("buy", object=the("key", "new", True, None, "our")),
            "Er kauft unsere neuen Schlüssel.",
        ),
        (said("help", object=the("man", "tired")), "Er hilft dem müden Mann."),
        (said("help", object=a("woman", "old")), "Er hilft einer alten Frau."),
        (said("help", object=the("man", "old", True)), "Er hilft den alten Männern."),
        (said("help", object=a("boy")), "Er hilft einem Jungen."),
        (said("see", object=the("neighbour")), "Er sieht den Nachbarn."),
        (said("buy", object=a("hat"), negated=True), "Er kauft keinen Hut."),
        (said("buy", object=a("hat", plural=True), negated=True), "Er kauft keine Hüte."),
        (said("buy", object=the("hat"), negated=True), "Er kauft den Hut nicht."),
        (said("call", object=the("doctor")), "Er ruft den Arzt an."),
        (said("call", "past", object=the("doctor")), "Er hat den Arzt angerufen."),
        (said("call", "have to", object=the("doctor")), "Er muss den Arzt anrufen."),
        (said("arrive", "past", subject=THEY), "Sie sind angekommen."),
        (
            said("go", "past", subject=ME, goal=PLACES["at school"]),
            "Ich bin in die Schule gegangen.",
        ),
        (said("cook", "like to", subject=WE), "Wir kochen gern."),
        (
            said("wait for", object=the("student"), negated=True, time=TIMES["today"]),
            "Er wartet heute nicht auf den Studenten.",
        ),
        (
            said("work", time=TIMES["today"], manner=words.MANNERS[0], place=PLACES["at home"]),
            "Er arbeitet heute schnell zu Hause.",
        ),
        (
            said("work", time=TIMES["today"], companion=the("friend"), fronted=True),
            "Heute arbeitet er mit dem Freund.",
        ),
        (
            Clause(the("woman"), GIVE, object=the("book"), recipient=the("child", "small")),
            "Die Frau gibt dem kleinen Kind das Buch.",
        ),
        (
            Clause(the("woman"), GIVE, "past", a("key"), recipient=ME, negated=True),
            "Die Frau hat mir keinen Schlüssel gegeben.",
        ),
        (
            Clause(the("cup", "red"), words.BE, "past", predicate=ADJECTIVES["expensive"]),
            "Die rote Tasse war teuer.",
        ),
        (Clause(ME, words.BE, predicate=ADJECTIVES["tired"], negated=True), "Ich bin nicht müde."),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_german_has_case_gender_and_word_order(clause, expected):
    assert told(clause)[1] == expected


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        (said("buy", "past", object=a("knife", "old", True)), "He bought old knives."),
        (said("buy", object=a("coat", "old"), negated=True), "He does not buy an old coat."),
        (said("need", subject=THEY, object=a("car")), "They need a car."),
        (said("go", "can", negated=True, goal=PLACES["at home"]), "He cannot go home."),
        (said("cook", "have to", negated=True), "He does not have to cook."),
        (said("cook", "want to", subject=ME), "I want to cook."),
        (said("wake up", "future", object=ME), "He will wake me up."),
        (said("wake up", object=the("aunt")), "He wakes up the aunt."),
        (said("look for", object=HE, subject=WE), "We look for him."),
        (
            said("give back", object=Anaphor(NOUNS["key"], True), frequency=("never", "nie")),
            "He never gives them back.",
        ),
        (
            Clause(the("woman"), GIVE, object=the("book"), recipient=ME, time=TIMES["on Monday"]),
            "The woman gives the book to me on Monday.",
        ),
        (Clause(ME, words.BE, "past", predicate=ADJECTIVES["happy"]), "I was happy."),
        (
            Clause(THEY, words.BE, predicate=ADJECTIVES["happy"], negated=True),
            "They are not happy.",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_english_has_agreement_auxiliaries_and_particles(clause, expected):
    assert told(clause)[0] == expected


def test_the_verb_stands_last_in_a_clause_that_hangs_on_another():
    main = said("buy", "past", object=a("coat"), subject=the("man"))
    other = said("need", object=Anaphor(NOUNS["coat"], False), time=TIMES["today"])
    assert told(main, link=("because", "weil"), other=other) == (
        "The man bought a coat because he needs it today.",
        "Der Mann hat einen Mantel gekauft, weil er ihn heute braucht.",
    )
    calling = said("call", "past", object=the("aunt"), subject=SHE)
    assert told(main, link=("although", "obwohl"), other=calling, other_first=True) == (
        "Although she called the aunt, the man bought a coat.",
        "Obwohl sie die Tante angerufen hat, hat der Mann einen Mantel gekauft.",
    )
    asking = Clause(the("girl"), words.SAYING[-1][0])
    assert told(asking, link=words.SAYING[-1][1:], other=said("call", object=ME)) == (
        "The girl asks whether he calls me.",
        "Das Mädchen fragt, ob er mich anruft.",
    )


def test_relative_pronouns_agree_with_their_noun_and_their_clause():
    sleeping = said("sleep", subject=None, gap="subject")
    assert told(said("work", subject=the("girl", relative=sleeping))) == (
        "The girl who sleeps works.",
        "Das Mädchen, das schläft, arbeitet.",
    )
    seeing = said("see", gap="object")
    assert told(said("visit", "past", object=a("man", relative=seeing))) == (
        "He visited a man whom he sees.",
        "Er hat einen Mann besucht, den er sieht.",
    )
    helping = said("help", gap="object")
    for plural, noun, pronoun in (
        (False, "Die Frau, der", "ist"),
        (True, "Die Frauen, denen", "sind"),
    ):
        woman = the("woman", plural=plural, relative=helping)
        told_of = told(Clause(woman, words.BE, predicate=ADJECTIVES["sick"]))
        assert told_of[1] == f"{noun} er hilft, {pronoun} krank."
    waiting = said("wait for", gap="object")
    assert told(said("sing", subject=the("nurse", relative=waiting))) == (
        "The nurse for whom he waits sings.",
        "Die Krankenschwester, auf die er wartet, singt.",
    )


def test_questions_begin_with_the_verb_or_a_question_word():
    clause = said("call", "past", object=the("doctor"), subject=the("aunt", plural=True))
    assert told(clause, ask=("", "")) == (
        "Did the aunts call the doctor?",
        "Haben die Tanten den Arzt angerufen?",
    )
    assert told(said("get up"), ask=("Why", "Warum")) == (
        "Why does he get up?",
        "Warum steht er auf?",
    )


def test_the_sentences_are_always_the_same(written):
    columns = {
        split: {"en": [row[0] for row in rows], "de": [row[1] for row in rows]}
        for split, rows in written.items()
    }
    assert fingerprint_splits(columns) == sentences.BuiltinSentences.fingerprint
    assert sentences.generate("test") == written["test"]


def test_no_sentence_has_two_translations_in_either_direction(written):
    rows = [row for split in written.values() for row in split]
    rows += sentences.generate("train", size=45_000)
    for source, target in ((0, 1), (1, 0)):
        found = defaultdict(set)
        for row in rows:
            found[row[source]].add(row[target])
        assert len(found) > 45_000
        assert [pair for pair in found.items() if len(pair[1]) > 1] == []


def test_no_pair_of_noun_and_role_and_no_sentence_is_in_two_splits(written):
    pairs = {
        split: {pair for *_, pairs in rows for pair in pairs} for split, rows in written.items()
    }
    assert min(map(len, pairs.values())) > 100
    for split, joined in pairs.items():
        assert {sentences.split_of(*pair) for pair in joined} == {split}
    assert all(row[2] for split in ("validation", "test") for row in written[split])
    texts = [row[0] for rows in written.values() for row in rows]
    assert len(set(texts)) == len(texts) == 37500


def test_every_word_and_every_form_of_the_test_split_is_known_from_training(written):
    def spellings(split, side):
        return {word.strip(".,?") for row in written[split] for word in row[side].split()}

    for side in (0, 1):
        assert spellings("test", side) | spellings("validation", side) <= spellings("train", side)
    lexicon = {noun.german for noun in NOUNS.values()} | {
        noun.german_plural for noun in NOUNS.values()
    }
    assert lexicon <= spellings("train", 1)
    assert all(
        f" {first} " in f" {' '.join(spellings('train', 1)).lower()} "
        for first in ("dem", "denen", "keinem")
    )


def test_the_two_languages_order_their_words_differently(written):
    ends = Counter(row[1].rstrip(".?").split()[-1] for row in written["train"])
    assert ends["hat"] > 50 and ends["an"] > 20 and ends["kaufen"] > 10
    assert max(len(row[0].split()) for row in written["train"]) <= 18


def test_a_table_of_words_is_not_enough(written):
    train, test = written["train"], written["test"]
    answers = word_table(
        [row[0] for row in train], [row[1] for row in train], [row[0] for row in test]
    )
    right = sum(answer == row[1] for answer, row in zip(answers, test, strict=True))
    assert 0 < right < 50
