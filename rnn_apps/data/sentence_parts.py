"""What a built-in sentence says, before it is said in any language."""

from dataclasses import dataclass

from rnn_apps.data.sentence_words import Adjective, Noun, Pronoun, Verb

DEFINITE = ("the", "this", "my", "his", "our", "every")  # determiners; the others: "a", "many"


@dataclass(frozen=True)
class NounPhrase:
    """A determiner ("the", "a", "this", "my", "his", "our", "every" or "many") and a noun."""

    determiner: str
    noun: Noun
    plural: bool = False
    adjective: Adjective | None = None
    relative: "Clause | None" = None

    @property
    def person(self):
        """The grammatical person."""
        return 3


@dataclass(frozen=True)
class Anaphor:
    """A thing that was named before, as "it" or "them"."""

    noun: Noun
    plural: bool


@dataclass(frozen=True)
class Clause:
    """Who does what to whom, when, how and where.

    A relative clause lacks its subject or its object, as `gap` says: that is the noun it stands at.
    Times, manners and places are pairs of English and German.
    """

    subject: NounPhrase | Pronoun | None
    verb: Verb
    tense: str = "present"  # or "past", "future", "can", "have to", "should", "want to", "like to"
    object: NounPhrase | Pronoun | Anaphor | None = None
    recipient: NounPhrase | Pronoun | None = None
    predicate: Adjective | None = None
    negated: bool = False
    time: tuple | None = None
    frequency: tuple | None = None
    manner: tuple | None = None
    companion: NounPhrase | None = None
    place: tuple | None = None
    goal: tuple | None = None
    fronted: bool = False  # the time stands first
    gap: str = ""


@dataclass(frozen=True)
class Sentence:
    """A main clause, perhaps as a question, and perhaps with another clause.

    `link` joins the two: ("because", "weil"); `ask` makes a question: ("", "") or ("Why", "Warum").
    """

    main: Clause
    ask: tuple | None = None
    link: tuple | None = None
    other: Clause | None = None
    other_first: bool = False
