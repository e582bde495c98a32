"""Upper limits of search settings, for the searches and the command line."""

from __future__ import annotations

# These keep the divisor of a score, MAX_LENGTH**MAX_LENGTH_PENALTY, far below the overflow of
# float32, where every score would be 0.
MAX_LENGTH = 1_000_000  # tokens
MAX_LENGTH_PENALTY = 5.0
MAX_LENGTH_RATIO = 1000.0

# With larger values, a search would run out of memory.
MAX_HYPOTHESES = 10_000
MAX_NGRAM_SIZE = 100
