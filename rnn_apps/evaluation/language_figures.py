"""Pictures of what a language model makes of texts."""

from collections.abc import Mapping, Sequence

_STYLES = ("--", ":", "-.")


def by_place(places: Sequence[Mapping]):
    """Draw perplexity per token against the place in the text: what more context is worth.

    Args:
        places: at least one stretch of places: "first" and "last", counted from 1, and
            "perplexity", name → float, the model's under "model".

    Returns:
        `matplotlib.figure.Figure`; save it with `figure.savefig(path)`.

    Raises:
        ValueError: there is no place.

    Example:
        >>> place = {"first": 1, "last": 1, "perplexity": {"model": 90.0, "unigrams": 500.0}}
        >>> [line.get_label() for line in by_place([place]).axes[0].lines]
        ['model', 'unigrams']
    """
    from matplotlib import ticker
    from matplotlib.figure import Figure

    if not places:
        raise ValueError("No place came to draw a perplexity at; give one or more.")
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    panel = figure.subplots()
    for number, name in enumerate(places[0]["perplexity"]):
        own = number == 0
        panel.plot(
            [_name(place) for place in places],
            [place["perplexity"][name] for place in places],
            label=name,
            color="tab:blue" if own else "dimgray",
            linestyle="-" if own else _STYLES[(number - 1) % len(_STYLES)],
            marker="o",
            markersize=5 if own else 3,
        )
    panel.set_yscale("log")
    panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(ticker.ScalarFormatter())
    panel.yaxis.set_minor_formatter(ticker.NullFormatter())
    panel.set_xlabel("place of the token in its text")
    panel.set_ylabel("perplexity per token")
    panel.spines[["top", "right"]].set_visible(False)
    legend = panel.legend(frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)
    return figure


def _name(place):
    first, last = place["first"], place["last"]
    return f"{first:,}" if first == last else f"{first:,}–{last:,}"
