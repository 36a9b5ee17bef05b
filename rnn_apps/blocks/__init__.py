"""Keras layers that know no application.

Dimension letters, used in every docstring and every shape comment of the package:
B batch, T source steps, U target steps, F features, E embedding, H units, V vocabulary, K beams,
Q quantiles, C classes.
"""
