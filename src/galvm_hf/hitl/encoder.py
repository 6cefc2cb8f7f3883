"""Which weights features are of, so that those of two checkpoints are never mixed."""

import hashlib

from torch import nn


def digest_encoder(model: nn.Module) -> str:
    """A name for the weights of a `GalvmModel`, the same wherever they are loaded from.

    Args:
        model: The encoder. The token that stands for hidden patches does not count, as features have none.
    """
    digest = hashlib.sha256()
    for name, weights in sorted(model.state_dict().items()):
        if "mask_token" not in name:
            digest.update(name.encode())
            digest.update(weights.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
