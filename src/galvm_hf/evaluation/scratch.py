"""What learning from few labels is compared with: ResNet18 (He et al. 2016) from random weights on the same ones."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LEARNING_RATE = 3e-3  # for 10 and 50 labels a class the best of benchmarks/few_shot.py on held-out training galaxies
WEIGHT_DECAY = 0.05
WARM_UP = 0.1  # of the steps
BATCH = 32
EPOCHS, FEWEST_STEPS = 20, 100
ZOOM_RANGE = (0.85, 1.2)


def train_resnet18(images: Tensor, answers: np.ndarray, tested: Tensor, seed: int) -> np.ndarray:
    """Probabilities `[M]` of other galaxies, from a network trained on answers, both sides weighted equally.

    Each galaxy is turned, mirrored and zoomed anew every time it is seen.

    Args:
        images: Display images `[N, 3, H, W]`.
        answers: Whether each is of the kind, bool `[N]`.
        tested: Display images of others, `[M, 3, H, W]`.
        seed: Of the weights and the order.

    Raises:
        ImportError: If torchvision is not installed.
    """
    try:
        from torchvision.models import resnet18
    except ImportError as error:
        raise ImportError('ResNet18 needs torchvision: pip install "galvm_hf[detection]"') from error
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = resnet18(num_classes=1)
    labels = torch.from_numpy(answers)
    weights = torch.where(labels, 0.5 / labels.sum(), 0.5 / (~labels).sum()) * len(labels)
    steps = max(FEWEST_STEPS, EPOCHS * math.ceil(len(images) / BATCH))
    optimizer = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    warm = max(1, round(WARM_UP * steps))

    def schedule(step: int) -> float:
        return min((step + 1) / warm, 0.5 * (1 + math.cos(math.pi * max(step - warm, 0) / max(steps - warm, 1))))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, schedule)
    order = torch.empty(0, dtype=torch.long)
    network.train()
    for _ in range(steps):
        while len(order) < BATCH:
            order = torch.cat([order, torch.randperm(len(images), generator=generator)])
        rows, order = order[:BATCH], order[BATCH:]
        logits = network(augment(images[rows], generator))[:, 0]
        loss = F.binary_cross_entropy_with_logits(logits, labels[rows].float(), weights[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    network.eval()
    with torch.inference_mode():
        return torch.cat([network(part)[:, 0].sigmoid() for part in tested.split(128)]).numpy()


def augment(images: Tensor, generator: torch.Generator) -> Tensor:
    """Turn each image `[B, C, H, W]` by any angle, mirror half of them and zoom, each by a draw of its own."""
    angle, zoom, mirror = torch.rand(3, len(images), generator=generator)
    angle = 2 * math.pi * angle
    zoom = ZOOM_RANGE[0] + (ZOOM_RANGE[1] - ZOOM_RANGE[0]) * zoom
    mirror = (mirror < 0.5) * 2 - 1
    cosine, sine, zero = angle.cos() * zoom, angle.sin() * zoom, torch.zeros(len(images))
    rows = [torch.stack([cosine * mirror, -sine, zero], 1), torch.stack([sine * mirror, cosine, zero], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="reflection", align_corners=False)
