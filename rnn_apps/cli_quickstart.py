"""`rnn-apps quickstart`: a template run as it stands, and one request to what it has published."""

import base64
import json
import runpy
import sys
import textwrap

_BYTES = 24  # of a request in bytes that are shown


def run(script):
    """Runs a template, asks its export, and prints request and answer.

    Args:
        script: `pathlib.Path` of a template's `train.py`.
    """
    import tensorflow as tf

    sys.argv = [str(script)]
    finished = runpy.run_path(str(script), run_name="__main__")
    version, request = finished["version"], finished["REQUEST"]
    served = tf.saved_model.load(version).signatures["serving_default"]
    answer = served(**{key: tf.constant(value) for key, value in request.items()})
    print(f"\n{version} answers {_asked_of_a_server(request)}")
    for key, value in sorted(answer.items()):
        print(f"  {key}:{_shown(value.numpy()[0])}")


def _asked_of_a_server(request):
    """A request as JSON, shortened; bytes are in base64, as a server takes them."""

    def encoded(value):
        text = base64.b64encode(value[:_BYTES]).decode()
        return {"b64": f"{text}…" if len(value) > _BYTES else text}

    text = json.dumps(request, default=encoded, ensure_ascii=False)
    return textwrap.shorten(text, 100, placeholder=" …")


def _shown(value):
    """One answer as text after its name; of a table, each row on a line of its own."""
    if isinstance(value, bytes):
        return f" {value.decode()}"
    if value.ndim > 1:
        return "".join(f"\n   {_shown(row)}" for row in value)
    return "".join(
        f" {each:.6g}"
        if isinstance(each, float)
        else f" {each.decode()!r}"
        if isinstance(each, bytes)
        else f" {each}"
        for each in value.reshape(-1).tolist()
    )
