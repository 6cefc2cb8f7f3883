"""Shares of tasks: drawn as often as they say, moved by the shortfall, never starved."""

import json
import random
from collections import Counter

import pytest

from galvm_hf.train.mixing import ActiveShares, FixedShares

TASKS = ["classification", "inpainting", "restoration"]


def test_shares_are_proportional_to_weights():
    assert FixedShares({"one": 1, "three": 3}).shares == {"one": 0.25, "three": 0.75}
    assert ActiveShares(TASKS).shares == pytest.approx(dict.fromkeys(TASKS, 1 / 3))


def test_draws_follow_the_shares():
    shares = FixedShares({"rare": 1, "common": 3, "usual": 6})
    counts = Counter(shares.draw(seed=2, step=step) for step in range(5000))
    for name, share in shares.shares.items():
        deviation = (share * (1 - share) / 5000) ** 0.5
        assert abs(counts[name] / 5000 - share) < 4 * deviation


def test_a_draw_depends_on_seed_and_step_alone():
    shares = FixedShares(dict.fromkeys(TASKS, 1))
    forwards = [shares.draw(0, step) for step in range(100)]
    assert [shares.draw(0, step) for step in reversed(range(100))] == forwards[::-1]
    assert [shares.draw(1, step) for step in range(100)] != forwards


def test_fixed_shares_stay():
    shares = FixedShares({"one": 1, "three": 3})
    shares.update({"one": 100.0, "three": 0.0})
    assert shares.shares == {"one": 0.25, "three": 0.75}


@pytest.mark.parametrize("seed", range(20))
def test_shares_sum_to_one_and_keep_the_floor_whatever_comes(seed):
    random_numbers = random.Random(seed)
    names = [f"task {number}" for number in range(random_numbers.randint(1, 8))]
    floor = random_numbers.uniform(0, 0.99) / len(names)
    shares = ActiveShares(names, momentum=random_numbers.uniform(0, 0.99), floor=floor)
    for _ in range(200):
        shares.update({name: random_numbers.choice([0.0, 1e-12, random_numbers.expovariate(1), 1e9]) for name in names})
        assert sum(shares.shares.values()) == pytest.approx(1, abs=1e-9)
        assert min(shares.shares.values()) >= floor - 1e-9


@pytest.mark.parametrize("seed", range(10))
def test_the_larger_the_shortfall_the_larger_the_share(seed):
    random_numbers = random.Random(seed)
    shortfalls = {name: random_numbers.expovariate(1) for name in TASKS}
    shares = ActiveShares(TASKS)
    for _ in range(5):
        shares.update(shortfalls)
        assert sorted(TASKS, key=shares.shares.get) == sorted(TASKS, key=shortfalls.get)


def test_equal_shortfalls_bring_shares_back_to_equal():
    shares = ActiveShares(TASKS)
    for _ in range(5):
        shares.update({"classification": 5.0, "inpainting": 1.0, "restoration": 1.0})
    for _ in range(60):
        shares.update(dict.fromkeys(TASKS, 2.0))
    assert shares.shares == pytest.approx(dict.fromkeys(TASKS, 1 / 3))


def test_shares_come_to_rest_where_floor_and_shortfalls_say_and_stay():
    shares = ActiveShares(TASKS, momentum=0.5, floor=0.1)
    shortfalls = {"classification": 2.0, "inpainting": 1.0, "restoration": 1.0}
    shares.update(shortfalls)
    assert shares.shares["classification"] == pytest.approx((1 / 3 + 0.45) / 2)  # half of the way
    for _ in range(60):
        shares.update(shortfalls)
    rest = {"classification": 0.45, "inpainting": 0.275, "restoration": 0.275}
    assert shares.shares == pytest.approx(rest)
    shares.update(shortfalls)
    assert shares.shares == pytest.approx(rest)


def test_shortfalls_of_nothing_leave_the_shares():
    shares = ActiveShares(TASKS)
    shares.update(dict.fromkeys(TASKS, 0.0))
    assert shares.shares == pytest.approx(dict.fromkeys(TASKS, 1 / 3))


def test_the_state_comes_back_to_the_bit():
    shares = ActiveShares(TASKS)
    shares.update({"classification": 5.0, "inpainting": 0.3, "restoration": 0.7})
    restored = ActiveShares(TASKS)
    restored.load_state_dict(json.loads(json.dumps(shares.state_dict())))
    assert restored.shares == shares.shares
    assert [restored.draw(0, step) for step in range(50)] == [shares.draw(0, step) for step in range(50)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
        ({"momentum": -0.1}, "momentum must be .* got -0.1"),
        ({"floor": 0.34}, "floor must leave something to share among 3 tasks, got 0.34"),
        ({"floor": -0.1}, "floor must .* got -0.1"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ActiveShares(TASKS, **options)
