"""What a translator has to beat: the source as it stands, and a table of words."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

_WORD = re.compile(r"\w+|[^\w\s]")
_PIECE = re.compile(r"(\w+|[^\w\s])")
_NOTHING = ""  # the word of a source that stands for none, as in Brown et al. 1993
_MOST = 20_000_000  # pairs of words to learn from


def copy_source(sources: Sequence[str]) -> list[str]:
    """Answer every sentence with itself.

    Args:
        sources: N texts.

    Returns:
        The same N texts.

    Example:
        >>> copy_source(["a house"])
        ['a house']
    """
    return list(sources)


def word_table(
    train_sources: Sequence[str],
    train_targets: Sequence[str],
    sources: Sequence[str],
    iterations: int = 8,
) -> list[str]:
    """Translate word by word, each into what it most probably stands for, in the source's order.

    The probabilities are those of IBM model 1, learned by expectation maximisation (Brown et al.
    1993, The Mathematics of Statistical Machine Translation, section 4.2). A word that training
    lacks stays as it is. White space and a capital at the beginning are the source's.

    Args:
        train_sources: the training sources; of very many, as many of the first as make twenty
            million pairs of words.
        train_targets: the translation of each.
        sources: N texts to translate.
        iterations: of the learning, at least 1.

    Returns:
        N texts.

    Raises:
        ValueError: training sources and targets differ in number.

    Example:
        >>> word_table(["a cat", "the cat"], ["eine Katze", "die Katze"], ["The cat!", "Dogs"])
        ['Die Katze!', 'Dogs']
    """
    if len(train_sources) != len(train_targets):
        raise ValueError(
            f"{len(train_sources)} training sources came with {len(train_targets)} targets; give "
            "one target per source."
        )
    table = _best(_words(train_sources), _true_cased(train_targets), iterations)
    return [_translated(text, table) for text in sources]


def _words(texts):
    return [[_NOTHING, *_WORD.findall(text.lower())] for text in texts]


def _true_cased(texts):
    """Words, the first of each sentence spelled as it mostly is within one."""
    sentences = [_WORD.findall(text) for text in texts]
    spellings = defaultdict(Counter)
    for sentence in sentences:
        for word in sentence[1:]:
            spellings[word.lower()][word] += 1
    for sentence in sentences:
        if sentence and (known := spellings.get(sentence[0].lower())):
            sentence[0] = known.most_common(1)[0][0]
    return sentences


def _best(sources, targets, iterations):
    """{source word: target word} by model 1.

    Every sentence gives all pairs of its words at once; a sum over them is one `bincount`.
    """
    sizes = [(len(one), len(other)) for one, other in zip(sources, targets, strict=True)]
    sizes = np.array(sizes, dtype=np.int64).reshape(-1, 2)
    sizes = sizes[np.cumsum(sizes.prod(axis=1)) <= _MOST]
    sources, names = _numbered(sources[: len(sizes)])
    targets, other_names = _numbered(targets[: len(sizes)])
    from_word, to_place = _all_pairs(*sizes.T)
    if not len(to_place):
        return {}
    keys = sources[from_word] * len(other_names) + targets[to_place]
    kinds, kind = np.unique(keys, return_inverse=True)  # (P,) pairs of words that occur
    of_source = kinds // len(other_names)
    probability = np.ones(len(kinds))
    for _ in range(max(1, iterations)):
        share = probability[kind]
        share /= np.bincount(to_place, share)[to_place]  # who of the source is behind this word
        counts = np.bincount(kind, share, len(kinds))
        probability = counts / np.bincount(of_source, counts)[of_source]
    order = np.lexsort((kinds, -probability, of_source))
    first = order[np.unique(of_source[order], return_index=True)[1]]
    table = {names[of_source[row]]: other_names[kinds[row] % len(other_names)] for row in first}
    del table[_NOTHING]
    return table


def _numbered(sentences):
    """All words in a row as int64, and the word of each number."""
    flat = [word for sentence in sentences for word in sentence]
    numbers = {word: number for number, word in enumerate(dict.fromkeys(flat))}
    return np.array([numbers[word] for word in flat], dtype=np.int64), list(numbers)


def _all_pairs(lengths, other_lengths):
    """Places of all pairs of words of each sentence: two int64 arrays."""
    counts = lengths * other_lengths
    sentence = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    starts, other_starts = (np.cumsum(each) - each for each in (lengths, other_lengths))
    one = starts[sentence] + within % lengths[sentence]
    return one, other_starts[sentence] + within // lengths[sentence]


def _translated(text, table):
    pieces = [table.get(piece.lower(), piece) for piece in _PIECE.split(text)]
    answer = "".join(pieces).strip()
    return answer[:1].upper() + answer[1:] if text.strip()[:1].isupper() else answer
