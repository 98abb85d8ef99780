"""Beam search against all texts written out, against itself without a cache, and one text at a time."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from atinuke.generate.beam import (
    DecoderSteps,
    Hypothesis,
    SearchRules,
    Seq2SeqSteps,
    beam_search,
    beam_search_prompts,
    evaluating,
    greedy,
    search_steps,
    write_all,
)
from atinuke.models import AtinukePaper, TransformerSeq2Seq
from atinuke.models.decoder import Decoder

END = 0


class Table:
    """Steps of a "network" whose next-token probabilities depend on the last token alone: a row of a table each."""

    def __init__(self, texts: list[list[float]], after: dict[int, list[float]]) -> None:
        self.first, self.after = torch.tensor(texts).log(), {token: torch.tensor(row) for token, row in after.items()}

    def begin(self) -> Tensor:
        return self.first

    def advance(self, rows: Tensor, tokens: Tensor) -> Tensor:
        return torch.stack([self.after[int(token)] for token in tokens]).log()


def test_a_search_worked_by_hand() -> None:
    # 1 is likelier at first (0.6), but what follows 2 (0.4 · 0.9) is likelier than what follows 1 (0.6 · 0.5)
    steps = Table([[0.0, 0.6, 0.4]], {1: [0.5, 0.25, 0.25], 2: [0.9, 0.05, 0.05]})
    greedily = search_steps(steps, SearchRules(END, max_tokens=3, beam=1, length_penalty=0.0))
    assert greedily[0][0].ids == [1]
    assert greedily[0][0].score == pytest.approx(torch.tensor(0.6 * 0.5).log().item())
    best, second = search_steps(steps, SearchRules(END, max_tokens=3, beam=2, length_penalty=0.0))[0]
    assert (best.ids, second.ids) == ([2], [1])
    assert best.score == pytest.approx(torch.tensor(0.4 * 0.9).log().item())
    assert best.is_finished and second.is_finished


def test_the_length_penalty_divides_by_the_number_of_tokens_with_the_ending_one() -> None:
    steps = Table([[0.0, 1.0]], {1: [0.25, 0.75]})
    best = search_steps(steps, SearchRules(END, max_tokens=2, beam=1, length_penalty=1.0))[0][0]
    assert (best.ids, best.is_finished) == ([1, 1], False)  # ln 0.75 / 2 is more than ln 0.25 / 2
    assert best.score == pytest.approx(torch.tensor(0.75).log().item() / 2)


def test_a_beam_wider_than_the_vocabulary_gives_every_text_once() -> None:
    steps = Table([[0.5, 0.5]], {1: [0.5, 0.5], END: [0.5, 0.5]})
    found = search_steps(steps, SearchRules(END, max_tokens=2, beam=7, length_penalty=0.0, early_stopping="never"))[0]
    assert sorted((tuple(each.ids), each.is_finished) for each in found) == [((), True), ((1,), True), ((1, 1), False)]


def seq2seq(vocab_size: int = 11, seed: int = 0) -> TransformerSeq2Seq:
    torch.manual_seed(seed)
    model = TransformerSeq2Seq(vocab_size, 16, 16, 32, 2, 2, max_len=40)
    with torch.no_grad():
        for parameter in model.blocks.parameters():
            if parameter.ndim == 2:
                parameter.mul_(2.0)  # or the source would hardly matter
    return model.eval()


def decoder(vocab_size: int = 11) -> Decoder:
    torch.manual_seed(0)
    model = AtinukePaper(vocab_size, 16, 16, 32, 2, 2, max_len=40)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.4)
    return model.eval()


def sources(vocab_size: int = 11) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    source = torch.randint(1, vocab_size, (7, 6), generator=generator)
    is_source = torch.arange(6) < torch.tensor([6, 2, 5, 1, 3, 6, 4])[:, None]
    return source.masked_fill(~is_source, END), is_source


def texts_of_source(source: Tensor, is_source: Tensor) -> list[list[int]]:
    return [row[mask].tolist() for row, mask in zip(source, is_source, strict=True)]


def all_texts(vocab_size: int, max_tokens: int) -> Iterator[tuple[int, ...]]:
    """Every text that can be written, the end in it where it has one."""
    others = [token for token in range(vocab_size) if token != END]
    for length in range(max_tokens):
        yield from ((*ids, END) for ids in itertools.product(others, repeat=length))
    yield from itertools.product(others, repeat=max_tokens)


def score(logits: Tensor, ids: tuple[int, ...], length_penalty: float) -> float:
    chosen = logits.log_softmax(-1)[torch.arange(len(ids)), torch.tensor(ids)]
    return chosen.double().sum().item() / len(ids) ** length_penalty


@torch.no_grad()
def best_of_all(model: TransformerSeq2Seq | Decoder, source: list[int], length_penalty: float) -> list[Hypothesis]:
    """All texts of up to three tokens of a vocabulary of four, by the network's plain call on each."""
    scored = []
    for ids in all_texts(4, 3):
        if isinstance(model, Decoder):
            logits = model(torch.tensor([source + list(ids)]))[0, len(source) - 1 : -1]
        else:
            target_in = torch.tensor([[END, *ids[:-1]]])
            logits = model(torch.tensor([source]), torch.ones(1, len(source), dtype=torch.bool), target_in)[0]
        is_finished = ids[-1] == END
        scored.append(
            Hypothesis(list(ids[:-1] if is_finished else ids), score(logits, ids, length_penalty), is_finished)
        )
    return sorted(scored, key=lambda each: -each.score)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 1.5])
@pytest.mark.parametrize("kind", ["encoder and decoder", "decoder"])
def test_a_wide_enough_beam_finds_the_best_of_all_texts(kind: str, length_penalty: float) -> None:
    model = seq2seq(4) if kind == "encoder and decoder" else decoder(4)
    texts = [[1, 3, 2], [2], [3, 3, 1, 2]]
    rules = SearchRules(END, 3, beam=27, length_penalty=length_penalty, early_stopping="never")
    for text in texts:
        prompts = torch.tensor([text])
        steps = (
            DecoderSteps(model, prompts, max_tokens=3)
            if isinstance(model, Decoder)
            else Seq2SeqSteps(model, prompts, torch.ones_like(prompts, dtype=torch.bool), start_id=END, max_tokens=3)
        )
        with evaluating(model):
            found = search_steps(steps, rules)[0]
        expected = best_of_all(model, text, length_penalty)
        assert [each.ids for each in found[:10]] == [each.ids for each in expected[:10]]
        assert [each.is_finished for each in found[:10]] == [each.is_finished for each in expected[:10]]
        assert [each.score for each in found[:10]] == pytest.approx([each.score for each in expected[:10]], abs=1e-5)


def assert_same(found: list[Hypothesis], expected: list[Hypothesis]) -> None:
    assert [(each.ids, each.is_finished) for each in found] == [(each.ids, each.is_finished) for each in expected]
    assert [each.score for each in found] == pytest.approx([each.score for each in expected], abs=1e-5)


def test_texts_searched_together_come_out_as_one_at_a_time() -> None:
    model, (source, is_source) = seq2seq(), sources()
    model.head_bias.data[END] = 1.0
    settings = {"start_id": 1, "end_id": END, "max_tokens": 9, "beam": 3}
    together = beam_search(model, source, is_source, **settings)  # type: ignore[arg-type]
    lengths = set()
    for row, (text, mask) in enumerate(zip(source, is_source, strict=True)):
        alone = beam_search(model, text[mask][None], mask[mask][None], **settings)  # type: ignore[arg-type]
        assert_same(together[row], alone[0])
        lengths |= {len(each.ids) for each in alone[0]}
    assert len(lengths) > 2  # or no text was dropped before another


@pytest.mark.parametrize("beam", [1, 3])
@pytest.mark.parametrize("batch_rows", [1, 9, 100])
def test_all_texts_come_back_in_their_order(beam: int, batch_rows: int) -> None:
    model, (source, is_source) = seq2seq(), sources()
    rules = SearchRules(END, 9, beam=beam)
    if beam == 1:
        expected = greedy(model, source, is_source, start_id=END, end_id=END, max_tokens=9)
    else:
        found = beam_search(model, source, is_source, start_id=END, end_id=END, max_tokens=9, beam=3)
        expected = [each[0] for each in found]
    assert_same(write_all(model, texts_of_source(source, is_source), rules, batch_rows=batch_rows), expected)


@pytest.mark.parametrize("beam", [1, 4])
def test_prompts_of_any_length_are_continued_by_a_decoder(beam: int) -> None:
    model, prompts = decoder(), texts_of_source(*sources())
    found = write_all(model, prompts, SearchRules(END, 8, beam=beam))
    for prompt, each in zip(prompts, found, strict=True):
        if beam > 1:
            settings = {"end_id": END, "max_tokens": 8, "beam": beam}
            alone = beam_search_prompts(model, torch.tensor([prompt]), **settings)[0]  # type: ignore[arg-type]
            assert_same([each], alone[:1])
        else:
            assert each.ids == by_whole_calls(model, prompt, 8)


@torch.no_grad()
def by_whole_calls(model: Decoder, prompt: list[int], max_tokens: int) -> list[int]:
    """Greedy without a cache."""
    ids = list(prompt)
    while len(ids) < len(prompt) + max_tokens:
        token = int(model(torch.tensor([ids]))[0, -1].argmax())
        if token == END:
            break
        ids.append(token)
    return ids[len(prompt) :]


def test_the_score_of_greedy_is_the_mean_log_probability_of_what_it_wrote() -> None:
    model, (source, is_source) = seq2seq(), sources()
    found = greedy(model, source[:1], is_source[:1], start_id=3, end_id=END, max_tokens=6)[0]
    ids = (*found.ids, *([END] if found.is_finished else []))
    logits = model(source[:1], is_source[:1], torch.tensor([[3, *ids[:-1]]]))[0]
    assert found.score == pytest.approx(score(logits.detach(), ids, 1.0), abs=1e-5)


def test_a_wider_beam_finds_no_worse_texts_here() -> None:
    model, (source, is_source) = seq2seq(), sources()
    settings = {"start_id": END, "end_id": END, "max_tokens": 6, "length_penalty": 0.0}
    narrow, wide = (beam_search(model, source, is_source, beam=k, **settings) for k in (1, 8))  # type: ignore[arg-type]
    assert all(w[0].score >= n[0].score - 1e-6 for n, w in zip(narrow, wide, strict=True))
    assert any(w[0].score > n[0].score + 1e-3 for n, w in zip(narrow, wide, strict=True))


def test_the_network_goes_on_as_it_was() -> None:
    model, (source, is_source) = seq2seq().train(), sources()
    greedy(model, source, is_source, start_id=END, end_id=END, max_tokens=3)
    assert model.training and model.blocks[0].dropout.training
    model(source, is_source, source).sum().backward()
    assert model.embedding.weight.grad is not None


def test_what_cannot_be_searched_is_refused_in_one_line() -> None:
    with pytest.raises(ValueError, match="beam is 0 and max_tokens is 5; each must be 1 or more"):
        SearchRules(END, 5, beam=0)
    with pytest.raises(ValueError, match="text 2 of 2 has no tokens"):
        write_all(seq2seq(), [[1], []], SearchRules(END, 5))
