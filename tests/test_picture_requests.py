"""Names of files and folders → pictures to be captioned."""

import io

import pytest
from conftest import squares

from rnn_apps.data.picture_requests import as_pictures, example_picture, file_names, read_pictures

PICTURE, OTHER, *_ = squares()[0]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "album" / "deeper").mkdir(parents=True)
    for name in ("b.PNG", "a.png", "deeper/c.png"):
        (tmp_path / "album" / name).write_bytes(PICTURE)
    (tmp_path / "album" / "notes.txt").write_text("b.PNG\n\n  a.png \n")
    (tmp_path / "one.jpg").write_bytes(OTHER)
    return tmp_path


def names(found, folder):
    return [name.removeprefix(f"{folder}/") for name in found["file"]]


def test_a_folder_stands_for_its_pictures_in_the_order_of_their_names(folder):
    found, notes = read_pictures([str(folder / "one.jpg"), str(folder / "album")])
    assert names(found, folder) == ["one.jpg", "album/a.png", "album/b.PNG"]
    assert found["image_bytes"].tolist() == [OTHER, PICTURE, PICTURE]
    assert notes == ()
    assert names(read_pictures(str(folder / "album"))[0], folder)[0] == "album/a.png"


def test_files_that_cannot_be_read_are_named_and_answered(folder):
    (folder / "empty.png").write_bytes(b"")
    (folder / "none").mkdir()
    asked = [str(folder / name) for name in ("empty.png", "one.jpg", "gone.png", "none")]
    found, notes = read_pictures([*asked, "zero\0byte.png"])
    assert found["image_bytes"].tolist() == [b"", OTHER, b"", b""]
    assert notes[0] == f"The folder {folder / 'none'} holds no pictures."
    assert notes[1].startswith("3 of 4 files cannot be read as a picture")
    assert "empty.png" in notes[1] and "gone.png" in notes[1] and "one.jpg" not in notes[1]


def test_a_file_or_a_stream_may_hold_names(folder):
    found, _ = read_pictures(str(folder / "album" / "notes.txt"))
    assert names(found, folder) == ["album/b.PNG", "album/a.png"]
    found, _ = read_pictures(io.BytesIO(f"{folder}/one.jpg\n\n".encode()))
    assert found["image_bytes"].tolist() == [OTHER]
    assert read_pictures(io.BytesIO(b""))[0]["file"] == []
    found, notes = read_pictures(io.BytesIO(PICTURE))  # cat photo.png | rnn-apps predict …
    assert (found["image_bytes"].tolist(), found["file"], notes) == ([PICTURE], ["-"], ())


def test_a_table_names_pictures_in_a_column(folder):
    (folder / "table.csv").write_text("photo,caption\na.png,one\nb.PNG,two\n")
    found, notes = read_pictures(str(folder / "table.csv"), {"image": "photo"})
    assert names(found, folder) == ["album/a.png", "album/b.PNG"]
    assert notes == ()


def test_pictures_are_named_by_their_files_or_numbered():
    assert file_names({"image_bytes": [b"x"], "file": ["a"]}, 1) == ["a"]
    assert file_names([b"x", "y"], 2) == ["1", "2"]
    assert as_pictures({"image_bytes": [PICTURE], "file": ["a"]}).tolist() == [PICTURE]
    assert as_pictures([example_picture(3, 4)])[0].startswith(b"\x89PNG")
