"""Says the built-in sentences in English."""

from rnn_apps.data.sentence_parts import Anaphor, NounPhrase
from rnn_apps.data.sentence_words import BE, Pronoun

_PLURALS = {"a": "", "this": "these"}
_PERFORMED = {"future": "will", "can": "can", "should": "should"}
_INFINITIVES = {"have to": ("have", "has"), "want to": ("want", "wants"),
                "like to": ("like", "likes")}  # fmt: skip
_BE = {"present": ("am", "is", "are"), "past": ("was", "was", "were")}


def english(sentence):
    """Says a `Sentence` in English.

    Args:
        sentence: `rnn_apps.data.sentence_parts.Sentence`.

    Returns:
        str, with a capital letter and a full stop or a question mark.

    Example:
        >>> from rnn_apps.data.sentence_parts import Clause, Sentence
        >>> from rnn_apps.data.sentence_words import INTRANSITIVE, PRONOUNS
        >>> english(Sentence(Clause(PRONOUNS[1], INTRANSITIVE[0], negated=True)))
        'He does not sleep.'
    """
    main = _clause(sentence.main, asked=sentence.ask is not None)
    if sentence.ask:
        main = f"{sentence.ask[0]} {main}"
    if sentence.other:
        other = f"{sentence.link[0]} {_clause(sentence.other)}"
        main = f"{other}, {main}" if sentence.other_first else f"{main} {other}"
    text = " ".join(main.split())
    return f"{text[0].upper()}{text[1:]}{'?' if sentence.ask is not None else '.'}"


def _clause(clause, asked=False, head=None):
    subject = clause.subject or head
    first, rest = _verb(clause, subject, asked)
    frequency = clause.frequency[0] if clause.frequency else ""
    said = "" if clause.gap == "subject" else _phrase(subject, "subject")
    words = [first, said] if asked else [said, first]
    words += [frequency, rest]
    words += [*_objects(clause), clause.goal and clause.goal[2], clause.manner and clause.manner[0]]
    words += ["with", _phrase(clause.companion)] if clause.companion else []
    words += [clause.place and clause.place[0]]
    time = clause.time and clause.time[0]
    words = [time, *words] if clause.fronted else [*words, time]
    if clause.gap:
        words.insert(0, _relative_pronoun(clause, head))
    return " ".join(word for word in words if word)


def _relative_pronoun(clause, head):
    person = head.noun.kind == "person"
    if clause.gap == "subject":
        return "who" if person else "which"
    return f"{clause.verb.prepositions[0]} {'whom' if person else 'which'}"


def _objects(clause):
    verb, what = clause.verb, clause.object
    if clause.predicate:
        return [clause.predicate.english]
    if what is None:
        return [verb.particle]
    said = _phrase(what)
    if isinstance(what, NounPhrase):
        words = [verb.particle, verb.prepositions[0], said]
    else:
        words = [verb.prepositions[0], said, verb.particle]
    return words + (["to", _phrase(clause.recipient)] if clause.recipient else [])


def _verb(clause, subject, asked):
    """Returns what stands before the subject in a question, and the rest: "does not", "buy"."""
    base, third, past = clause.verb.english
    singular = subject.person == 3 and not subject.plural
    negation = " not" if clause.negated else ""
    tense = clause.tense
    if tense in _PERFORMED:
        word = _PERFORMED[tense]
        return (f"{word}{negation}" if (word, negation) != ("can", " not") else "cannot"), base
    if clause.verb == BE:
        form = 2 if subject.plural else 0 if subject.person == 1 else 1
        return f"{_BE[tense][form]}{negation}", ""
    if tense in _INFINITIVES:
        base, third = (f"{form} to {base}" for form in _INFINITIVES[tense])
    if asked or clause.negated:
        word = "did" if tense == "past" else "does" if singular else "do"
        return f"{word}{negation}", base
    return "", past if tense == "past" else third if singular else base


def _phrase(phrase, role="object"):
    if isinstance(phrase, Anaphor):
        return "them" if phrase.plural else "it"
    if isinstance(phrase, Pronoun):
        return phrase.english if role == "subject" else phrase.english_object
    noun = phrase.noun.english_plural if phrase.plural else phrase.noun.english
    adjective = phrase.adjective.english if phrase.adjective else ""
    determiner = phrase.determiner
    if phrase.plural:
        determiner = _PLURALS.get(determiner, determiner)
    elif determiner == "a" and (adjective or noun)[0] in "aeiou":
        determiner = "an"
    relative = _clause(phrase.relative, head=phrase) if phrase.relative else ""
    return " ".join(word for word in (determiner, adjective, noun, relative) if word)
