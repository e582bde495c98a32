"""Model in a `.keras` file. TensorFlow is imported when the model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from keras_s2s.cli.models import Model
from keras_s2s.evaluation import unit_of

if TYPE_CHECKING:
    from keras_s2s.cli.models import Answer
    from keras_s2s.search import Search
    from keras_s2s.translator import Translator


class KerasModel(Model):
    """Model in a `.keras` file.

    Args:
        translator: The `Translator`.
        settings: The `Search` to use.
    """

    def __init__(self, translator: Translator, settings: Search) -> None:
        self.translator, self.settings = translator, settings
        self.limit, self.truncates = translator.max_source_length, translator.truncate_source

    def search(self, texts: list[bytes]) -> Answer:
        import tensorflow as tf

        found = self.translator.search_texts(tf.constant(texts), self.settings)
        return {name: value.numpy() for name, value in found.items()}

    def score(self, texts: list[bytes], targets: list[bytes]) -> Answer:
        import tensorflow as tf

        found = self.translator.score_texts(tf.constant(texts), tf.constant(targets))
        return {name: value.numpy() for name, value in found.items()}

    def columns(self) -> str | None:
        from keras_s2s.tokenizers import FeatureTokenizer

        return "features" if isinstance(self.translator.source, FeatureTokenizer) else None

    def target_unit(self) -> str:
        return unit_of(type(self.translator.target))

    def excess(self, texts: list[bytes]) -> dict[int, int]:
        from keras_s2s.source_limits import count_excess

        return count_excess(texts, self.translator.source, self.limit)
