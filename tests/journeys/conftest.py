"""The command line, typed in this process, on tiny networks."""

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from atinuke.cli import main
from atinuke.machine import probe_machine

TINY = "--steps 4 --device cpu --set dtype=float32 --set model.model_dim=16 --set model.layer_count=1".split()


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    """One measurement of the machine for all, short samples."""
    one_core = dataclasses.replace(probe_machine("cpu"), cores=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atinuke.train.run.probe_machine", lambda _: one_core)
        patch.setattr("atinuke.train.lessons.text_scores.SAMPLE_TOKENS", 8)
        threads = torch.get_num_threads()
        yield
        torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that commands are given in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def atinuke(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """Types a command line that must succeed; what it prints, and what it says beside that."""

    def type_line(*words: str) -> tuple[str, str]:
        capsys.readouterr()
        code = main(words)
        out, err = capsys.readouterr()
        assert code == 0, err
        return out, err

    return type_line


@pytest.fixture
def train(atinuke: Callable[..., tuple[str, str]]) -> Callable[..., str]:
    """`atinuke train … --out run` on a tiny network; all that was said and printed."""

    def type_line(words: str, *more: str) -> str:
        out, err = atinuke("train", "--out", "run", *_with_sizes(words, more))
        return err + out

    return type_line


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`atinuke train … --out run` must refuse in one line that can be printed, and train nothing; that line."""

    def type_line(words: str, *more: str) -> str:
        capsys.readouterr()
        code = main(["train", "--quiet", "--out", "run", *_with_sizes(words, more)])
        out, err = capsys.readouterr()
        assert code == 2, err
        assert out == "" and err.endswith("\n") and err.count("\n") == 1, err
        assert err[:-1].isprintable() and "Error: " in err, repr(err)
        assert not Path("run/model.safetensors").exists() and not Path("run/metrics.jsonl").exists()
        return err[:-1]

    return type_line


def _with_sizes(words: str, more: tuple[str, ...]) -> list[str]:
    budget = 2 if any(word in words.split() for word in ("--steps", "--time", "--tokens")) else 0
    return [*TINY[budget:], *words.split(), *more]
