"""The page for people at `/`: the models that are served, and a form to ask each of them.

It is files of the package and asks the same REST as any client; a browser is told to load nothing
from anywhere else.
"""

import importlib.resources

from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def routes(models):
    """Makes the routes of the page.

    Args:
        models: `Models`, whose `names` the page lists; the rest it asks over REST.

    Returns:
        A list of `starlette.routing.Route`: `/`, `/page/models.json`, and a file of the page each.
    """
    files = {
        path.name: path.read_bytes()
        for path in importlib.resources.files("rnn_apps.server").joinpath("page").iterdir()
        if path.name[path.name.rfind(".") :] in _TYPES
    }

    async def names(request):
        return JSONResponse({"models": list(models.names)}, headers=_HEADERS)

    shown = [Route(f"/page/{name}", _sends(name, content)) for name, content in files.items()]
    return [Route("/", _sends("index.html", files["index.html"])), *shown,
            Route("/page/models.json", names)]  # fmt: skip


def _sends(name, content):
    kind = _TYPES[name[name.rfind(".") :]]

    async def send(request):
        return Response(content, media_type=kind, headers=_HEADERS)

    return send
