"""The learner: it learns, always the same, and knows how sure it may be."""

import numpy as np
import pytest
import torch

from galvm_hf.hitl import train_learner
from galvm_hf.hitl.learner import HIDDEN, MEMBERS


def train(collection, rows, galaxies, seed=0):
    answers = torch.from_numpy(galaxies[1][rows])
    return train_learner(collection.take(rows), answers, collection.background(rows), collection.basis, seed)


@pytest.fixture(scope="module")
def rows(galaxies):
    yes, no = np.flatnonzero(galaxies[1]), np.flatnonzero(~galaxies[1])
    return np.concatenate([yes[:20], no[:20]])


def test_it_tells_galaxies_that_it_has_not_seen(collection, rows, galaxies):
    learner = train(collection, rows, galaxies)
    assert (learner.weight.shape, learner.output.shape) == ((HIDDEN, 32), (MEMBERS, HIDDEN // MEMBERS))
    unseen = np.setdiff1d(np.arange(900), rows)
    scores = learner.score(collection.take(unseen))
    members = galaxies[1][unseen]
    assert scores.probability[members].median() > 0.6
    assert scores.probability[~members].median() < 0.4
    assert (scores.spread > 0).all()
    # of what is far from the boundary the members are surer
    sure = (scores.probability - 0.5).abs() > 0.4
    assert scores.spread[sure].mean() < scores.spread[~sure].mean()


def test_it_is_the_same_every_time(collection, rows, galaxies):
    one, again, other = (train(collection, rows, galaxies, seed) for seed in (3, 3, 4))
    assert torch.equal(one.weight, again.weight)
    assert torch.equal(one.output, again.output)
    assert not torch.equal(one.weight, other.weight)


def test_answers_that_say_nothing_make_it_unsure(collection, galaxies):
    random = np.random.default_rng(0)
    rows = random.permutation(900)[:40]
    shuffled = galaxies[0], random.permutation(np.arange(900) % 2 == 0)
    informed = train(
        collection, np.concatenate([np.flatnonzero(galaxies[1])[:20], np.flatnonzero(~galaxies[1])[:20]]), galaxies
    )
    features = collection.take(range(900))
    certainty = [
        (learner.score(features).probability - 0.5).abs().mean()
        for learner in (train(collection, rows, shuffled), informed)
    ]
    assert certainty[0] < 0.6 * certainty[1]


def test_one_answer_of_each_is_enough_and_one_side_is_not(collection, galaxies):
    yes, no = np.flatnonzero(galaxies[1])[0], np.flatnonzero(~galaxies[1])[0]
    assert train(collection, np.array([yes, no]), galaxies).score(collection.take([yes, no])).probability.diff() < 0
    with pytest.raises(ValueError, match="one yes and one no"):
        train(collection, np.array([yes]), galaxies)
    with pytest.raises(ValueError, match="a yes or no for each"):
        train_learner(collection.take([0, 1]), torch.tensor([True]), collection.background(), collection.basis)


def test_it_learns_when_nothing_is_left_to_draw(collection, galaxies):
    everything = np.arange(900)
    assert not len(collection.background(everything))
    learner = train(collection, everything, galaxies)
    probability = learner.score(collection.take(everything)).probability.numpy()
    assert ((probability > 0.5) == galaxies[1]).mean() > 0.85
