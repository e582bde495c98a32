"""PyTorch in the search benchmark: plain batched search, and one with fairseq's bookkeeping."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.search_sizes import BOS_ID, EOS_ID, NEVER, PAD_ID, Sizes

State = list[tuple[torch.Tensor, torch.Tensor]]


def use_threads(threads: int) -> None:
    """Set the number of PyTorch threads. Must be called first."""
    torch.set_num_threads(threads)


class TorchDecoder(torch.nn.Module):
    """Embedding, `LSTMCell`s and a linear layer, with random weights that never predict eos."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(sizes.vocabulary_size, sizes.embedding_dim)
        widths = [sizes.embedding_dim, *[sizes.units] * (sizes.num_layers - 1)]
        self.cells = torch.nn.ModuleList(torch.nn.LSTMCell(width, sizes.units) for width in widths)
        self.logits = torch.nn.Linear(sizes.units, sizes.vocabulary_size)
        with torch.no_grad():
            self.logits.bias[EOS_ID] = NEVER

    def forward(self, token_ids: torch.Tensor, states: State) -> tuple[torch.Tensor, State]:
        """Run one step."""
        values, new_states = self.embedding(token_ids), []
        for cell, state in zip(self.cells, states, strict=True):
            new_states.append(cell(values, state))
            values = new_states[-1][0]
        return self.logits(values), new_states


def plain(decoder: TorchDecoder, sizes: Sizes, batch: int) -> torch.Tensor:
    """Search all rows together. Finished hypotheses are only fed pads."""
    width, vocabulary = sizes.beam_width, sizes.vocabulary_size
    states = _first_states(sizes, batch * width)
    row_starts = torch.arange(batch).unsqueeze(1) * width
    ids = torch.zeros(batch, width, sizes.steps, dtype=torch.long)
    log_probs = torch.full((batch, width), -1e9)
    log_probs[:, 0] = 0.0
    last = torch.full((batch * width,), BOS_ID)
    for time in range(sizes.steps):
        logits, states = decoder(last, states)
        total = log_probs.unsqueeze(2) + logits.log_softmax(-1).view(batch, width, vocabulary)
        log_probs, positions = total.view(batch, -1).topk(width)
        parents = (row_starts + positions // vocabulary).view(-1)
        last = (positions % vocabulary).view(-1)
        states = [(h.index_select(0, parents), c.index_select(0, parents)) for h, c in states]
        ids = ids.view(batch * width, -1).index_select(0, parents).view(batch, width, -1)
        ids[:, :, time] = last.view(batch, width)
        if bool((last == EOS_ID).all()):
            break
    return ids


def fairseq_style(decoder: TorchDecoder, sizes: Sizes, batch: int) -> torch.Tensor:
    """Search with fairseq's bookkeeping: 2k candidates, and finished ones removed in Python."""
    width, vocabulary = sizes.beam_width, sizes.vocabulary_size
    states = _first_states(sizes, batch * width)
    tokens = torch.full((batch * width, sizes.steps + 1), PAD_ID)
    tokens[:, 0] = BOS_ID
    scores = torch.zeros(batch * width, sizes.steps)
    row_starts = torch.arange(batch).unsqueeze(1) * width
    ignore = torch.zeros(batch, width, dtype=torch.bool)
    finished: list[list[Any]] = [[] for _ in range(batch)]
    for time in range(sizes.steps):
        logits, states = decoder(tokens[:, time], states)
        log_probs = logits.float().log_softmax(-1)
        log_probs[log_probs != log_probs] = float("-inf")
        log_probs[:, PAD_ID] = float("-inf")
        total = log_probs.view(batch, width, vocabulary)
        if time == 0:  # all hypotheses are equal: use the first only
            total = total[:, ::width, :].contiguous()
        else:
            total = total + scores.view(batch, width, -1)[:, :, time - 1 : time]
        found, positions = total.view(batch, -1).topk(2 * width)
        beams, new_ids = positions // vocabulary, positions % vocabulary
        candidates = row_starts + beams
        ends = (new_ids == EOS_ID) & (found > float("-inf"))
        ends[:, :width][ignore] = False
        ended = candidates[:, :width].masked_select(ends[:, :width])
        if ended.numel():
            for place in ended.tolist():
                finished[place // width].append(tokens[place].clone())
        if all(len(row) >= width for row in finished):
            break
        order = ends.long() * 2 * width + torch.arange(2 * width)
        ignored, active = order.topk(width, dim=1, largest=False)
        ignore = ignored >= 2 * width
        parents = candidates.gather(1, active).view(-1)
        tokens[:, : time + 1] = tokens[:, : time + 1].index_select(0, parents)
        tokens.view(batch, width, -1)[:, :, time + 1] = new_ids.gather(1, active)
        if time:
            scores[:, :time] = scores[:, :time].index_select(0, parents)
        scores.view(batch, width, -1)[:, :, time] = found.gather(1, active)
        states = [(h.index_select(0, parents), c.index_select(0, parents)) for h, c in states]
    return tokens


def _first_states(sizes: Sizes, rows: int) -> State:
    zeros = torch.zeros(rows, sizes.units)
    return [(zeros, zeros) for _ in range(sizes.num_layers)]


def _make(search: Any, sizes: Sizes, batch: int) -> Callable[[], Any]:
    decoder = TorchDecoder(sizes)

    def run() -> Any:
        with torch.inference_mode():
            return search(decoder, sizes, batch)

    return run


SYSTEMS = {
    "PyTorch": functools.partial(_make, plain),
    "PyTorch, fairseq-style": functools.partial(_make, fairseq_style),
}
