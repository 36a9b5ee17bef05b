"""REST as TensorFlow Serving speaks it: paths, methods, headers and codes; an ASGI application."""

import asyncio
import contextlib
import functools
import gzip
import logging
import re
import time
import zlib
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from rnn_apps.server import json_answers, rest_methods
from rnn_apps.server.errors import ServingError
from rnn_apps.server.metrics import REQUEST_COUNT, Metrics
from rnn_apps.server.rest_methods import Target
from rnn_apps.server.workers import Workers

MAX_BODY_BYTES = 64 << 20
MONITORING_PATH = "/monitoring/prometheus/metrics"
TIMEOUT_SECONDS = 30.0

_API = re.compile(r"/v1/.*", re.I | re.S)
_VERSION = r"(?:(?:/versions/([0-9]+))|(?:/labels/([^/:]+)))?"
_ASK = re.compile(rf"/v1/models/([^/:]+){_VERSION}:(classify|regress|predict)", re.I)
_LOOK = re.compile(rf"/v1/models(?:/([^/:]+))?{_VERSION}(?:/(metadata))?", re.I)
_METHODS = {
    "predict": rest_methods.predict,
    "classify": rest_methods.classify,
    "regress": rest_methods.regress,
}
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_ORIGIN = re.compile(r"https?://.+")
_READ_AT_ONCE = 2048  # bytes that are read in less time than it takes to wake another thread
_COMPRESSED_FROM = 1024  # bytes; less gains nothing
_COMPRESSED_ELSEWHERE_FROM = 1 << 16  # bytes; more would hold up the other requests
_log = logging.getLogger(__name__)


class Rest:
    """The ASGI application that answers every path of the API.

    Args:
        models: `Models`.
        metrics: `Metrics` that requests are counted in.
        workers: `Workers` that answer.
        timeout_seconds: float, how long a request may take.
        enable_cors: bool, whether a page from elsewhere may ask.
        monitoring_path: str, where Prometheus reads, or None.
        max_body_bytes: int, of a request's body, as it comes and when it is decompressed.
    """

    def __init__(
        self,
        models,
        metrics,
        workers,
        *,
        timeout_seconds=TIMEOUT_SECONDS,
        enable_cors=False,
        monitoring_path=None,
        max_body_bytes=MAX_BODY_BYTES,
    ):
        self.models = models
        self.metrics = metrics
        self.workers = workers
        self.timeout_seconds = timeout_seconds
        self.headers = {"Content-Type": "application/json"} | (_CORS if enable_cors else {})
        self.monitoring_path = monitoring_path
        self.max_body_bytes = max_body_bytes
        self.held_bytes = 0  # of bodies that have come and are not answered

    async def __call__(self, scope, receive, send):
        """Answers one request of ASGI's; there are no web sockets."""
        if scope["type"] != "http":
            return await send({"type": "websocket.close"})
        request = Request(scope, receive)
        path = scope["raw_path"].decode("latin-1")
        try:
            response = await self.respond(request, path)
        except ClientDisconnect:
            return  # nobody is there to be answered
        await response(scope, receive, send)

    async def respond(self, request, path):
        """Returns the `Response` to a request for a path, which is not yet decoded."""
        if path == self.monitoring_path:
            return Response(self.metrics.page(), media_type="text/plain")
        if not _API.fullmatch(path):
            return Response(status_code=404)
        if request.method == "OPTIONS":
            allowed = _ORIGIN.match(request.headers.get("origin", ""))
            return Response(status_code=200 if allowed else 400, headers=self.headers)
        try:
            body = await self.answer(request, path)
        except ServingError as error:
            body, status = json_answers.error(error.message), error.http_status
        else:
            status = 200
        return await self.packed(request, body, status)

    async def answer(self, request, path):
        """Returns the body that answers a request; raises a `ServingError` where none does."""
        asked = _ASK.fullmatch(path) if request.method == "POST" else None
        looked = _LOOK.fullmatch(path) if request.method == "GET" else None
        if not asked and not looked:
            raise _malformed(request, path)
        name, version, label, what = (asked or looked).groups()
        target = _target(name, version, label)
        start = time.monotonic()
        deadline = start + self.timeout_seconds
        if looked:
            read = rest_methods.metadata if what == "metadata" else rest_methods.status
            return await self.work(lambda: read(self.models, target), deadline)
        method = _METHODS.get(what)
        if method is None:  # the path's letters may be large, the method's may not
            raise _malformed(request, path)
        status = "OK"
        try:
            return await self.ask(request, method, target, deadline)
        except ServingError as error:
            status = error.code
            raise
        finally:
            model = target.name if target.name in self.models.names else ""
            seconds = time.monotonic() - start
            self.metrics.request(model, what.capitalize(), "REST", status, seconds)

    def count_refusal(self, path):
        """Counts a request that is sent away before it is read."""
        asked = _ASK.fullmatch(path)
        if asked:
            name = unquote(asked[1], errors="replace")
            model = name if name in self.models.names else ""
            self.metrics.count(REQUEST_COUNT, model, "UNAVAILABLE")

    async def ask(self, request, method, target, deadline):
        """Reads a request's body and has a worker answer it."""
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                body = await self.read(request)
        except TimeoutError:
            raise _late() from None
        self.held_bytes += len(body)
        try:
            if self.held_bytes > 4 * self.max_body_bytes:
                message = "The server holds as many bytes of requests as it may: try again later."
                raise ServingError("UNAVAILABLE", message)
            arguments = self.models, self.metrics, target
            zipped = "gzip" in request.headers.get("content-encoding", "").lower()
            if method is rest_methods.predict and len(body) <= _READ_AT_ONCE and not zipped:
                begin = functools.partial(rest_methods.begin_predict, *arguments, body, deadline)
                return await self.await_turn(begin, deadline)

            def call():
                plain = _unzipped(body, self.max_body_bytes) if zipped else body
                return method(*arguments, plain, deadline)

            return await self.work(call, deadline)
        finally:
            self.held_bytes -= len(body)

    async def read(self, request):
        """Returns the body of a request; raises a `ServingError` where it is too large."""
        claimed = request.headers.get("content-length", "")
        body = bytearray()
        if not claimed.isdecimal() or int(claimed) <= self.max_body_bytes:
            async for chunk in request.stream():
                body += chunk
                if len(body) > self.max_body_bytes:
                    break
            else:
                return bytes(body)
        raise _too_large(self.max_body_bytes)

    async def work(self, call, deadline):
        """Returns what a worker returns for a call, unless that takes too long."""

        def in_time():
            if time.monotonic() > deadline:
                raise _late()
            return call()

        return await _settled(self.workers.submit(in_time), lambda value: value, deadline)

    async def await_turn(self, begin, deadline):
        """Returns what is made of a model's outputs by the thread that ran it.

        No other thread takes part, which is what makes many small requests quick.

        Args:
            begin: takes nothing; returns the `Future` of the outputs and a function of them.
            deadline: float, `time.monotonic()` after which the answer is not wanted any more.
        """
        begun = []

        def start():
            begun.extend(_guarded(begin))
            return begun[0]

        future = self.workers.begin(start)
        return await _settled(future, begun[1], deadline)

    async def packed(self, request, body, status):
        """A `Response`, compressed where its reader takes that and it is worth it."""
        headers = dict(self.headers)
        if len(body) >= _COMPRESSED_FROM and _takes_gzip(
            request.headers.get("accept-encoding", "")
        ):
            compress = functools.partial(gzip.compress, body, compresslevel=1)
            is_long = len(body) > _COMPRESSED_ELSEWHERE_FROM
            body = await asyncio.to_thread(compress) if is_long else compress()
            headers |= {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"}
        return Response(body, status_code=status, headers=headers)


def application(models, metrics=None, workers=None, routes=(), **options):
    """Returns the ASGI application of the REST port.

    Args:
        models: `Models`.
        metrics: `Metrics`; its own where it is None.
        workers: `Workers`; four threads and 64 places to wait where it is None.
        routes: Starlette routes that come before the API, such as those of a page.
        options: those of `Rest`.
    """
    rest = Rest(models, metrics or Metrics(), workers or Workers(4, 64), **options)
    starlette = Starlette(routes=routes)
    starlette.router.default = rest
    return starlette


def _target(name, version, label):
    digits = (version or "").lstrip("0")
    if len(digits) > 19 or int(digits or 0) >= 1 << 63:  # Python refuses thousands of digits
        message = f"Failed to convert version: {version} to numeric."
        raise ServingError("INVALID_ARGUMENT", message)
    return Target(
        unquote(name or "", errors="replace"),
        None if version is None else int(digits or 0),
        None if label is None else unquote(label, errors="replace"),
    )


async def _settled(future, make, deadline):
    """What is made of a future's result in the thread that has it, unless that takes too long."""
    loop = asyncio.get_running_loop()
    answer = loop.create_future()

    def settle(value, error):
        if not answer.done():
            answer.set_result(value) if error is None else answer.set_exception(error)

    def finish(done):
        if done.cancelled():
            return
        value = error = None
        try:
            value = _guarded(lambda: make(done.result()))
        except ServingError as refused:
            error = refused
        with contextlib.suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(settle, value, error)

    timer = loop.call_later(max(0.0, deadline - time.monotonic()), settle, None, _late())
    future.add_done_callback(finish)
    try:
        return await answer
    finally:
        timer.cancel()
        future.cancel()


def _guarded(call):
    """What a call returns; any error that is not for clients is logged, and told as INTERNAL."""
    try:
        return call()
    except ServingError:
        raise
    except Exception:
        _log.exception("A request failed in a way that is this server's fault.")
        message = "The server failed at this request; its log says how."
        raise ServingError("INTERNAL", message) from None


def _malformed(request, path):
    return ServingError("INVALID_ARGUMENT", f"Malformed request: {request.method} {path}")


def _late():
    return ServingError("DEADLINE_EXCEEDED", "Timed out waiting for notification")


def _too_large(limit):
    return _BodyError(f"The body of the request is larger than the {limit} bytes that are allowed.")


class _BodyError(ServingError):
    """A body that HTTP has a code for and gRPC has not."""

    def __init__(self, message):
        super().__init__("RESOURCE_EXHAUSTED", message)

    @property
    def http_status(self):
        return 413


def _unzipped(body, limit):
    """The content of a gzipped body, of at most `limit` bytes."""
    content = zlib.decompressobj(wbits=31)
    try:
        plain = content.decompress(body, limit + 1)
    except zlib.error:
        plain = None
    if plain is None or (not content.eof and len(plain) <= limit):
        message = "The body says that it is gzipped, but cannot be decompressed."
        raise ServingError("INVALID_ARGUMENT", message)
    if len(plain) > limit:
        raise _too_large(limit)
    return plain


def _takes_gzip(header):
    """Whether an Accept-Encoding header takes gzip."""
    for each in header.lower().split(","):
        coding, _, quality = each.replace(" ", "").partition(";q=")
        if coding in ("gzip", "*"):
            return quality.strip("0.") != "" or not quality
    return False
