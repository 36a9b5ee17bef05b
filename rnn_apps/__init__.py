"""Recurrent applications for Keras 3: what was trained is what is served."""

import importlib

__version__ = "0.2.0"

_PUBLIC = {
    "Application": "rnn_apps.application",
    "ImageCaptioner": "rnn_apps.captioning",
    "LanguageModel": "rnn_apps.language",
    "SentimentClassifier": "rnn_apps.sentiment",
    "StockForecaster": "rnn_apps.forecasting",
    "Translator": "rnn_apps.translation",
    "load_model": "rnn_apps.loading",
    "blocks": None,
    "data": None,
    "evaluation": None,
    "export": None,
    "preprocessing": None,
    "training": None,
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'rnn_apps' has no attribute {name!r}")
    module = _PUBLIC[name]
    if module is None:
        return importlib.import_module(f"rnn_apps.{name}")
    return getattr(importlib.import_module(module), name)


def __dir__():
    return sorted([*globals(), *_PUBLIC])
