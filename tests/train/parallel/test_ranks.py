"""Which processes can train together, what they draw, and what a process does that is alone."""

import pytest
import torch

from atinuke.errors import ConfigError
from atinuke.train.config import ParallelConfig
from atinuke.train.parallel.ranks import ALONE, Ranks, launch
from atinuke.train.parallel.team import RankTeam
from atinuke.train.team import Alone


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of the second of four processes, as torchrun sets it."""
    for name, value in {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)


def test_a_process_that_nobody_started_with_others_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "4")  # left over from something else
    with launch(ParallelConfig(kind="fsdp"), torch.device("cpu")) as ranks:
        assert ranks is ALONE
        assert (ranks.share("said"), ranks.gather(7), ranks.is_first) == ("said", [7], True)


@pytest.mark.parametrize(
    ("settings", "device", "message"),
    [
        ({"tensor": 3}, "cpu", r"parallel\.tensor is 3 and there are 4 processes; it must be one of 1, 2, 4"),
        ({"tensor": 2, "kind": "ddp"}, "cpu", r"parallel\.tensor is 2 and parallel\.kind is ddp.*set parallel\.kind"),
        ({}, "mps", "device is mps and there are 4 processes"),
    ],
)
def test_processes_that_cannot_train_together_are_refused_before_they_connect(
    four: None, settings: dict[str, object], device: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as told, launch(ParallelConfig(**settings), torch.device(device)):
        pass
    assert "\n" not in str(told.value)


def test_matrices_are_not_shared_with_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    with (
        pytest.raises(ConfigError, match=r"there is 1 process.*torchrun"),
        launch(ParallelConfig(tensor=2), torch.device("cpu")),
    ):
        pass


def test_ranks_that_share_matrices_take_the_same_rows() -> None:
    ranks = [Ranks(rank, 8, 2) for rank in range(8)]
    assert [each.data_rank for each in ranks] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert {each.data_size for each in ranks} == {4}


@pytest.mark.parametrize(("local", "machines"), [("8", 1), ("4", 2), (None, 1)])
def test_processes_share_the_memory_of_a_machine(
    local: str | None, machines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    if local is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
    monkeypatch.setattr("atinuke.train.parallel.ranks.available_memory_bytes", lambda device: 1e9)
    assert Ranks(0, 8).memory_bytes(torch.device("cpu")) == machines * 1e9
    assert Ranks(0, 8).memory_bytes(torch.device("cuda")) == 8e9
    assert ALONE.memory_bytes(torch.device("cpu")) == 1e9


def test_dropout_follows_from_seed_step_and_rows_alone() -> None:
    def drawn(rank: int, seed: int, step: int) -> list[float]:
        RankTeam(Ranks(rank, 4, 2), seed, Alone().clip).begin_step(step)
        return torch.rand(4).tolist()

    assert drawn(0, 5, 7) == drawn(1, 5, 7) == drawn(0, 5, 7)
    assert len({tuple(drawn(*each)) for each in ((0, 5, 7), (2, 5, 7), (0, 6, 7), (0, 5, 8))}) == 4
