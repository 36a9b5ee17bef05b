import io
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from rnn_apps.export import (
    Endpoint,
    Finding,
    check,
    checking,
    graphs,
    publish,
    publishing,
    warm_up_records,
)

ROOT = Path(__file__).resolve().parents[1]
WARM_UP = Path("assets.extra", "tf_serving_warmup_requests")
TEXTS = np.array(["a", "bc", "déjà vu"])


def concrete(function, **inputs):
    specs = [tf.TensorSpec(shape, dtype, name=name) for name, (shape, dtype) in inputs.items()]
    return tf.function(function, specs, autograph=False).get_concrete_function()


def scorer(size=300):
    """Two signatures around one weight."""
    weight = tf.Variable(tf.random.stateless_uniform([size], (1, 2)), name="weight")

    def score(text):
        length = tf.cast(tf.strings.length(text), tf.float32)
        return {"score": length * weight[0], "label": tf.strings.join(["<", text, ">"])}

    def summed(text):
        return {"sum": tf.reduce_sum(weight) + tf.cast(tf.strings.length(text), tf.float32)}

    inputs = {"text": ([None], tf.string)}
    return {"serving_default": concrete(score, **inputs), "sum": concrete(summed, **inputs)}


def requests():
    return {name: [{"text": TEXTS[:1]}, {"text": TEXTS}] for name in ("serving_default", "sum")}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return publish(scorer(), tmp_path_factory.mktemp("models") / "scores", warm_up=requests())


def entries(folder):
    return sorted(path.name for path in Path(folder).iterdir())


# --- publish -------------------------------------------------------------------------------------


def test_a_published_version_is_clean_and_answers_like_the_traced_functions(published):
    assert check(published) == []
    assert check(published.parent) == []
    loaded = tf.saved_model.load(str(published))
    for name, function in scorer().items():
        text = tf.constant(TEXTS)
        expected, answer = function(text=text), loaded.signatures[name](text=text)
        assert set(answer) == set(expected)
        for key in expected:
            np.testing.assert_array_equal(answer[key].numpy(), expected[key].numpy())


def test_weights_are_stored_once_and_only_those_in_use(published):
    reader = tf.train.load_checkpoint(str(published / "variables" / "variables"))
    shapes = [shape for shape in reader.get_variable_to_shape_map().values() if shape]
    assert shapes == [[300]]


def test_a_weight_used_only_inside_a_loop_is_stored(tmp_path):
    weight = tf.Variable([2.0])

    def double(x):
        _, x = tf.while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x * weight), [0, x])
        return {"y": x}

    functions = {"serving_default": concrete(double, x=([None], tf.float32))}
    path = publish(functions, tmp_path, warm_up={"serving_default": [{"x": np.array([1.0])}]})
    weight.assign([0.0])
    answer = tf.saved_model.load(str(path)).signatures["serving_default"](x=tf.constant([1.0]))
    np.testing.assert_allclose(answer["y"], [8.0])


def test_the_version_is_one_above_the_largest_number_present(tmp_path):
    for name in ("3", "00012", "note", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "20").write_text("a file")
    functions = scorer(2)
    assert publish(functions, tmp_path).name == "21"
    assert publish(functions, tmp_path).name == "22"
    assert (tmp_path / "20").read_text() == "a file"
    assert not [name for name in entries(tmp_path) if name.startswith(".export")]


def test_two_exports_at_once_take_different_numbers(tmp_path):
    functions, found = [scorer(2) for _ in range(3)], []
    threads = [
        threading.Thread(target=lambda f=f: found.append(publish(f, tmp_path))) for f in functions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in found) == ["1", "2", "3"] == entries(tmp_path)


def test_a_number_taken_in_the_last_moment_is_not_overwritten(tmp_path, monkeypatch):
    real, taken = os.rename, []

    def late(source, target):
        if not taken:
            taken.append(target)
            Path(target).mkdir()
            (Path(target) / "saved_model.pb").write_text("another's")
        real(source, target)

    monkeypatch.setattr(publishing.os, "rename", late)
    assert publish(scorer(2), tmp_path).name == "2"
    assert (tmp_path / "1" / "saved_model.pb").read_text() == "another's"


def test_leftovers_of_a_killed_export_are_removed_and_those_of_a_living_one_are_not(tmp_path):
    (tmp_path / ".export-1-dead" / "variables").mkdir(parents=True)
    with publishing._reserve(tmp_path) as living:
        publish(scorer(2), tmp_path)
        assert entries(tmp_path) == sorted([living.name, "1"])
    assert entries(tmp_path) == ["1"]


def test_a_server_of_another_user_may_read_a_version(published, tmp_path):
    (tmp_path / "plain").mkdir()
    assert published.stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize(
    "warm_up, message",
    [
        ({"other": []}, "the signatures are"),
        ({"sum": [{"texts": TEXTS}]}, "the signature takes"),
        ({"sum": [{"text": TEXTS}] * 1001}, "1001 records"),
    ],
)
def test_a_request_that_does_not_fit_publishes_nothing(tmp_path, warm_up, message):
    with pytest.raises(ValueError, match=message):
        publish(scorer(2), tmp_path, warm_up=warm_up)
    assert entries(tmp_path) == []


def test_what_a_server_would_refuse_is_not_published(tmp_path):
    function = concrete(lambda x: {"y": tf.reduce_sum(x)}, x=([None], tf.float32))
    with pytest.raises(ValueError, match="'y' of 'serving_default' has no batch dimension"):
        publish({"serving_default": function}, tmp_path)
    assert entries(tmp_path) == []


def test_an_endpoint_that_answers_differently_after_reloading_is_not_published(tmp_path):
    def jitter(x):  # a clock, not tf.random, which a global seed makes repeat itself
        return {"y": x + tf.cast(tf.math.floormod(tf.timestamp(), 1.0), tf.float32)}

    function = concrete(jitter, x=([None], tf.float32))
    warm_up = {"serving_default": [{"x": np.zeros(2, "float32")}]}
    with pytest.raises(ValueError, match="pure function"):
        publish({"serving_default": function}, tmp_path, warm_up=warm_up)
    assert entries(tmp_path) == []


def test_outputs_need_names(tmp_path):
    function = concrete(lambda x: x, x=([None], tf.float32))
    with pytest.raises(ValueError, match="return a dict"):
        publish({"serving_default": function}, tmp_path, warm_up={"serving_default": []})
    assert entries(tmp_path) == []


def test_a_resource_that_was_not_handed_over_is_named_and_works_once_it_is(tmp_path):
    pairs = tf.lookup.KeyValueTensorInitializer(["a"], [7])
    table = tf.lookup.StaticHashTable(pairs, default_value=0)
    function = concrete(lambda text: {"id": table.lookup(text)}, text=([None], tf.string))
    with pytest.raises(ValueError, match="trackables"):
        publish({"serving_default": function}, tmp_path)
    warm_up = {"serving_default": [{"text": TEXTS}]}
    path = publish({"serving_default": function}, tmp_path, trackables=[table], warm_up=warm_up)
    assert entries(tmp_path) == ["1"] == [path.name]


def test_a_file_in_the_place_of_the_folder_is_said_so(tmp_path):
    (tmp_path / "scores").write_text("")
    with pytest.raises(NotADirectoryError, match="file"):
        publish(scorer(2), tmp_path / "scores")


def test_endpoints_do_not_share_their_examples():
    spec = {"text": tf.TensorSpec([None], tf.string, name="text")}
    first, second = Endpoint(len, spec), Endpoint(len, spec)
    assert first.examples == []
    assert first.examples is not second.examples


def test_warm_up_records_are_those_that_tensorflow_serving_reads(published):
    from tensorflow_serving.apis import prediction_log_pb2

    loaded, seen = tf.saved_model.load(str(published)), []
    for record in tf.data.TFRecordDataset(str(published / WARM_UP)):
        log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        assert request.model_spec.name == "scores"
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        signature = loaded.signatures[request.model_spec.signature_name]
        answer = signature(**{name: tf.constant(value) for name, value in inputs.items()})
        assert len(inputs["text"]) == len(next(iter(answer.values())))
        seen.append((request.model_spec.signature_name, inputs["text"].tolist()))
    texts = [text.encode() for text in TEXTS.tolist()]
    assert seen == [(n, t) for n in ("serving_default", "sum") for t in (texts[:1], texts)]


MOVED = """
import json, sys
import tensorflow as tf, tensorflow_text
loaded = tf.saved_model.load(sys.argv[1])
texts = tf.constant(json.loads(sys.argv[2]))
answers = [loaded.signatures["serving_default"](text=texts[:n])["joined"].numpy() for n in (1, 4)]
print(json.dumps([[text.decode() for text in answer] for answer in answers]))
assert not [name for name in sys.modules if name.startswith("rnn_apps")]
"""


@pytest.fixture(scope="module")
def tokenizer():
    import sentencepiece
    import tensorflow_text

    model, corpus = io.BytesIO(), iter(["a quiet masterpiece", "a loud mess", "déjà vu"] * 5)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=corpus,
        model_writer=model,
        vocab_size=300,
        model_type="bpe",
        byte_fallback=True,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return tensorflow_text.SentencepieceTokenizer(model.getvalue())


def test_a_moved_export_answers_in_a_process_that_knows_only_tensorflow(tmp_path, tokenizer):
    def tokens(text):
        ids = tf.strings.as_string(tokenizer.tokenize(text))
        return {"joined": tf.strings.reduce_join(ids, axis=-1, separator=" ")}

    function = concrete(tokens, text=([None], tf.string))
    texts = ["a quiet mess", "", "déjà 🎬", "<s> & \x00"]
    path = publish(
        {"serving_default": function},
        tmp_path / "tokens",
        trackables=[tokenizer],
        warm_up={"serving_default": [{"text": np.array(texts, object)}]},
    )
    assert check(path) == []
    moved = Path(shutil.move(tmp_path / "tokens", tmp_path / "elsewhere")) / path.name
    result = subprocess.run(
        [sys.executable, "-c", MOVED, str(moved), json.dumps(texts)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    expected = [text.decode() for text in function(text=tf.constant(texts))["joined"].numpy()]
    assert json.loads(result.stdout) == [expected[:1], expected]


KILLED = """
import os, random, signal, sys, time
import tensorflow as tf
from rnn_apps.export import publish
folder, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
randomness = random.Random(seed)
for _ in range(kills):  # each child starts from an imported, but idle TensorFlow
    child = os.fork()
    if child == 0:
        weight = tf.Variable(tf.ones([500_000]))
        spec = [tf.TensorSpec([None], tf.float32, name="x")]
        one = tf.function(lambda x: {"y": x * weight[0]}, spec).get_concrete_function()
        open(folder + ".ready", "w").close()
        while True:
            publish({"serving_default": one}, folder, warm_up={"serving_default": [{"x": [1.0]}]})
    while not os.path.exists(folder + ".ready"):
        time.sleep(0.005)
    os.remove(folder + ".ready")
    time.sleep(randomness.uniform(0.0, 0.6))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""


def assert_kills_leave_only_whole_versions(folder, kills, seed):
    result = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(kills), str(seed)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert result.returncode == 0, result.stderr
    versions = [path for path in folder.iterdir() if path.name.isdigit()]
    for path in versions:
        answer = tf.saved_model.load(str(path)).signatures["serving_default"](x=tf.constant([2.0]))
        assert answer["y"].numpy() == [2.0]
        assert check(path) == []
    publish(scorer(2), folder)
    assert sorted(entries(folder), key=int) == [str(n + 1) for n in range(len(versions) + 1)]


def test_a_kill_at_any_moment_leaves_only_whole_versions(tmp_path):
    assert_kills_leave_only_whole_versions(tmp_path / "killed", kills=4, seed=1)


@pytest.mark.slow
def test_forty_kills_leave_only_whole_versions(tmp_path):
    assert_kills_leave_only_whole_versions(tmp_path / "killed", kills=40, seed=0)


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("mounting a small file system takes the rights of root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("filled", [0, 1 << 20])
def test_a_full_disk_is_told_with_its_size_and_leaves_nothing(small_disk, filled):
    (small_disk / "filler").write_bytes(bytes(filled))
    with pytest.raises(OSError, match=r"the model takes about 2\.\d MB and [01]\.\d MB are free"):
        publish(scorer(500_000), small_disk / "scores")
    assert sorted(path.name for path in small_disk.rglob("*")) == ["filler", "scores"]


# --- check ---------------------------------------------------------------------------------------


def copied(published, tmp_path):
    return Path(shutil.copytree(published, tmp_path / "scores" / "1"))


def edited(published, tmp_path, change):
    """A copy of the published version whose graph went through `change`."""
    path = copied(published, tmp_path)
    model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    change(model.meta_graphs[0])
    (path / "saved_model.pb").write_bytes(model.SerializeToString())
    return path


def saved(tmp_path, function, variables=(), trackable=None, **inputs):
    """A SavedModel as TensorFlow writes it, without any care of ours."""
    module = tf.Module()
    module.kept, module.trackable = list(variables), trackable
    path = tmp_path / "any" / "1"
    tf.saved_model.save(module, str(path), {"serving_default": concrete(function, **inputs)})
    return path


def found(path, level):
    return [f"{f.what}. {f.advice}" for f in check(path) if f.level == level]


def test_a_finding_reads_as_a_sentence():
    finding = Finding("error", "It is cut short", "Export it again")
    assert str(finding) == "error: It is cut short. Export it again."


@pytest.mark.parametrize(
    "make, what",
    [
        (lambda p: None, "does not exist"),
        (lambda p: p.write_text(""), "is a file"),
        (lambda p: p.mkdir(), "it holds nothing"),
        (lambda p: (p / "variables").mkdir(parents=True), "it holds variables"),
    ],
)
def test_what_is_no_saved_model_is_described(tmp_path, make, what):
    make(tmp_path / "model.keras")
    errors = found(tmp_path / "model.keras", "error")
    assert len(errors) == 1 and what in errors[0]


def test_a_graph_that_is_cut_short_or_empty_is_an_error(published, tmp_path):
    path = copied(published, tmp_path)
    graph = (path / "saved_model.pb").read_bytes()
    for size in (0, 1, len(graph) // 2, len(graph) - 1):
        (path / "saved_model.pb").write_bytes(graph[:size])
        assert len(found(path, "error")) >= 1, size
        assert all("cut short" in error for error in found(path, "error"))
    (path / "saved_model.pb").unlink()
    assert "no saved_model.pb" in found(path.parent, "error")[0]


def test_a_graph_in_text_form_is_read_too(published, tmp_path):
    path = copied(published, tmp_path)
    model = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    (path / "saved_model.pbtxt").write_text(str(model), "utf-8")
    (path / "saved_model.pb").unlink()
    assert check(path) == []


def test_a_graph_without_the_tag_serve_is_an_error(published, tmp_path):
    path = edited(published, tmp_path, lambda g: g.meta_info_def.tags.__setitem__(0, "train"))
    assert "[['train']]" in found(path, "error")[0]


@pytest.mark.parametrize("name", ["variables.index", "variables.data-00000-of-00001"])
def test_missing_and_cut_variables_are_errors(published, tmp_path, name):
    path = copied(published, tmp_path)
    file = path / "variables" / name
    file.write_bytes(file.read_bytes()[:-20])
    cut = found(path, "error")
    file.unlink()
    missing = found(path, "error")
    assert len(cut) == len(missing) == 1
    assert "ariables" in cut[0] and "ariables" in missing[0]


def jitted(x):
    return {"y": tf.function(lambda x: x + 1, jit_compile=True)(x)}


def in_python(x):
    return {"y": tf.ensure_shape(tf.numpy_function(lambda x: x, [x], tf.float32), [None])}


def on_a_gpu(x):
    rows = tf.reshape(x, [1, -1, 1])
    zeros = tf.zeros([1, 1, 1])
    size = tf.raw_ops.CudnnRNNParamsSize(
        num_layers=1, num_units=1, input_size=1, T=tf.float32, S=tf.int32
    )
    y = tf.raw_ops.CudnnRNN(input=rows, input_h=zeros, input_c=zeros, params=tf.zeros(size))
    return {"y": tf.ensure_shape(tf.reshape(y.output, [-1]), [None])}


def printing(x):
    tf.print(x)
    return {"y": x}


@pytest.mark.parametrize(
    "function, level, names",
    [
        (jitted, "error", ["_XlaMustCompile", "jit_compile"]),
        (in_python, "error", ["PyFunc", "Python process"]),
        (on_a_gpu, "error", ["CudnnRNN", "CudnnRNNParamsSize", "GPU only"]),
        (printing, "warning", ["PrintV2", "debug output"]),
    ],
)
def test_operations_a_server_cannot_or_should_not_run_are_named(tmp_path, function, level, names):
    findings = found(saved(tmp_path, function, x=([None], tf.float32)), level)
    assert len(findings) == 1
    assert all(name in findings[0] for name in names)


def test_foreign_operations_are_listed_and_those_of_core_tensorflow_are_not(published, tmp_path):
    def rename(graph):
        node = next(n for n in graphs.nodes(graph) if n.op == "StringLength")
        node.op = "WordpieceTokenizeWithOffsets"
        graph.graph_def.node.add(name="one_more", op="MyOwnOp")

    errors = found(edited(published, tmp_path, rename), "error")
    assert len(errors) == 1
    assert errors[0].startswith("MyOwnOp, WordpieceTokenizeWithOffsets is neither core")


def test_outputs_without_batch_dimension_are_errors(tmp_path):
    def function(x):
        return {"scalar": tf.reduce_sum(x), "fixed": tf.ones([3]), "fine": x}

    errors = found(saved(tmp_path, function, x=([None], tf.float32)), "error")
    assert len(errors) == 2
    assert "output 'fixed'" in errors[0] and "[3]" in errors[0]
    assert "output 'scalar'" in errors[1]


def test_a_scalar_input_is_an_error(tmp_path):
    path = saved(tmp_path, lambda x, k: {"y": x * k}, x=([None], tf.float32), k=([], tf.float32))
    errors = found(path, "error")
    assert len(errors) == 1 and "input 'k'" in errors[0]


def test_sizes_that_depend_on_the_batch_are_noticed(tmp_path):
    def function(x):
        return {"y": x * 2, "free": tf.raw_ops.PlaceholderWithDefault(input=x[0], shape=None)}

    path = saved(tmp_path, function, x=([None, None], tf.float32))
    warnings = found(path, "warning")
    assert any("output 'y'" in w and "what else is in the batch" in w for w in warnings)
    assert any("input 'x'" in note for note in found(path, "note"))
    assert any("'free'" in w and "no known rank" in w for w in warnings)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16, tf.complex64, tf.uint16])
def test_types_that_rest_cannot_carry_are_errors(tmp_path, dtype):
    path = saved(tmp_path, lambda x: {"y": tf.cast(x, dtype)}, x=([None], tf.float32))
    errors = found(path, "error")
    assert len(errors) == 1
    assert f"output 'y' of 'serving_default' is {dtype.name}" in errors[0]


def test_names_that_mislead_or_say_nothing_are_noticed(tmp_path):
    def function(x, keras_tensor):
        return {"image_bytes": x, "output_0": keras_tensor}

    inputs = {"x": ([None], tf.float32), "keras_tensor": ([None], tf.float32)}
    warnings = found(saved(tmp_path, function, **inputs), "warning")
    assert len(warnings) == 3
    for name, text in (
        ("image_bytes", "base64"),
        ("output_0", "says nothing"),
        ("keras_tensor", "says nothing"),
    ):
        assert any(f"'{name}'" in w and text in w for w in warnings)


def test_signatures_that_are_missing_or_not_the_default_are_noticed(published, tmp_path):
    def rename(graph):
        graph.signature_def["other"].CopyFrom(graph.signature_def["serving_default"])
        del graph.signature_def["serving_default"]

    path = edited(published, tmp_path, rename)
    assert "other, sum" in found(path, "warning")[0]
    shutil.rmtree(path)
    path = edited(published, tmp_path, lambda graph: graph.signature_def.clear())
    assert "no signature" in found(path, "error")[0]


def test_weights_stored_twice_and_optimizers_are_noticed(tmp_path):
    value = np.random.default_rng(0).normal(size=300).astype("float32")
    first, second, other = tf.Variable(value), tf.Variable(value), tf.Variable(value * 2)
    optimizer = tf.Module()
    optimizer.optimizer = tf.Module()
    optimizer.optimizer.momentum = tf.Variable(value * 3)
    path = saved(
        tmp_path,
        lambda x: {"y": x * first[0]},
        [first, second, other],
        optimizer,
        x=([None], tf.float32),
    )
    warnings = found(path, "warning")
    assert len(warnings) == 2
    assert warnings[0].startswith("1 weights are stored twice") and "kept/" in warnings[0]
    assert warnings[1].startswith("1 variables of an optimizer") and "momentum" in warnings[1]


def test_equal_zeros_are_not_taken_for_copies(tmp_path):
    zeros = [tf.Variable(tf.zeros([500])) for _ in range(2)]
    path = saved(tmp_path, lambda x: {"y": x * zeros[0][0]}, zeros, x=([None], tf.float32))
    assert found(path, "warning") == []


def test_assets_that_are_missing_or_outside_are_errors(tmp_path):
    (tmp_path / "words.txt").write_text("a\nb\n")
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(str(tmp_path / "words.txt"), tf.string, -2, tf.int64, -1),
        default_value=-1,
    )
    path = saved(tmp_path, lambda x: {"y": table.lookup(x)}, (), table, x=([None], tf.string))
    assert [f for f in check(path) if f.level != "note"] == []
    (path / "assets" / "words.txt").unlink()
    assert "assets/words.txt is missing" in found(path, "error")[0]
    moved = edited(
        path, tmp_path, lambda graph: setattr(graph.asset_file_def[0], "filename", "/etc/words.txt")
    )
    assert "/etc/words.txt lies outside" in found(moved, "error")[0]


def test_files_of_one_machine_and_links_are_noticed(tmp_path):
    def function(x):
        return {"y": tf.fill([tf.size(x)], tf.io.read_file("/data/stop/words.txt"))}

    path = saved(tmp_path, function, x=([None], tf.string))
    shutil.move(path / "fingerprint.pb", tmp_path / "print.pb")
    (path / "fingerprint.pb").symlink_to(tmp_path / "print.pb")
    warnings = found(path, "warning")
    assert len(warnings) == 2
    assert "/data/stop/words.txt" in warnings[0]
    assert "fingerprint.pb" in warnings[1] and "symbolic links" in warnings[1]


def test_a_table_written_into_the_graph_is_noticed(tmp_path):
    words = [f"w{i}" for i in range(10_000)]
    table = tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(words, list(range(10_000))), default_value=-1
    )
    path = saved(tmp_path, lambda x: {"y": table.lookup(x)}, (), table, x=([None], tf.string))
    warnings = found(path, "warning")
    assert len(warnings) == 1 and "table of 10000 strings" in warnings[0]


def test_a_huge_graph_is_noticed(published, monkeypatch):
    monkeypatch.setattr(checking, "_MAX_GRAPH_BYTES", 1000)
    assert "2 GB" in found(published, "warning")[0]


def test_warm_up_that_would_stop_a_server_is_an_error(published, tmp_path):
    path = copied(published, tmp_path)
    good = [record.numpy() for record in tf.data.TFRecordDataset(str(path / WARM_UP))]
    text = {"text": tf.constant(TEXTS)}
    for records, what in (
        ([b"\xff\xff"], "no PredictionLog"),
        ([b""], "no request"),
        ([b"\x2a\x00"], "session_run_log"),
        ([warm_up_records.record("m", "gone", text)], "'gone'"),
        (
            [warm_up_records.record("m", "sum", {"x": tf.constant(["a"])})],
            "['x'], not ['text']",
        ),
        (good * 251, "1004 records"),
    ):
        with tf.io.TFRecordWriter(str(path / WARM_UP)) as writer:
            for record in records:
                writer.write(record)
        errors = found(path, "error")
        assert len(errors) == 1 and what in errors[0], (what, errors)
    (path / WARM_UP).write_bytes((path / WARM_UP).read_bytes()[:-3])
    assert any("cannot be read on" in error for error in found(path, "error"))
    (path / WARM_UP).unlink()
    assert "no warm-up" in found(path, "note")[0]


def test_classify_logs_are_accepted_as_warm_up(published, tmp_path):
    from tensorflow_serving.apis import prediction_log_pb2

    path, log = copied(published, tmp_path), prediction_log_pb2.PredictionLog()
    log.classify_log.request.model_spec.name = "scores"
    with tf.io.TFRecordWriter(str(path / WARM_UP)) as writer:
        writer.write(log.SerializeToString())
    assert check(path) == []


def test_the_layout_of_a_base_folder_is_explained(published, tmp_path):
    base = copied(published, tmp_path).parent
    shutil.copytree(published, base / "0001")
    shutil.copytree(published, base / "latest")
    (base / ".export-7-dead").mkdir()
    (base / "3").mkdir()
    errors = found(base, "error")
    assert any("2 folders are version 1" in error for error in errors)
    assert any(error.startswith("Version 3: There is no saved_model.pb") for error in errors)
    assert "'latest' holds a SavedModel" in found(base, "warning")[0]
    assert ".export-7-dead" in found(base, "note")[0]
    assert "'latest' is not a version number" in found(base / "latest", "warning")[0]
    assert [f.level for f in check(base)] == ["error", "error", "warning", "note"]
