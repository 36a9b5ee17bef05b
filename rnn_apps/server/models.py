"""The models that are served: which there are, and which version of one answers.

One thread looks for versions, loads and unloads them; requests read what it has done, without
waiting for it.
"""

import dataclasses
import gc
import logging
import queue
import threading
import time
from pathlib import Path

from tensorflow_serving.config import file_system_storage_path_source_pb2 as source_config

from rnn_apps.server import configuration, versions
from rnn_apps.server.errors import ServingError
from rnn_apps.server.loading import Loader
from rnn_apps.server.model import Model, VersionStatus
from rnn_apps.server.servable import Servable

__all__ = ["Models", "Polling", "VersionStatus"]
log = logging.getLogger("rnn_apps.server")
_NEVER = 1e6  # seconds
_NONE = source_config.FileSystemStoragePathSourceConfig.ServableVersionPolicy()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Polling:
    """When models are looked for, and what is done about broken ones.

    Args:
        file_system_poll_wait: seconds between two looks for versions; 0 looks once.
        config_file_poll_wait: seconds between two looks at the file of models; 0 reads it once.
        max_num_load_retries: of a version that cannot be loaded.
        load_retry_interval: seconds between two tries.
        allow_labels_for_unavailable: let a new label name a version that is not loaded yet.
    """

    file_system_poll_wait: float = 1.0
    config_file_poll_wait: float = 0.0
    max_num_load_retries: int = 5
    load_retry_interval: float = 60.0
    allow_labels_for_unavailable: bool = False


class Models:
    """Every model that is served.

    The constructor returns when each of them has been loaded, or has failed to be.

    Args:
        folder: the folder outside of which nothing is read; without a config, each of its children
            that holds versions is a model.
        config: `ModelServerConfig`, or the path of a file with one.
        loader: `Loader`.
        polling: `Polling`.

    Raises:
        ServingError: the config is faulty.
        ValueError: the file of models is not one.
        OSError: the folder or the file cannot be read.
    """

    def __init__(
        self,
        folder: Path | None = None,
        config=None,
        *,
        loader: Loader | None = None,
        polling: Polling | None = None,
    ):
        self._folder = None if folder is None else Path(folder)
        self._loader, self._polling = loader or Loader(), polling or Polling()
        self._models: dict[str, Model] = {}
        self._file = config if isinstance(config, (str, Path)) else None
        self._text, self._config = None, None
        if self._file is not None:
            self._text, config = Path(self._file).read_bytes(), configuration.of_file(self._file)
        if config is not None:
            self._config = configuration.within(config, self._folder)
        else:
            configuration.of_folder(self._folder)  # raises if it cannot be read
        self._wanted: dict[str, object] = {}  # name → ModelConfig
        self._reloading = threading.Lock()
        self._changed = threading.Condition()
        self._asked = self._done = 0  # looks at the folders: asked for, and done with
        self._mailbox: queue.SimpleQueue = queue.SimpleQueue()  # wakes the thread
        self._thread = threading.Thread(target=self._work, name="models", daemon=True)
        self._thread.start()
        self._wait_until_loaded()
        try:
            if self._config is not None:
                self._label(self._config, at_start=True)
        except ServingError:
            self.close()
            raise

    @property
    def names(self) -> list[str]:
        """The names of the models that are served now, sorted."""
        return sorted(self._wanted)

    def find(self, name: str, version: int | None = None, label: str | None = None) -> Servable:
        """Return the version that answers; it stays loaded for as long as it is held.

        Args:
            name: of the model.
            version: its number; without, the newest that answers.
            label: of a version, in place of its number.

        Raises:
            ServingError: there is no such model, version or label.
        """
        model = self._models.get(name) or self._nothing(name)
        return model.find(version, label)

    def status(self, name: str, version: int | None = None) -> list[VersionStatus]:
        """Return where the versions of a model stand, the newest first.

        Raises:
            ServingError: there is no such model or version.
        """
        model = self._models.get(name)
        found = model.status() if model else []
        if not found:
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
        if version is None:
            return found
        found = [status for status in found if status.version == version]
        if not found:
            raise ServingError("NOT_FOUND", f"Could not find version {version} of model {name}")
        return found

    def labels(self, name: str) -> dict[str, int]:
        """Return {label: version} of a model."""
        return dict((self._models.get(name) or self._nothing(name)).labels)

    def reload(self, config):
        """Serve other models from now on; returns when the new ones have been loaded.

        Args:
            config: `ModelServerConfig`; its base paths must lie in the models' folder.

        Raises:
            ServingError: the config is faulty, a new model could not be loaded, or a label names a
                version that is not loaded.
        """
        with self._reloading:
            checked = configuration.within(config, self._folder)
            new = {model.name for model in checked.model_config_list.config} - self._wanted.keys()
            # Labels first, as the real server does: none may name a version that is going, not for
            # a moment; so one can only move to a version that an earlier config has loaded.
            self._label(checked)
            self._config = checked
            self._wait_until_loaded()
            failed = [name for name in sorted(new) if not self._models[name].available]
            if failed:
                raise ServingError("UNKNOWN", self._explain(failed))
            for model in checked.model_config_list.config:
                self._models[model.name].labels = dict(model.version_labels)

    def close(self):
        """Stop looking for versions and free all variables; nothing may be running."""
        self._mailbox.put(self.close)
        self._thread.join()
        for model in self._models.values():
            model.aspire({}, _NONE)
            model.step(time.monotonic())
        self._release()

    def _nothing(self, name):
        return Model(name, self._loader, 0, 0.0, None)

    def _explain(self, failed):
        reasons = []
        for name in failed:
            for status in self._models[name].status() or [None]:
                if status is None:
                    reasons.append(f"{{name: {name}}} has no version")
                else:
                    reasons.append(
                        f"{{name: {name} version: {status.version}}} due to error: "
                        f"{status.error_code}: {status.error_message}"
                    )
        return f"{len(failed)} model(s) did not become available: {{{', '.join(reasons)}}}"

    def _label(self, config, at_start=False):
        """Gives each model the labels of a checked config, or raises and changes none.

        At its start the real server looks at labels before anything is loaded.
        """
        found = {}
        for wanted in config.model_config_list.config:
            model = self._models.get(wanted.name) or self._nothing(wanted.name)
            for label, version in wanted.version_labels.items():
                is_new = model.labels.get(label, version) == version
                allowed = self._polling.allow_labels_for_unavailable and is_new
                if (at_start or version not in model.available) and not allowed:
                    raise ServingError(
                        "FAILED_PRECONDITION",
                        f"Request to assign label to version {version} of model {wanted.name}, "
                        "which is not currently available for inference",
                    )
            found[wanted.name] = dict(wanted.version_labels)
        for name in found.keys() & self._models.keys():
            self._models[name].labels = found[name]

    def _wait_until_loaded(self):
        """Has the thread look for versions, and waits until it has tried to load each of them."""
        with self._changed:
            self._asked += 1
            ticket = self._asked
            self._mailbox.put(None)
            self._changed.wait_for(
                lambda: (
                    self._done >= ticket
                    and all(model.is_settled() for model in self._models.values())
                )
            )

    def _work(self):
        next_look = next_read = time.monotonic()
        while True:
            asked, now = self._asked, time.monotonic()
            if now >= next_look or asked > self._done:
                self._look()
                next_look = now + (self._polling.file_system_poll_wait or _NEVER)
            if now >= next_read:
                self._read_file()
                next_read = now + (self._polling.config_file_poll_wait or _NEVER)
            due = [model.step(now) for model in list(self._models.values())]
            with self._changed:
                self._done = asked
                self._changed.notify_all()
            wake = min([next_look, next_read, *(each for each in due if each is not None)])
            try:
                letter = self._mailbox.get(timeout=max(0.0, wake - time.monotonic()))
            except queue.Empty:
                continue
            if letter == self.close:
                return
            if letter is not None:
                self._free(*letter)

    def _look(self):
        """Takes note of the versions that lie there now, of every model that is served."""
        try:
            config = self._config or configuration.of_folder(self._folder)
        except OSError as error:
            log.error("The models' folder cannot be read: %s", error.strerror)
            return
        wanted = {model.name: model for model in config.model_config_list.config}
        for name, model in wanted.items():
            if name not in self._models:
                polling = self._polling
                retries, interval = polling.max_num_load_retries, polling.load_retry_interval
                new = Model(name, self._loader, retries, interval, self._note_release)
                self._models = {**self._models, name: new}
            try:
                found = versions.versions_in(Path(model.base_path))
            except OSError as error:  # perhaps for a moment only: what is loaded stays
                log.error("The base path of %s cannot be read: %s", name, error.strerror)
                continue
            if not found and name not in self._wanted:
                log.warning(
                    "No versions of servable %s found under its base path. Did you forget to name "
                    "your leaf directory as a number (eg. '/1/')?",
                    name,
                )
            self._models[name].aspire(found, model.model_version_policy)
        for name in self._wanted.keys() - wanted.keys():
            self._models[name].aspire({}, _NONE)
            self._models[name].labels = {}
        self._wanted = wanted

    def _read_file(self):
        """Takes over the file of models if it has changed; a faulty one changes nothing."""
        if self._file is None:
            return
        try:
            text = Path(self._file).read_bytes()
            if text == self._text:
                return
            self._text = text
            config = configuration.of_file(self._file)
        except (ValueError, OSError) as error:
            log.error("The file of models is not taken over: %s", error)
            return
        threading.Thread(target=self._take_over, args=[config], daemon=True).start()

    def _take_over(self, config):
        try:
            self.reload(config)
            log.info("The file of models has changed and is taken over")
        except ServingError as error:
            log.error("The file of models is not taken over whole: %s", error.message)

    def _note_release(self, *letter):
        self._mailbox.put(letter)

    def _free(self, model, number, graph):
        graph.close()
        model.note_unloaded(number)
        gc.collect()  # the graph's operations hold each other

    def _release(self):
        while not self._mailbox.empty():
            letter = self._mailbox.get()
            if isinstance(letter, tuple):
                self._free(*letter)
