"""Which folders are versions, and which a policy wants."""

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import file_system_storage_path_source_pb2 as source

from rnn_apps.server import versions


def policy(text=""):
    message = source.FileSystemStoragePathSourceConfig.ServableVersionPolicy
    return text_format.Parse(text, message())


def test_only_whole_names_that_are_numbers_are_versions(tmp_path):
    for name in (
        "1",
        "00000123",
        "1718000000",
        "tmp-3",
        "3.tmp",
        ".3",
        "v4",
        "1e3",
        "٣",
        str(2**63),
    ):
        (tmp_path / name).mkdir()
    found = versions.versions_in(tmp_path)
    assert sorted(found) == [1, 123, 1718000000]
    assert found[123].name == "00000123"


def test_of_two_names_for_one_number_one_is_taken(tmp_path):
    for name in ("1", "01"):
        (tmp_path / name).mkdir()
    assert versions.versions_in(tmp_path) == {1: tmp_path / "1"}


@pytest.mark.parametrize(
    "text, wanted",
    [
        ("", {10}),
        ("latest { num_versions: 2 }", {9, 10}),
        ("latest { num_versions: 9 }", {1, 9, 10}),
        ("latest { }", {10}),
        ("all { }", {1, 9, 10}),
        ("specific { versions: 1 versions: 7 }", {1}),
    ],
)
def test_a_policy_wants_what_it_says(text, wanted):
    given = policy(text)
    assert versions.wanted(given, [10, 1, 9]) == wanted
    assert versions.wanted(given, []) == set()
