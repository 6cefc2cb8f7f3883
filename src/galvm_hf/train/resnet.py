"""The detector's peer: the same Mask R-CNN on a ResNet50 (He et al. 2016), from random weights."""

import torch
from torch.nn import functional as F
from transformers import initialization as init
from transformers.modeling_utils import PreTrainedModel

from ..configuration_galvm import GalvmConfig
from ..modeling_galvm_detection import GalvmDetectionOutput, GalvmMaskRCNN

STRIDE = 32


class ResNetForLensDetection(PreTrainedModel):
    """timm's ResNet50 under the feature pyramid and the heads of `GalvmForLensDetection`.

    Its norms are group norms: batches of a few fields are too small for batch norms (Wu & He 2018), and from random
    weights Mask R-CNN does well with them (He et al. 2019, arXiv 1811.08883).
    """

    config_class = GalvmConfig
    base_model_prefix = "resnet"
    main_input_name = "pixel_values"
    _supports_sdpa = True  # there is no attention that could mind

    def __init__(self, config: GalvmConfig):
        super().__init__(config)
        try:
            import timm
        except ImportError as error:
            raise ImportError("The peer is timm's: pip install timm") from error
        self.resnet = timm.create_model("resnet50_gn", pretrained=False, features_only=True, out_indices=(1, 2, 3, 4))
        self.detector = GalvmMaskRCNN(config, self.resnet.feature_info.channels())
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module):
        """The heads start as those of `GalvmForLensDetection`; the ResNet as timm has made it."""
        if hasattr(module, "initial_deviation"):
            init.normal_(module.weight, std=module.initial_deviation)
            init.zeros_(module.bias)

    def forward(
        self, pixel_values: torch.Tensor, labels: list[dict[str, torch.Tensor]] | None = None
    ) -> GalvmDetectionOutput:
        """As `GalvmForLensDetection.forward`."""
        size = tuple(pixel_values.shape[-2:])
        padded = F.pad(pixel_values, (0, -size[1] % STRIDE, 0, -size[0] % STRIDE), mode="replicate")
        return GalvmDetectionOutput(**self.detector(tuple(self.resnet(padded)), padded, size, labels))
