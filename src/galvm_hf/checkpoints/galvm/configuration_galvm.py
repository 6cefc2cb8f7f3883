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
"""GaLVM's configuration: every size of the Swin U-Net and of its heads."""

from typing import Any, Self

from huggingface_hub.dataclasses import strict
from transformers.backbone_utils import BackboneConfigMixin
from transformers.configuration_utils import PreTrainedConfig


@strict
class GalvmConfig(BackboneConfigMixin, PreTrainedConfig):
    """Sizes of a GaLVM: a Swin Transformer U-Net for galaxy stamps (Fu et al. 2024, arXiv 2405.10890).

    The encoder has one stage for each entry of `depths`; from one to the next the resolution halves and the width
    doubles. The decoders mirror all stages but the last (SUNet, Fan et al. 2022). The presets [`GalvmConfig.tiny`],
    [`GalvmConfig.small`] and [`GalvmConfig.base`] set the sizes that belong together.

    Args:
        image_size: Height and width, in px, of the stamps that the model is trained on. Others work too.
        patch_size: Height and width, in px, of the square that becomes one token.
        num_channels: Number of bands; three, g, r, z, in the order of wavelength.
        embed_dim: Width of the first stage.
        depths: Number of Swin layers in each encoder stage.
        num_heads: Number of attention heads in each encoder stage.
        window_size: Height and width of an attention window, in tokens.
        mlp_ratio: Hidden width of a layer's MLP, relative to the layer's width.
        qkv_bias: Whether queries, keys and values have a bias.
        hidden_dropout_prob: Dropout after embeddings, attention and MLP.
        attention_probs_dropout_prob: Dropout of the attention weights.
        drop_path_rate: Stochastic depth of the last encoder layer; it grows linearly from zero at the first.
        hidden_act: Activation in the MLPs.
        initializer_range: Standard deviation of the initial weights.
        layer_norm_eps: Epsilon of the layer norms.
        use_skips: Whether the restoration and inpainting decoders get the encoder's stages beside the features
            (U-Net skips).
        pretraining_skips: The same for the pre-training decoder. Off by default, because with skips plain
            autoencoding copies its input past the bottleneck that the features are taken from.
        head_depth: Number of Swin layers in each stage of the restoration and inpainting decoders.
        detail_depths: Number of convolution blocks of the same two decoders: at half the image's resolution, at that
            of the tokens, and at half the image's resolution again.
        classifier_hidden_size: Width between the two fully connected layers of the classification and parameter heads.
        classifier_dropout_prob: Dropout between those two.
        detection_channels: Width of the feature pyramid and of the convolutions of the lens detector.
        detection_hidden_size: Width of the fully connected layers of its box head.
        detection_anchor_size: Side of the anchors on the finest level of the pyramid, px; it doubles with each level.
        detections_per_image: Most detections that it returns for an image.
        parameter_names: Physical parameters that the parameter head measures.
        parameter_means: Mean of each, in its units; the head learns what differs from it.
        parameter_deviations: Standard deviation of each, in its units.

    Raises:
        ValueError: If sizes contradict one another (`validate_architecture`).

    Example:

    ```python
    >>> from galvm_hf import GalvmConfig
    >>> GalvmConfig.tiny().hidden_size
    256
    ```
    """

    model_type = "galvm"

    attribute_map = {"num_attention_heads": "num_heads", "num_hidden_layers": "num_layers"}

    image_size: int = 128
    patch_size: int = 4
    num_channels: int = 3
    embed_dim: int = 96
    depths: list[int] | tuple[int, ...] = (8, 8, 8, 8)
    num_heads: list[int] | tuple[int, ...] = (3, 6, 12, 24)
    window_size: int = 8
    mlp_ratio: float | int = 4.0
    qkv_bias: bool = True
    hidden_dropout_prob: float | int = 0.0
    attention_probs_dropout_prob: float | int = 0.0
    drop_path_rate: float | int = 0.0
    hidden_act: str = "gelu"
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-5
    use_skips: bool = True
    pretraining_skips: bool = False
    head_depth: int = 2
    detail_depths: list[int] | tuple[int, ...] = (2, 3, 2)
    classifier_hidden_size: int = 256
    classifier_dropout_prob: float | int = 0.0
    detection_channels: int = 64
    detection_hidden_size: int = 256
    detection_anchor_size: int = 12
    detections_per_image: int = 32
    parameter_names: list[str] | tuple[str, ...] = ("half_light_radius", "axis_ratio", "sersic_index")
    parameter_means: list[float | int] | tuple[float | int, ...] = (0.0, 0.0, 0.0)
    parameter_deviations: list[float | int] | tuple[float | int, ...] = (1.0, 1.0, 1.0)
    _out_features: list[str] | None = None
    _out_indices: list[int] | None = None

    def __post_init__(self, **kwargs):
        self.num_layers = len(self.depths)
        self.hidden_size = self.embed_dim * 2 ** (len(self.depths) - 1)
        self.stage_names = ["stem"] + [f"stage{index}" for index in range(1, len(self.depths) + 1)]
        self.set_output_features_output_indices(
            out_indices=kwargs.pop("out_indices", None), out_features=kwargs.pop("out_features", None)
        )
        super().__post_init__(**kwargs)

    def validate_architecture(self):
        """Refuse sizes that contradict one another; called at construction and on every change of a field."""
        sizes = ("image_size", "patch_size", "num_channels", "embed_dim", "window_size", "head_depth")
        sizes += ("classifier_hidden_size", "detection_channels", "detection_hidden_size")
        sizes += ("detection_anchor_size", "detections_per_image")
        for name in sizes:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if len(self.depths) < 2 or min(self.depths) < 1:
            raise ValueError(f"depths needs at least two stages of at least one layer each, got {self.depths}.")
        if len(self.num_heads) != len(self.depths):
            raise ValueError(
                f"num_heads needs one entry for each stage of depths, got num_heads={self.num_heads} for "
                f"depths={self.depths}."
            )
        for stage, heads in enumerate(self.num_heads):
            width = self.embed_dim * 2**stage
            if heads < 1 or width % heads:
                raise ValueError(
                    f"num_heads[{stage}] must divide the width {width} of its stage (embed_dim={self.embed_dim} "
                    f"doubled {stage} times), got {heads}."
                )

        if len(self.detail_depths) != 3 or min(self.detail_depths) < 0:
            raise ValueError(f"detail_depths needs three numbers of blocks, got {self.detail_depths}.")
        names, means, deviations = self.parameter_names, self.parameter_means, self.parameter_deviations
        if not len(names) == len(means) == len(deviations):
            raise ValueError(
                f"parameter_means and parameter_deviations need one entry for each of parameter_names={names}, got "
                f"{means} and {deviations}."
            )
        if not all(deviation > 0 for deviation in deviations):
            raise ValueError(f"parameter_deviations must be above 0, got {deviations}.")

    @classmethod
    def tiny(cls, **overrides: Any) -> Self:
        """The size that trains and serves on two CPU cores: width 32, four layers a stage, 256 features."""
        return cls(**{"embed_dim": 32, "depths": (4, 4, 4, 4), "num_heads": (1, 2, 4, 8), **overrides})

    @classmethod
    def small(cls, **overrides: Any) -> Self:
        """Width 48, eight layers a stage, 384 features: about 25 million parameters in encoder and decoder."""
        return cls(
            **{"embed_dim": 48, "depths": (8, 8, 8, 8), "num_heads": (2, 3, 6, 12), "head_depth": 4, **overrides}
        )

    @classmethod
    def base(cls, **overrides: Any) -> Self:
        """The paper's size: width 96, eight layers a stage, 768 features, about 100 million parameters."""
        return cls(
            **{"embed_dim": 96, "depths": (8, 8, 8, 8), "num_heads": (3, 6, 12, 24), "head_depth": 4, **overrides}
        )


__all__ = ["GalvmConfig"]
