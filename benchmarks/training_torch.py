"""The systems of `benchmarks/training.py` in PyTorch: the same model, padded or packed.

It imports no TensorFlow, so PyTorch may be in an environment of its own.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from benchmarks.training_data import LEARNING_RATE, Batch, Train, Workload


class TorchSeq2Seq(nn.Module):
    """An encoder and a decoder of `nn.LSTM` layers.

    Args:
        workload: Sizes of the model.
        packed: Boolean. Whether the encoder uses `pack_padded_sequence`.
    """

    def __init__(self, workload: Workload, *, packed: bool) -> None:
        super().__init__()
        self.packed = packed
        self.num_layers = workload.num_layers
        sizes = (workload.embedding_dim, workload.units, workload.num_layers)
        self.source_embedding = nn.Embedding(
            workload.source_vocabulary_size, workload.embedding_dim, padding_idx=0
        )
        self.target_embedding = nn.Embedding(
            workload.target_vocabulary_size, workload.embedding_dim, padding_idx=0
        )
        self.encoder = nn.LSTM(*sizes, batch_first=True)
        self.bridge = nn.Linear(workload.units, 2 * workload.num_layers * workload.units)
        self.decoder = nn.LSTM(*sizes, batch_first=True)
        self.logits = nn.Linear(workload.units, workload.target_vocabulary_size)

    def forward(self, source_ids: torch.Tensor, target_inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits `(batch, target_length, vocabulary_size)`."""
        values = self.source_embedding(source_ids)
        lengths = source_ids.ne(0).sum(1)
        if self.packed:
            packed = nn.utils.rnn.pack_padded_sequence(
                values, lengths, batch_first=True, enforce_sorted=False
            )
            _, (hidden, _) = self.encoder(packed)
            last = hidden[-1]
        else:
            outputs, _ = self.encoder(values)
            last = outputs[torch.arange(len(lengths)), lengths - 1]
        states = self.bridge(last).chunk(2 * self.num_layers, dim=-1)
        hidden, cell = torch.stack(states[::2]).tanh(), torch.stack(states[1::2])
        outputs, _ = self.decoder(self.target_embedding(target_inputs), (hidden, cell))
        return self.logits(outputs)


def train_step(
    model: TorchSeq2Seq,
    optimizer: torch.optim.Optimizer,
    source_ids: torch.Tensor,
    target_inputs: torch.Tensor,
    labels: torch.Tensor,
    bfloat16: bool,
    device: str = "cpu",
) -> None:
    """Run one step of Adam."""
    optimizer.zero_grad(set_to_none=True)
    with torch.autocast(device, torch.bfloat16, enabled=bfloat16):
        logits = model(source_ids, target_inputs)
    loss = nn.functional.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=0
    )
    loss.backward()
    optimizer.step()


def make_system(
    name: str,
    workload: Workload,
    batches: list[Batch],
    policy: str,
    *,
    device: str = "cpu",
    fused: bool | None = None,
) -> Train:
    """Build the model of a system.

    Args:
        name: "PyTorch, padded" or "PyTorch, packed encoder".
        workload: Sizes of the model.
        batches: Training batches.
        policy: Name of the dtype policy: "float32" or "mixed_bfloat16".
        device: Device to train on. Each batch is copied to it in its step. Defaults to "cpu".
        fused: Boolean or None. Whether Adam is fused. `None` is the default of PyTorch.

    Returns:
        A function that runs one pass over the batches.
    """
    model = TorchSeq2Seq(workload, packed=name == "PyTorch, packed encoder").to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE, fused=fused)
    tensors = [
        tuple(torch.from_numpy(part.astype(np.int64)) for part in (*inputs.values(), labels))
        for inputs, labels in batches
    ]

    def train() -> None:
        for batch in tensors:
            source_ids, target_inputs, labels = (it.to(device, non_blocking=True) for it in batch)
            bfloat16 = policy == "mixed_bfloat16"
            train_step(model, optimizer, source_ids, target_inputs, labels, bfloat16, device)
        if device == "cuda":
            torch.cuda.synchronize()

    return train
