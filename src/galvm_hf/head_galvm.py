# Copyright 2026 The GaLVM developers. All rights reserved.
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""The head of tasks about whole galaxies: what it sees of the encoder, and the layers that make an answer of it."""

import torch
from torch import nn
from transformers.utils import ModelOutput

from .configuration_galvm import GalvmConfig

# of statistics, which are of order one: what varies less is noise, and must not be blown up
SMALLEST_DEVIATION = 1e-2
SMALLEST_VARIANCE = 1e-6


def num_statistics(config: GalvmConfig) -> int:
    """How many numbers `stage_statistics` gives."""
    return 2 * (config.embed_dim + sum(config.embed_dim * 2**index for index in range(len(config.depths))))


def stage_statistics(outputs: ModelOutput) -> torch.Tensor:
    """Mean and standard deviation over the tokens of every stage: structure of every scale, and how much it varies.

    The means of the last stage alone are the features. Early stages know of arms and edges what it has no room for.

    Args:
        outputs: Of `GalvmModel`. Its `last_hidden_state`, tokens after the final norm, stands for the last stage.

    Returns:
        `[B, 2 * sum of C_i]`.
    """
    before = (feature_map.flatten(2).transpose(1, 2) for feature_map in outputs.feature_maps[:-1])
    tokens = [*before, outputs.last_hidden_state]
    moments = [torch.var_mean(part.float(), dim=1, correction=0) for part in tokens]
    parts = [part for variance, mean in moments for part in (mean, (variance + SMALLEST_VARIANCE).sqrt())]
    return torch.cat(parts, dim=1).to(outputs.last_hidden_state.dtype)


class GalvmFeatureHead(nn.Module):
    """The paper's two fully connected layers (its section 3.1), on standardised statistics of all stages.

    What all galaxies have in common is much larger than what tells one from another. A head that has to learn that
    first is slow, so it is measured before training begins.

    Args:
        config: The sizes.
        output_size: How many numbers it gives.

    Attributes:
        mean: Of each statistic over galaxies, `[S]`.
        deviation: Its standard deviation, `[S]`.
    """

    def __init__(self, config: GalvmConfig, output_size: int):
        super().__init__()
        size = num_statistics(config)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))
        self.fc1 = nn.Linear(size, config.classifier_hidden_size)
        self.activation_fn = nn.ReLU()
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.fc2 = nn.Linear(config.classifier_hidden_size, output_size)

    @torch.no_grad()
    def standardise(self, statistics: torch.Tensor) -> None:
        """Measure what the statistics look like, once, before the head is trained.

        Args:
            statistics: Of some galaxies, `[N, S]`.
        """
        self.mean.copy_(statistics.mean(0))
        self.deviation.copy_(statistics.std(0, correction=0).clamp(min=SMALLEST_DEVIATION))

    def forward(self, statistics: torch.Tensor) -> torch.Tensor:
        """`[B, S]` to `[B, output_size]`."""
        standardised = (statistics - self.mean) / self.deviation
        return self.fc2(self.dropout(self.activation_fn(self.fc1(standardised))))
