"""What may be asked of a ladder, and what is refused with the reason."""

from pathlib import Path
from typing import Any

import pytest

from atinuke.cli import main
from atinuke.errors import ConfigError
from atinuke.scale.config import ScaleConfig, command_of, scale_settings


def settings(*assignments: str, **flags: Any) -> ScaleConfig:
    return scale_settings({key.replace("__", "."): value for key, value in flags.items()}, {}, assignments)


def test_without_more_words_it_is_two_hours_and_one_seed() -> None:
    cfg = settings()
    assert (cfg.chosen_time_s, cfg.chosen_seeds, cfg.train.model.kind) == (7200.0, (0,), "atinuke")


def test_time_is_read_as_train_reads_it() -> None:
    assert settings(time_s="1h30m").time_s == 5400.0


@pytest.mark.parametrize(
    ("assignments", "flags", "said"),
    [
        (("model.model_dim=64",), {}, r"model\.model_dim \(from --set\) is what the ladder varies"),
        (("model.layer_count=2",), {}, r"model\.layer_count \(from --set\) is what the ladder varies"),
        (("budget.tokens=9",), {}, r"budget \(from --set\) is each run's own; --time"),
        (("seed=3",), {}, r"seed \(from --set\) is each run's own; give --seeds"),
        (("out=x",), {}, r"out \(from --set\) is each run's own; give --out"),
        (('data.pairs=["a", "b"]',), {}, "scale is for text"),
        (("init_embeddings=runs/x",), {}, "init_embeddings fixes the width"),
        ((), {"train__model__kind": "bert"}, "--model bert sees both sides"),
        ((), {"train__model__kind": "seq2seq"}, "--model seq2seq translates"),
        ((), {"seeds": ["1", "1"]}, "--seeds names 1 2 times"),
        ((), {"time_s": "soon"}, "a duration such as 90s"),
        ((), {"time_s": "0"}, "expected more than 0"),
        (("optim.rate=1",), {}, r"optim\.rate \(from --set\) is not a setting"),
    ],
)
def test_what_no_ladder_can_take_is_refused(assignments: tuple[str, ...], flags: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        settings(*assignments, **flags)
    assert str(caught.value).isprintable()


def test_a_setting_that_all_runs_share_is_taken() -> None:
    cfg = settings("optim.lr=2e-3", "batch_seqs=4", train__model__kind="llama")
    assert (cfg.train.optim.lr, cfg.train.batch_seqs, cfg.train.model.kind) == (2e-3, 4, "llama")


def test_the_command_asks_for_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ScaleConfig] = []
    monkeypatch.setattr("atinuke.scale.run.run", lambda cfg, out, already_s: asked.append(cfg))
    cfg = settings("optim.lr=2e-3", 'sample_prompts=["Über"]', train__data__sources=["a b.txt"], time_s="10m")
    assert main(["scale", *command_of(cfg, Path("out"))]) == 0
    assert asked == [cfg.model_copy(update={"out": Path("out"), "seeds": (0,)})]


def test_where_it_lies_and_what_is_printed_may_differ_when_it_goes_on() -> None:
    assert settings(out="x", as_json=True).lasting == settings(seeds=["0"]).lasting
    assert settings(seeds=["1"]).lasting != settings().lasting


def test_dry_run_is_another_errand(monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[ScaleConfig] = []
    monkeypatch.setattr("atinuke.scale.run.show_plan", lambda cfg, out, already_s: shown.append(cfg))
    assert main(["scale", "--time", "5m", "--dry-run"]) == 0
    assert [cfg.time_s for cfg in shown] == [300.0]
