"""Which layout is taken, and what is refused with which numbers."""

import re
from typing import Any

import pytest

from atinuke.errors import ConfigError
from atinuke.plan.config import ClusterConfig
from atinuke.plan.hardware import GPUS
from atinuke.plan.memory import CONTEXT_BYTES
from atinuke.plan.search import ClusterPlan, plan_cluster


def planned(**settings: Any) -> ClusterPlan:
    return plan_cluster(ClusterConfig.model_validate(settings))


def refusal(**settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        planned(**settings)
    return str(caught.value)


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize(("gpus", "params"), [(1, "350m"), (8, "1b"), (64, "7b"), (512, "30b"), (1024, "70b")])
def test_the_plan_fits_and_is_the_fastest_of_those_weighed(gpu: str, gpus: int, params: str) -> None:
    plan = planned(gpus=gpus, params=params, gpu=gpu, batch_tokens="8m")
    layout = plan.best.layout
    assert plan.best.memory.total + CONTEXT_BYTES <= plan.gpu.memory_bytes
    assert all(other.tokens_per_s <= plan.best.tokens_per_s for other in plan.others)
    assert layout.groups * layout.tensor == gpus
    assert layout.batch_tokens == pytest.approx(8e6, rel=0.25)
    assert plan.steps * layout.batch_tokens >= plan.tokens
    assert 0.05 < plan.mfu < 0.65


def test_what_is_asked_for_is_kept() -> None:
    plan = planned(
        gpus=64, params="7b", tensor=4, recompute=True, micro_batch_seqs=2, context=4096, batch_tokens="1m", tokens="5b"
    )
    layout = plan.best.layout
    assert (layout.tensor, layout.recompute, layout.micro_batch_seqs, layout.context) == (4, "full", 2, 4096)
    assert plan.tokens == 5e9 and {other.layout.tensor for other in plan.others} <= {4}
    assert planned(gpus=8, params="1b", sharing="ddp").best.layout.sharing == "ddp"


def test_without_tokens_there_are_twenty_for_each_parameter_or_what_the_time_allows() -> None:
    plan = planned(gpus=8, params="1b")
    assert plan.tokens == 20 * plan.shape.parameters
    timed = planned(gpus=8, params="1b", time_s="1d")
    assert timed.time_s == pytest.approx(86_400)


def test_a_larger_batch_frees_cards_that_had_to_share_a_window() -> None:
    small, large = (planned(gpus=1024, params="7b", batch_tokens=batch) for batch in ("1m", "8m"))
    assert small.best.layout.tensor == 8 and large.best.layout.tensor == 1
    assert large.mfu > 2 * small.mfu


def test_more_cards_of_a_kind_never_take_longer() -> None:
    times = [planned(gpus=count, params="7b", batch_tokens="8m").time_s for count in (8, 64, 256, 1024)]
    assert times == sorted(times, reverse=True)


def test_the_network_can_be_given_by_its_width_and_depth() -> None:
    plan = planned(gpus=8, model_dim=2048, layer_count=20, model="gpt")
    assert (plan.shape.model_dim, plan.shape.layer_count, plan.shape.hidden_dim) == (2048, 20, 8192)


def test_what_fits_no_card_is_refused_with_what_it_takes() -> None:
    said = refusal(gpus=8, params="70b")
    needed = float(re.findall(r"at least ([\d.]+) GiB on each card", said)[0])
    assert needed > 16 * 69e9 / 8 / 2**30
    assert "it has 74.5" in said and "Take more --gpus" in said
    assert "logits" in refusal(gpus=8, params="1b", context=1_048_576, batch_tokens="16m", tensor=1)


def test_a_batch_too_small_for_so_many_cards_is_refused_with_the_least() -> None:
    said = refusal(gpus=1024, params="7b", batch_tokens=65_536)
    assert "1048576" in said and planned(gpus=1024, params="7b", batch_tokens=1_048_576)


def test_a_time_too_short_is_refused_with_the_time_and_the_cards_it_takes() -> None:
    said = refusal(gpus=64, params="7b", tokens="2t", time_s="5d")
    cards = int(re.findall(r"about ([\d,]+) cards", said)[0].replace(",", ""))
    assert "5.0" in said
    assert planned(gpus=cards + 64, params="7b", tokens="2t", time_s="6d")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"gpus": 12, "params": "1b"}, "Try 8 or 16"),
        ({"gpus": 8, "params": "1b", "tensor": 3}, "must divide"),
        ({"gpus": 64, "params": "1b", "tensor": 16}, "within a node"),
        ({"gpus": 8, "model_dim": 384, "layer_count": 4, "tensor": 4}, "must divide both"),
        ({"gpus": 8}, "--params 7b"),
        ({"gpus": 8, "params": "1b", "layer_count": 3}, "give one"),
    ],
)
def test_what_contradicts_itself_is_refused(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)):
        plan_cluster(ClusterConfig.model_validate(settings))
