"""Filling in masks is the softmax of the network's logits at their places, with the text framed by ends."""

import io
import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from atinuke.errors import ConfigError
from atinuke.generate.config import GenerateConfig
from atinuke.generate.filling import fill, fill_prompt
from atinuke.generate.loading import TrainedRun, load_trained
from atinuke.generate.run import run
from atinuke.models import Bert
from atinuke.testing import make_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return load_trained(make_run(tmp_path_factory.mktemp("runs") / "bert", "bert"), "cpu")


@pytest.fixture
def model(trained: TrainedRun) -> Bert:
    assert isinstance(trained.model, Bert)
    return trained.model


def by_hand(trained: TrainedRun, prompt: str) -> torch.Tensor:
    """(masks, V): the chances of every token behind each mask, from the logits of all positions."""
    mask_id, end_id, vocab_size = 300, trained.tokenizer.end_id, 300
    parts = [trained.tokenizer.encode(part).tolist() for part in prompt.replace(" <mask>", "<mask>").split("<mask>")]
    row = [end_id, *parts[0]]
    for part in parts[1:]:
        row += [mask_id, *part]
    tokens = torch.tensor([[*row, end_id]])
    with torch.no_grad():
        logits = trained.model(tokens).logits[0]
    return logits[tokens[0] == mask_id][:, :vocab_size].double().softmax(dim=-1)


def written(trained: TrainedRun, **more: object) -> str:
    out = io.StringIO()
    run(GenerateConfig.model_validate({"run": trained.folder.path, "device": "cpu", **more}), out, [])
    return out.getvalue()


@pytest.mark.parametrize(
    "prompt", ["Humpty <mask> sat", "<mask>", "<mask> on a", "the <mask>", "a <mask> and <mask><mask> men"]
)
def test_guesses_are_the_likeliest_tokens_of_the_softmax_at_each_mask(trained: TrainedRun, prompt: str) -> None:
    expected = by_hand(trained, prompt)
    _, guesses = fill_prompt(trained, prompt, count=7)
    assert len(guesses) == len(expected) == prompt.count("<mask>")
    for found, chances in zip(guesses, expected, strict=True):
        top = chances.topk(7)
        assert_close(torch.tensor([guess.probability for guess in found]).double(), top.values, atol=1e-6, rtol=1e-4)
        assert [guess.text for guess in found] == [trained.tokenizer.decode([id]) for id in top.indices.tolist()]


def test_probabilities_of_all_tokens_sum_to_one_and_fall(trained: TrainedRun) -> None:
    _, [guesses] = fill_prompt(trained, "sat on a <mask>", count=10_000)
    chances = [guess.probability for guess in guesses]
    assert len(chances) == trained.tokenizer.vocab_size  # the mask itself is no guess
    assert sum(chances) == pytest.approx(1, abs=1e-5)
    assert chances == sorted(chances, reverse=True)


def test_the_likeliest_tokens_stand_in_the_places_of_the_masks(trained: TrainedRun) -> None:
    filled, [first, second] = fill_prompt(trained, "a <mask> and <mask> men")
    assert filled == f"a{first[0].text} and{second[0].text} men"  # a piece brings its own space along


def test_words_on_both_sides_of_a_mask_matter(trained: TrainedRun) -> None:
    plain = by_hand(trained, "the <mask> men")
    for other in ("all <mask> men", "the <mask> fall"):
        assert (by_hand(trained, other) - plain).abs().max() > 1e-4
        assert fill_prompt(trained, other)[1][0][0] != fill_prompt(trained, "the <mask> men")[1][0][0]


def test_a_prompt_without_a_mask_is_refused_with_an_example(trained: TrainedRun) -> None:
    with pytest.raises(ConfigError, match=r"holds no <mask>; .*such as \"The king of <mask>\"") as caught:
        fill_prompt(trained, "Humpty Dumpty")
    assert str(caught.value).isprintable()


def test_a_prompt_that_does_not_fit_with_its_frame_is_refused_in_one_line(trained: TrainedRun, model: Bert) -> None:
    ids = [trained.tokenizer.vocab_size] * 14
    assert len(fill(model, ids, trained.tokenizer, 300, context=16)) == 14
    with pytest.raises(ConfigError, match=r"15 tokens and this network sees 14 at once") as caught:
        fill(model, [*ids, 5], trained.tokenizer, 300, context=16)
    assert str(caught.value).isprintable()


def test_the_mode_of_the_network_stays_and_dropout_plays_no_part(trained: TrainedRun, model: Bert) -> None:
    model.dropout.p = 0.5
    try:
        model.train()
        first, second = (fill(model, [5, 300, 6], trained.tokenizer, 300, context=16) for _ in range(2))
        assert first == second and model.training
    finally:
        model.dropout.p = 0.0
        model.eval()


def test_the_command_prints_the_filled_prompt_or_its_guesses_as_json(trained: TrainedRun) -> None:
    prompt = "Humpty <mask> on <mask>"
    filled, guesses = fill_prompt(trained, prompt)
    assert written(trained, prompts=(prompt,)) == filled + "\n"
    [line] = written(trained, prompts=(prompt,), as_json=True).splitlines()
    rows = [[{"text": guess.text, "probability": guess.probability} for guess in each] for each in guesses]
    assert json.loads(line) == {"prompt": prompt, "filled": filled, "guesses": rows}
    [line] = written(trained, prompts=(prompt,), as_json=True, count=9).splitlines()
    assert [len(each) for each in json.loads(line)["guesses"]] == [9, 9]


def test_a_run_of_short_windows_is_scored_all_the_same(trained: TrainedRun) -> None:
    """Its samples are cut to what it sees at once."""
    assert trained.context == 16
    samples = trained.folder.read_summary()["samples"]
    assert samples and all("[" in sample["text"] for sample in samples)


def test_a_run_that_fills_in_says_so_when_it_is_asked_to_go_on(trained: TrainedRun, tmp_path: Path) -> None:
    assert "it fills in what is masked: atinuke generate" in trained.usage and "<mask>" in trained.usage
