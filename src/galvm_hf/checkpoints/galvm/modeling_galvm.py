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
"""GaLVM: a Swin Transformer U-Net for galaxy images, after SUNet (Fan et al. 2022) and Fu et al. (2024).

From top to bottom: the outputs, the encoder (`GalvmModel`, `GalvmBackbone`), and the models with heads.
One checkpoint holds the encoder as `galvm.*` and each head under a prefix of its own (`_HEADS`); each class loads its
part.
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import initialization as init
from transformers.backbone_utils import BackboneMixin
from transformers.modeling_outputs import BackboneOutput
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs, logging
from transformers.utils.generic import can_return_tuple, merge_with_config_defaults
from transformers.utils.output_capturing import OutputRecorder, capture_outputs

from .configuration_galvm import GalvmConfig
from .decoder_galvm import GalvmConvolution, GalvmDecoder, GalvmDetailDecoder
from .head_galvm import GalvmFeatureHead, stage_statistics
from .layers_galvm import GalvmAttention, GalvmPatchMerging, GalvmProjection, GalvmStage
from .masks_galvm import expand_mask, fill_smoothly, hidden_error

logger = logging.get_logger(__name__)

MIN_IMAGE_SIZE = 32
# prefix of a head's weights in a checkpoint -> what the head is called when a checkpoint lacks it
_HEADS = {
    "decoder": "pre-training decoder",
    "restoration": "restoration head",
    "inpainting": "inpainting head",
    "classifier": "classification head",
    "regression": "parameter head",
    "detector": "lens detector",
}


@dataclass
class GalvmModelOutput(ModelOutput):
    """What the encoder returns. Stage i = 0 is the embedding (stem), 1 to 4 are the encoder's stages.

    Args:
        last_hidden_state: Tokens of the last stage after the final norm, `[B, H_4 * W_4, hidden_size]`.
        pooler_output: The features: their mean over all tokens, `[B, hidden_size]`.
        hidden_states: Tokens of each stage, `[B, H_i * W_i, C_i]`; with `output_hidden_states=True`.
        attentions: Weights of the last layer of each stage, `[B * windows_i, heads_i, A_i, A_i]` for windows of A
            tokens; with `output_attentions=True`.
        feature_maps: The same tokens as `hidden_states`, as maps `[B, C_i, H_i, W_i]`.
    """

    last_hidden_state: torch.Tensor | None = None
    pooler_output: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None
    feature_maps: tuple[torch.Tensor, ...] | None = None


@dataclass
class GalvmReconstructionOutput(ModelOutput):
    """What pre-training, restoration and inpainting return.

    Args:
        loss: Mean squared error, a scalar; where the class says against what.
        reconstruction: The image, display range, bands as in the input, `[B, C, H, W]`.
        hidden_states: Of the encoder, see [`GalvmModelOutput`].
        attentions: Of the encoder, see [`GalvmModelOutput`].
    """

    loss: torch.Tensor | None = None
    reconstruction: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class GalvmImageClassifierOutput(ModelOutput):
    """What classification and regression return.

    Args:
        loss: Cross-entropy, binary cross-entropy or mean squared error, by `config.problem_type`; a scalar.
        logits: Scores before the softmax or sigmoid, or the regressed values, `[B, num_labels]`.
        hidden_states: Of the encoder, see [`GalvmModelOutput`].
        attentions: Of the encoder, see [`GalvmModelOutput`].
    """

    loss: torch.Tensor | None = None
    logits: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


@dataclass
class GalvmParameterOutput(ModelOutput):
    """What the regression of physical parameters returns.

    Args:
        loss: Mean squared error of the known values in units of their deviations, a scalar.
        parameters: Each of `config.parameter_names` in its own units, `[B, P]`.
        hidden_states: Of the encoder, see [`GalvmModelOutput`].
        attentions: Of the encoder, see [`GalvmModelOutput`].
    """

    loss: torch.Tensor | None = None
    parameters: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class GalvmPreTrainedModel(PreTrainedModel):
    """Weights, loading and initialisation, as for every model of transformers."""

    config: GalvmConfig
    base_model_prefix = "galvm"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    _no_split_modules = ["GalvmStage"]
    _supports_sdpa = True
    _supports_attention_backend = True
    _can_compile_fullgraph = True
    _can_record_outputs = {
        "hidden_states": OutputRecorder(GalvmStage, index=0, capture_initial_hidden_state=True),
        "attentions": OutputRecorder(GalvmStage, index=1, capture_initial_hidden_state=False),
    }
    _input_embed_layer = "projection"
    _keys_to_ignore_on_load_unexpected = [rf"^{prefix}\." for prefix in _HEADS] + [r"embeddings\.mask_projection\."]

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, GalvmAttention):
            init.trunc_normal_(module.relative_position_bias_table, std=self.config.initializer_range)
        elif isinstance(module, nn.PReLU):
            init.constant_(module.weight, 0.25)
        elif isinstance(module, GalvmProjection):
            init.kaiming_normal_(module.weight, nonlinearity="linear")
        elif isinstance(module, GalvmConvolution):
            init.normal_(module.weight, std=module.gain / module.weight[0].numel() ** 0.5)
        elif isinstance(module, GalvmFeatureHead):
            init.zeros_(module.mean)
            init.ones_(module.deviation)

    def _adjust_missing_and_unexpected_keys(self, loading_info):
        """Say in one line that a checkpoint lacks a whole head; transformers would list its every weight."""
        super()._adjust_missing_and_unexpected_keys(loading_info)
        for prefix, name in _HEADS.items():
            own = {key for key in self.state_dict() if key.startswith(f"{prefix}.")}
            if own and own <= loading_info.missing_keys:
                logger.warning(
                    f"The checkpoint has no {name} (no `{prefix}.*` weights): that of {type(self).__name__} starts "
                    "from random weights and has to be trained before its output means anything."
                )
                loading_info.missing_keys -= own
                self._missing_head = own

    @staticmethod
    def _finalize_model_loading(model, load_config, loading_info):
        loading_info = PreTrainedModel._finalize_model_loading(model, load_config, loading_info)
        loading_info.missing_keys |= model.__dict__.pop("_missing_head", set())
        return loading_info


class GalvmEmbeddings(nn.Module):
    """Pixels to tokens: SUNet's 3 x 3 convolution, then non-overlapping patches.

    Nothing non-linear stands between the two convolutions, so they are applied as the one convolution that they
    compose to. Where pixels are hidden, a projection of the mask tells the tokens which.
    """

    def __init__(self, config: GalvmConfig, use_mask: bool):
        super().__init__()
        self.patch_size = config.patch_size
        self.stem = nn.Conv2d(config.num_channels, config.embed_dim, kernel_size=3, padding=1)
        self.projection = nn.Conv2d(config.embed_dim, config.embed_dim, config.patch_size, stride=config.patch_size)
        self.mask_projection = (
            nn.Conv2d(1, config.embed_dim, config.patch_size, stride=config.patch_size, bias=False)
            if use_mask
            else None
        )
        self.norm = nn.LayerNorm(config.embed_dim, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self, pixel_values: torch.Tensor, bool_masked_pos: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, int, int]:
        """`[B, C, H, W]` to tokens `[B, h * w, embed_dim]`, h and w; the image is padded to whole patches."""
        patch, (height, width) = self.patch_size, pixel_values.shape[-2:]
        padding = (0, -width % patch, 0, -height % patch)
        mask = None
        if bool_masked_pos is not None and self.mask_projection is not None:
            mask = expand_mask(bool_masked_pos, height, width)
            pixel_values = pixel_values.masked_fill(mask, 0.0)
            mask = nn.functional.pad(mask.to(pixel_values.dtype), padding)
        if any(padding):
            pixel_values = nn.functional.pad(pixel_values, padding, mode="replicate")

        weight = nn.functional.conv_transpose2d(self.projection.weight, self.stem.weight)
        bias = self.projection.bias + self.projection.weight.sum((2, 3)) @ self.stem.bias
        embeddings = nn.functional.conv2d(pixel_values, weight, bias, stride=patch, padding=1)
        if mask is not None:
            embeddings = embeddings + self.mask_projection(mask)
        height, width = embeddings.shape[-2:]
        embeddings = self.norm(embeddings.flatten(2).transpose(1, 2))
        return self.dropout(embeddings), height, width


class GalvmEncoder(GalvmPreTrainedModel):
    """The Swin stages, with patch merging between them."""

    def __init__(self, config: GalvmConfig):
        super().__init__(config)
        rates = torch.linspace(0, config.drop_path_rate, sum(config.depths), device="cpu").tolist()
        self.stages = nn.ModuleList()
        self.merges = nn.ModuleList()
        for index, (depth, num_heads) in enumerate(zip(config.depths, config.num_heads, strict=True)):
            hidden_size = config.embed_dim * 2**index
            if index > 0:
                self.merges.append(GalvmPatchMerging(config, hidden_size // 2))
            self.stages.append(GalvmStage(config, hidden_size, num_heads, depth, rates[:depth]))
            rates = rates[depth:]
        self.post_init()

    @merge_with_config_defaults
    @capture_outputs(tie_last_hidden_states=False)
    def forward(
        self, hidden_states: torch.Tensor, height: int, width: int, **kwargs: Unpack[TransformersKwargs]
    ) -> GalvmModelOutput:
        """Tokens of the embedding, `[B, height * width, embed_dim]`, through all stages."""

        def as_map(tokens: torch.Tensor) -> torch.Tensor:
            return tokens.transpose(1, 2).unflatten(2, (height, width))

        feature_maps = (as_map(hidden_states),)
        for index, stage in enumerate(self.stages):
            if index > 0:
                hidden_states = self.merges[index - 1](hidden_states, height, width)
                height, width = (height + 1) // 2, (width + 1) // 2
            hidden_states, _ = stage(hidden_states, height, width, **kwargs)
            feature_maps += (as_map(hidden_states),)
        return GalvmModelOutput(last_hidden_state=hidden_states, feature_maps=feature_maps)


class GalvmModel(GalvmPreTrainedModel):
    """The encoder: galaxy stamps to features.

    Args:
        config: The sizes.
        use_mask: Whether the embedding is told which pixels are hidden (the inpainting head needs it). Without it,
            hidden pixels are read with the values that the image processor filled in.
    """

    def __init__(self, config: GalvmConfig, use_mask: bool = False):
        super().__init__(config)
        self.embeddings = GalvmEmbeddings(config, use_mask)
        self.encoder = GalvmEncoder(config)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        bool_masked_pos: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> GalvmModelOutput:
        """Features of display images.

        Args:
            pixel_values: Bands g, r, z in [0, 1], `[B, C, H, W]`, H and W at least 32 px.
            bool_masked_pos: True where hidden; any shape that [`expand_mask`] takes.

        Raises:
            ValueError: If `pixel_values` has another number of dimensions or bands, or is too small.
        """
        if pixel_values.dim() != 4 or pixel_values.shape[1] != self.config.num_channels:
            raise ValueError(
                f"pixel_values must be [B, {self.config.num_channels}, H, W], got {list(pixel_values.shape)}."
            )
        if min(pixel_values.shape[-2:]) < MIN_IMAGE_SIZE:
            raise ValueError(
                f"Images must be at least {MIN_IMAGE_SIZE} px high and wide, got {list(pixel_values.shape)}: enlarge "
                "them, or let the image processor do it."
            )
        embeddings, height, width = self.embeddings(pixel_values, bool_masked_pos)
        outputs = self.encoder(embeddings, height, width, **kwargs)
        last_hidden_state = self.layernorm(outputs.last_hidden_state)
        return GalvmModelOutput(
            last_hidden_state=last_hidden_state,
            pooler_output=last_hidden_state.mean(1),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            feature_maps=outputs.feature_maps,
        )


def normalise_map(feature_map: torch.Tensor) -> torch.Tensor:
    """Layer norm of a map `[B, C, H, W]` over its channels, without weights."""
    return nn.functional.layer_norm(feature_map.permute(0, 2, 3, 1), feature_map.shape[1:2]).permute(0, 3, 1, 2)


class GalvmBackbone(BackboneMixin, GalvmPreTrainedModel):
    """The encoder as a feature pyramid for dense heads such as Mask R-CNN.

    Each map is normalised over its channels without weights of its own, so that it loads from any GaLVM checkpoint.
    """

    def __init__(self, config: GalvmConfig):
        super().__init__(config)
        widths = [config.embed_dim * 2**index for index in range(len(config.depths))]
        self.num_features = [config.embed_dim, *widths]
        self.galvm = GalvmModel(config)
        # the final norm serves features and heads alone
        self.galvm.layernorm.requires_grad_(False)
        self.post_init()

    @can_return_tuple
    def forward(self, pixel_values: torch.Tensor, **kwargs: Unpack[TransformersKwargs]) -> BackboneOutput:
        """Feature maps `[B, C_i, H_i, W_i]` of the stages in `config.out_features`.

        Args:
            pixel_values: Bands g, r, z in [0, 1], `[B, C, H, W]`, H and W at least 32 px.
        """
        outputs = self.galvm(pixel_values, **kwargs)
        feature_maps = tuple(
            normalise_map(feature_map)
            for stage, feature_map in zip(self.stage_names, outputs.feature_maps, strict=True)
            if stage in self.out_features
        )
        hidden_states = None
        if outputs.hidden_states is not None:
            # as maps, and only those asked for
            hidden_states = tuple(
                None if tokens is None else feature_map
                for tokens, feature_map in zip(outputs.hidden_states, outputs.feature_maps, strict=True)
            )
        return BackboneOutput(feature_maps=feature_maps, hidden_states=hidden_states, attentions=outputs.attentions)


class GalvmForPreTraining(GalvmPreTrainedModel):
    """Encoder and decoder for self-supervised pre-training: images from themselves, from less, or from worse.

    The paper's objective is to reproduce the input (its section 2.2). With `labels` the input may be a degraded image,
    and with `bool_masked_pos` a part of it is hidden; all goes through the bottleneck that the features are taken from.
    """

    def __init__(self, config: GalvmConfig):
        super().__init__(config)
        self.galvm = GalvmModel(config, use_mask=True)
        self.decoder = GalvmDecoder(config, use_skips=config.pretraining_skips)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        bool_masked_pos: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> GalvmReconstructionOutput:
        """Reconstruct an image.

        Args:
            pixel_values: Bands g, r, z in [0, 1], `[B, C, H, W]`.
            labels: What to reconstruct, `[B, C, H, W]`; the input itself if not given. The loss is the mean squared
                error against it.
            bool_masked_pos: True where the model does not see the image, in any shape that [`expand_mask`] takes; the
                loss is over these pixels alone.
        """
        outputs = self.galvm(pixel_values, bool_masked_pos, **kwargs)
        reconstruction = self.decoder(outputs.last_hidden_state, outputs.feature_maps, pixel_values.shape[-2:])
        target = (pixel_values if labels is None else labels).to(reconstruction.dtype)
        if bool_masked_pos is None:
            loss = nn.functional.mse_loss(reconstruction, target)
        else:
            loss = hidden_error(reconstruction, target, expand_mask(bool_masked_pos, *target.shape[-2:]))
        return GalvmReconstructionOutput(
            loss=loss,
            reconstruction=reconstruction,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class GalvmForImageRestoration(GalvmPreTrainedModel):
    """Blurred and noisy images to sharp ones; the head gives what has to be added to its input."""

    def __init__(self, config: GalvmConfig):
        super().__init__(config)
        self.galvm = GalvmModel(config)
        self.restoration = GalvmDetailDecoder(config, use_mask=False)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> GalvmReconstructionOutput:
        """Restore an image.

        Args:
            pixel_values: The degraded image, bands g, r, z in [0, 1], `[B, C, H, W]`.
            labels: The sharp image, `[B, C, H, W]`; the loss is the mean squared error against it.
        """
        outputs = self.galvm(pixel_values, **kwargs)
        reconstruction = self.restoration(pixel_values, None, outputs.last_hidden_state, outputs.feature_maps)
        loss = None if labels is None else nn.functional.mse_loss(reconstruction, labels.to(reconstruction.dtype))
        return GalvmReconstructionOutput(
            loss=loss,
            reconstruction=reconstruction,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class GalvmForMaskedImageModeling(GalvmPreTrainedModel):
    """Hidden pixels from the visible ones: inpainting, and masked pre-training.

    The head corrects a smooth filling ([`fill_smoothly`]), which is what it starts from.
    """

    def __init__(self, config: GalvmConfig):
        super().__init__(config)
        self.galvm = GalvmModel(config, use_mask=True)
        self.inpainting = GalvmDetailDecoder(config, use_mask=True)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        bool_masked_pos: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> GalvmReconstructionOutput:
        """Fill in hidden pixels; visible ones are returned as they are.

        Args:
            pixel_values: Bands g, r, z in [0, 1], `[B, C, H, W]`. The model does not see the hidden pixels; in
                training they are the target, and the loss is the mean squared error over them.
            bool_masked_pos: True where hidden: pixels `[B, H, W]`, or square patches of any size that divides the
                image (4, 8 and 16 px in the paper), `[B, H / p, W / p]` or flattened. Without it nothing is hidden,
                the whole image is reconstructed, and there is no loss.
        """
        outputs = self.galvm(pixel_values, bool_masked_pos, **kwargs)
        if bool_masked_pos is None:
            mask, image = torch.zeros_like(pixel_values[:, :1], dtype=torch.bool), pixel_values
        else:
            mask = expand_mask(bool_masked_pos, *pixel_values.shape[-2:])
            image = fill_smoothly(pixel_values, mask)
        reconstruction = self.inpainting(image, mask, outputs.last_hidden_state, outputs.feature_maps)
        loss = None
        if bool_masked_pos is not None:
            loss = hidden_error(reconstruction, pixel_values, mask)
            reconstruction = torch.where(mask, reconstruction, pixel_values.to(reconstruction.dtype))
        return GalvmReconstructionOutput(
            loss=loss,
            reconstruction=reconstruction,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class GalvmForImageClassification(GalvmPreTrainedModel):
    """Morphology, or any labels or parameters of a galaxy: single-label, multi-label or regression.

    Which of them follows from `config.problem_type`, as for every classifier of transformers.
    """

    def __init__(self, config: GalvmConfig):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.galvm = GalvmModel(config)
        self.classifier = GalvmFeatureHead(config, config.num_labels)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> GalvmImageClassifierOutput:
        """Classify images or measure parameters.

        Args:
            pixel_values: Bands g, r, z in [0, 1], `[B, C, H, W]`.
            labels: Class numbers `[B]`, or `[B, num_labels]` zeros and ones (multi-label) or values (regression).
        """
        outputs = self.galvm(pixel_values, **kwargs)
        logits = self.classifier(stage_statistics(outputs))
        loss = None if labels is None else self.loss_function(labels, logits, self.config, **kwargs)
        return GalvmImageClassifierOutput(
            loss=loss,
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


class GalvmForParameterRegression(GalvmPreTrainedModel):
    """Physical parameters of a galaxy, those that `config.parameter_names` lists.

    No Auto class of transformers fits, so it is loaded by its own name. Its weights are `regression.*`, because a
    module's `parameters` is a method.
    """

    def __init__(self, config: GalvmConfig):
        super().__init__(config)
        self.galvm = GalvmModel(config)
        self.regression = GalvmFeatureHead(config, len(config.parameter_names))
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> GalvmParameterOutput:
        """Measure parameters.

        Args:
            pixel_values: Bands g, r, z in [0, 1], `[B, C, H, W]`.
            labels: The true values in their units, `[B, P]`; what is not finite is unknown and does not count. The
                loss is the mean squared error of the others, standardised by `config.parameter_means` and
                `config.parameter_deviations`; zero if none is known.
        """
        outputs = self.galvm(pixel_values, **kwargs)
        standardised = self.regression(stage_statistics(outputs))
        means = standardised.new_tensor(self.config.parameter_means)
        deviations = standardised.new_tensor(self.config.parameter_deviations)
        loss = None
        if labels is not None:
            known = labels.isfinite()
            target = (labels.to(standardised.dtype) - means) / deviations
            squared_error = (standardised - target.masked_fill(~known, 0.0)).square().masked_fill(~known, 0.0)
            loss = squared_error.sum() / known.sum().clamp(min=1)
        return GalvmParameterOutput(
            loss=loss,
            parameters=means + deviations * standardised,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


__all__ = [
    "GalvmBackbone",
    "GalvmForImageClassification",
    "GalvmForImageRestoration",
    "GalvmForMaskedImageModeling",
    "GalvmForParameterRegression",
    "GalvmForPreTraining",
    "GalvmModel",
    "GalvmPreTrainedModel",
]
