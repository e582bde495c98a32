"""The four special ids, which are the same in every vocabulary."""

from __future__ import annotations

PAD_ID = 0
UNK_ID = 1
BOS_ID = 2
EOS_ID = 3

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[BOS]", "[EOS]")
