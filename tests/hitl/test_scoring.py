"""Ranking a collection: exactly, and through the linear stand-in."""

import numpy as np
import pytest

from galvm_hf.hitl import build_collection, scoring, train_learner
from galvm_hf.hitl.scoring import Order, rank_collection, score_rows

from .conftest import draw_galaxies, write_table


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A collection of 12,000, three chunks, and a learner."""
    import torch

    features, members = draw_galaxies(12_000, seed=5)
    folder = tmp_path_factory.mktemp("large")
    collection = build_collection([write_table(folder / "a.parquet", features, members)], folder / "made")
    rows = np.concatenate([np.flatnonzero(members)[:20], np.flatnonzero(~members)[:20]])
    learner = train_learner(
        collection.take(rows), torch.from_numpy(members[rows]), collection.background(rows), collection.basis
    )
    return collection, learner


def test_exact_ranking_is_a_sort_of_all_scores(large):
    collection, learner = large
    scores = score_rows(collection, learner, np.arange(len(collection)))
    high, low, borderline = rank_collection(
        collection, learner, [(Order.HIGH, 50), (Order.LOW, 50), (Order.BORDERLINE, 50)]
    )
    np.testing.assert_array_equal(high.rows, np.argsort(-scores.probability, kind="stable")[:50])
    np.testing.assert_array_equal(low.rows, np.argsort(scores.probability, kind="stable")[:50])
    np.testing.assert_allclose(high.probability, scores.probability[high.rows], atol=1e-6)
    np.testing.assert_allclose(high.spread, scores.spread[high.rows], atol=1e-6)
    assert set(borderline.rows) == set(np.argsort(abs(scores.probability - 0.5))[:50])


@pytest.mark.parametrize("order", [Order.HIGH, Order.LOW])
def test_the_stand_in_finds_the_same(large, order, monkeypatch):
    monkeypatch.setattr(scoring, "SMALLEST", 1200)
    collection, learner = large
    excluded = set(range(0, 12_000, 7))
    (exact,) = rank_collection(collection, learner, [(order, 100)], excluded, exact=True)
    (fast,) = rank_collection(collection, learner, [(order, 100)], excluded, exact=False)
    assert len(np.intersect1d(exact.rows, fast.rows)) >= 99
    assert not excluded & set(fast.rows.tolist())


def test_through_the_stand_in_borderline_galaxies_are_as_uncertain(large):
    collection, learner = large
    ((exact,), (fast,)) = (
        rank_collection(collection, learner, [(Order.BORDERLINE, 50)], exact=exact) for exact in (True, False)
    )
    assert abs(fast.probability - 0.5).max() < 2 * abs(exact.probability - 0.5).max()


def test_there_may_be_fewer_than_asked_for(large):
    collection, learner = large
    (left,) = rank_collection(collection, learner, [(Order.HIGH, 10)], set(range(3, 12_000)))
    assert sorted(left.rows) == [0, 1, 2]
    (left,) = rank_collection(collection, learner, [(Order.HIGH, 10)], set(range(3, 12_000)), exact=False)
    assert set(left.rows) <= {0, 1, 2}
