"""The Prometheus page: the real server's names, buckets and format."""

import pathlib
import re
import threading

import pytest

from rnn_apps.server import loading, metrics


def test_a_counter_and_a_histogram_have_the_real_servers_lines():
    counted = metrics.Metrics()
    counted.request("sentiment", "Predict", "REST", "OK", 15e-6)
    counted.request("sentiment", "Predict", "REST", "OK", 0.1)
    counted.request("sentiment", "Predict", "GRPC", "NOT_FOUND", 0.1)
    counted.observe(metrics.EXAMPLE_COUNTS, 3, "a")
    counted.observe(metrics.EXAMPLE_COUNTS, 4, "a")  # a bucket holds its bound
    lines = counted.page().splitlines()
    assert "# TYPE :tensorflow:serving:request_count counter" in lines
    assert ':tensorflow:serving:request_count{model_name="sentiment",status="OK"} 2' in lines
    assert ':tensorflow:serving:request_count{model_name="sentiment",status="NOT_FOUND"} 1' in lines
    assert "# TYPE :tensorflow:serving:request_latency histogram" in lines
    labels = 'model_name="sentiment",API="Predict",entrypoint="REST"'
    start = f":tensorflow:serving:request_latency_bucket{{{labels},le="
    buckets = [line.removeprefix(start) for line in lines if line.startswith(start)]
    assert len(buckets) == 34
    assert buckets[:3] == ['"10"} 0', '"18"} 1', '"32.4"} 1']
    assert buckets[-1] == '"+Inf"} 2'
    assert f":tensorflow:serving:request_latency_sum{{{labels}}} 100015" in lines
    assert f":tensorflow:serving:request_latency_count{{{labels}}} 2" in lines
    assert ':tensorflow:serving:request_example_counts_bucket{model="a",le="4"} 2' in lines
    assert ':tensorflow:serving:request_example_counts_bucket{model="a",le="2"} 0' in lines


def test_a_label_may_hold_anything():
    counted = metrics.Metrics()
    counted.count(metrics.REQUEST_COUNT, 'a"\\\n', "OK")
    assert 'model_name="a\\"\\\\\\n",status' in counted.page()


def test_labels_that_are_lacking_are_an_error():
    with pytest.raises(ValueError, match="has the labels"):
        metrics.Metrics().count(metrics.REQUEST_COUNT, "a")


def test_threads_lose_no_count():
    counted = metrics.Metrics()

    def work():
        for _ in range(500):
            counted.request("a", "Predict", "REST", "OK", 0.001)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ':tensorflow:serving:request_count{model_name="a",status="OK"} 4000' in counted.page()


def test_warming_up_is_counted_by_model_and_not_by_a_path_of_the_machine():
    counted = metrics.Metrics()
    export = pathlib.Path(__file__).parents[1] / "saved_models" / "sentiment" / "1"
    loading.Loader(metrics=counted).load("sentiment", 1, export).close()
    page = counted.page()
    read = re.search(r'model_warmup_records_read{model_path="sentiment/1"} (\d+)', page)
    assert int(read[1]) > 0
    assert 'model_warmup_latency_count{model_path="sentiment/1",status="OK"} 1' in page
    assert str(export) not in page
