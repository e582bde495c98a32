"""The four special ids, the same in every vocabulary, and the number that marks the impossible."""

from __future__ import annotations

PAD_ID = 0
UNK_ID = 1
BOS_ID = 2
EOS_ID = 3

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[BOS]", "[EOS]")

# Log probability of what is impossible, and the score of an empty slot. It is finite, because the
# LiteRT converter silently turns -inf into -3.4e38. Every possible output has a log probability and
# a score above POSSIBLE; an output with an impossible token is below.
IMPOSSIBLE = -1e9
POSSIBLE = -5e8
