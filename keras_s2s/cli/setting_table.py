"""Table of all training settings.

The settings in `keras_s2s.recommended.FITTED` have no default here. They are derived from the
training pairs.
"""

from __future__ import annotations

import math

from keras_s2s.cli.setting import Setting
from keras_s2s.recommended import ATTENTION, BIDIRECTIONAL, GRADIENT_CLIP, REDUCTION

TOKENIZERS = ("char", "byte", "word", "subword", "features")
STOPPING = ("bound", "finished", "length")
_LARGEST = 1 << 15  # units; a layer of this size has 32 GB of weights
_DEEPEST = 64  # layers


def _rate(name: str, default: float, text: str) -> Setting:
    return Setting(name, default, text, float, minimum=0, maximum=0.95)


def _fitted(
    name: str, text: str, kind: type = int, minimum: float = 1, maximum: float = math.inf
) -> Setting:
    """Define a setting whose default is derived from the number and length of the pairs."""
    text = f"{text}; null: fitted to the pairs"
    return Setting(name, None, text, kind, minimum=minimum, maximum=maximum, optional=True)


SECTIONS: dict[str, tuple[Setting, ...]] = {
    "Files": (
        Setting(
            "train",
            None,
            "Pairs to train on: source<TAB>target lines; one file or more",
            several=True,
        ),
        Setting("valid", None, "Held-out pairs, by which the best model is chosen"),
        Setting(
            "features_column",
            None,
            "Column that holds features, where lines have three: 2 in lemma<TAB>features<TAB>form; "
            "null: lines have two columns",
            int,
            minimum=1,
            maximum=3,
            optional=True,
        ),
        Setting(
            "output", "run", "Folder of the run; empty, or that of the same run, which goes on"
        ),
        Setting(
            "import",
            None,
            "Python module that registers your own layers or functions; one or more; null: none",
            several=True,
            optional=True,
        ),
        Setting(
            "stream", False, "Read the pairs from the files in each epoch, not into memory", bool
        ),
    ),
    "Text": (
        Setting(
            "source_tokenizer",
            "char",
            "What a source token is: char, byte, word, subword, or features (characters of a word, "
            "then features as in V;PST), which replaces char with features_column",
            choices=TOKENIZERS,
        ),
        Setting(
            "target_tokenizer",
            "char",
            "What a target token is: char, byte, word or subword",
            choices=TOKENIZERS[:4],
        ),
        Setting(
            "source_vocabulary_size",
            None,
            "Most source tokens; null: all there are, 8000 subwords",
            int,
            minimum=5,
            optional=True,
        ),
        Setting(
            "target_vocabulary_size",
            None,
            "Most target tokens; null: all there are, 8000 subwords",
            int,
            minimum=5,
            optional=True,
        ),
        Setting(
            "max_source_length",
            None,
            "Longer sources are left out in training; null: none",
            int,
            minimum=1,
            optional=True,
        ),
        Setting(
            "max_target_length",
            None,
            "Longer targets are left out in training; null: none",
            int,
            minimum=1,
            optional=True,
        ),
    ),
    "Model": (
        Setting(
            "init_from",
            None,
            "Model whose weights and vocabularies it begins with, of these settings: a .keras "
            "file or the folder of a run; null: none",
            optional=True,
        ),
        Setting("cell", "lstm", "Recurrent layers: lstm or gru", choices=("lstm", "gru")),
        _fitted(
            "units",
            "Size of the recurrent states of the decoder and each encoder direction",
            maximum=_LARGEST,
        ),
        Setting(
            "embedding_dim",
            None,
            "Size of the embeddings; null: as units",
            int,
            minimum=1,
            maximum=_LARGEST,
            optional=True,
        ),
        _fitted("encoder_layers", "Layers of the encoder", maximum=_DEEPEST),
        _fitted("decoder_layers", "Layers of the decoder", maximum=_DEEPEST),
        Setting("bidirectional", BIDIRECTIONAL, "Read the source in both directions", bool),
        Setting(
            "context",
            "last_state",
            "c = q(h_1 ... h_T): last_state, mean, max, attention_pool, or your own by the name "
            "that import registers, package>name",
            choices=("last_state", "mean", "max", "attention_pool"),
            registered=True,
        ),
        Setting(
            "context_to",
            "initial_state",
            "Where c goes: initial_state, every_step or both",
            choices=("initial_state", "every_step", "both"),
        ),
        Setting(
            "attention",
            ATTENTION,
            "none, luong, luong_dot, luong_concat, bahdanau or monotonic (exact hard monotonic)",
            choices=("none", "luong", "luong_dot", "luong_concat", "bahdanau", "monotonic"),
        ),
        Setting("copy", False, "Copy source tokens by the weights of the attention", bool),
        Setting("input_feeding", False, "Feed what attention gave to the next step; slower", bool),
        Setting(
            "residual", False, "Add the inputs of each layer but the first to its outputs", bool
        ),
        Setting("layer_normalization", False, "Normalise what each layer gives out", bool),
        _fitted("dropout", "Dropout rate of the inputs of layers", float, 0, maximum=0.95),
        _rate("recurrent_dropout", 0.0, "The same for the connections from step to step"),
        _rate("word_dropout", 0.0, "Rate at which a token becomes unknown in training"),
    ),
    "Training": (
        Setting(
            "models",
            1,
            "Number of models to train, from seeds `seed`, `seed` + 1, ...; more than one: each in "
            "its own folder, and best.keras is their ensemble. `minutes` are for each",
            int,
            minimum=1,
        ),
        Setting(
            "teacher",
            None,
            "Model to distill, usually an ensemble: training learns its predictions, takes its "
            "vocabularies and has no label smoothing. A .keras file or a run's folder; null: none",
            optional=True,
        ),
        _fitted("epochs", "Number of passes over the training pairs"),
        Setting(
            "minutes",
            None,
            "Stop after this many minutes of wall-clock time, which interruptions do not add to; "
            "the learning rate then falls by that time. null: no limit",
            float,
            minimum=0.001,
            optional=True,
        ),
        _fitted(
            "patience",
            "Epochs after warm-up without a better WER, TER or loss before training stops; "
            "0: never stop early",
            int,
            0,
        ),
        Setting(
            "watch",
            "wer",
            "The figure that says what is better: wer, ter, bleu or chrf",
            choices=("wer", "ter", "bleu", "chrf"),
        ),
        _fitted("batch_size", "Pairs in a batch"),
        Setting(
            "batch_tokens",
            None,
            "In its place: most tokens of a batch on either side",
            int,
            minimum=1,
            optional=True,
        ),
        _fitted("learning_rate", "Highest learning rate of Adam", float, 1e-9, maximum=10),
        Setting(
            "schedule",
            "cosine",
            "Its way down: constant, linear, cosine, inverse_sqrt or plateau",
            choices=("constant", "linear", "cosine", "inverse_sqrt", "plateau"),
        ),
        _fitted("warmup_steps", "Steps during which the learning rate rises from 0", int, 0),
        Setting(
            "gradient_clip",
            GRADIENT_CLIP,
            "Largest norm of the gradients together; null: any",
            float,
            minimum=1e-6,
            optional=True,
        ),
        _fitted(
            "label_smoothing",
            "Probability mass that the loss spreads over the vocabulary",
            float,
            0,
            maximum=0.9,
        ),
        Setting(
            "reduction",
            REDUCTION,
            "Mean of the loss over the tokens or the sequences of a batch",
            choices=("token", "sequence"),
        ),
        Setting(
            "precision",
            "float32",
            "float32, mixed_bfloat16 or mixed_float16",
            choices=("float32", "mixed_bfloat16", "mixed_float16"),
        ),
        Setting(
            "seed", 0, "Seed of weights, orders and dropout", int, minimum=0, maximum=2**32 - 1
        ),
        Setting(
            "save_every",
            1000,
            "Steps between two savings of the state; it is saved each epoch too",
            int,
            minimum=1,
        ),
        Setting(
            "threads",
            None,
            "Threads of the processor; null: as many as it has",
            int,
            minimum=1,
            optional=True,
        ),
    ),
    "Search": (
        Setting(
            "beam_width",
            5,
            "Hypotheses that are kept at each step; 1 is greedy search",
            int,
            minimum=1,
        ),
        Setting("length_penalty", 0.75, "α in score = log P / length**α", float, minimum=0),
        Setting(
            "stopping",
            "bound",
            "A search ends when: nothing better can come (bound), as many outputs as the beam is "
            "wide have ended (finished), at max_length (length)",
            choices=STOPPING,
        ),
        Setting(
            "max_length",
            None,
            "Longest output; null: 1.2 times the longest target of training",
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
        Setting("bleu_tokenize", "13a", "How sacrebleu splits texts; none where spaces do it"),
        Setting(
            "evaluation_sources",
            1000,
            "Held-out sources that are searched for each epoch; 0: all",
            int,
            minimum=0,
        ),
        Setting(
            "confidence",
            False,
            "Calibrate on the held-out pairs the probability that an output is right; answers of "
            "the model and its exports then have `confidences`",
            bool,
        ),
        Setting("samples", 50, "Outputs that are written into samples.txt", int, minimum=0),
    ),
}
SETTINGS = {setting.name: setting for section in SECTIONS.values() for setting in section}
