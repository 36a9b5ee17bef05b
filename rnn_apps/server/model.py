"""One model: its versions, from being found to having been unloaded."""

import dataclasses
import logging
import weakref
from pathlib import Path

from rnn_apps.server import versions
from rnn_apps.server.errors import ServingError, without_paths
from rnn_apps.server.servable import Servable

log = logging.getLogger("rnn_apps.server")


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """Where one version of a model stands.

    `state` is one of START, LOADING, AVAILABLE, UNLOADING and END; `error_code` is the name of a
    gRPC status, "OK" if nothing went wrong.
    """

    version: int
    state: str
    error_code: str = "OK"
    error_message: str = ""


@dataclasses.dataclass(eq=False)
class _Record:
    """One version: what is known of it, and how often loading it was tried."""

    status: VersionStatus
    folder: Path
    tries: int = 0
    next_try: float = 0.0

    def become(self, state, error=None):
        code, message = (error.code, error.message) if error else ("OK", "")
        self.status = VersionStatus(self.status.version, state, code, message)


class Model:
    """The versions of one model; changed by one thread, read by any.

    Args:
        name: of the model.
        loader: `Loader`.
        max_num_load_retries: after the first try.
        load_retry_interval: seconds between two tries.
        released: is called with (model, version, servable's graph) when nobody holds a version any
            more that was to be unloaded; from whichever thread held it last, so it must not wait.
    """

    def __init__(self, name, loader, max_num_load_retries, load_retry_interval, released):
        self.name = name
        self.labels: dict[str, int] = {}
        self._loader, self._released = loader, released
        self._tries, self._interval = max_num_load_retries + 1, load_retry_interval
        self._records: dict[int, _Record] = {}
        self._available: dict[int, Servable] = {}  # replaced, never changed
        self._aspired: set[int] = set()

    @property
    def available(self) -> list[int]:
        """The numbers of the versions that answer."""
        return sorted(self._available)

    def find(self, version: int | None, label: str | None) -> Servable:
        """Return a version; see `Models.find`."""
        if label:
            version = self.labels.get(label)
            if version is None:
                what = f"Unrecognized servable version label: {label}"
                raise ServingError("INVALID_ARGUMENT", what)
        available = self._available
        if version is None and available:
            return available[max(available)]
        if version in available:
            return available[version]
        if label and self.labels.get(label) != version:  # it moved on, and its version has gone
            return self.find(None, label)
        asked = f"Latest({self.name})" if version is None else f"Specific({self.name}, {version})"
        raise ServingError("NOT_FOUND", f"Servable not found for request: {asked}")

    def status(self) -> list[VersionStatus]:
        """Return where the versions stand, the newest first."""
        return [self._records[number].status for number in sorted(self._records, reverse=True)]

    def is_settled(self) -> bool:
        """Whether every version that is wanted has been loaded, or its first try has failed."""
        return all(
            record.tries or record.status.state not in ("START", "LOADING")
            for record in list(self._records.values())
        )

    def aspire(self, found: dict[int, Path], policy):
        """Take note of the versions that are wanted now, of those that were found."""
        numbers = versions.wanted(policy, found)
        for number in sorted(numbers):
            record = self._records.get(number)
            if record is None or (record.status.state == "END" and number not in self._aspired):
                self._records[number] = _Record(VersionStatus(number, "START"), found[number])
        for number, record in self._records.items():
            if number not in numbers and record.status.state in ("START", "LOADING"):
                record.become("END")
        self._aspired = numbers

    def step(self, now: float) -> float | None:
        """Load one version that is due, and unload what is not wanted any more.

        A version that answers is only unloaded once a wanted one answers, or none is wanted.

        Args:
            now: `time.monotonic()`.

        Returns:
            When there is more to do; None if not before something changes.
        """
        waiting = [
            (record.next_try, -number)
            for number, record in self._records.items()
            if number in self._aspired and record.status.state in ("START", "LOADING")
        ]
        due = [-number for next_try, number in waiting if next_try <= now]
        if due:
            self._load(max(due), now)
        # After a load too: versions may come so fast that there is always one more to load.
        unwanted = set(self._available) - self._aspired
        if unwanted and (not self._aspired or self._aspired & set(self._available)):
            for number in sorted(unwanted):
                self._unload(number)
        if due:
            return now
        return min(waiting)[0] if waiting else None

    def _load(self, number, now):
        record = self._records[number]
        record.become("LOADING", None)
        record.tries += 1
        try:
            servable = self._loader.load(self.name, number, record.folder)
        except ServingError as error:
            self._note_failure(record, error, now)
            return
        except Exception as error:  # whatever it is, the other versions go on
            log.exception("Loading %s version %d", self.name, number)
            what = f"{type(error).__name__}: {without_paths(str(error))}"
            self._note_failure(record, ServingError("INTERNAL", what), now)
            return
        self._available = {**self._available, number: servable}
        record.become("AVAILABLE")
        log.info("Successfully loaded servable version {name: %s version: %d}", self.name, number)

    def _note_failure(self, record, error, now):
        again = record.tries < self._tries
        record.become("LOADING" if again else "END", error)
        record.next_try = now + self._interval
        log.error(
            "Loading servable {name: %s version: %d} failed: %s: %s%s",
            self.name,
            record.status.version,
            error.code,
            error.message,
            f"; the next try is in {self._interval:g} s" if again else "",
        )

    def _unload(self, number):
        servable = self._available[number]
        self._records[number].become("UNLOADING")
        self._available = {n: s for n, s in self._available.items() if n != number}
        weakref.finalize(servable, self._released, self, number, servable.graph).atexit = False

    def note_unloaded(self, number: int):
        """Take note that the variables of a version have been freed."""
        self._records[number].become("END")
        log.info("Done unloading servable version {name: %s version: %d}", self.name, number)
