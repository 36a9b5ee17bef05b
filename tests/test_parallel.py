import gzip
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets

from rnn_apps.data import as_columns
from rnn_apps.data.pair_checks import PairLimits, alignment_notes, find_odd
from rnn_apps.data.parallel import load_pairs, two_files

TRANSLATION = Path(__file__).parents[1] / "../shared/data/translation"


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


def write(folder, stem, sources, targets):
    for language, texts in (("en", sources), ("de", targets)):
        (folder / f"{stem}.{language}").write_bytes("".join(f"{t}\n" for t in texts).encode())
    return f"{folder}/{stem}.en+{stem}.de"


def pairs(dataset):
    columns = as_columns(dataset, features=("source", "target"))
    return list(zip(columns["source"], columns["target"], strict=True))


def whole(data, **options):
    return load_pairs(data, validation_fraction=0, **options)


def test_two_files_are_read_line_by_line_whatever_a_line_holds(tmp_path):
    sources = ["one\ttwo", "a\u2028b", "c\x0bd\x85e", '"quoted', "last"]
    name = write(tmp_path, "train", sources, "vwxyz")
    assert pairs(whole(name).train) == list(zip(sources, "vwxyz", strict=True))
    both = (tmp_path / "train.en", str(tmp_path / "train.de"))
    assert pairs(whole(both).train) == pairs(whole(name).train)
    assert whole(name).name == whole(both).name == "train.en+train.de"
    assert whole(name).fingerprint == whole(both).fingerprint


def test_packed_files_windows_line_ends_and_a_missing_last_one_make_no_difference(tmp_path):
    plain = whole(write(tmp_path, "train", ["one", "two"], ["eins", "zwei"]))
    (tmp_path / "a.en.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfone\r\ntwo"))
    (tmp_path / "a.de").write_bytes(b"eins\r\nzwei\r\n")
    packed = whole(f"{tmp_path}/a.en.gz+a.de")
    assert pairs(packed.train) == pairs(plain.train)
    assert packed.fingerprint == plain.fingerprint


def test_files_of_different_lengths_are_refused_with_both_counts(tmp_path):
    name = write(tmp_path, "train", ["x"] * 1200, ["y"] * 1199)
    with pytest.raises(ValueError, match="train.en has 1,200 lines and .*train.de has 1,199;"):
        load_pairs(name)


def test_a_name_with_several_plus_signs_is_parted_where_files_are(tmp_path):
    folder = tmp_path / "c++"
    folder.mkdir()
    name = write(folder, "a", ["one"], ["eins"])
    assert two_files(name) == (folder / "a.en", folder / "a.de")
    with pytest.raises(ValueError, match="holds 3 plus signs, and 0 ways"):
        two_files(name.replace("a.en", "b.en"))
    (folder / "one+two.tsv").write_text("source\ttarget\nyes\tja\n")
    assert two_files(folder / "one+two.tsv") == str(folder / "one+two.tsv")
    assert two_files("tfds:a+b") == "tfds:a+b"


def test_names_that_lead_nowhere_say_what_to_type(tmp_path):
    name = write(tmp_path, "train", ["one"], ["eins"])
    with pytest.raises(FileNotFoundError, match="no file .*train.dee; did you mean .*train.de"):
        load_pairs(f"{name}e")
    with pytest.raises(ValueError, match="is no name of pairs; name two files, as in 'train.en"):
        load_pairs(tmp_path / "train.en")
    with pytest.raises(ValueError, match="1 names came"):
        load_pairs((tmp_path / "train.en",))
    with pytest.raises(ValueError, match="two aligned files have none"):
        load_pairs(name, columns={"source": "en"})
    with pytest.raises(ValueError, match="names the feature 'text'"):
        load_pairs(name, columns={"text": "en"})
    with pytest.raises(ValueError, match="validation_fraction is 1;"):
        load_pairs(name, validation_fraction=1)
    with pytest.raises(ValueError, match="No data was named"):
        load_pairs(None)


def test_tables_hold_pairs_under_any_names(tmp_path):
    (tmp_path / "a.tsv").write_text("de\ten\nja\tyes\nnein\tno\n\tperhaps\n")
    (tmp_path / "a.jsonl").write_text('{"en": "maybe", "de": null}\n')
    columns = {"source": "en", "target": "de"}
    splits = whole(tmp_path / "a.tsv", columns=columns, test=tmp_path / "a.jsonl")
    assert pairs(splits.train) == [("yes", "ja"), ("no", "nein")]
    assert pairs(splits.test) == [("maybe", "")] and splits.name == "a.jsonl"
    assert splits.notes == (
        "train: of 3 pairs, 1 was empty (dropped).",
        "test: of 1 pair, 1 was empty (kept).",
    )
    mixed = whole(tmp_path / "a.tsv", columns=columns, test=write(tmp_path, "b", "x", "y"))
    assert pairs(mixed.test) == [("x", "y")]
    with pytest.raises(ValueError, match="no column 'source' in .*a.tsv"):
        whole(tmp_path / "a.tsv")


def test_translation_sets_are_read_by_language():
    name = "tfds:ted_hrlr_translate/pt_to_en"
    with tensorflow_datasets.testing.mock_data(num_examples=30):
        given = pairs(load_pairs(None, test=name).test)
        turned = pairs(load_pairs(None, test=name, columns={"source": "en"}).test)
        named = load_pairs(None, test=name, columns={"source": "en", "target": "pt"})
        with pytest.raises(ValueError, match="no column 'english' in tfds:ted_hrlr.*'en'"):
            load_pairs(name, columns={"source": "english", "target": "pt"})
    assert len(given) == 30 and turned == [(target, source) for source, target in given]
    assert pairs(named.test) == turned and named.name == name
    with pytest.raises(ValueError, match="does not say which .*pass columns="):
        load_pairs("tfds:glue/sst2")


def test_the_builtin_sentences_go_either_way():
    splits = load_pairs("builtin")
    there = [pairs(part) for part in (splits.train, splits.validation, splits.test)]
    assert [len(part) for part in there] == [36000, 500, 1000]
    assert splits.name == "builtin" and splits.notes == ()
    turned = load_pairs("builtin", columns={"target": "en"})
    assert pairs(turned.test) == [(target, source) for source, target in there[2]]


def odd_pairs():
    usual = [(f"{row} " + "some words " * (1 + row % 7), f"{row} " + "manche wort " * (1 + row % 7))
             for row in range(20)]  # fmt: skip
    return [
        *usual,
        ("", "nichts"),
        ("nothing", " \u3000"),
        ("Berlin", "Berlin "),
        ("long " * 300, "lang " * 300),
        ("a sentence of many words, which says a lot of things", "kurz"),
        usual[3],
    ]


def test_odd_pairs_are_counted_and_some_leave_training_but_never_test(tmp_path):
    sources, targets = zip(*odd_pairs(), strict=True)
    splits = whole(
        write(tmp_path, "train", [f"new {s}" if s else s for s in sources], targets),
        test=write(tmp_path, "test", sources, targets),
    )
    assert len(pairs(splits.test)) == 26
    assert splits.notes[-1] == (
        "test: of 26 pairs, 2 were empty (kept), 1 was copied (kept), 1 was overlong (kept), "
        "1 was unequal (kept), 1 was repeated (kept)."
    )
    assert splits.notes[0] == (
        "train: of 26 pairs, 2 were empty (dropped), 1 was overlong (dropped), "
        "1 was unequal (dropped), 1 was repeated (kept)."
    )
    assert len(pairs(splits.train)) == 22


def test_which_odd_pairs_leave_is_an_option(tmp_path):
    sources, targets = zip(*odd_pairs(), strict=True)
    name = write(tmp_path, "train", sources, targets)
    limits = PairLimits(drop=("repeated", "copied"), max_characters=20_000, max_ratio=100)
    splits = whole(name, limits=limits)
    assert len(pairs(splits.train)) == 24
    assert (
        "2 were empty (kept), 1 was copied (dropped), 1 was repeated (dropped)."
        in (splits.notes[0])
    )
    assert len(pairs(whole(name, limits=PairLimits(drop=())).train)) == 26
    with pytest.raises(ValueError, match="drop is 'empty'; it must be a tuple"):
        PairLimits(drop="empty")
    with pytest.raises(ValueError, match="max_ratio 1;"):
        PairLimits(max_ratio=1)
    with pytest.raises(ValueError, match="2 were empty .dropped., and none is left"):
        whole(write(tmp_path, "none", ["", "a"], ["b", ""]))


def test_lengths_are_held_to_what_is_usual_between_the_two_languages():
    sources = ["w" * 60] * 9 + ["w" * 60]
    targets = ["字" * 15] * 9 + ["字" * 60]
    assert find_odd(sources, targets, PairLimits())["unequal"].tolist() == [False] * 9 + [True]
    short = find_odd(["Yes."] * 3, ["Ja, das ist so, ganz recht."] * 2 + ["J"], PairLimits())
    assert not short["unequal"].any()


def sentences(size):
    generator = np.random.default_rng(0)
    lengths = generator.integers(3, 20, size)
    texts = [["word " * (length + extra) for length, extra in zip(lengths, more, strict=True)]
             for more in generator.integers(0, 3, (2, size))]  # fmt: skip
    return texts


def test_a_line_that_is_missing_on_one_side_raises_a_warning_that_says_where():
    sources, targets = sentences(1000)
    assert alignment_notes(sources, targets, "train") == []
    del targets[400]
    (note,) = alignment_notes(sources[:-1], targets, "train")
    assert note.startswith("train: WARNING: from pair 501 to 750 the lengths")
    assert note.endswith("and there the source is a line late.")
    sources, targets = sentences(1000)
    (note,) = alignment_notes(sources[:-2], [targets[-1], targets[-1], *targets[:-4]], "test")
    assert "from pair 1 to 250" in note and note.endswith("the target is 2 lines late.")
    mixed = list(np.random.default_rng(1).permutation(targets))
    (note,) = alignment_notes(sources, mixed, "train")
    assert "may not be aligned" in note and "late" not in note
    assert alignment_notes(sources[:199], mixed[:199], "train") == []
    assert alignment_notes(["same"] * 300, targets[:300], "train") == []


def test_the_warning_is_among_the_notes(tmp_path):
    sources, targets = sentences(400)
    sources = [f"{row} {text}" for row, text in enumerate(sources)]
    notes = whole(write(tmp_path, "train", sources, targets[::-1])).notes
    assert sum("WARNING" in note for note in notes) == 1


def test_duplicates_across_splits_leave_training(tmp_path):
    splits = whole(
        write(tmp_path, "train", ["One", "two", "three"], "abc"),
        test=write(tmp_path, "test", ["one "], "d"),
    )
    assert pairs(splits.train) == [("two", "b"), ("three", "c")]
    assert splits.notes == ("1 example was dropped from train: the same source is in test.",)


@pytest.mark.real_data
@pytest.mark.skipif(not TRANSLATION.is_dir(), reason="real translations are not in shared/data")
@pytest.mark.parametrize(("source", "target"), [("en", "de"), ("de", "en")])
def test_multi30k_is_read_whole_but_for_what_is_odd(source, target):
    def named(stem):
        return f"{TRANSLATION}/{stem}.{source}+{stem}.{target}"

    splits = load_pairs(named("train"), validation=named("val"), test=named("test_2016_flickr"))
    train, validation, test = map(pairs, (splits.train, splits.validation, splits.test))
    assert (len(validation), len(test)) == (1014, 1000)
    assert splits.notes[0] == (
        "train: of 29,000 pairs, 2 were unequal (dropped), 3 were repeated (kept)."
    )
    assert len(train) == 28_997 and not any("WARNING" in note for note in splits.notes)
    assert splits.notes[1:] == (
        "1 example was dropped from train: the same source is in validation.",
    )
    assert sum("\t" in text for pair in train for text in pair) == 1
    kept = load_pairs(named("train"), validation_fraction=0, limits=PairLimits(drop=()))
    assert len(pairs(kept.train)) == 29_000
