"""The settings of a training, in one table."""

from __future__ import annotations

from keras_s2s.cli.setting import Setting

TOKENIZERS = ("char", "byte", "word", "subword", "features")
STOPPING = ("bound", "finished", "length")


def _rate(name: str, default: float, text: str) -> Setting:
    return Setting(name, default, text, float, minimum=0, maximum=0.95)


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
        Setting(
            "units",
            256,
            "Size of the states of encoder (each direction) and decoder",
            int,
            minimum=1,
        ),
        Setting(
            "embedding_dim",
            None,
            "Size of the embeddings; null: as units",
            int,
            minimum=1,
            optional=True,
        ),
        Setting("encoder_layers", 1, "Layers of the encoder", int, minimum=1),
        Setting("decoder_layers", 1, "Layers of the decoder", int, minimum=1),
        Setting("bidirectional", True, "Read the source in both directions", bool),
        Setting(
            "context",
            "last_state",
            "c = q(h_1 ... h_T): last_state, mean, max or attention_pool",
            choices=("last_state", "mean", "max", "attention_pool"),
        ),
        Setting(
            "context_to",
            "initial_state",
            "Where c goes: initial_state, every_step or both",
            choices=("initial_state", "every_step", "both"),
        ),
        Setting(
            "attention",
            "luong",
            "none, luong, luong_dot, luong_concat or bahdanau",
            choices=("none", "luong", "luong_dot", "luong_concat", "bahdanau"),
        ),
        Setting("input_feeding", False, "Feed what attention gave to the next step; slower", bool),
        Setting(
            "residual", False, "Add the inputs of each layer but the first to its outputs", bool
        ),
        Setting("layer_normalization", False, "Normalise what each layer gives out", bool),
        _rate("dropout", 0.2, "Rate at which inputs of layers are dropped in training"),
        _rate("recurrent_dropout", 0.0, "The same for the connections from step to step"),
        _rate("word_dropout", 0.0, "Rate at which a token becomes unknown in training"),
    ),
    "Training": (
        Setting("epochs", 20, "Most times that all pairs are trained on", int, minimum=1),
        Setting(
            "minutes",
            None,
            "Most minutes of training, interruptions not counted; null: any",
            float,
            minimum=0.001,
            optional=True,
        ),
        Setting(
            "patience", 5, "Epochs without a better figure before it ends; 0: never", int, minimum=0
        ),
        Setting(
            "watch",
            "wer",
            "The figure that says what is better: wer, ter, bleu or chrf",
            choices=("wer", "ter", "bleu", "chrf"),
        ),
        Setting("batch_size", 64, "Pairs in a batch", int, minimum=1),
        Setting(
            "batch_tokens",
            None,
            "In its place: most tokens of a batch on either side",
            int,
            minimum=1,
            optional=True,
        ),
        Setting(
            "learning_rate",
            0.002,
            "The highest learning rate of Adam",
            float,
            minimum=1e-9,
            maximum=10,
        ),
        Setting(
            "schedule",
            "cosine",
            "Its way down: constant, linear, cosine, inverse_sqrt or plateau",
            choices=("constant", "linear", "cosine", "inverse_sqrt", "plateau"),
        ),
        Setting("warmup_steps", 200, "Steps in which it rises from 0", int, minimum=0),
        Setting(
            "gradient_clip",
            5.0,
            "Largest norm of the gradients together; null: any",
            float,
            minimum=1e-6,
            optional=True,
        ),
        Setting(
            "label_smoothing",
            0.0,
            "Probability that is spread over the vocabulary",
            float,
            minimum=0,
            maximum=0.9,
        ),
        Setting(
            "reduction",
            "token",
            "Mean of the loss over the tokens or the sequences of a batch",
            choices=("token", "sequence"),
        ),
        Setting(
            "precision",
            "float32",
            "float32, mixed_bfloat16 or mixed_float16",
            choices=("float32", "mixed_bfloat16", "mixed_float16"),
        ),
        Setting("seed", 0, "Seed of weights, orders and dropout", int, minimum=0),
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
            "words",
            "What the token error rate counts: words or characters",
            choices=("words", "characters"),
        ),
        Setting("bleu_tokenize", "13a", "How sacrebleu splits texts; none where spaces do it"),
        Setting(
            "evaluation_sources",
            1000,
            "Held-out sources that are searched for each epoch; 0: all",
            int,
            minimum=0,
        ),
        Setting("samples", 50, "Outputs that are written into samples.txt", int, minimum=0),
    ),
}
SETTINGS = {setting.name: setting for section in SECTIONS.values() for setting in section}
