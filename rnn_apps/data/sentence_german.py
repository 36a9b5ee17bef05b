"""Says the built-in sentences in German: case, gender, and where the verb stands."""

import re

from rnn_apps.data.sentence_parts import DEFINITE, Anaphor, NounPhrase
from rnn_apps.data.sentence_words import BE, Pronoun

# By case: masculine, feminine, neuter, plural.
_THE = {
    "nominative": ("der", "die", "das", "die"),
    "accusative": ("den", "die", "das", "die"),
    "dative": ("dem", "der", "dem", "den"),
}
_THIS = {
    "nominative": ("er", "e", "es", "e"),
    "accusative": ("en", "e", "es", "e"),
    "dative": ("em", "er", "em", "en"),
}
_A = {**_THIS, "nominative": ("", "e", "", "e"), "accusative": ("en", "e", "", "e")}
_STEMS = {"this": "dies", "every": "jed", "a": "ein", "no": "kein", "my": "mein", "his": "sein",
          "our": "unser"}  # fmt: skip
_IT = {"accusative": ("ihn", "sie", "es", "sie")}
# The forms for ich, er and wir.
_FINITE = {
    "haben": ("habe", "hat", "haben"),
    "sein": ("bin", "ist", "sind"),
    "future": ("werde", "wird", "werden"),
    "can": ("kann", "kann", "können"),
    "have to": ("muss", "muss", "müssen"),
    "should": ("soll", "soll", "sollen"),
    "want to": ("will", "will", "wollen"),
}
_WAS = ("war", "war", "waren")


def german(sentence):
    """Says a `Sentence` in German.

    Args:
        sentence: `rnn_apps.data.sentence_parts.Sentence`.

    Returns:
        str, with a capital letter and a full stop or a question mark.

    Example:
        >>> from rnn_apps.data.sentence_parts import Clause, Sentence
        >>> from rnn_apps.data.sentence_words import INTRANSITIVE, PRONOUNS
        >>> german(Sentence(Clause(PRONOUNS[1], INTRANSITIVE[-1], "past")))
        'Er ist eingeschlafen.'
    """
    first = sentence.ask is not None or sentence.other_first
    main = _clause(sentence.main, "first" if first else "second")
    if sentence.ask:
        main = f"{sentence.ask[1]} {main}"
    if sentence.other:
        other = f"{sentence.link[1]} {_clause(sentence.other, 'last')}"
        main = f"{other} , {main}" if sentence.other_first else f"{main} , {other}"
    text = re.sub(r"( ,)+", ",", " ".join(main.split())).removesuffix(",")
    return f"{text[0].upper()}{text[1:]}{'?' if sentence.ask is not None else '.'}"


def _clause(clause, order, head=None):
    """The clause with its finite verb "first", "second" or "last"."""
    subject = clause.subject or head
    finite, infinite, prefix = _verb(clause, subject)
    said = "" if clause.gap == "subject" else _phrase(subject, "nominative")
    time = clause.time[1] if clause.time else ""
    before = _relative_pronoun(clause, head) if clause.gap else ""
    middle = _middle(clause, "" if clause.fronted else time)
    if order == "last":
        words = [before, said, *middle, infinite, f"{prefix}{finite}"]
    elif order == "first":
        words = [finite, said, *middle, infinite, prefix]
    elif clause.fronted:
        words = [time, finite, said, *middle, infinite, prefix]
    else:
        words = [said, finite, *middle, infinite, prefix]
    if isinstance(clause.object, NounPhrase) and clause.object.relative:
        words.append(_relative(clause.object))
    return " ".join(word for word in words if word)


def _middle(clause, time):
    """What stands between the two parts of the verb, in the order German has it."""
    verb, what = clause.verb, clause.object
    preposition, case = verb.prepositions[1], verb.case
    early = indefinite = late = negation = ""
    pronouns = []
    is_noun = isinstance(what, NounPhrase)
    is_definite = is_noun and what.determiner in DEFINITE
    none = clause.negated and is_noun and not is_definite and not preposition
    if preposition and what:
        late = f"{preposition} {_phrase(what, case, follow=False)}"
    elif is_definite:
        early = _phrase(what, case, follow=False)
    elif is_noun:
        indefinite = _phrase(what, case, follow=False, none=none)
    elif what:
        pronouns.append(_phrase(what, case))
    recipient = _phrase(clause.recipient, "dative") if clause.recipient else ""
    if isinstance(clause.recipient, Pronoun):
        pronouns.append(recipient)
        recipient = ""
    if clause.negated and not none:
        negation = "nicht"
    with_whom = f"mit {_phrase(clause.companion, 'dative')}" if clause.companion else ""
    return [
        *pronouns,
        time,
        clause.frequency and clause.frequency[1],
        "gern" if clause.tense == "like to" else "",
        recipient,
        early,
        negation,
        clause.manner and clause.manner[1],
        with_whom,
        indefinite,
        clause.place and clause.place[1],
        late,
        clause.goal and clause.goal[3],
        clause.predicate and clause.predicate.german,
    ]


def _verb(clause, subject):
    """The finite verb, what else goes to the end, and a prefix that stands alone or before it."""
    form = 2 if subject.plural else 0 if subject.person == 1 else 1
    infinitive, first, third, participle = clause.verb.german
    prefix, tense = clause.verb.prefix, clause.tense
    if clause.verb == BE and tense in ("present", "past"):
        return (_WAS if tense == "past" else _FINITE["sein"])[form], "", ""
    if tense in ("present", "like to"):
        return (first, third, infinitive)[form], "", prefix
    if tense == "past":
        return _FINITE[clause.verb.auxiliary][form], participle, ""
    return _FINITE[tense][form], f"{prefix}{infinitive}", ""


def _gender(phrase):
    return 3 if phrase.plural else "mfn".index(phrase.noun.gender)


def _relative_pronoun(clause, head):
    if clause.gap == "subject":
        return _THE["nominative"][_gender(head)]
    case, gender = clause.verb.case, _gender(head)
    pronoun = "denen" if (case, gender) == ("dative", 3) else _THE[case][gender]
    return f"{clause.verb.prepositions[1]} {pronoun}"


def _relative(phrase):
    return f", {_clause(phrase.relative, 'last', head=phrase)} ,"


def _phrase(phrase, case, follow=True, none=False):
    """A noun phrase in a case; `follow` by its relative clause; with "kein" if `none`."""
    if isinstance(phrase, Anaphor):
        return _IT[case][_gender(phrase)]
    if isinstance(phrase, Pronoun):
        forms = {"accusative": phrase.accusative, "dative": phrase.dative}
        return forms.get(case, phrase.german)
    gender = _gender(phrase)
    determiner = "no" if none else phrase.determiner
    bare = determiner == "a" and phrase.plural
    article = "" if bare else _article(determiner, case, gender)
    adjective = ""
    if phrase.adjective:
        strong = bare or determiner == "many"
        adjective = phrase.adjective.stem + _ending(determiner, strong, case, gender)
    relative = _relative(phrase) if phrase.relative and follow else ""
    words = (article, adjective, _noun(phrase, case), relative)
    return " ".join(word for word in words if word)


def _article(determiner, case, gender):
    if determiner == "the":
        return _THE[case][gender]
    if determiner == "many":
        return "vielen" if case == "dative" else "viele"
    endings = _THIS if determiner in ("this", "every") else _A
    return _STEMS[determiner] + endings[case][gender]


def _ending(determiner, strong, case, gender):
    if strong:
        return _THIS[case][gender]
    if gender == 3 or case == "dative" or (case, gender) == ("accusative", 0):
        return "en"
    if determiner in ("the", "this", "every"):
        return "e"
    return ("er", "e", "es")[gender]


def _noun(phrase, case):
    noun = phrase.noun
    if not phrase.plural:
        return noun.german_plural if noun.weak and case != "nominative" else noun.german
    if case == "dative" and noun.german_plural[-1] not in "ns":
        return f"{noun.german_plural}n"
    return noun.german_plural
