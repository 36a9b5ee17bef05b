"""What REST's requests meet first: a full server sends them away before anything else is done."""

from rnn_apps.server import json_answers

_API = b"/v1/"


class Front:
    """An ASGI application before another, which has to be quick where there is too much to do.

    Args:
        application: the Starlette application behind it, whose default is the API.
        workers: `Workers` of that application.
    """

    def __init__(self, application, workers):
        self._application, self._workers = application, workers
        self._api = application.router.default
        error = workers.refusal()
        self._body = {"type": "http.response.body", "body": json_answers.error(error.message)}
        self._start = {
            "type": "http.response.start",
            "status": error.http_status,
            "headers": [
                *((k.lower().encode(), v.encode()) for k, v in self._api.headers.items()),
                (b"content-length", str(len(self._body["body"])).encode()),
            ],
        }

    async def __call__(self, scope, receive, send):
        """Answers one request of ASGI's."""
        if scope["type"] != "http" or not scope["raw_path"].startswith(_API):
            await self._application(scope, receive, send)
        elif scope["method"] == "POST" and self._workers.is_full():
            self._api.count_refusal(scope["raw_path"].decode("latin-1"))
            await send(self._start)
            await send(self._body)
        else:
            await self._api(scope, receive, send)
