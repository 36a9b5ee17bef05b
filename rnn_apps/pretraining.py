"""What an application takes over from a language model: vocabulary, vectors, recurrent layers."""

import inspect

from rnn_apps.blocks.tied_embedding import TiedEmbedding
from rnn_apps.language import LanguageModel
from rnn_apps.loading import load_model

_ITSELF = "a LanguageModel"
"""Stands in a configuration for a language model that was given itself, not by its path."""


class Pretrained:
    """The language model that an application begins with, or none.

    The application's own settings that it has to share with the language model are taken from it,
    so that they may be left out; one that was given otherwise is refused. Everything is taken over
    when the application is adapted: what is saved afterwards needs no language model.

    Args:
        given: path of a saved language model, which is read when the application is adapted; a
            `LanguageModel`; or None.

    Attributes:
        name: str or None, the path.
        carried_over: str or None, what was taken over, once the application is adapted.

    Raises:
        ValueError: if it is something else.

    Example:
        >>> texts, labels = ["good", "bad", "very good", "very bad"], [1, 0, 1, 0]
        >>> language = LanguageModel(units=8, vocabulary_size=300)
        >>> language.adapt(texts)  # and compile, fit on all texts there are, save
        >>> from rnn_apps.sentiment import SentimentClassifier
        >>> model = SentimentClassifier(pretrained=language)
        >>> model.adapt(texts, labels)
        >>> model.pretraining.carried_over
        'vocabulary, embedding, recurrent layer 1'
        >>> Pretrained("runs/language").name
        'runs/language'
    """

    def __init__(self, given=None):
        if isinstance(given, LanguageModel):
            self.name = _ITSELF
        else:
            self.name = None if given is None else str(given)
        self.carried_over = None
        self._model = given if isinstance(given, LanguageModel) else None

    def __bool__(self):
        return self.name is not None

    def model(self, **expected):
        """Loads the language model once, and checks it.

        Args:
            **expected: {name of a setting of the language model: value} that it must have besides
                those that the vocabulary asks for.

        Raises:
            ValueError: if it is no adapted language model, or has other settings.
        """
        if self._model is None:
            if self.name == _ITSELF:
                raise ValueError(
                    "This configuration is that of a model that was given a LanguageModel itself, "
                    "which a configuration does not hold; pass pretrained=, its path say."
                )
            self._model = load_model(self.name)
        found, where = self._model, "" if self.name == _ITSELF else f" of {self.name}"
        if not isinstance(found, LanguageModel):
            raise ValueError(
                f"pretrained={self.name} holds a {type(found).__name__}, but a LanguageModel is "
                "expected; give the path of one."
            )
        if not found.built:
            raise ValueError(
                "The LanguageModel given as pretrained is not adapted; train it, or give the path "
                "of a saved one."
            )
        for name, right in {"level": "subword", "line_breaks": False, **expected}.items():
            if getattr(found, name) != right:
                raise ValueError(
                    f"The language model{where} has {name}={getattr(found, name)!r}, but "
                    f"{right!r} is expected here; give one made by "
                    f"LanguageModel({name}={right!r}, …)."
                )
        return found

    def settle(self, application, residual=None, **others):
        """Gives an application, not adapted yet, the settings of the language model, if any.

        Args:
            application: the application.
            residual: bool, what the language model must have, beside the default of
                `embedding_scale`; None for either, and any.
            **others: {name of a setting: value} that the application must have besides its cell,
                units, embedding_dim, vocabulary_size and lowercase.

        Raises:
            ValueError: if `model` cannot be used, or a setting was given, and otherwise. One that
                has its default counts as left out.
        """
        if not self:
            return
        expected = {} if residual is None else {"residual": residual, "embedding_scale": None}
        model = self.model(**expected)
        wanted = {name: getattr(model, name) for name in ("cell", "units", "lowercase")}
        wanted["embedding_dim"] = model.embedding_dim or model.units
        wanted["vocabulary_size"] = model.vocabulary_size
        parameters = inspect.signature(type(application).__init__).parameters
        wrong = {}
        for name, value in {**wanted, **others}.items():
            if getattr(application, name) not in (value, parameters[name].default):
                wrong[name] = value
        if wrong:
            came = ", ".join(f"{name}={getattr(application, name)!r}" for name in wrong)
            right = ", ".join(f"{name}={value!r}" for name, value in wrong.items())
            raise ValueError(
                f"{type(application).__name__} was given {came}, but the language model that it "
                f"begins with asks for {right}; pass that, or leave it out."
            )
        for name, value in {**wanted, **others}.items():
            setattr(application, name, value)

    def learn(self, application, texts, **expected):
        """Gives an application settings and vocabulary; without a language model, learns subwords.

        Args:
            application: the application, whose `tokenizer` it is.
            texts: sequence of texts, to learn from.
            **expected: as of `settle`.
        """
        self.settle(application, **expected)
        if self:
            application.tokenizer.take(self.model().tokenizer)
        else:
            application.tokenizer.adapt(texts)

    def carry_over(self, embedding, **layers):
        """Takes weights over into a network that is being adapted; nothing in a reloaded one.

        Args:
            embedding: `TokenEmbedding` of the same vocabulary and width, that multiplies by the
                same as the language model's does. A `TiedEmbedding` takes the output's bias too.
            **layers: {what they are: list of recurrent layers}. The first takes the weights of the
                language model's first, and so on, as far as there are as many and all shapes
                agree.
        """
        if self._model is None:
            return
        carried = ["vocabulary", "embedding"]
        embedding.embeddings.assign(self._model.embedding.embeddings)
        if isinstance(embedding, TiedEmbedding):
            embedding.bias.assign(self._model.embedding.bias)
        sources = self._model.recurrent.forward_layers
        for what, targets in layers.items():
            for number, (layer, source) in enumerate(zip(targets, sources, strict=False), 1):
                if _take_weights(layer.cell.weights, source.cell.weights):
                    carried.append(f"{what} layer {number}")
        self.carried_over = ", ".join(carried)
        self._model = None  # its memory is free again


def _take_weights(targets, sources):
    """Assigns weights if all shapes agree; returns whether they do."""
    fits = [weight.shape for weight in targets] == [weight.shape for weight in sources]
    for target, source in zip(targets, sources, strict=True) if fits else ():
        target.assign(source)
    return fits
