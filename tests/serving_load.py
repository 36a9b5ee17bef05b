"""A server in a process of its own, and clients that load it over keep-alive connections."""

import asyncio
import collections
import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import uvloop

ROOT = pathlib.Path(__file__).parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


def free_port():
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """`rnn-apps serve` on ports of its own; answers when the constructor returns.

    Args:
        folder: of models.
        flags: more of them.
    """

    def __init__(self, folder, *flags):
        self.port, self.rest_port = free_port(), free_port()
        command = [sys.executable, "-m", "rnn_apps.cli", "serve", str(folder)]
        command += [f"--port={self.port}", f"--rest_api_port={self.rest_port}", *flags]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
        self.lines = []
        for line in self.process.stderr:
            self.lines.append(line)
            if "Exporting HTTP/REST API" in line:
                break
        else:
            raise RuntimeError("".join(self.lines))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self.process.stderr.close()

    def kill(self):
        """Ends the process without a chance to finish anything."""
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def resident_bytes(self):
        """The memory that the process holds."""
        pages = pathlib.Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@dataclasses.dataclass
class Load:
    """What a client saw of its requests.

    `seconds` is float (N,), from sending to the whole answer; `status` int (N,).
    """

    seconds: np.ndarray
    status: np.ndarray
    elapsed: float

    @property
    def rate(self):
        """Requests answered well, a second."""
        return float((self.status == 200).sum() / self.elapsed)

    def quantile(self, share, accepted=True):
        """Seconds within which so many of the accepted, or of the refused, were answered."""
        chosen = self.seconds[(self.status == 200) == accepted]
        return float(np.quantile(chosen, share)) if len(chosen) else 0.0


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one request at a time."""

    def connection_made(self, transport):
        self.transport, self.buffer, self.answer = transport, b"", None

    def data_received(self, data):
        self.buffer += data
        head, found, body = self.buffer.partition(b"\r\n\r\n")
        if found:
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
            if len(body) >= length:
                self.buffer = b""
                self.answer.set_result(int(head.split(b" ", 2)[1]))

    def connection_lost(self, error):
        if self.answer is not None and not self.answer.done():
            self.answer.set_result(0)  # cut off

    async def ask(self, request):
        self.answer = asyncio.get_running_loop().create_future()
        if self.transport.is_closing():  # by the server, while it was idle
            return 0
        self.transport.write(request)
        return await self.answer


def request_of(path, body):
    """A POST request as bytes."""
    text = json.dumps(body).encode()
    return (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(text)}\r\n\r\n".encode()
        + text
    )


def closed_loop(port, requests, connections, seconds):
    """Connections that each send their next request when the last is answered: `Load`."""
    return uvloop.run(_closed_loop(port, requests, connections, seconds))


async def _connect(port, number):
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(_Connection, "127.0.0.1", port) for _ in range(number)]
    return [protocol for _, protocol in made]


async def _closed_loop(port, requests, number, seconds):
    connections, seen = await _connect(port, number), []
    start = time.perf_counter()

    async def client(first, connection):
        position = first
        while (sent := time.perf_counter()) < start + seconds:
            status = await connection.ask(requests[position % len(requests)])
            seen.append((time.perf_counter() - sent, status))
            position += number

    await asyncio.gather(*(client(*each) for each in enumerate(connections)))
    return _load(connections, seen, time.perf_counter() - start)


def open_loop(port, requests, rate, connections, seconds):
    """Requests sent at a rate, whether or not the last ones are answered: `Load`.

    A request for which every connection is busy is sent as soon as one is free.
    """
    return uvloop.run(_open_loop(port, requests, rate, connections, seconds))


async def _open_loop(port, requests, rate, number, seconds):
    connections, seen = await _connect(port, number), []
    free, due = collections.deque(connections), 0  # in turn, so that none is idle for long
    start = time.perf_counter()
    tasks = set()

    async def send(connection, request):
        sent = time.perf_counter()
        status = await connection.ask(request)
        seen.append((time.perf_counter() - sent, status))
        free.append(connection)

    while (now := time.perf_counter() - start) < seconds:
        while due < now * rate and free:
            task = asyncio.ensure_future(send(free.popleft(), requests[due % len(requests)]))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            due += 1
        await asyncio.sleep(0.001)
    elapsed = time.perf_counter() - start
    await asyncio.gather(*tasks)
    return _load(connections, seen, elapsed)


def _load(connections, seen, elapsed):
    for connection in connections:
        connection.transport.close()
    seconds, status = np.array(seen).T
    return Load(seconds, status.astype(int), elapsed)
