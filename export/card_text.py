"""Model card of an export as readable text. Does not import TensorFlow."""

from __future__ import annotations

from typing import Any

from keras_s2s.checks import count_of
from keras_s2s.export.parts import CARD

# Distributions whose versions a card names: for every export, and for some formats.
PACKAGES_OF_MODEL = ("python", "keras-s2s", "tensorflow", "keras")
PACKAGES_OF_FORMAT = {"LiteRT": ("ai-edge-litert",), "ONNX": ("tf2onnx", "onnxruntime")}


def to_markdown(card: dict[str, Any]) -> str:
    """Format a card as Markdown.

    Args:
        card: The result of `make_card`.

    Returns:
        The Markdown text.
    """
    parity = card["parity"]
    lines = [
        f"# Sequence-to-sequence model, {card['format']}",
        "",
        f"Created {card['created']} with {_relevant_versions(card)}.",
        "",
        "| part | |",
        "|---|---|",
        *(f"| {part} | {_in_line(card[part])} |" for part in ("source", "target", "search")),
        *_model_lines(card),
        f"| parameters | {card['parameters']:,} |",
    ]
    if card["max_source_length"] is not None:
        then = (
            "longer ones are truncated"
            if card["truncate_source"]
            else "longer ones get no hypothesis (empty text, score -1e9)"
        )
        lines += [
            "",
            f"Sources may have up to {card['max_source_length']} tokens, including eos; {then}.",
        ]
    if card["figures"]:
        lines += ["", "| figure | value |", "|---|---|"]
        lines += [f"| {name} | {value:g} |" for name, value in card["figures"].items()]
    if parity is not None:
        lines += [
            "",
            f"Compared {count_of(parity['num_texts'], 'output')} with the model: "
            f"{parity['compared']} differ by at most {parity['difference']:.1e} (allowed: "
            f"{parity['tolerance']:g}). Best hypotheses with the same text: "
            f"{parity['num_same_texts']} of {parity['num_texts']}.",
        ]
    if card["signatures"]:
        lines += ["", "| signature | inputs | outputs |", "|---|---|---|"]
    lines += [
        f"| `{name}` | {_in_line(sides['inputs'])} | {_in_line(sides['outputs'])} |"
        for name, sides in card["signatures"].items()
    ]
    for name, note in card["notes"].items():
        lines += ["", f"`{name}`: {note}"]
    if card["operations"]:
        lines += ["", _describe_operations(card)]
    return "\n".join([*lines, ""])


def _relevant_versions(card: dict[str, Any]) -> str:
    """Return the versions of the packages that matter for the format and the signatures."""
    file_format = card["format"].partition(" ")[0]
    names = [*PACKAGES_OF_MODEL, *PACKAGES_OF_FORMAT.get(file_format, ())]
    if _text_operations(card):
        names.append("tensorflow-text")
    versions = card["versions"]
    return ", ".join(f"{name} {versions[name]}" for name in names if name in versions)


def _describe_operations(card: dict[str, Any]) -> str:
    """Return a line on the operations that a runtime needs. Only unusual ones are named."""
    text = ", ".join(_text_operations(card)) or "none"
    return f"Operations: {len(card['operations'])}, listed in {CARD}. From tensorflow-text: {text}."


def _text_operations(card: dict[str, Any]) -> list[str]:
    return [name for name in card["operations"] if name.startswith("TFText>")]


def _model_lines(card: dict[str, Any]) -> list[str]:
    """Format the table rows of encoder and decoder; for an ensemble, of each member."""
    members = card.get("members", [card])
    lines = [f"| average | {card['average']} |"] if "average" in card else []
    for number, member in enumerate(members, 1):
        place = f" {number}" if "average" in card else ""
        lines += [
            f"| {part}{place} | {_in_line(member[part])} |" for part in ("encoder", "decoder")
        ]
    return lines


def _in_line(values: dict[str, Any]) -> str:
    """Format settings for one cell of a table."""
    return "; ".join(f"{name} {value}" for name, value in values.items() if value is not None)
