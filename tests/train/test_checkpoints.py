"""Resumable states: whole or not there, whenever the run is killed; and back to the bit."""

import os
import shutil
from pathlib import Path

import pytest
import torch

from galvm_hf.train import checkpoints
from galvm_hf.train.checkpoints import StateFolder, gather, load_optimizer, optimizer_tensors, scatter


class Killed(BaseException):
    """Stands for a kill: nothing catches it."""


def write_state(states: StateFolder, step: int) -> Path:
    tensors = {name: {"w": torch.full((4,), float(step))} for name in ("weights", "average", "optimizer")}
    return states.save(step, tensors, {"step": step, "rate": 0.1 + 0.2})


def require_whole(states: StateFolder, path: Path) -> int:
    tensors, facts = states.load(path)
    assert sorted(tensors) == ["average", "optimizer", "weights"]
    for values in tensors.values():
        assert values["w"].tolist() == [float(facts["step"])] * 4
    assert path.name == f"step-{facts['step']:08d}"
    assert facts["rate"] == 0.1 + 0.2
    return facts["step"]


def kill_at(monkeypatch, number: int) -> list[str]:
    """Make the `number`-th operation on the disk die half done; returns the list of those that were begun."""
    begun = []

    def dying(name, operation, halfway):
        def operate(*args, **options):
            begun.append(name)
            if len(begun) - 1 == number:
                halfway(*args)
                raise Killed(name)
            return operation(*args, **options)

        return operate

    def half_a_file(tensors, path):
        Path(path).write_bytes(b"half")

    def half_removed(path, **options):
        if Path(path).exists():
            next(iter(sorted(Path(path).iterdir()))).unlink()

    def nothing(*args):
        pass

    monkeypatch.setattr(checkpoints, "save_file", dying("save_file", checkpoints.save_file, half_a_file))
    monkeypatch.setattr(checkpoints, "sync", dying("sync", checkpoints.sync, nothing))
    monkeypatch.setattr(shutil, "rmtree", dying("rmtree", shutil.rmtree, half_removed))
    monkeypatch.setattr(Path, "rename", dying("rename", Path.rename, nothing))
    monkeypatch.setattr(Path, "write_text", dying("write_text", Path.write_text, nothing))
    monkeypatch.setattr(os, "replace", dying("replace", os.replace, nothing))
    return begun


@pytest.mark.parametrize("keep", [1, 2])
def test_a_kill_between_any_two_operations_leaves_a_whole_state(tmp_path, keep):
    number, seen = 0, set()
    while True:
        folder = tmp_path / str(number)
        states = StateFolder(folder, keep)
        for step in range(1, keep + 1):
            write_state(states, step)
        with pytest.MonkeyPatch.context() as monkeypatch:
            begun = kill_at(monkeypatch, number)
            try:
                write_state(states, keep + 1)
                killed = False
            except Killed:
                killed = True
        latest = require_whole(states, states.latest())
        seen.add(latest)
        assert latest in (keep, keep + 1)
        # every name that looks like a state is one, and the next run goes on from there
        assert all(require_whole(states, path) for path in folder.glob("step-*"))
        write_state(states, latest + 1)
        assert require_whole(states, states.latest()) == latest + 1
        assert len(list(folder.glob("step-*"))) <= keep
        if not killed:
            break
        number += 1
    assert number == len(begun) > 10
    assert seen == {keep, keep + 1}


def test_the_last_few_states_are_kept(tmp_path):
    states = StateFolder(tmp_path / "states", keep=2)
    assert states.latest() is None
    for step in (1, 5, 10, 100):
        assert write_state(states, step) == states.latest()
    assert sorted(path.name for path in (tmp_path / "states").iterdir()) == ["step-00000010", "step-00000100"]


def test_a_state_may_be_written_again(tmp_path):
    states = StateFolder(tmp_path, keep=2)
    write_state(states, 3)
    states.save(3, {"weights": {"w": torch.ones(1)}}, {"step": 3, "again": True})
    tensors, facts = states.load(states.latest())
    assert facts["again"] is True
    assert list(tensors) == ["weights"]


def test_what_a_killed_run_left_half_written_is_neither_used_nor_kept(tmp_path):
    states = StateFolder(tmp_path, keep=2)
    write_state(states, 2)
    (tmp_path / ".step-00000003.part").mkdir()
    (tmp_path / ".step-00000003.part" / "weights.safetensors").write_bytes(b"half")
    assert states.latest().name == "step-00000002"
    write_state(states, 4)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002", "step-00000004"]


def make_optimizer(seed: int, kind: type = torch.optim.AdamW, fused: bool = True):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Linear(8, 2))
    return model, kind(model.parameters(), lr=1e-2, fused=fused)


def take_step(model: torch.nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
    images = torch.randn(16, 4, generator=torch.Generator().manual_seed(seed))
    model(images).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Adam])
def test_an_optimizer_goes_on_to_the_bit(tmp_path, kind, fused):
    model, optimizer = make_optimizer(0, kind, fused)
    for step in range(3):
        take_step(model, optimizer, step)
    weights = dict(model.named_parameters())
    states = StateFolder(tmp_path, 1)
    tensors = {"weights": gather(weights), "optimizer": gather(optimizer_tensors(optimizer, weights))}
    states.save(3, tensors, {})

    other, restored = make_optimizer(1, kind, fused)
    loaded, _ = states.load(states.latest())
    other.load_state_dict(loaded["weights"])
    load_optimizer(restored, dict(other.named_parameters()), loaded["optimizer"])
    for step in range(3, 6):
        take_step(model, optimizer, step)
        take_step(other, restored, step)
    for name, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


def test_weights_that_were_never_trained_have_no_optimizer_state():
    model, optimizer = make_optimizer(0)
    model[0].requires_grad_(False)
    take_step(model, optimizer, 0)
    names = {name.rsplit(".", 1)[0] for name in optimizer_tensors(optimizer, dict(model.named_parameters()))}
    assert names == {"1.weight", "1.bias"}


def test_gathered_weights_are_copies():
    weight = torch.nn.Parameter(torch.zeros(3))
    copies = gather({"weight": weight})
    with torch.no_grad():
        weight.add_(1)
    assert copies["weight"].tolist() == [0.0] * 3
    assert not copies["weight"].requires_grad


def test_weights_that_are_cut_over_processes_are_gathered_whole_and_cut_again():
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import DTensor, Shard, distribute_tensor

    torch.distributed.init_process_group("gloo", store=torch.distributed.HashStore(), rank=0, world_size=1)
    try:
        whole = torch.arange(12.0).view(4, 3)
        cut = distribute_tensor(whole, init_device_mesh("cpu", (1,)), [Shard(0)])
        gathered = gather({"weight": cut})["weight"]
        assert type(gathered) is torch.Tensor
        assert torch.equal(gathered, whole)
        again = scatter(gathered + 1, cut)
        assert isinstance(again, DTensor)
        assert again.placements == cut.placements
        cut.copy_(again)
        assert torch.equal(cut.full_tensor(), whole + 1)
    finally:
        torch.distributed.destroy_process_group()
