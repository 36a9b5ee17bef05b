"""Keras layers that know no application.

Dimension letters, used in every docstring and every shape comment of the package:
B batch, T source steps, U target steps, F features, E embedding, H units, V vocabulary, K beams,
Q quantiles, C classes.
"""

from rnn_apps.blocks.attention import AttentionPooling, SequencePooling
from rnn_apps.blocks.embedding import TokenEmbedding
from rnn_apps.blocks.gradient_flow import gradient_flow, plot_gradient_flow
from rnn_apps.blocks.initializers import LongMemory
from rnn_apps.blocks.ordinal import OrdinalHead
from rnn_apps.blocks.recurrent import GRU, LSTM, RecurrentStack, SimpleRNN

__all__ = [
    "GRU",
    "LSTM",
    "AttentionPooling",
    "LongMemory",
    "OrdinalHead",
    "RecurrentStack",
    "SequencePooling",
    "SimpleRNN",
    "TokenEmbedding",
    "gradient_flow",
    "plot_gradient_flow",
]
