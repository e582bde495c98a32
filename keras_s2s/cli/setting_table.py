"""Table of all training settings.

The settings in `keras_s2s.recommended.FITTED` have no default here. They are derived from the
training pairs.
"""

from __future__ import annotations

import math

from keras_s2s.cli.setting import NONE, RECOMMENDED, Setting
from keras_s2s.evaluation import METRICS
from keras_s2s.recommended import ATTENTION_KINDS, BIDIRECTIONAL, GRADIENT_CLIP, REDUCTION
from keras_s2s.search_limits import MAX_HYPOTHESES, MAX_LENGTH, MAX_LENGTH_PENALTY

# Names of the tokenizer classes by their names in the settings.
TOKENIZER_CLASSES = {
    "char": "CharTokenizer",
    "decomposed": "DecomposedCharTokenizer",
    "byte": "ByteTokenizer",
    "word": "WordTokenizer",
    "subword": "SentencePieceTokenizer",
    "features": "FeatureTokenizer",
}
TOKENIZERS = ("char", "byte", "word", "subword", "features", "decomposed")
_LARGEST = 1 << 15  # units; a layer of this size has 32 GB of weights
_DEEPEST = 64  # layers
_NO_LIMIT = "no limit"


def _rate(name: str, text: str) -> Setting:
    return Setting(name, 0.0, text, float, minimum=0, maximum=0.95)


def _number(
    name: str, text: str, unset: str, minimum: float = 1, maximum: float = math.inf
) -> Setting:
    """Define an integer that is unset by default."""
    return Setting(name, None, text, int, minimum=minimum, maximum=maximum, unset=unset)


def _fitted(
    name: str, text: str, kind: type = int, minimum: float = 1, maximum: float = math.inf
) -> Setting:
    """Define a setting whose default is derived from the number and length of the pairs."""
    return Setting(name, None, text, kind, minimum=minimum, maximum=maximum, unset=RECOMMENDED)


SECTIONS: dict[str, tuple[Setting, ...]] = {
    "Files": (
        Setting(
            "train",
            None,
            "File of source<TAB>target lines, or TFRecord file (*.tfrecord*), to train on",
            several=True,
        ),
        Setting("valid", None, "File of validation pairs, used to choose the best epoch"),
        _number(
            "features_column",
            "Number of the column with morphological features, in files of three columns: 2 for "
            "lemma<TAB>features<TAB>form",
            "files have two columns",
            maximum=3,
        ),
        Setting(
            "output",
            "run",
            "Run folder: a new or empty folder, or that of an interrupted run to resume",
        ),
        Setting(
            "import",
            None,
            "Python module, in the current folder or installed, that registers custom layers or "
            "functions",
            several=True,
            unset=NONE,
        ),
        Setting(
            "stream",
            False,
            "Read the pairs from the files in each epoch instead of loading them into memory",
            bool,
        ),
    ),
    "Text": (
        Setting(
            "source_tokenizer",
            None,
            "Source tokenizer: char, decomposed (base characters and their accents; Korean "
            "letters), byte, word, subword, or features (characters of a word, then features such "
            "as V;PST). With `features_column`, char means features",
            choices=TOKENIZERS,
            unset=RECOMMENDED,
        ),
        Setting(
            "target_tokenizer",
            "char",
            "Target tokenizer: char, byte, word or subword",
            choices=TOKENIZERS[:4],
        ),
        *(
            _number(
                f"{side}_vocabulary_size",
                f"Maximum size of the {side} vocabulary",
                "8000 for subword, otherwise no limit",
                minimum=5,
            )
            for side in ("source", "target")
        ),
        *(
            _number(
                f"max_{side}_length",
                f"Skip training pairs with more {side} tokens than this, including eos"
                + ("; the model still accepts longer sources" if side == "source" else ""),
                _NO_LIMIT,
            )
            for side in ("source", "target")
        ),
    ),
    "Model": (
        Setting(
            "init_from",
            None,
            "Model to start from, a .keras file or run folder: training uses its weights, "
            "vocabularies and model settings",
            unset=NONE,
        ),
        Setting("cell", "lstm", "Type of recurrent layer: lstm or gru", choices=("lstm", "gru")),
        _fitted(
            "units",
            "Number of units in the decoder and in each encoder direction",
            maximum=_LARGEST,
        ),
        _number(
            "embedding_dim", "Dimension of the embeddings", "equal to `units`", maximum=_LARGEST
        ),
        _fitted("encoder_layers", "Number of encoder layers", maximum=_DEEPEST),
        _fitted("decoder_layers", "Number of decoder layers", maximum=_DEEPEST),
        Setting("bidirectional", BIDIRECTIONAL, "Use a bidirectional encoder", bool),
        Setting(
            "context",
            "last_state",
            "How to summarize the encoder states in one vector, the context: last_state, mean, "
            "max, attention_pool, or the registered name of a custom function, package>name",
            choices=("last_state", "mean", "max", "attention_pool"),
            registered=True,
        ),
        Setting(
            "context_to",
            "initial_state",
            "Where the decoder uses the context: initial_state, every_step or both",
            choices=("initial_state", "every_step", "both"),
        ),
        Setting(
            "attention",
            None,
            "Attention: none, luong, luong_dot, luong_concat, bahdanau or monotonic (never moves "
            "back in the source)",
            unset=RECOMMENDED,
            choices=("none", *ATTENTION_KINDS),
        ),
        Setting(
            "copy",
            None,
            "Let the decoder copy source tokens (pointer-generator); needs attention",
            bool,
            unset=RECOMMENDED,
        ),
        Setting(
            "input_feeding",
            False,
            "Feed the attention output to the next decoder step; slower",
            bool,
        ),
        Setting(
            "residual", False, "Add residual connections around all layers but the first", bool
        ),
        Setting(
            "layer_normalization",
            False,
            "Apply layer normalization to the output of each layer",
            bool,
        ),
        _fitted("dropout", "Dropout rate of layer inputs", float, 0, maximum=0.95),
        _rate("recurrent_dropout", "Dropout rate of recurrent connections"),
        _rate("word_dropout", "Fraction of tokens that training replaces with the unknown token"),
    ),
    "Training": (
        Setting(
            "models",
            1,
            "Number of models to train, with consecutive seeds. With more than one, each has its "
            "own folder, best.keras is their ensemble, and `minutes` applies to each",
            int,
            minimum=1,
        ),
        Setting(
            "teacher",
            None,
            "Model to distill, usually an ensemble: a .keras file or run folder. The new model "
            "learns the probabilities that the teacher predicts, and uses the teacher's "
            "vocabularies; `label_smoothing` and `reduction` have no effect",
            unset=NONE,
        ),
        _fitted("epochs", "Number of passes over the training pairs"),
        Setting(
            "minutes",
            None,
            "Stop after this many minutes, not counting interruptions; the learning rate schedule "
            "is shortened to end by then",
            float,
            minimum=0.001,
            unset=_NO_LIMIT,
        ),
        _fitted(
            "patience",
            "Stop after this many epochs (after warm-up) in which neither the `watch` metric nor "
            "TER (token error rate) nor the validation loss improved; 0: never stop early",
            int,
            0,
        ),
        Setting(
            "watch",
            "wer",
            "Validation metric used to choose the best epoch: wer (share of outputs with any "
            "error), ter (token errors), bleu or chrf",
            choices=METRICS,
        ),
        _fitted("batch_size", "Number of pairs per batch"),
        _number(
            "batch_tokens",
            "Maximum number of tokens per batch on either side, including padding; replaces "
            "`batch_size`",
            "`batch_size` applies",
        ),
        _fitted("learning_rate", "Peak learning rate of Adam", float, 1e-9, maximum=10),
        Setting(
            "schedule",
            "cosine",
            "Learning rate schedule after warm-up: constant, linear, cosine, inverse_sqrt or "
            "plateau",
            choices=("constant", "linear", "cosine", "inverse_sqrt", "plateau"),
        ),
        _fitted(
            "warmup_steps",
            "Number of warm-up steps, during which the learning rate rises from 0",
            int,
            0,
        ),
        Setting(
            "gradient_clip",
            GRADIENT_CLIP,
            "Clip the gradients to this global norm; 0 turns clipping off",
            float,
            minimum=0,
            unset="",  # null is allowed, and means the same as 0
        ),
        _fitted(
            "label_smoothing",
            "Label smoothing: probability mass that is spread over the vocabulary",
            float,
            0,
            maximum=0.9,
        ),
        Setting(
            "reduction",
            REDUCTION,
            "Average the loss over the tokens (token) or sequences (sequence) of a batch",
            choices=("token", "sequence"),
        ),
        Setting(
            "precision",
            "float32",
            "Dtype policy: float32, mixed_bfloat16 or mixed_float16",
            choices=("float32", "mixed_bfloat16", "mixed_float16"),
        ),
        Setting(
            "seed",
            0,
            "Random seed for initial weights, shuffling and dropout",
            int,
            minimum=0,
            maximum=2**32 - 1,
        ),
        Setting(
            "save_every",
            1000,
            "Number of steps between saves of the training state, which is also saved after each "
            "epoch",
            int,
            minimum=1,
        ),
        _number("threads", "Number of CPU threads", "all cores"),
    ),
    "Search": (
        Setting(
            "beam_width",
            5,
            "Beam width: number of hypotheses kept at each step. 1, with `stopping` finished, is "
            "greedy search",
            int,
            minimum=1,
            maximum=MAX_HYPOTHESES,
        ),
        Setting(
            "length_penalty",
            0.75,
            "Length penalty α in score = log P / length**α",
            float,
            minimum=0,
            maximum=MAX_LENGTH_PENALTY,
        ),
        Setting(
            "stopping",
            "bound",
            "When a beam search stops: bound (no better output is possible), finished (as many "
            "outputs as the beam width have finished) or length (at the maximum length)",
            choices=("bound", "finished", "length"),
        ),
        _number(
            "max_length",
            "Maximum number of output tokens, including eos",
            "1.2 times the longest training target",
            maximum=MAX_LENGTH,
        ),
    ),
    "Evaluation": (
        Setting(
            "tokens",
            None,
            "Unit of the token error rate (TER): words, characters or phones. With phones, the "
            "metric is called PER",
            choices=("words", "characters", "phones"),
            unset="characters for the target tokenizers char and byte, otherwise words",
        ),
        Setting("bleu_tokenize", "13a", "sacrebleu tokenization for BLEU; none splits at spaces"),
        Setting(
            "evaluation_sources",
            1000,
            "Number of validation sources to evaluate after each epoch; 0: all",
            int,
            minimum=0,
        ),
        Setting(
            "confidence",
            False,
            "Calibrate confidences on the validation pairs. The model and its exports then also "
            "return the probability that an output is correct",
            bool,
        ),
        Setting("samples", 50, "Number of sample outputs in samples.txt", int, minimum=0),
    ),
}
SETTINGS = {setting.name: setting for section in SECTIONS.values() for setting in section}
