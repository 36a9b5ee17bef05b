"""All benchmarks of speed in one run: layers, training epochs, and the answers of the exports.

    python tests/benchmarks/speed.py [--output speed.json] [--data APPLICATION=DATA …]

Prints ratios and geometric means, and writes all figures as JSON. Not beside anything else.
"""

import argparse
import json
import os
import platform

import answers
import epochs
import keras
import layers
import tensorflow as tf


def main():
    """Run everything."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--output", default="speed.json")
    parser.add_argument("--data", nargs="*", default=[], metavar="APPLICATION=DATA")
    parser.add_argument("--turns", type=int, default=9)
    options = parser.parse_args()
    turns = ["--turns", str(options.turns)]
    found = {
        "machine": {"cores": os.cpu_count(), "processor": platform.processor()},
        "versions": {"tensorflow": tf.__version__, "keras": keras.__version__},
        "layers": layers.main(turns),
        "epochs": epochs.main([*turns, "--data", *options.data]),
        "answers": answers.main(turns),
    }
    with open(options.output, "w", encoding="utf-8") as file:
        json.dump(found, file, indent=1)
    print(f"Written: {options.output}")


if __name__ == "__main__":
    main()
