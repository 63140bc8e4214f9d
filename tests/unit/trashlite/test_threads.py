from collections.abc import Callable, Iterator

import pytest
import torch

from trashlite import threads
from trashlite.threads import ROUNDS, SlowdownWatch, available_threads, one_thread, set_threads, use_fastest_threads


@pytest.fixture(autouse=True)
def same_threads_afterwards() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Machine:
    """A clock that a step moves on by what it takes with the number of threads that torch is set to."""

    def __init__(self, seconds: dict[int, float]) -> None:
        self.seconds = seconds
        self.now = 0.0
        self.steps = 0

    def step(self) -> None:
        self.steps += 1
        self.now += self.seconds[torch.get_num_threads()]

    def clock(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "most", "chosen"),
    [
        ({1: 1.0, 2: 0.7}, 2, 2),  # a quiet machine
        ({1: 1.0, 2: 30.0}, 2, 1),  # two threads that wait for each other
        ({1: 1.0, 2: 0.95}, 2, 1),  # gains too little for a core
        ({1: 1.0, 2: 0.6, 4: 0.4, 8: 0.39}, 8, 4),
        ({1: 1.0, 2: 0.6, 3: 0.4}, 3, 3),
        ({1: 1.0}, 1, 1),
    ],
)
def test_threads_double_while_that_gains(seconds: dict[int, float], most: int, chosen: int) -> None:
    machine = Machine(seconds)
    found = use_fastest_threads(machine.step, most, clock=machine.clock)
    assert torch.get_num_threads() == chosen
    assert {count: time for count, time in found.items() if time} == pytest.approx(
        {count: seconds[count] for count in found} if most > 1 else {}
    )


def test_threads_that_make_it_many_times_slower_are_tried_no_longer_than_to_be_sure() -> None:
    hopeless = Machine({1: 1.0, 2: 30.0})
    use_fastest_threads(hopeless.step, 2, clock=hopeless.clock)
    assert hopeless.steps == 2 + 2 * 2  # a first one of each, and two rounds
    slow = Machine({1: 1.0, 2: 2.0})
    use_fastest_threads(slow.step, 2, clock=slow.clock)
    assert slow.steps == 2 + 2 * ROUNDS


def test_one_thread_is_for_a_while() -> None:
    torch.set_num_threads(3)
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize(
    ("setting", "processes", "expected"),
    [(None, 1, 8), (None, 2, 4), (None, 20, 1), ("3", 1, 3), ("3,2", 2, 3), ("", 1, 8)],
)
def test_cores_and_launchers_bound_the_threads(
    monkeypatch: pytest.MonkeyPatch, setting: str | None, processes: int, expected: int
) -> None:
    monkeypatch.setattr(threads.os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if setting is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert available_threads(processes) == expected


def test_a_number_is_taken_as_it_is_and_auto_is_measured(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    set_threads(1000)
    assert torch.get_num_threads() == 3
    assert "threads=1000 on 3 CPU cores" in caplog.text
    set_threads(2)
    assert torch.get_num_threads() == 2
    set_threads(3)
    assert torch.get_num_threads() == 3
    set_threads(None)
    assert torch.get_num_threads() == 3
    tried: list[int] = []

    def choose(step: Callable[[], object], most: int) -> None:
        step()
        tried.append(most)

    monkeypatch.setattr(threads, "use_fastest_threads", choose)
    set_threads("auto")
    assert tried == [available_threads()]


def test_a_window_twice_as_slow_as_the_best_is_slow() -> None:
    watch = SlowdownWatch(factor=2, window=2)
    assert [watch.is_slow(seconds) for seconds in (2, 2, 1, 1, 0, 9, 1.5, 2)] == [*[False] * 5, True, False, False]
    watch.reset()
    assert [watch.is_slow(9) for _ in range(4)] == [False] * 4  # slow is the rule by now
