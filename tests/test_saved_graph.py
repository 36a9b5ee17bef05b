"""A SavedModel in a session: whole or not at all, and never out of its folder."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from small_models import write_version

from rnn_apps.server.errors import ServingError
from rnn_apps.server.saved_graph import SavedGraph


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_version(tmp_path_factory.mktemp("model"), 3)


@pytest.fixture
def version(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "3")


def test_a_loaded_graph_answers_as_tensorflow_does(whole):
    graph = SavedGraph(whole)
    signature = graph.signature_defs["serving_default"]
    fetches = (signature.outputs["y"].name, signature.outputs["twice"].name)
    x = np.array([1.5, -2.0], np.float32)
    answers = graph.run({signature.inputs["x"].name: x}, fetches)
    expected = tf.saved_model.load(str(whole)).signatures["serving_default"](x=tf.constant(x))
    np.testing.assert_array_equal(answers[0], expected["y"])
    np.testing.assert_array_equal(answers[1], expected["twice"])


def test_tables_and_assets_of_a_moved_model_are_initialised(tmp_path):
    (tmp_path / "words.txt").write_text("dull\nfine\n")
    module = tf.Module()
    source = tf.lookup.TextFileInitializer(
        str(tmp_path / "words.txt"),
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
    )
    module.table = tf.lookup.StaticHashTable(source, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def find(text):
        return {"id": module.table.lookup(text)}

    tf.saved_model.save(module, str(tmp_path / "model"), {"serving_default": find})
    os.remove(tmp_path / "words.txt")
    graph = SavedGraph((tmp_path / "model").rename(tmp_path / "1"))
    signature = graph.signature_defs["serving_default"]
    feeds = {signature.inputs["text"].name: np.array([b"fine", b"?"], object)}
    assert graph.run(feeds, (signature.outputs["id"].name,))[0].tolist() == [1, -1]
    assert "__saved_model_init_op" in graph.signature_defs


@pytest.mark.parametrize(
    "damage, code",
    [
        (lambda v: os.remove(v / "saved_model.pb"), "NOT_FOUND"),
        (lambda v: os.truncate(v / "saved_model.pb", 500), "DATA_LOSS"),
        (lambda v: (v / "saved_model.pb").write_bytes(b""), "NOT_FOUND"),
        (lambda v: shutil.rmtree(v / "variables"), "NOT_FOUND"),
        (lambda v: os.truncate(v / "variables/variables.data-00000-of-00001", 0), "OUT_OF_RANGE"),
    ],
)
def test_a_version_that_is_not_whole_is_refused_without_a_path(version, damage, code):
    damage(version)
    with pytest.raises(ServingError) as refused:
        SavedGraph(version)
    assert refused.value.code == code
    assert str(version.parent) not in str(refused.value)
    assert "/" not in refused.value.message.replace("variables/variables.index", "")


def test_another_tag_is_looked_for_in_vain(whole):
    with pytest.raises(ServingError, match="supplied tags: { gpu serve }"):
        SavedGraph(whole, tags=("serve", "gpu"))


def test_a_link_out_of_the_folder_is_not_followed(version, tmp_path):
    secret = tmp_path / "elsewhere"
    shutil.copytree(version / "variables", secret)
    shutil.rmtree(version / "variables")
    (version / "variables").symlink_to(secret)
    with pytest.raises(ServingError, match="variables is a link out of") as refused:
        SavedGraph(version)
    assert refused.value.code == "PERMISSION_DENIED"


def test_an_asset_that_lies_elsewhere_is_not_read(version):
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString((version / "saved_model.pb").read_bytes())
    model.meta_graphs[0].asset_file_def.add(filename="../../secret").tensor_info.name = "x:0"
    (version / "saved_model.pb").write_bytes(model.SerializeToString())
    with pytest.raises(ServingError, match="An asset lies outside"):
        SavedGraph(version)


def test_an_error_of_the_graph_keeps_its_code_and_loses_its_stack(whole):
    graph = SavedGraph(whole)
    signature = graph.signature_defs["total"]
    x = np.array([[1.0, np.nan]], np.float32)
    with pytest.raises(ServingError, match="not finite") as refused:
        graph.run({signature.inputs["x"].name: x}, (signature.outputs["y"].name,))
    assert refused.value.code == "INVALID_ARGUMENT"
    assert ".py" not in refused.value.message
