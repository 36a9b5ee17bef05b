"""Keras layers that know no application.

Dimension letters, used in every docstring and every shape comment of the package:
B batch, T source steps, U target steps, F features, E embedding, H units, V vocabulary, K beams,
Q quantiles, C classes, M width of a memory.
"""

from rnn_apps.blocks.attention import AttentionPooling, SequencePooling
from rnn_apps.blocks.beam_search import Beams, beam_search
from rnn_apps.blocks.decoder import AttentionDecoder
from rnn_apps.blocks.decoding import Decoded, greedy, sample
from rnn_apps.blocks.embedding import TokenEmbedding
from rnn_apps.blocks.encoder import RecurrentEncoder
from rnn_apps.blocks.gradient_flow import gradient_flow, plot_gradient_flow
from rnn_apps.blocks.grid_memory import GridMemory
from rnn_apps.blocks.initializers import LongMemory
from rnn_apps.blocks.memory_attention import MemoryAttention
from rnn_apps.blocks.ordinal import OrdinalHead
from rnn_apps.blocks.recurrent import GRU, LSTM, RecurrentStack, SimpleRNN
from rnn_apps.blocks.tied_embedding import TiedEmbedding
from rnn_apps.blocks.vision import ImageEncoder
from rnn_apps.blocks.vocabulary_loss import vocabulary_loss

__all__ = [
    "GRU",
    "LSTM",
    "AttentionDecoder",
    "AttentionPooling",
    "Beams",
    "Decoded",
    "GridMemory",
    "ImageEncoder",
    "LongMemory",
    "MemoryAttention",
    "OrdinalHead",
    "RecurrentEncoder",
    "RecurrentStack",
    "SequencePooling",
    "SimpleRNN",
    "TiedEmbedding",
    "TokenEmbedding",
    "beam_search",
    "gradient_flow",
    "greedy",
    "plot_gradient_flow",
    "sample",
    "vocabulary_loss",
]
