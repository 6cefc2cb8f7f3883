"""Search by example, outliers, strategies by name, and the simulated person."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from galvm_hf.hitl import Oracle, build_collection, rank_outliers, read_strategy, search_similar

from .conftest import draw_galaxies, write_table


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    return build_collection([write_table(folder / "a.parquet", *draw_galaxies(9000))], folder / "made")


def test_search_is_the_exact_cosine(large):
    everything = F.normalize(torch.cat([chunk for _, chunk in large.chunks()]).float(), dim=1)
    examples = large.take([17, 4200])
    direction = F.normalize(F.normalize(examples.float(), dim=1).mean(0), dim=0)
    cosines = (everything @ direction).numpy()
    found = search_similar(large, examples, 20)
    np.testing.assert_array_equal(found.rows, np.argsort(-cosines)[:20])
    np.testing.assert_allclose(found.similarity, np.sort(cosines)[::-1][:20], atol=1e-5)
    assert set(found.rows[:2]) == {17, 4200}
    without = search_similar(large, examples, 18, excluded=[17, 4200])
    np.testing.assert_array_equal(without.rows, found.rows[2:])
    with pytest.raises(ValueError, match="at least one galaxy"):
        search_similar(large, examples[:0], 5)


def test_search_finds_the_kind(collection, galaxies):
    _, members = galaxies
    row = int(np.flatnonzero(members)[0])
    found = search_similar(collection, collection.take([row]), 20, excluded=[row])
    assert members[found.rows].mean() > 2 * members.mean()


def test_outliers_come_first(tmp_path):
    features, members = draw_galaxies(5000)
    strange = [7, 1234, 4999]
    features[strange] += 9 * np.random.default_rng(0).choice([-1, 1], (3, features.shape[1]))
    made = build_collection([write_table(tmp_path / "a.parquet", features, members)], tmp_path / "made")
    rows, unusual = rank_outliers(made, 20)
    assert set(rows[:3]) == set(strange)
    assert (np.diff(unusual) <= 0).all()
    np.testing.assert_array_equal(rank_outliers(made, 20)[0], rows)


@pytest.mark.parametrize("name", ["alpha=0.5", "alpha=0.1", "uncertainty", "diverse", "random"])
def test_strategies_by_name(name):
    assert str(read_strategy(name)) == name


@pytest.mark.parametrize("name", ["alpha=0", "alpha=much", "best"])
def test_there_is_no_such_strategy(name):
    with pytest.raises(ValueError, match=name):
        read_strategy(name)


def test_the_oracle_is_wrong_as_often_as_it_is_told_to_be():
    names = [f"galaxy-{row}" for row in range(2000)]
    members = set(names[::4])
    assert all(Oracle(members).answer(name) == (name in members) for name in names)
    oracle = Oracle(members, error_rate=0.1, seed=3)
    wrong = [name for name in names if oracle.answer(name) != (name in members)]
    assert 150 < len(wrong) < 250
    assert wrong == [name for name in reversed(names) if oracle.answer(name) != (name in members)][::-1]
    with pytest.raises(ValueError, match="error_rate"):
        Oracle(members, error_rate=1)
