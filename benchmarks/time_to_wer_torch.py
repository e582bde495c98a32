"""The model of `benchmarks/time_to_wer.py` in PyTorch."""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import nn

from benchmarks.time_to_wer_systems import GRADIENT_NORM, Array, Batch, Sizes


class TorchModel:
    """The PyTorch `Network` with a training loop.

    Args:
        sizes: Sizes of the model.
    """

    def __init__(self, sizes: Sizes) -> None:
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        self._network = Network(sizes)
        self._optimizer = torch.optim.Adam(self._network.parameters())

    def train(self, batches: list[Batch], learning_rates: list[float]) -> None:
        """Run one step of Adam for each batch with the learning rate at the same index."""
        for (inputs, labels), learning_rate in zip(batches, learning_rates, strict=True):
            ids = [torch.from_numpy(part.astype(np.int64)) for part in (*inputs.values(), labels)]
            self._optimizer.param_groups[0]["lr"] = learning_rate
            self._optimizer.zero_grad(set_to_none=True)
            logits = self._network(ids[0], ids[1])
            nn.functional.cross_entropy(
                logits.flatten(0, 1), ids[2].flatten(), ignore_index=0
            ).backward()
            nn.utils.clip_grad_norm_(self._network.parameters(), GRADIENT_NORM)
            self._optimizer.step()

    def weights(self) -> list[Array]:
        """Return the weights in the order of `model_to_search`."""
        network = self._network
        parts = [
            network.source_embedding.weight,
            *_lstm(network.encoder, "_l0"),
            *_lstm(network.encoder, "_l0_reverse"),
            network.target_embedding.weight,
            *_lstm(network.decoder, "_l0"),
            network.bridge.weight.T,
            network.bridge.bias,
            network.keys.weight.T,
            network.readout.weight.T,
            network.logits.weight.T,
            network.logits.bias,
        ]
        return [part.detach().numpy() for part in parts]


class Network(nn.Module):
    """A bidirectional `nn.LSTM` encoder over packed sequences, and an attention decoder.

    Args:
        sizes: Sizes of the model.
    """

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        units, dim = sizes.units, sizes.embedding_dim
        self.source_embedding = nn.Embedding(sizes.source_vocabulary_size, dim, padding_idx=0)
        self.target_embedding = nn.Embedding(sizes.target_vocabulary_size, dim, padding_idx=0)
        self.encoder = nn.LSTM(dim, units, batch_first=True, bidirectional=True)
        self.bridge = nn.Linear(2 * units, 2 * units)
        self.decoder = nn.LSTM(dim, units, batch_first=True)
        self.keys = nn.Linear(2 * units, units, bias=False)
        self.readout = nn.Linear(3 * units, units, bias=False)
        self.logits = nn.Linear(units, sizes.target_vocabulary_size)

    def forward(self, source_ids: torch.Tensor, target_inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits `(batch, target_length, vocabulary_size)`."""
        real = source_ids.ne(0)
        packed = nn.utils.rnn.pack_padded_sequence(
            self.source_embedding(source_ids), real.sum(1), batch_first=True, enforce_sorted=False
        )
        outputs, (last, _) = self.encoder(packed)
        memory, _ = nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
        hidden, cell = self.bridge(torch.cat([last[0], last[1]], -1)).chunk(2, -1)
        states, _ = self.decoder(
            self.target_embedding(target_inputs), (hidden.tanh()[None], cell[None].contiguous())
        )
        scores = states @ self.keys(memory).transpose(1, 2)
        weights = scores.masked_fill(~real[:, None], -1e9).softmax(-1)
        return self.logits(self.readout(torch.cat([states, weights @ memory], -1)).tanh())


def _lstm(layer: nn.LSTM, name: str) -> list[torch.Tensor]:
    """Return kernel, recurrent kernel and bias in the layout of Keras."""
    weights = dict(layer.named_parameters())
    kernels = [weights[f"weight_{kind}{name}"].T for kind in ("ih", "hh")]
    return [*kernels, weights[f"bias_ih{name}"] + weights[f"bias_hh{name}"]]
