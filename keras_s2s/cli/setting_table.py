"""Table of all training settings.

The settings in `keras_s2s.recommended.FITTED` have no default here. They are derived from the
training pairs.
"""

from __future__ import annotations

import math

from keras_s2s.cli.setting import Setting
from keras_s2s.recommended import BIDIRECTIONAL, GRADIENT_CLIP, REDUCTION

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
STOPPING = ("bound", "finished", "length")
_LARGEST = 1 << 15  # units; a layer of this size has 32 GB of weights
_DEEPEST = 64  # layers


def _rate(name: str, default: float, text: str) -> Setting:
    return Setting(name, default, text, float, minimum=0, maximum=0.95)


def _fitted(
    name: str, text: str, kind: type = int, minimum: float = 1, maximum: float = math.inf
) -> Setting:
    """Define a setting whose default is derived from the number and length of the pairs."""
    text = f"{text}; null: recommended for the training pairs"
    return Setting(name, None, text, kind, minimum=minimum, maximum=maximum, optional=True)


SECTIONS: dict[str, tuple[Setting, ...]] = {
    "Files": (
        Setting(
            "train",
            None,
            "Training pairs: one or more files of source<TAB>target lines",
            several=True,
        ),
        Setting("valid", None, "Held-out pairs for choosing the best model"),
        Setting(
            "features_column",
            None,
            "Column with features in files with three columns: 2 for lemma<TAB>features<TAB>form; "
            "null: files have two columns",
            int,
            minimum=1,
            maximum=3,
            optional=True,
        ),
        Setting(
            "output",
            "run",
            "Run folder: a new or empty folder, or that of an interrupted run to resume",
        ),
        Setting(
            "import",
            None,
            "One or more Python modules that register custom layers or functions; null: none",
            several=True,
            optional=True,
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
            "Source tokenizer: char, decomposed (letters and accents, Korean letters), byte, word, "
            "subword, or features (characters of a word, then features such as V;PST). With "
            "features_column, char means features; null: recommended for the training pairs",
            choices=TOKENIZERS,
            optional=True,
        ),
        Setting(
            "target_tokenizer",
            "char",
            "Target tokenizer: char, byte, word or subword",
            choices=TOKENIZERS[:4],
        ),
        Setting(
            "source_vocabulary_size",
            None,
            "Maximum size of the source vocabulary; null: no limit, at most 8000 for subword",
            int,
            minimum=5,
            optional=True,
        ),
        Setting(
            "target_vocabulary_size",
            None,
            "Maximum size of the target vocabulary; null: no limit, at most 8000 for subword",
            int,
            minimum=5,
            optional=True,
        ),
        Setting(
            "max_source_length",
            None,
            "Skip pairs with longer sources in training; null: no limit",
            int,
            minimum=1,
            optional=True,
        ),
        Setting(
            "max_target_length",
            None,
            "Skip pairs with longer targets in training; null: no limit",
            int,
            minimum=1,
            optional=True,
        ),
    ),
    "Model": (
        Setting(
            "init_from",
            None,
            "Model to start from, a .keras file or a run folder: training uses its weights, "
            "vocabularies and model settings; null: none",
            optional=True,
        ),
        Setting(
            "cell", "lstm", "Type of the recurrent layers: lstm or gru", choices=("lstm", "gru")
        ),
        _fitted(
            "units",
            "Number of units of the decoder and of each encoder direction",
            maximum=_LARGEST,
        ),
        Setting(
            "embedding_dim",
            None,
            "Size of the embeddings; null: same as units",
            int,
            minimum=1,
            maximum=_LARGEST,
            optional=True,
        ),
        _fitted("encoder_layers", "Number of encoder layers", maximum=_DEEPEST),
        _fitted("decoder_layers", "Number of decoder layers", maximum=_DEEPEST),
        Setting("bidirectional", BIDIRECTIONAL, "Use a bidirectional encoder", bool),
        Setting(
            "context",
            "last_state",
            "How to compute the context vector c = q(h_1 ... h_T): last_state, mean, max, "
            "attention_pool, or the registered name of a custom function, package>name",
            choices=("last_state", "mean", "max", "attention_pool"),
            registered=True,
        ),
        Setting(
            "context_to",
            "initial_state",
            "Where the decoder uses c: initial_state, every_step or both",
            choices=("initial_state", "every_step", "both"),
        ),
        Setting(
            "attention",
            None,
            "Attention: none, luong, luong_dot, luong_concat, bahdanau or monotonic (exact hard "
            "monotonic); null: chosen to suit the pairs",
            optional=True,
            choices=("none", "luong", "luong_dot", "luong_concat", "bahdanau", "monotonic"),
        ),
        Setting(
            "copy",
            None,
            "Copy source tokens with probabilities given by the attention; null: recommended for "
            "the training pairs",
            bool,
            optional=True,
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
        _rate("recurrent_dropout", 0.0, "Dropout rate of recurrent connections"),
        _rate(
            "word_dropout",
            0.0,
            "Rate at which tokens are replaced by the unknown token in training",
        ),
    ),
    "Training": (
        Setting(
            "models",
            1,
            "Number of models to train, with seeds `seed`, `seed` + 1, .... With more than one, "
            "each has its own folder, best.keras is their ensemble, and `minutes` applies to each",
            int,
            minimum=1,
        ),
        Setting(
            "teacher",
            None,
            "Model to distill, usually an ensemble: a .keras file or a run folder. Training learns "
            "its predictions, uses its vocabularies and ignores label_smoothing; null: none",
            optional=True,
        ),
        _fitted("epochs", "Number of passes over the training pairs"),
        Setting(
            "minutes",
            None,
            "Stop after this many minutes of wall-clock time, not counting interruptions; the "
            "learning rate schedule ends by then; null: no limit",
            float,
            minimum=0.001,
            optional=True,
        ),
        _fitted(
            "patience",
            "Stop after this many epochs (after warm-up) in which neither `watch` nor TER nor the "
            "loss improved; 0: never stop early",
            int,
            0,
        ),
        Setting(
            "watch",
            "wer",
            "Metric for choosing the best model: wer, ter, bleu or chrf",
            choices=("wer", "ter", "bleu", "chrf"),
        ),
        _fitted("batch_size", "Number of pairs per batch"),
        Setting(
            "batch_tokens",
            None,
            "Maximum number of tokens per batch on either side; null: use batch_size",
            int,
            minimum=1,
            optional=True,
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
            "Number of warm-up steps, in which the learning rate rises from 0",
            int,
            0,
        ),
        Setting(
            "gradient_clip",
            GRADIENT_CLIP,
            "Clip the gradients to this global norm; null: no clipping",
            float,
            minimum=1e-6,
            optional=True,
        ),
        _fitted(
            "label_smoothing",
            "Label smoothing: probability mass that the loss spreads over the vocabulary",
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
            "Random seed of initial weights, shuffling and dropout",
            int,
            minimum=0,
            maximum=2**32 - 1,
        ),
        Setting(
            "save_every",
            1000,
            "Save the training state after this number of steps, in addition to each epoch",
            int,
            minimum=1,
        ),
        Setting(
            "threads",
            None,
            "Number of CPU threads; null: all cores",
            int,
            minimum=1,
            optional=True,
        ),
    ),
    "Search": (
        Setting(
            "beam_width",
            5,
            "Beam width: hypotheses kept at each step; 1: greedy search",
            int,
            minimum=1,
        ),
        Setting(
            "length_penalty",
            0.75,
            "Length penalty α in score = log P / length**α",
            float,
            minimum=0,
        ),
        Setting(
            "stopping",
            "bound",
            "When a search stops: bound (no better output is possible), finished (`beam_width` "
            "outputs are finished) or length (at max_length)",
            choices=STOPPING,
        ),
        Setting(
            "max_length",
            None,
            "Maximum number of output tokens; null: 1.2 times the longest training target",
            int,
            minimum=1,
            optional=True,
        ),
        Setting(
            "tokens",
            None,
            "Unit of the token error rate: words, characters or phones; null: characters for the "
            "target tokenizers char and byte, otherwise words",
            choices=("words", "characters", "phones"),
            optional=True,
        ),
        Setting("bleu_tokenize", "13a", "sacrebleu tokenization for BLEU; none: split at spaces"),
        Setting(
            "evaluation_sources",
            1000,
            "Number of held-out sources to evaluate after each epoch; 0: all",
            int,
            minimum=0,
        ),
        Setting(
            "confidence",
            False,
            "Calibrate on the held-out pairs the probability that an output is correct, and add "
            "`confidences` to the outputs of the model and its exports",
            bool,
        ),
        Setting("samples", 50, "Number of sample outputs in samples.txt", int, minimum=0),
    ),
}
SETTINGS = {setting.name: setting for section in SECTIONS.values() for setting in section}
