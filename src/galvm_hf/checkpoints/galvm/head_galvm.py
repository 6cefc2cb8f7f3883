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
"""The head of tasks about whole galaxies: numbers from their features."""

import torch
from torch import nn

from .configuration_galvm import GalvmConfig

SMALLEST_DEVIATION = 1e-6


class GalvmFeatureHead(nn.Module):
    """The paper's two fully connected layers (its section 3.1), on standardised features.

    What the features of all galaxies have in common is much larger than what tells one from another. A head that has
    to learn that first takes several times as many images to come as far, so it is measured before training begins.

    Args:
        config: The sizes.
        output_size: How many numbers it gives.

    Attributes:
        mean: Of each feature over galaxies, `[hidden_size]`.
        deviation: Its standard deviation, `[hidden_size]`.
    """

    def __init__(self, config: GalvmConfig, output_size: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(config.hidden_size))
        self.register_buffer("deviation", torch.ones(config.hidden_size))
        self.fc1 = nn.Linear(config.hidden_size, config.classifier_hidden_size)
        self.activation_fn = nn.ReLU()
        self.dropout = nn.Dropout(config.classifier_dropout_prob)
        self.fc2 = nn.Linear(config.classifier_hidden_size, output_size)

    @torch.no_grad()
    def standardise(self, features: torch.Tensor) -> None:
        """Measure what features look like, once, before the head is trained.

        Args:
            features: Of some galaxies, `[N, hidden_size]`.
        """
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0, correction=0).clamp(min=SMALLEST_DEVIATION))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """`[B, hidden_size]` to `[B, output_size]`."""
        standardised = (features - self.mean) / self.deviation
        return self.fc2(self.dropout(self.activation_fn(self.fc1(standardised))))
