"""Sessions: rounds, answers, several people, and coming back after a stop."""

import threading

import numpy as np
import pytest
import torch

from galvm_hf.data.stamp import Stamp
from galvm_hf.hitl import AlphaRule, Diverse, LeasedError, Oracle, Random, Session, Uncertainty
from galvm_hf.hitl.leases import Leases


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        self.now += 0.25
        return self.now


def answer_round(session, oracle, who="ada", **settings):
    for name in session.propose(who, **settings).object_ids:
        session.answer(who, name, oracle.answer(name))


def test_rounds_are_proposed_answered_and_counted(session, members):
    oracle = Oracle(members)
    for _ in range(3):
        answer_round(session, oracle)
    progress = session.progress()
    assert [entry["round"] for entry in progress] == [1, 2, 3]
    assert all(entry["yes"] + entry["no"] == 10 and not entry["open"] for entry in progress)
    assert progress[0]["strategy"] == "alpha=0.5"
    assert len(session.labels) == 40
    seen = [name for one in session.rounds for name in one.object_ids]
    assert len(set(seen)) == 30
    assert all(0 < probability < 1 for one in session.rounds for probability in one.probabilities)


def test_chosen_rounds_find_more_than_random_ones(collection, members, others, tmp_path):
    oracle, found = Oracle(members, error_rate=0.05), {}
    for strategy in (AlphaRule(5), Diverse(), Random()):
        with Session.start(tmp_path / str(strategy), collection, "spirals", "ada", members[:5], others[:5]) as session:
            for _ in range(3):
                answer_round(session, oracle, strategy=strategy)
            found[str(strategy)] = sum(entry["yes"] for entry in session.progress())
    assert found["alpha=5"] > found["random"] + 8
    assert found["diverse"] > found["random"] + 5


def test_the_rule_turns_to_low_scores_when_there_are_many_yes(session, members):
    first = session.propose("ada", strategy=AlphaRule(0.5))
    assert min(first.probabilities) > 0.5
    for name in first.object_ids:
        session.answer("ada", name, True)
    assert max(session.propose("ada", strategy=AlphaRule(0.5)).probabilities) < 0.5
    # nothing was answered, so nothing is known of that round
    assert min(session.propose("ada", strategy=AlphaRule(0.5)).probabilities) > 0.5


def test_uncertain_ones_are_near_the_boundary(session):
    chosen = session.propose("ada", strategy=Uncertainty())
    best, borderline = session.candidates(10)
    np.testing.assert_allclose(chosen.probabilities, borderline.probability, atol=1e-6)
    assert abs(borderline.probability - 0.5).max() < abs(best.probability - 0.5).min()


def test_without_negatives_the_first_are_drawn(collection, members, tmp_path):
    with Session.start(tmp_path / "s", collection, "spirals", "ada", members[:3]) as session:
        with pytest.raises(ValueError, match="one yes and one no"):
            _ = session.learner
        first = session.propose("ada")
        assert first.strategy == "random"
        assert set(first.probabilities) == {None}
        oracle = Oracle(members)
        for name in first.object_ids:
            session.answer("ada", name, oracle.answer(name))
        assert session.propose("ada").strategy == "alpha=0.5"


def test_examples_by_position_and_by_image(session, collection, members):
    known = collection.describe(77)
    assert session.answer_position("ada", known["ra"], known["dec"] + 1 / 3600).object_id == "galaxy-77"
    with pytest.raises(KeyError, match=r"within 5 arcsec .* nearest is at"):
        session.answer_position("ada", known["ra"], known["dec"] + 1)
    before = session.learner.score(collection.take([0])).probability
    stamp = Stamp(np.zeros((8, 8, 3), np.uint8), None, None, "mine.jpg", "mine.jpg")
    raw = collection.mean + 2 * collection.deviation
    said = session.answer_image("ada", stamp, lambda stamps: raw[None].repeat(len(stamps), 1))
    assert said.object_id == "upload 1: mine.jpg"
    assert session.labels[said.object_id]
    assert torch.equal(session.uploads[said.object_id], raw)
    assert session.learner.score(collection.take([0])).probability != before
    assert len(session.propose("ada").object_ids) == 10
    with pytest.raises(ValueError, match=r"\[B, 32\]"):
        session.answer_image("ada", stamp, lambda stamps: torch.zeros(1, 3))


def test_two_images_never_have_one_name(session, collection):
    stamp = Stamp(np.zeros((8, 8, 3), np.uint8), None, None, "mine.jpg", "mine.jpg")

    def upload(who):
        return session.answer_image(who, stamp, lambda stamps: collection.mean[None]).object_id

    names = [upload("ada"), upload("grace")]
    session.undo("ada")
    names.append(upload("ada"))
    assert names == [f"upload {number}: mine.jpg" for number in (1, 2, 3)]


def test_undo_takes_back_one_answer_after_another(session):
    session.answer("ada", "galaxy-100", True)
    session.answer("ada", "galaxy-100", False)
    assert session.labels["galaxy-100"] is False
    assert session.undo("ada").answer is False
    assert session.labels["galaxy-100"] is True
    session.undo("ada")
    assert "galaxy-100" not in session.labels
    for _ in range(10):
        session.undo("ada")
    with pytest.raises(LookupError, match="no answer to take back"):
        session.undo("ada")


def test_it_is_all_there_again(collection, members, others, tmp_path):
    clock, oracle = Clock(), Oracle(members)
    stamp = Stamp(np.zeros((8, 8, 3), np.uint8), None, None, "mine.jpg", "mine.jpg")
    with Session.start(
        tmp_path / "s", collection, "spirals", "ada", members[:4], others[:4], seed=7, clock=clock
    ) as one:
        answer_round(one, oracle)
        answer_round(one, oracle, who="grace", strategy=Uncertainty())
        one.answer_image("grace", stamp, lambda stamps: collection.mean[None] / 3)
        one.undo("ada")
        open_round = one.propose("ada")
        one.answer("ada", open_round.object_ids[3], True)
        left = one.open_proposals("ada")
        before, learner = one.snapshot(), one.learner
    assert left == [name for index, name in enumerate(open_round.object_ids) if index != 3]
    with Session(tmp_path / "s", collection, clock=clock) as again:
        assert again.snapshot() == before
        assert again.open_proposals("ada") == left
        assert (again.target, again.repairs) == ("spirals", [])
        for name in ("weight", "bias", "output", "offset"):
            assert torch.equal(getattr(again.learner, name), getattr(learner, name))


def test_what_cannot_be_opened_is_refused(collection, session, tmp_path, members):
    with pytest.raises(FileExistsError, match="has a session already"):
        session.close()
        Session.start(tmp_path / "session", collection, "rings", "ada")
    with pytest.raises(FileNotFoundError, match="No session was started"):
        Session(tmp_path / "nothing", collection)
    assert not (tmp_path / "nothing").exists()
    with pytest.raises(KeyError, match="no galaxy nobody"):
        Session.start(tmp_path / "new", collection, "rings", "ada", positives=["nobody"])
    with (
        Session.start(tmp_path / "new", collection, "rings", "ada") as empty,
        pytest.raises(ValueError, match="'rings'"),
    ):
        empty.propose("ada")


def test_a_galaxy_is_with_one_person_and_comes_back(collection, members, others, tmp_path):
    clock = Clock()
    with Session.start(tmp_path / "s", collection, "spirals", "ada", members[:5], others[:5], clock=clock) as session:
        hers = session.propose("ada").object_ids
        theirs = session.propose("grace").object_ids
        assert not set(hers) & set(theirs)
        with pytest.raises(LeasedError, match=rf"{hers[0]} is with ada for another 599 s"):
            session.answer("grace", hers[0], True)
        clock.now += 600
        session.answer("grace", hers[0], True)
        with pytest.raises(LeasedError, match="is with grace"):
            session.answer("ada", hers[0], False)
        clock.now += 600
        session.answer("ada", hers[0], False)
        assert session.disagreements == {hers[0]: {"grace": True, "ada": False}}
        assert hers[0] not in session.labels
        session.answer("eve", members[7], True)
        assert hers[1] in session.propose("grace").object_ids


def test_what_was_left_open_goes_back_with_the_next_round(session):
    left = session.propose("ada").object_ids
    session.propose("ada", strategy=Random())
    assert set(session.propose("grace").object_ids) & set(left)


def test_the_last_galaxies_and_then_none(collection, session):
    everything = collection.ids.to_pylist()
    for name in everything[:-3]:
        if name not in session.answers:
            session.answer("ada", name, False)
    left = set(everything[-3:]) - session.answers.keys()
    assert set(session.propose("ada").object_ids) == left
    for name in left:
        session.answer("ada", name, True)
    with pytest.raises(LookupError, match="is left to ask ada about"):
        session.propose("ada")


def test_fifty_people_at_once(collection, members, others, tmp_path):
    oracle, said, errors = Oracle(members), [], []
    with Session.start(tmp_path / "s", collection, "spirals", "ada", members[:5], others[:5]) as session:

        def work(number):
            who = f"person {number}"
            try:
                for name in session.propose(who, 4, Random()).object_ids:
                    session.answer(who, name, oracle.answer(name))
                    said.append((name, who))
                if number % 5 == 0:
                    session.undo(who)
            except Exception as error:  # a thread's own end would go unseen
                errors.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not errors
        assert len(said) == 200
        assert len({name for name, _ in said}) == 200
        assert len(session.labels) == 10 + 200 - 10
        before = session.snapshot()
    with Session(tmp_path / "s", collection) as again:
        after = again.snapshot()
    assert after == before


def test_leases_under_fifty_threads():
    leases, taken = Leases(seconds=10), []
    names = [f"galaxy-{row}" for row in range(100)]

    def work(number):
        taken.extend(leases.take(f"person {number}", names[number : number + 20], now=0.0))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 69
    assert len(leases.held(9.9)) == 69
    assert not leases.held(10.0)
