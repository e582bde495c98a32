"""Layers: encoders, decoders and their parts. Layers do not depend on the searches."""

from keras_s2s.layers.attention import AttentionPool, BahdanauAttention, LuongAttention
from keras_s2s.layers.decoder import Decoder
from keras_s2s.layers.decoder_features import DecoderMemory, DecoderState
from keras_s2s.layers.embedding import TokenEmbedding
from keras_s2s.layers.encoder import Encoder, EncoderOutput
from keras_s2s.layers.gru import GRUDecoder, GRUEncoder, MaskedGRU
from keras_s2s.layers.lstm import LSTMDecoder, LSTMEncoder, MaskedLSTM
from keras_s2s.layers.recurrence import GRUState, LSTMState

__all__ = [
    "AttentionPool",
    "BahdanauAttention",
    "Decoder",
    "DecoderMemory",
    "DecoderState",
    "Encoder",
    "EncoderOutput",
    "GRUDecoder",
    "GRUEncoder",
    "GRUState",
    "LSTMDecoder",
    "LSTMEncoder",
    "LSTMState",
    "LuongAttention",
    "MaskedGRU",
    "MaskedLSTM",
    "TokenEmbedding",
]
