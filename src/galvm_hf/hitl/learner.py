"""The learner: which galaxies are of the kind that a person looks for, from a few answers.

An MLP with one hidden layer of 2,048 on fixed features, as in the paper. Its hidden units are eight groups, each with
an answer of its own: an ensemble that costs no more than one network (packed ensembles, Laurent et al. 2023). Every
answer of the person is left out of the training of one member, which shows how sure the members may be of themselves.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

HIDDEN = 2048
MEMBERS = 8
STEPS = 60
LEARNING_RATE = 1e-3
WARM_UP = 10  # steps
UNSEEN = 64  # galaxies a step that nobody was asked about
UNSEEN_SHARE = 0.5  # of the weight of the no
# Logarithms of the factors on logits: a handful of answers that are all told right would ask for certainty.
COLDEST_HOTTEST = (-1.3, 0.7)
QUANTILES = torch.linspace(0, 1, 41)  # of logits, where the boundary may be


@dataclass(frozen=True)
class Scores:
    """What the learner says of B galaxies.

    Attributes:
        probability: That they are of the kind, if as many were as were not, `[B]`.
        spread: Standard deviation of the members' own probabilities, `[B]`.
    """

    probability: Tensor
    spread: Tensor


@dataclass(frozen=True)
class Learner:
    """A trained MLP on standardised features of width D.

    Attributes:
        weight: Of the hidden layer, `[HIDDEN, D]`.
        bias: Of the hidden layer, `[HIDDEN]`.
        output: Of each member on its own units, `[MEMBERS, HIDDEN / MEMBERS]`.
        offset: Of each member, `[MEMBERS]`.
    """

    weight: Tensor
    bias: Tensor
    output: Tensor
    offset: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Of each member, `[B, MEMBERS]` float32, from features `[B, D]`. Their mean is the learner's own."""
        hidden = F.linear(features.to(self.weight.dtype), self.weight, self.bias).relu_()
        members, units = self.output.shape
        own = hidden.view(-1, members, units).transpose(0, 1)
        return torch.bmm(own, self.output[:, :, None].to(hidden.dtype))[:, :, 0].T.float() + self.offset

    def score(self, features: Tensor) -> Scores:
        """Probability and spread of galaxies, from features `[B, D]`."""
        logits = self.logits(features)
        return Scores(logits.mean(1).sigmoid(), logits.sigmoid().std(1, correction=0))

    def as_fast(self) -> "Learner":
        """The same with its large matrix in bfloat16, where the processor computes in it: for scoring many."""
        if not _computes_bfloat16():
            return self
        return Learner(self.weight.bfloat16(), self.bias.bfloat16(), self.output, self.offset)


def train_learner(features: Tensor, answers: Tensor, background: Tensor, basis: Tensor, seed: int = 0) -> Learner:
    """Train on a person's answers, both sides weighted equally; the same from the same, whatever came before.

    Half of the weight of the no is on galaxies that nobody was asked about: most of them are not of the kind, and they
    say what galaxies are like of which nobody would be asked. Training is done in the coordinates of `basis`, in which
    Adam's steps follow the directions in which galaxies differ, and which are fewer.

    Both were chosen on galaxies held out of the training split of Galaxy Zoo 1, with the first released checkpoint, and
    so were the steps and their length. Average precision of spirals from 5 + 5, 15 + 15 and 50 + 50 random labels:
    0.20, 0.24 and 0.35 with neither, 0.21, 0.26 and 0.36 in the basis, 0.26, 0.33 and 0.38 with the background too.

    Args:
        features: Standardised, `[n, D]`.
        answers: Whether each is of the kind, bool `[n]`.
        background: Galaxies drawn from those of the collection that have no answer, `[m, D]`; perhaps none.
        basis: Of the collection, `[D, R]`.
        seed: Of the initial weights, and of what is drawn.

    Raises:
        ValueError: If there is no yes or no no.
    """
    if features.shape[0] != len(answers) or answers.dtype != torch.bool:
        raise ValueError(f"There must be a yes or no for each of {len(features)} galaxies, got {answers.shape}.")
    if not (answers.any() and (~answers).any()):
        raise ValueError("The learner needs at least one yes and one no.")
    generator = torch.Generator().manual_seed(seed)
    answered = features.float() @ basis
    unseen = background.float() @ basis if len(background) else answered[~answers]
    left_out = _leave_out(answers, generator)
    yes, no = _balance(answers[:, None] & ~left_out), _balance(~answers[:, None] & ~left_out)
    weights = torch.cat([yes + (1 - UNSEEN_SHARE) * no, torch.full((UNSEEN, MEMBERS), 0.5 * UNSEEN_SHARE / UNSEEN)])
    targets = torch.cat([answers, torch.zeros(UNSEEN, dtype=torch.bool)]).float()[:, None].expand(-1, MEMBERS)
    weight = torch.randn(HIDDEN, basis.shape[1], generator=generator) * (2 / basis.shape[1]) ** 0.5
    parameters = [weight, torch.zeros(HIDDEN), torch.zeros(MEMBERS, HIDDEN // MEMBERS), torch.zeros(MEMBERS)]
    for parameter in parameters:
        parameter.requires_grad_()
    learner = Learner(*parameters)
    optimizer = torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min((step + 1) / WARM_UP, 1) * (1 - step / STEPS)
        drawn = unseen[torch.randint(len(unseen), (UNSEEN,), generator=generator)]
        logits = learner.logits(torch.cat([answered, drawn]))
        loss = F.binary_cross_entropy_with_logits(logits, targets, weights, reduction="sum")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        factor, centre = _calibrate(learner.logits(answered), answers, left_out)
        weight, bias, output, offset = (parameter.detach() for parameter in parameters)
        return Learner(weight @ basis.T, bias, output * factor, (offset - centre) * factor)


def _leave_out(answers: Tensor, generator: torch.Generator) -> Tensor:
    """Which answer is not shown to which member, bool `[n, MEMBERS]`: each to one, where both sides have two or more.

    With fewer than one a member, some members see all.
    """
    left_out = torch.zeros(len(answers), MEMBERS, dtype=torch.bool)
    for side in (answers, ~answers):
        rows = side.nonzero()[:, 0]
        if len(rows) > 1:
            rows = rows[torch.randperm(len(rows), generator=generator)]
            left_out[rows, torch.arange(len(rows)) % MEMBERS] = True
    return left_out


def _balance(shown: Tensor) -> Tensor:
    """Weights `[n, MEMBERS]` of what is shown, half in all for each member."""
    return 0.5 * shown / shown.sum(0)


def _calibrate(logits: Tensor, answers: Tensor, left_out: Tensor) -> tuple[float, float]:
    """A factor for logits `[n, MEMBERS]`, and what to take from them first, for probabilities of unseen galaxies.

    Platt scaling (1999) of what members say of the answers that they were not shown, each side weighted equally, with
    his targets, which allow for there being few.
    """
    held = left_out.any(1)
    if not (held & answers).any() or not (held & ~answers).any():
        return 1.0, 0.0
    unseen, answers = (logits * left_out).sum(1)[held], answers[held]
    yes, no = answers.sum(), (~answers).sum()
    targets = torch.where(answers, (yes + 1) / (yes + 2), 1 / (no + 2))
    weights = torch.where(answers, 1 / yes, 1 / no)
    candidates = torch.cartesian_prod(torch.logspace(*COLDEST_HOTTEST, 60), torch.quantile(unseen, QUANTILES))
    scaled = candidates[:, :1] * (unseen - candidates[:, 1:])
    losses = (F.softplus(scaled) - targets * scaled) @ weights
    factor, centre = candidates[losses.argmin()].tolist()
    return factor, centre


def _computes_bfloat16() -> bool:
    able = torch.cpu.get_capabilities()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))
