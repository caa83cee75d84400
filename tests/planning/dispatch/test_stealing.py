"""What was queued ahead is taken back for workers that have nothing."""

from __future__ import annotations

from collections import deque

from made_plans import SHORT, numbered, run_alone, several

from pytest_gpupool.planning.backlog.queue import Queue
from pytest_gpupool.planning.decisions import Assign, Retire, Start, Steal
from pytest_gpupool.planning.dispatch.ahead import AHEAD_TESTS
from pytest_gpupool.planning.dispatch.pace import FAMILY_SEEN
from pytest_gpupool.planning.dispatch.stealing import Stealing
from pytest_gpupool.planning.planner import Planner
from pytest_gpupool.planning.tests import Test
from pytest_gpupool.planning.workers import Worker


class TestSteal:
    """Tests behind one that is long after all come back."""

    def stuck(self) -> Planner:
        """Worker gw0 runs a test of a short function that takes long, with others behind it; gw1 has run dry."""
        planner = Planner(several(FAMILY_SEEN + 9))
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        assert planner.assigned("gw0") == tuple(range(3, 12))
        return planner

    def test_the_queue_of_a_surprise_is_stolen(self) -> None:
        """An idle worker gets half of it."""
        planner = self.stuck()
        assert planner.joined("gw1") == [Steal("gw0", (8, 9, 10, 11))]
        assert planner.stolen("gw0", (8, 9, 10, 11)) == [Assign("gw1", (8, 9, 10, 11))]
        assert planner.assigned("gw0") == (3, 4, 5, 6, 7)

    def test_all_of_it_is_stolen_in_the_end(self) -> None:
        """Idle workers come back until nothing waits behind the long test."""
        planner = self.stuck()
        decisions = planner.joined("gw1")
        ran: list[int] = []
        while not any(isinstance(decision, Retire) for decision in decisions):
            (decision,) = decisions
            assert isinstance(decision, Steal)
            planner.stolen("gw0", decision.tests)
            while len(queue := planner.assigned("gw1")) > 1:
                ran.append(queue[0])
                planner.ended("gw1", queue[0], SHORT)
            decisions = planner.asks("gw1")
            ran.append(queue[0])
            planner.ended("gw1", queue[0], SHORT)
        assert sorted(ran) == list(range(4, 12))
        assert planner.assigned("gw0") == (3,)

    def test_the_running_test_and_groups_are_never_asked_for(self) -> None:
        """A group belongs to its worker."""
        planner = Planner(several(FAMILY_SEEN + 9, group="g"))
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        assert len(planner.assigned("gw0")) == 9
        assert planner.joined("gw1") == [Retire("gw1")]

    def test_tests_that_are_not_given_back_are_not_asked_for_again(self) -> None:
        """The worker had begun them; the other worker waits no longer."""
        planner = Planner(several(FAMILY_SEEN + 2))
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        assert planner.joined("gw1") == [Steal("gw0", (4,))]
        assert planner.stolen("gw0", ()) == [Retire("gw1")]

    def test_a_worker_that_does_not_answer_holds_up_nobody(self) -> None:
        """Another one is asked, or the worker rests; what comes late is run all the same."""
        planner = self.stuck()
        assert planner.joined("gw1") == [Steal("gw0", (8, 9, 10, 11))]
        assert planner.has_not_answered("gw0") == []  # it has no test: it waits already
        assert planner.joined("gw2") == []
        assert planner.has_not_answered("gw0") == []
        decisions = planner.stolen("gw0", (8, 9, 10, 11))
        given = {decision.worker: decision.tests for decision in decisions if isinstance(decision, Assign)}
        assert sorted(index for tests in given.values() for index in tests) == [8, 9, 10, 11]
        assert set(given) <= {"gw1", "gw2"}
        assert planner.assigned("gw0") == (3, 4, 5, 6, 7)

    def test_who_dies_without_an_answer_leaves_its_tests(self) -> None:
        """They are given to those that rest."""
        planner = self.stuck()
        planner.joined("gw1")
        planner.has_not_answered("gw0")
        decisions = planner.lost("gw0", 3)
        assert next(decision for decision in decisions if isinstance(decision, Assign)).worker == "gw1"
        assert planner.stolen("gw0", (8, 9, 10, 11)) == []

    def test_a_test_that_is_about_to_begin_stays(self) -> None:
        """Its worker has asked for it, and is about to end the one before."""
        planner = Planner(several(2))
        planner.joined("gw0")
        planner.asks("gw0")
        assert planner.joined("gw1") == [Retire("gw1")]

    def test_a_worker_that_asked_with_nothing_to_do_is_not_about_to_end_its_test(self) -> None:
        """What is behind the test that it then began comes back."""
        planner = Planner(several(FAMILY_SEEN + 2))
        planner.joined("gw0")
        for index in range(FAMILY_SEEN):
            planner.ended("gw0", index, SHORT)
            planner.asks("gw0")
        assert planner.assigned("gw0") == (3, 4)
        assert planner.joined("gw1") == [Steal("gw0", (4,))]

    def test_a_part_is_given_back(self) -> None:
        """What comes is used, the rest stays."""
        planner = self.stuck()
        planner.joined("gw1")
        assert planner.stolen("gw0", (10, 11)) == [Assign("gw1", (10, 11))]
        assert planner.assigned("gw0") == (3, 4, 5, 6, 7, 8, 9)

    def test_one_question_at_a_time(self) -> None:
        """A third worker waits for the same answer, and is fed from it too."""
        planner = self.stuck()
        planner.joined("gw1")
        assert planner.joined("gw2") == []
        decisions = planner.stolen("gw0", (8, 9, 10, 11))
        assert decisions[0] == Assign("gw1", (8, 9, 10, 11))
        (steal,) = decisions[1:]
        assert isinstance(steal, Steal)

    def test_when_the_robbed_worker_dies_its_tests_are_fed_to_who_waits(self) -> None:
        """Its answer never comes."""
        planner = self.stuck()
        planner.joined("gw1")
        (assign,) = planner.lost("gw0", 3)
        assert isinstance(assign, Assign)
        assert (assign.worker, assign.tests) == ("gw1", tuple(range(4, 12)))

    def test_an_answer_of_a_dead_worker_settles_no_other_question(self) -> None:
        """One worker is asked at a time, whatever comes late."""
        planner = Planner(several(FAMILY_SEEN + AHEAD_TESTS + 8))
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        planner.joined("gw1")
        (question,) = planner.joined("gw2")
        assert isinstance(question, Steal)
        assert question.worker == "gw0"
        planner.lost("gw0", 3)
        (question,) = planner.joined("gw3")
        assert isinstance(question, Steal)
        assert question.worker == "gw2"
        assert planner.stolen("gw0", (AHEAD_TESTS,)) == []

    def test_who_asked_before_its_next_test_was_stolen_gets_another(self) -> None:
        """Or is let go: its question seemed to need no answer when it came."""
        planner = Planner(several(FAMILY_SEEN + 2))
        run_alone(planner, range(FAMILY_SEEN), SHORT)
        planner.joined("gw1")
        assert planner.asks("gw0") == []
        decisions = planner.stolen("gw0", (4,))
        assert {type(decision) for decision in decisions} == {Assign, Retire}
        assert {decision.worker for decision in decisions if not isinstance(decision, Start)} == {"gw0", "gw1"}

    def test_the_last_test_does_not_go_to_and_fro(self) -> None:
        """Two workers whose tests are about to end want it; one gets it."""
        planner = Planner(several(3))
        planner.joined("gw0")
        planner.joined("gw1")
        pending = deque(planner.asks("gw0") + planner.asks("gw1"))
        steals = 0
        while pending:
            match pending.popleft():
                case Steal(worker=worker, tests=tests):
                    steals += 1
                    assert steals < 4, "endless"
                    pending.extend(planner.stolen(worker, tests))
                    pending.extend(planner.asks(worker))
        assert sorted(planner.assigned("gw0") + planner.assigned("gw1")) == [0, 1, 2]

    def test_only_tests_that_fit_the_thief_are_stolen(self) -> None:
        """What it could not run would go to and fro."""
        tests = [Test(index=index, function="f", seconds=SHORT, memory=80 * (index > 2)) for index in range(6)]
        planner = Planner(tests)
        assert planner.joined("gw0", ["d0"], 80) == [Assign("gw0", (0, 1, 2, 3, 4, 5))]
        assert planner.joined("gw1", ["d1"], 40) == [Steal("gw0", (2,))]


class TestRequest:
    """What is requested of whom."""

    def stealing(self, *victims: Worker) -> Stealing:
        """Nine tests, of which these have some."""
        tests = numbered(*several(9))
        stealing = Stealing(tests, Queue(tests))
        for victim in victims:
            stealing.note(victim)
        return stealing

    def test_who_has_most_gives_half(self) -> None:
        """Of what it has not begun."""
        few, many = Worker("gw0", assigned=deque([0, 1])), Worker("gw1", assigned=deque([2, 3, 4, 5, 6]), begun={6})
        assert self.stealing(few, many).request(Worker("gw2")) == Steal("gw1", (4, 5))

    def test_a_worker_of_another_size_gets_nothing_of_it(self) -> None:
        """Nor does the worker itself."""
        victim = Worker("gw0", assigned=deque([0, 1, 2]))
        stealing = self.stealing(victim)
        assert stealing.request(Worker("gw1", gpus=2)) is None
        assert stealing.request(victim) is None

    def test_the_next_request_waits_for_the_answer(self) -> None:
        """It may bring something to others of that size; an answer that nobody waits for is none."""
        victim, thief = Worker("gw0", assigned=deque([0, 1, 2])), Worker("gw1")
        stealing = self.stealing(victim)
        assert stealing.answered("gw0") is None
        assert stealing.request(thief) == Steal("gw0", (2,))
        assert stealing.request(Worker("gw2")) is None
        assert [stealing.may_bring(Worker("gw2", gpus=gpus)) for gpus in (1, 2)] == [True, False]
        assert stealing.answered("gw1") is None
        assert stealing.answered("gw0") == (2,)
        assert not stealing.may_bring(thief)

    def test_a_victim_that_leaves_is_none(self) -> None:
        """And its answer is not waited for."""
        victim = Worker("gw0", assigned=deque([0, 1, 2]))
        stealing = self.stealing(victim)
        stealing.request(Worker("gw1"))
        stealing.leaves(victim)
        stealing.owes_nothing(victim)
        assert stealing.answered("gw0") is None
        assert stealing.request(Worker("gw1")) is None
