"""Searches for the best output of a decoder that is given as a step function."""

from keras_s2s.search.beam_search import BeamSearch
from keras_s2s.search.diverse_beam_search import DiverseBeamSearch
from keras_s2s.search.ensemble_step import ensemble_step
from keras_s2s.search.exact_search import ExactSearch
from keras_s2s.search.exhaustive_search import ExhaustiveSearch
from keras_s2s.search.greedy_search import GreedySearch
from keras_s2s.search.lexicon import Lexicon
from keras_s2s.search.result import SearchResult
from keras_s2s.search.sampling import Sampling
from keras_s2s.search.search import Search

__all__ = [
    "BeamSearch",
    "DiverseBeamSearch",
    "ExactSearch",
    "ExhaustiveSearch",
    "GreedySearch",
    "Lexicon",
    "Sampling",
    "Search",
    "SearchResult",
    "ensemble_step",
]
