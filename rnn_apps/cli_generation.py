"""`rnn-apps generate`: continuations, on the screen as they are written."""

import sys

_OPTIONS = {
    "length": (int, 50, "the most tokens to write"),
    "temperature": (float, 1.0, "below 1 for likelier tokens; 0 for always the likeliest"),
    "top_k": (int, None, "of how many tokens to draw; by default as the model was made"),
    "top_p": (float, None, "share of probability to draw from; by default as the model was made"),
    "seed": (int, 0, "the same seed gives the same continuation"),
}


def add_options(add, run):
    """Adds what the command takes.

    Args:
        add: `add_argument` of its parser.
        run: keyword arguments of the argument RUN.
    """
    add("run", **run)
    add("text", metavar="TEXT", nargs="?", default="", help="what to continue; by default nothing")
    for name, (kind, default, what) in _OPTIONS.items():
        add(f"--{name}", type=kind, default=default, metavar="NUMBER", help=what)
    add("--beams", type=int, metavar="NUMBER", help="search for the likeliest, and draw nothing")


def generate(model, options):
    """Prints a text and its continuation, piece by piece where it is drawn.

    Args:
        model: the application; one without `generate` is refused.
        options: of the command line.
    """
    if not hasattr(model, "generate"):
        options.refuse(f"a {type(model).__name__} continues no texts; a LanguageModel does")
    how = {name: getattr(options, name) for name in _OPTIONS}
    if options.beams:
        pieces = model.generate([options.text], **how, beams=options.beams)["continuation"]
    else:
        pieces = model.stream(options.text, **how)
    sys.stdout.write(options.text)
    for piece in pieces:
        sys.stdout.write(piece)
        sys.stdout.flush()
    sys.stdout.write("\n")
