"""Layers: encoder, decoder and what they are made of. No layer knows a search."""

from keras_s2s.layers.attention import BahdanauAttention, LuongAttention
from keras_s2s.layers.attention_pool import AttentionPool
from keras_s2s.layers.decoder import Decoder
from keras_s2s.layers.decoder_memory import DecoderMemory, DecoderState
from keras_s2s.layers.encoder import Encoder, EncoderOutput
from keras_s2s.layers.gru import GRU
from keras_s2s.layers.gru_decoder import GRUDecoder
from keras_s2s.layers.gru_encoder import GRUEncoder
from keras_s2s.layers.lstm import LSTM
from keras_s2s.layers.lstm_decoder import LSTMDecoder
from keras_s2s.layers.lstm_encoder import LSTMEncoder
from keras_s2s.layers.recurrence import GRUState, LSTMState
from keras_s2s.layers.token_embedding import TokenEmbedding

__all__ = [
    "GRU",
    "LSTM",
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
    "TokenEmbedding",
]
