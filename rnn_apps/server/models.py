"""The models that are served: which versions there are, which are loaded, which one answers."""

import dataclasses
from pathlib import Path

from rnn_apps.server import servable
from rnn_apps.server.errors import ServingError
from rnn_apps.server.servable import Servable


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


class Models:
    """Every model of a folder, the newest version of each.

    Args:
        folder: holds a folder for each model, which holds numbered versions.
    """

    def __init__(self, folder: Path):
        self._loaded: dict[str, dict[int, Servable]] = {}
        for base in sorted(Path(folder).iterdir()):
            versions = [int(p.name) for p in base.iterdir() if p.name.isdigit()]
            if versions:
                newest = max(versions)
                self._loaded[base.name] = {
                    newest: servable.load(base.name, newest, base / str(newest))
                }

    @property
    def names(self) -> list[str]:
        """The names of the models, sorted."""
        return sorted(self._loaded)

    def find(self, name: str, version: int | None = None, label: str | None = None) -> Servable:
        """Return the version that answers; it stays loaded for as long as it is held.

        Raises:
            ServingError: there is no such model, version or label.
        """
        versions = self._loaded.get(name, {})
        if label:
            raise ServingError("INVALID_ARGUMENT", f"Unrecognized servable version label: {label}")
        if version is None and versions:
            return versions[max(versions)]
        if version in versions:
            return versions[version]
        asked = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        raise ServingError("NOT_FOUND", f"Servable not found for request: {asked}")

    def status(self, name: str, version: int | None = None) -> list[VersionStatus]:
        """Return where the versions of a model stand, the newest first.

        Raises:
            ServingError: there is no such model or version.
        """
        versions = self._loaded.get(name, {})
        if not versions:
            raise ServingError("NOT_FOUND", f"Could not find any versions of model {name}")
        if version is not None and version not in versions:
            raise ServingError("NOT_FOUND", f"Could not find version {version} of model {name}")
        return [
            VersionStatus(number, "AVAILABLE")
            for number in sorted(versions, reverse=True)
            if version in (None, number)
        ]
