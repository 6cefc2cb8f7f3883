"""One encoder with several heads: names as the Auto classes have them, weights from other checkpoints."""

import pytest
import torch
from safetensors.torch import load_file

from galvm_hf import GalvmConfig, GalvmModel
from galvm_hf.train.network import SharedEncoder
from galvm_hf.train.settings import DataSettings
from galvm_hf.train.tasks import TASKS, TaskSettings


def make_tasks(config: GalvmConfig, *kinds: str) -> dict:
    labels = list(config.id2label.values())
    return {
        kind: TASKS[kind](
            kind, TaskSettings(kind=kind, data="stamps", validation=DataSettings(["a"]), reference=1.0, labels=labels)
        )
        for kind in kinds
    }


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_names_are_those_of_each_auto_class(small_config, kind):
    network = SharedEncoder(small_config, make_tasks(small_config, kind))
    with torch.device("meta"):
        own = TASKS[kind].model_class(small_config).state_dict()
    # whether a task hides pixels or not, the encoder can be told of them
    assert network.named_weights().keys() == own.keys() | {"galvm.embeddings.mask_projection.weight"}


def test_all_heads_share_one_encoder_and_no_name_is_missing(small_config):
    kinds = sorted(TASKS)
    network = SharedEncoder(small_config, make_tasks(small_config, *kinds))
    weights = network.named_weights()
    with torch.device("meta"):
        states = [TASKS[kind].model_class(small_config).state_dict() for kind in kinds]
        states.append({f"galvm.{name}": value for name, value in GalvmModel(small_config).state_dict().items()})
    assert weights.keys() == set().union(*states)
    for state in states:
        assert all(weights[name].shape == value.shape for name, value in state.items())
    assert all(model.galvm is network.encoder for model in network.models.values())
    # each weight once in the optimizer
    trained = [weight for weight in weights.values() if weight.requires_grad]
    assert sum(weight.numel() for weight in network.parameters()) == sum(weight.numel() for weight in trained)


def test_the_loss_of_a_task_trains_its_head_and_the_encoder(small_config):
    tasks = make_tasks(small_config, "autoencode", "restoration")
    network = SharedEncoder(small_config, tasks)
    images = torch.rand(2, 3, 32, 32)
    network("restoration", {"pixel_values": images, "labels": images}).backward()
    trained = {name.split(".")[0] for name, weight in network.named_weights().items() if weight.grad is not None}
    assert trained == {"galvm", "restoration"}


def test_weights_come_from_another_checkpoint(small_config, tiny_checkpoint):
    begin = load_file(tiny_checkpoint / "model.safetensors")
    network = SharedEncoder(small_config, make_tasks(small_config, "restoration"))
    assert network.load_weights(begin) == []
    for name, value in network.named_weights().items():
        assert torch.equal(value, begin[name].float())


def test_weights_that_a_checkpoint_has_not_stay_and_are_named(small_config, tiny_checkpoint):
    begin = load_file(tiny_checkpoint / "model.safetensors")
    begin = {name: value for name, value in begin.items() if not name.startswith("restoration.")}
    network = SharedEncoder(small_config, make_tasks(small_config, "restoration"))
    before = {name: value.detach().clone() for name, value in network.named_weights().items()}
    missing = network.load_weights(begin)
    assert missing == sorted(name for name in before if name.startswith("restoration."))
    assert missing
    assert all(torch.equal(network.named_weights()[name], before[name]) for name in missing)


def test_weights_of_another_shape_are_refused_by_name(small_config):
    network = SharedEncoder(small_config, make_tasks(small_config, "restoration"))
    wrong = {"galvm.layernorm.weight": torch.zeros(7)}
    with pytest.raises(
        ValueError, match=r"galvm\.layernorm\.weight is \[7\] in the checkpoint and \[128\] in this run's"
    ):
        network.load_weights(wrong)
