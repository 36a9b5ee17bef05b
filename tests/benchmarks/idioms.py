"""Whether a language model knows how an idiom ends: the last word of 50, as first or among five.

    python tests/benchmarks/idioms.py RUN.keras --texts reviews.train.tsv

asks a saved `LanguageModel`, and beside it a Kneser-Ney 5-gram of the words of `--texts`, which
should be what the model was trained on. Either may be left out. What is judged is the next *word*,
without regard to case and punctuation: of a model whose tokens are parts of words, a word that it
needs two tokens for counts as not known, since `predict` gives the next token. All that
is known here of the model is in `next_words`.
"""

import argparse
import collections
import csv
import json
import pathlib
import re

import numpy as np

FILE = pathlib.Path(__file__).with_name("idioms.tsv")
MOST = 5
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_RARE = 3  # a word that stands less often in the texts is one of the unknown


def read(path=FILE):
    """Return the idioms: dicts of "context", the "word" that ends it, and the "idiom" itself."""
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def words_of(text):
    """Return the words of a text in lower case."""
    return _WORD.findall(text.casefold())


def next_words(model, contexts):
    """Ask a saved language model for the words that may come next, the most probable first.

    Args:
        model: whose `predict(contexts)` gives {"tokens": str (B, k), "probabilities": (B, k)}.
        contexts: B texts.

    Returns:
        B lists of texts in lower case; a token that holds no letter is none of them.
    """
    answers = model.predict(contexts)
    ranked = []
    for row in np.argsort(-np.asarray(answers["probabilities"]), axis=-1, kind="stable"):
        tokens = answers["tokens"][len(ranked)]
        words = (words_of(str(tokens[place]).replace("▁", " ")) for place in row)
        ranked.append(list(dict.fromkeys(word[0] for word in words if word)))
    return ranked


class NgramWords:
    """A Kneser-Ney 5-gram of words, which answers as `next_words` does.

    Args:
        texts: texts to count in.
    """

    def __init__(self, texts):
        from rnn_apps.evaluation.ngrams import KneserNey

        texts = [words_of(text) for text in texts]
        counts = collections.Counter(word for words in texts for word in words)
        self.words = sorted(word for word, count in counts.items() if count >= _RARE)
        self._ids = {word: number for number, word in enumerate(self.words, 2)}
        self._model = KneserNey.fit([self._numbers(text) for text in texts], 2 + len(self.words))

    def _numbers(self, words):
        return np.array([0, *(self._ids.get(word, 1) for word in words)])

    def next_words(self, contexts, count=MOST):
        """Return the most probable words after each context."""
        ranked = []
        for context in contexts:
            found = self._model.probabilities(self._numbers(words_of(context)))[2:]
            ranked.append([self.words[place] for place in np.argsort(-found)[:count]])
        return ranked


def seen(texts, idioms):
    """Count how often each idiom, and its last word, stands in texts: two lists of int."""
    text = f" {'  '.join(' '.join(words_of(each)) for each in texts)} "
    words = collections.Counter(text.split())
    return (
        [text.count(f" {' '.join(words_of(each['idiom']))} ") for each in idioms],
        [words[each["word"]] for each in idioms],
    )


def share(hits):
    """Return the share of hits with its 95 % interval (Wilson 1927)."""
    from scipy.stats import binomtest

    found = binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    return {"value": sum(hits) / len(hits), "low": float(found.low), "high": float(found.high)}


def judge(ranked, idioms):
    """Return the shares of idioms whose last word came first, and among the first five."""
    return {
        f"top {most}": share(
            [each["word"] in row[:most] for row, each in zip(ranked, idioms, strict=True)]
        )
        for most in (1, MOST)
    }


def show(name, ranked, idioms, counts):
    """Print what one of the two said to every idiom, and its shares."""
    print(f"\n{name}")
    for row, each, count in zip(ranked, idioms, counts, strict=True):
        mark = "1" if each["word"] in row[:1] else "5" if each["word"] in row[:MOST] else "-"
        print(f"{mark} {each['idiom']:32} {count:>5}  {', '.join(row[:MOST])}")
    found = judge(ranked, idioms)
    for metric, value in found.items():
        ends = f"95 % interval {100 * value['low']:.0f} to {100 * value['high']:.0f}"
        print(f"{metric}: {100 * value['value']:.0f} % of {len(idioms)} ({ends})")
    return found


def main(arguments=None):
    """Ask the model and the n-grams how 50 idioms end."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", nargs="?", help="a run folder or a .keras file")
    parser.add_argument("--texts", help="what the n-grams are counted in, as `load_texts` takes it")
    parser.add_argument("--output", help="a JSON file for the shares and all answers")
    options = parser.parse_args(arguments)
    if not options.model and not options.texts:
        parser.error("name a saved language model, or texts to count n-grams in, or both.")
    idioms = read()
    contexts = [each["context"] for each in idioms]
    answers, counts = {}, ["" for _ in idioms]
    if options.model:
        import rnn_apps

        answers["language model"] = next_words(rnn_apps.load_model(options.model), contexts)
    if options.texts:
        from rnn_apps.data import load_texts

        texts = load_texts(options.texts, validation_fraction=0).train["text"]
        counts, _ = seen(texts, idioms)
        answers["Kneser-Ney 5-grams of words"] = NgramWords(texts).next_words(contexts)
        print("The number beside an idiom is how often the texts hold it.")
    found = {name: show(name, ranked, idioms, counts) for name, ranked in answers.items()}
    if options.output:
        result = {"shares": found, "answers": answers, "seen": counts}
        pathlib.Path(options.output).write_text(json.dumps(result, indent=2), "utf-8")
    return found


if __name__ == "__main__":
    main()
