"""What a request is refused with: a status code of gRPC and a sentence, which REST shows too."""

import re

HTTP_STATUS = {  # in the order of the codes' numbers
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
CODES = list(HTTP_STATUS)
_STACK = re.compile(r"\s*\n+(Detected at node|Original stack trace|Stack trace|Traceback).*", re.S)
_PATH = re.compile(r"(?<![\w.>)\]])(?:file:/|[A-Za-z]:)?(?:[/\\][\w.@+~-]+){2,}[/\\]?")


class ServingError(Exception):
    """A request that is not answered, and why.

    Args:
        code: name of a gRPC status, such as "NOT_FOUND".
        message: a sentence for the client, without paths of this machine.

    Example:
        >>> ServingError("NOT_FOUND", "Servable not found for request: Latest(x)").http_status
        404
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The status with which REST answers."""
        return HTTP_STATUS[self.code]

    @property
    def code_number(self) -> int:
        """The number of the status in gRPC and in a model's status."""
        return CODES.index(self.code)


def without_paths(message: str) -> str:
    r"""Return a message of TensorFlow without its stack and without paths of this machine.

    Example:
        >>> without_paths("No file /data/model/1/variables: gone\n\nStack trace: …")
        'No file …: gone'
    """
    return _PATH.sub("…", _STACK.sub("", message)).strip()


def from_tensorflow(error: Exception) -> ServingError:
    """Return what a client may see of an error that TensorFlow raised.

    Args:
        error: a `tf.errors.OpError`, or whatever else came of running a graph.
    """
    number = getattr(error, "error_code", None)
    if number is None or not 0 < number < len(CODES):
        return ServingError("INTERNAL", f"{type(error).__name__} while the model ran.")
    return ServingError(CODES[number], without_paths(error.message))
