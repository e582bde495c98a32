"""Searches for the best outputs of a decoder, which is passed as a step function."""

from keras_s2s.search.base import Search
from keras_s2s.search.beam import BeamSearch
from keras_s2s.search.diverse import DiverseBeamSearch
from keras_s2s.search.ensemble import ensemble_step
from keras_s2s.search.exact import ExactSearch
from keras_s2s.search.exhaustive import ExhaustiveSearch
from keras_s2s.search.greedy_and_sampling import GreedySearch, Sampling
from keras_s2s.search.result import SearchResult
from keras_s2s.search.rules import Lexicon

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
