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
"""Strong lenses in wide fields: torchvision's Mask R-CNN (He et al. 2017, arXiv 1703.06870) on GaLVM's encoder.

From top to bottom: the output, Mask R-CNN on any four feature maps, and the model.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from transformers import initialization as init
from transformers.processing_utils import Unpack
from transformers.utils import ModelOutput, TransformersKwargs
from transformers.utils.generic import can_return_tuple

from .configuration_galvm import GalvmConfig
from .modeling_galvm import GalvmModel, GalvmPreTrainedModel, normalise_map

MASK_SIDE = 28  # of a predicted mask, as torchvision's mask head has it
# Proposals that losses are computed from. torchvision's are for photographs full of objects: 2,000 and 512.
PROPOSALS, SAMPLED = 500, 64
MOST_OVERLAP = 0.3  # of two detections, intersection over union: lenses hardly ever overlap
LOSS_SEED = 0  # of the samples that an evaluation's loss is computed from
_SURE = 1e-6  # scores are kept this far from 0 and 1, so that their logits are finite


@dataclass
class GalvmDetectionOutput(ModelOutput):
    """What lens detection returns, N = `config.detections_per_image` detections an image, best first.

    Args:
        loss: Sum of `loss_dict`, a scalar; with `labels`.
        loss_dict: The losses of Mask R-CNN: `loss_objectness` and `loss_rpn_box_reg` of the region proposals,
            `loss_classifier`, `loss_box_reg` and `loss_mask` of the detections.
        logits: Log-odds of each class, `[B, N, num_labels]`; where there are fewer detections, -13.8.
        pred_boxes: Centre x, centre y, width and height as fractions of the image, `[B, N, 4]`.
        pred_masks: Probability that a part of the box belongs to the lens, `[B, N, 28, 28]`, the grid stretched over
            the box.
        hidden_states: Of the encoder, see [`GalvmModelOutput`].
        attentions: Of the encoder, see [`GalvmModelOutput`].
    """

    loss: torch.Tensor | None = None
    loss_dict: dict[str, torch.Tensor] | None = None
    logits: torch.Tensor | None = None
    pred_boxes: torch.Tensor | None = None
    pred_masks: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None
    attentions: tuple[torch.Tensor, ...] | None = None


class GalvmMaskRCNN(nn.Module):
    """torchvision's feature pyramid, region proposals, and box and mask heads, on feature maps of any encoder.

    Args:
        config: Widths, anchors and labels.
        widths: Channels of each feature map, the finest first; each is half the resolution of the one before.
    """

    def __init__(self, config: GalvmConfig, widths: list[int]):
        super().__init__()
        try:
            from torchvision.models.detection import MaskRCNN
        except ImportError as error:
            raise ImportError('Lens detection needs torchvision: pip install "galvm_hf[detection]"') from error
        from torchvision.models.detection.anchor_utils import AnchorGenerator
        from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
        from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
        from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

        channels, hidden_size = config.detection_channels, config.detection_hidden_size
        levels = [str(level) for level in range(len(widths))]
        pooled = MultiScaleRoIAlign(levels, output_size=7, sampling_ratio=2)
        # torchvision's class 0 is the background
        classes = config.num_labels + 1
        with torch.device("cpu"):  # anchors are no buffers: made on the meta device they would stay there
            sides = tuple((config.detection_anchor_size * 2**level,) for level in range(len(widths)))
            anchors = AnchorGenerator(sides, ((0.5, 1.0, 2.0),) * len(widths))
        no_backbone = nn.Identity()
        no_backbone.out_channels = channels
        parts = MaskRCNN(
            no_backbone,
            rpn_anchor_generator=anchors,
            rpn_pre_nms_top_n_train=2 * PROPOSALS,
            rpn_post_nms_top_n_train=PROPOSALS,
            box_batch_size_per_image=SAMPLED,
            box_roi_pool=pooled,
            box_head=TwoMLPHead(channels * 7**2, hidden_size),
            box_predictor=FastRCNNPredictor(hidden_size, classes),
            box_nms_thresh=MOST_OVERLAP,
            box_detections_per_img=config.detections_per_image,
            mask_roi_pool=MultiScaleRoIAlign(levels, output_size=MASK_SIDE // 2, sampling_ratio=2),
            mask_head=MaskRCNNHeads(channels, (channels,) * 4, dilation=1),
            mask_predictor=MaskRCNNPredictor(channels, channels, classes),
        )
        self.pyramid = FeaturePyramidNetwork(widths, channels)
        self.rpn, self.roi_heads = parts.rpn, parts.roi_heads
        self.num_labels = config.num_labels
        # Initial weights keep the variance of what passes through; what predicts starts near zero, as in Detectron.
        for module in self.modules():
            if isinstance(module, nn.ConvTranspose2d):  # its kernel is its stride: a pixel has one input a channel
                module.initial_deviation = (2 / module.in_channels) ** 0.5
            elif isinstance(module, nn.Conv2d | nn.Linear):
                module.initial_deviation = (2 / module.weight[0].numel()) ** 0.5
        for module in (self.rpn.head.cls_logits, self.rpn.head.bbox_pred, self.roi_heads.box_predictor.cls_score):
            module.initial_deviation = 0.01
        self.roi_heads.box_predictor.bbox_pred.initial_deviation = 0.001

    def forward(
        self,
        feature_maps: tuple[torch.Tensor, ...],
        images: torch.Tensor,
        size: tuple[int, int],
        labels: list[dict[str, torch.Tensor]] | None = None,
    ) -> dict[str, Any]:
        """Detections, in training with `labels` losses, in an evaluation with `labels` both.

        Args:
            feature_maps: `[B, C_i, H_i, W_i]`, the finest first.
            images: What they are of, `[B, C, H, W]`, padded at the bottom and at the right.
            size: Height and width before the padding, px.
            labels: See [`GalvmForLensDetection`].

        Returns:
            The fields of [`GalvmDetectionOutput`] that there are.
        """
        from torchvision.models.detection.image_list import ImageList

        pyramid = self.pyramid({str(level): feature_map for level, feature_map in enumerate(feature_maps)})
        images = ImageList(images, [size] * len(images))
        outputs = {}
        if labels is not None:
            losses = self._losses(pyramid, images, [_to_target(label, size) for label in labels])
            outputs = {"loss": sum(losses.values()), "loss_dict": losses}
        if labels is None or not self.training:
            self._switch(training=False)
            proposals, _ = self.rpn(images, pyramid)
            detections, _ = self.roi_heads(pyramid, proposals, images.image_sizes)
            self._switch(self.training)
            outputs |= self._stack(detections, size)
        return outputs

    def _losses(
        self, pyramid: dict[str, torch.Tensor], images: Any, targets: list[dict[str, torch.Tensor]]
    ) -> dict[str, torch.Tensor]:
        """Losses by name, on a random sample of proposals; in an evaluation on the same one every time."""
        self._switch(training=True)
        device = pyramid["0"].device
        with torch.random.fork_rng([device] if device.type == "cuda" else [], enabled=not self.training):
            if not self.training:
                torch.manual_seed(LOSS_SEED)
            proposals, losses = self.rpn(images, pyramid, targets)
            losses |= self.roi_heads(pyramid, proposals, images.image_sizes, targets)[1]
        self._switch(self.training)
        return losses

    def _switch(self, training: bool) -> None:
        """Choose between losses and detections: torchvision's parts do the one in training and else the other.

        No dropout and no batch norm is in them, so nothing else depends on it.
        """
        self.rpn.training = self.roi_heads.training = training

    def _stack(self, detections: list[dict[str, torch.Tensor]], size: tuple[int, int]) -> dict[str, torch.Tensor]:
        """Detections of each image in tensors of one shape, filled up with boxes of no size and a score of zero."""
        number, first = self.roi_heads.detections_per_img, detections[0]["boxes"]
        scores = first.new_zeros(len(detections), number, self.num_labels)
        boxes = first.new_zeros(len(detections), number, 4)
        masks = first.new_zeros(len(detections), number, MASK_SIDE, MASK_SIDE)
        scale = first.new_tensor([size[1], size[0]]).repeat(2)
        for row, found in enumerate(detections):
            here = torch.arange(len(found["boxes"]), device=first.device)
            scores[row, here, found["labels"] - 1] = found["scores"].to(scores.dtype)
            start, end = (found["boxes"] / scale).split(2, dim=1)
            boxes[row, here] = torch.cat([(start + end) / 2, end - start], dim=1)
            masks[row, here] = found["masks"][:, 0].to(masks.dtype)
        return {"logits": torch.logit(scores, eps=_SURE), "pred_boxes": boxes, "pred_masks": masks}


class GalvmForLensDetection(GalvmPreTrainedModel):
    """Boxes, scores and masks of strong lenses in fields of any size: `AutoModelForObjectDetection`.

    The four stages of the encoder, each normalised over its channels as in [`GalvmBackbone`], feed a feature pyramid.
    The paper finds lenses with Mask R-CNN on its encoder too.
    """

    # torchvision's lists of proposals are as long as they happen to be
    _can_compile_fullgraph = False
    # its non-maximum suppression knows no half precision
    _keep_in_fp32_modules_strict = ["detector"]

    def __init__(self, config: GalvmConfig):
        super().__init__(config)
        self.galvm = GalvmModel(config)
        # it serves features and heads alone
        self.galvm.layernorm.requires_grad_(False)
        self.detector = GalvmMaskRCNN(config, [config.embed_dim * 2**stage for stage in range(len(config.depths))])
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        super()._init_weights(module)
        if hasattr(module, "initial_deviation"):
            init.normal_(module.weight, std=module.initial_deviation)

    @can_return_tuple
    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: list[dict[str, torch.Tensor]] | None = None,
        **kwargs: Unpack[TransformersKwargs],
    ) -> GalvmDetectionOutput:
        """Detect lenses.

        Args:
            pixel_values: Bands g, r, z in [0, 1], `[B, C, H, W]`, H and W at least 32 px.
            labels: What is there, one dict an image, by the conventions of transformers' detectors: `class_labels`
                `[n]`, `boxes` `[n, 4]` (centre x, centre y, width, height, as fractions of the image) and `masks`
                `[n, H, W]`. In training there are then losses and no detections.
        """
        size = tuple(pixel_values.shape[-2:])
        stride = self.config.patch_size * 2 ** (self.config.num_layers - 1)
        padded = F.pad(pixel_values, (0, -size[1] % stride, 0, -size[0] % stride), mode="replicate")
        outputs = self.galvm(padded, **kwargs)
        feature_maps = tuple(normalise_map(feature_map).float() for feature_map in outputs.feature_maps[1:])
        return GalvmDetectionOutput(
            **self.detector(feature_maps, padded, size, labels),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )


def _to_target(label: dict[str, torch.Tensor], size: tuple[int, int]) -> dict[str, torch.Tensor]:
    """What is in an image, from transformers' conventions to torchvision's."""
    centre, half = label["boxes"][:, :2].float(), label["boxes"][:, 2:].float() / 2
    scale = centre.new_tensor([size[1], size[0]])
    boxes = torch.cat([(centre - half) * scale, (centre + half) * scale], dim=1)
    return {"boxes": boxes, "labels": label["class_labels"].long() + 1, "masks": label["masks"].to(torch.uint8)}


__all__ = ["GalvmForLensDetection"]
