"""Decoding: the cache changes nothing, the window slides as described, and text appears whole."""

from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from atinuke.generate.decode import Completion, Window, generate_ids, generate_text
from atinuke.generate.sampling import SamplingRules
from atinuke.models.decoder import Decoder
from atinuke.testing import TEXT, tiny_model
from atinuke.tokenizers import Tokenizer, train_tokenizer

GREEDY = SamplingRules(temperature=0)
KINDS = ("atinuke", "atinuke-paper")
CONTEXT = 16


@pytest.fixture(scope="module", params=KINDS)
def model(request: pytest.FixtureRequest) -> Decoder:
    return tiny_model(request.param, context=CONTEXT)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer("bpe", [TEXT * 3], 300)


@pytest.fixture(scope="module")
def writer(tokenizer: Tokenizer) -> Decoder:
    """A network for the tokenizer. Its random weights write every byte there is, valid UTF-8 or not."""
    return tiny_model("atinuke-paper", vocab_size=tokenizer.vocab_size, context=CONTEXT)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ids_after(model: Decoder, prompt: list[int], count: int, seed: int = 0, **more: int) -> list[int]:
    written = generate_ids(
        model, prompt, tokens=count, rules=SamplingRules(), generator=generator(seed), context=CONTEXT, **more
    )
    return list(written)


class TestWindow:
    @given(
        kind=st.sampled_from(KINDS),
        prompt=st.lists(st.integers(0, 60), min_size=1, max_size=40),
        following=st.lists(st.integers(0, 60), max_size=40),
        context=st.integers(1, 20),
        slide=st.one_of(st.none(), st.integers(1, 20)),
    )
    @settings(max_examples=60, deadline=None)
    def test_the_cache_gives_at_every_step_what_the_whole_window_gives(
        self, kind: str, prompt: list[int], following: list[int], context: int, slide: int | None
    ) -> None:
        """In float64, so that nothing but rounding far below 1e-5 can hide behind the tolerance."""
        model = EXACT_MODELS[kind]
        window = Window(model, prompt, context, slide)
        for token in [None, *following]:
            if token is not None:
                window.append(token)
            torch.testing.assert_close(window.logits(), uncached(model, window), rtol=1e-10, atol=1e-10)

    def test_in_float32_the_cache_stays_within_1e_5(self, model: Decoder) -> None:
        random = generator()
        window = Window(model, [7], CONTEXT)
        for token in torch.randint(61, (4 * CONTEXT,), generator=random).tolist():
            torch.testing.assert_close(window.logits(), uncached(model, window), rtol=1e-5, atol=1e-5)
            window.append(token)

    @given(
        prompt=st.lists(st.integers(0, 60), min_size=1, max_size=40),
        following=st.lists(st.integers(0, 60), max_size=60),
        context=st.integers(1, 20),
    )
    @settings(max_examples=100, deadline=None)
    def test_the_network_sees_the_last_tokens_and_at_least_half_of_its_context(
        self, prompt: list[int], following: list[int], context: int
    ) -> None:
        window = Window(MODELS["atinuke"], prompt, context)
        for count, token in enumerate(following, start=1):
            window.append(token)
            everything = prompt + following[:count]
            assert window.tokens == everything[-len(window.tokens) :]
            assert min(len(everything), context - context // 2) <= len(window.tokens) <= context

    def test_sliding_by_one_is_the_article_s_window(self) -> None:
        window = Window(MODELS["atinuke"], [1, 2, 3], context=4, slide=1)
        seen = []
        for token in (4, 5, 6):
            window.append(token)
            seen.append(list(window.tokens))
        assert seen == [[1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5, 6]]

    def test_a_prompt_longer_than_the_context_keeps_its_last_tokens(self, model: Decoder) -> None:
        long = [token % 61 for token in range(100)]
        assert Window(model, long, CONTEXT).tokens == long[-CONTEXT:]
        assert ids_after(model, long, 30) == ids_after(model, long[-CONTEXT:], 30)

    def test_work_does_not_grow_with_the_context_at_every_token(self, model: Decoder) -> None:
        read = []
        with counting(model, read):
            ids_after(model, [1], 10 * CONTEXT)
        assert sum(read) <= 2.2 * 10 * CONTEXT

    def test_a_window_of_nothing_is_refused(self, model: Decoder) -> None:
        with pytest.raises(ValueError, match="at least one token"):
            Window(model, [], CONTEXT)


class TestIds:
    def test_a_seed_decides_the_ids(self, model: Decoder) -> None:
        assert ids_after(model, [1, 2], 40, seed=3) == ids_after(model, [1, 2], 40, seed=3)
        assert ids_after(model, [1, 2], 40, seed=3) != ids_after(model, [1, 2], 40, seed=4)

    def test_ids_equal_those_of_plain_uncached_sampling(self, model: Decoder) -> None:
        """The readable twin: the whole window through the network for each token, and torch's own argmax."""
        written = list(generate_ids(model, [5, 6], tokens=12, rules=GREEDY, generator=generator(), context=CONTEXT))
        ids = [5, 6]
        with torch.no_grad():
            for _ in range(12):
                ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
        assert written == ids[2:]

    def test_the_penalty_covers_the_prompt_and_what_was_written(self, model: Decoder) -> None:
        rules = SamplingRules(temperature=0, repetition_penalty=1e6)
        written = list(generate_ids(model, [5, 6], tokens=14, rules=rules, generator=generator(), context=CONTEXT))
        assert len({5, 6, *written}) == 16, "a token came twice although it was made all but impossible"

    def test_requests_that_run_at_the_same_time_do_not_meet(self, model: Decoder) -> None:
        alone = [ids_after(model, [seed + 1], 30, seed=seed) for seed in range(3)]
        together = [
            generate_ids(
                model, [seed + 1], tokens=30, rules=SamplingRules(), generator=generator(seed), context=CONTEXT
            )
            for seed in range(3)
        ]
        assert [list(column) for column in zip(*zip(*together, strict=True), strict=True)] == alone

    def test_the_network_is_in_the_mode_that_it_was_in_before(self, model: Decoder) -> None:
        for is_training in (True, False):
            model.train(is_training)
            ids_after(model, [1], 3)
            assert model.training is is_training
            abandoned = generate_ids(model, [1], tokens=9, rules=GREEDY, generator=generator(), context=CONTEXT)
            next(abandoned)
            assert not model.training
            abandoned.close()
            assert model.training is is_training
        model.eval()

    @pytest.mark.parametrize("kind", KINDS)
    def test_a_network_that_has_written_can_still_be_trained(self, kind: str) -> None:
        model = tiny_model(kind, context=CONTEXT).train()  # type: ignore[arg-type]
        ids_after(model, [1, 2, 3], 2 * CONTEXT)
        model(torch.randint(61, (2, CONTEXT))).sum().backward()
        assert all(parameter.grad is not None for parameter in model.parameters())

    def test_torch_s_own_random_state_is_neither_read_nor_moved(self, model: Decoder) -> None:
        torch.manual_seed(1)
        first, state = ids_after(model, [1], 20), torch.get_rng_state()
        torch.manual_seed(2)
        assert ids_after(model, [1], 20) == first
        torch.manual_seed(1)
        assert torch.equal(torch.get_rng_state(), state)


class TestText:
    def completion(self, writer: Decoder, tokenizer: Tokenizer, prompt: str = "Humpty", **more: object) -> Completion:
        settings = {"tokens": 60, "rules": SamplingRules(temperature=1.0), "context": CONTEXT} | more
        return generate_text(writer, tokenizer, prompt, **settings)  # type: ignore[arg-type]

    @pytest.mark.parametrize("seed", range(6))
    def test_pieces_joined_are_the_decoded_ids_and_no_piece_breaks_a_character(
        self, writer: Decoder, tokenizer: Tokenizer, seed: int
    ) -> None:
        prompt_ids = [int(id) for id in tokenizer.encode("Humpty")]
        ids = list(
            generate_ids(
                writer,
                prompt_ids,
                tokens=60,
                rules=SamplingRules(temperature=1.0),
                generator=generator(seed),
                context=CONTEXT,
            )
        )
        completion = self.completion(writer, tokenizer, seed=seed)
        pieces = list(completion)
        ended = ids.index(tokenizer.end_id) if tokenizer.end_id in ids else len(ids)
        assert "".join(pieces) == tokenizer.decode(ids[:ended])
        assert all(pieces)
        assert completion.token_count == ended
        assert completion.finish_reason == ("end" if ended < len(ids) else "length")

    def test_a_character_of_several_tokens_appears_in_one_piece(self, tokenizer: Tokenizer) -> None:
        ids = [int(id) for id in tokenizer.encode("é€🙂")]
        assert len(ids) == 9, "the tokenizer should spell these in bytes"
        completion = generate_text(
            Recital(ids, tokenizer.vocab_size), tokenizer, "x", tokens=9, rules=GREEDY, context=CONTEXT
        )
        assert list(completion) == ["é", "€", "🙂"]

    def test_a_character_that_is_never_completed_shows_as_one_sign_at_the_end(self, tokenizer: Tokenizer) -> None:
        ids = [int(id) for id in tokenizer.encode("a🙂")][:-1]
        completion = generate_text(
            Recital(ids, tokenizer.vocab_size), tokenizer, "x", tokens=len(ids), rules=GREEDY, context=CONTEXT
        )
        assert list(completion) == ["a", "\ufffd"]
        assert completion.finish_reason == "length"

    def test_a_stop_text_over_several_tokens_is_not_shown_even_partly(self, tokenizer: Tokenizer) -> None:
        ids = [int(id) for id in tokenizer.encode("one#two##three")]
        completion = generate_text(
            Recital(ids, tokenizer.vocab_size), tokenizer, "x", rules=GREEDY, stop=("##",), context=CONTEXT
        )
        pieces = list(completion)
        assert "".join(pieces) == "one#two"
        assert "#" not in pieces, "a lone # could have been the beginning of the stop text"
        assert completion.finish_reason == "stop"

    def test_a_stop_text_that_the_last_broken_character_completes_is_found(self, tokenizer: Tokenizer) -> None:
        ids = [int(id) for id in tokenizer.encode("a🙂")][:-1]
        completion = generate_text(
            Recital(ids, tokenizer.vocab_size),
            tokenizer,
            "x",
            tokens=len(ids),
            rules=GREEDY,
            stop=("a\ufffd",),
            context=CONTEXT,
        )
        assert list(completion) == []
        assert completion.finish_reason == "stop"

    def test_what_was_held_back_appears_when_the_text_ends_otherwise(self, tokenizer: Tokenizer) -> None:
        ids = [*(int(id) for id in tokenizer.encode("wall#")), tokenizer.end_id]
        completion = generate_text(
            Recital(ids, tokenizer.vocab_size), tokenizer, "x", rules=GREEDY, stop=("##",), context=CONTEXT
        )
        assert "".join(completion) == "wall#"
        assert completion.finish_reason == "end"
        assert completion.token_count == len(ids) - 1

    def test_an_empty_prompt_begins_a_document(self, writer: Decoder, tokenizer: Tokenizer) -> None:
        ids = ids_after_end(writer, tokenizer)
        completion = self.completion(writer, tokenizer, prompt="", tokens=len(ids))
        assert "".join(completion) == tokenizer.decode(ids)

    def test_the_same_seed_gives_the_same_text_and_another_seed_another(
        self, writer: Decoder, tokenizer: Tokenizer
    ) -> None:
        texts = ["".join(self.completion(writer, tokenizer, seed=seed)) for seed in (0, 0, 1, 2)]
        assert texts[0] == texts[1]
        assert len(set(texts)) == 3

    def test_nothing_is_written_before_it_is_asked_for(self, writer: Decoder, tokenizer: Tokenizer) -> None:
        read: list[int] = []
        with counting(writer, read):
            completion = self.completion(writer, tokenizer)
            assert read == []
            next(completion)
            assert len(read) <= 8, "the first piece should not wait for the whole completion"


MODELS = {kind: tiny_model(kind, context=CONTEXT) for kind in KINDS}  # type: ignore[arg-type]
EXACT_MODELS = {kind: tiny_model(kind, context=CONTEXT).double() for kind in KINDS}  # type: ignore[arg-type]


def uncached(model: Decoder, window: Window) -> torch.Tensor:
    """The readable twin of `Window.logits`."""
    with torch.no_grad():
        logits: torch.Tensor = model(torch.tensor([window.tokens]))
    return logits[0, -1]


class Recital(Decoder):
    """A network that recites given ids, whatever it reads: the n-th call gives the n-th id."""

    def __init__(self, ids: list[int], vocab_size: int) -> None:
        super().__init__()
        self.vocab_size, self.max_len = vocab_size, 1000
        self.blocks = torch.nn.ModuleList()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self._ids = iter(ids)

    def embed(self, tokens: torch.Tensor, before: torch.Tensor | None, start: int = 0) -> torch.Tensor:
        return tokens[..., None].float()

    def read_out(self, x: torch.Tensor) -> torch.Tensor:
        logits = torch.zeros(1, x.shape[1], self.vocab_size)
        logits[0, -1, next(self._ids)] = 1.0
        return logits


class counting:
    """Notes how many tokens each call of a network reads."""

    def __init__(self, model: Decoder, read: list[int]) -> None:
        self._hook = model.register_forward_pre_hook(lambda _, args: read.append(args[0].numel()))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._hook.remove()


def ids_after_end(model: Decoder, tokenizer: Tokenizer) -> list[int]:
    """The first ids that `seed=0` samples after the separator, up to where a document would end."""
    ids: Iterator[int] = generate_ids(
        model,
        [tokenizer.end_id],
        tokens=20,
        rules=SamplingRules(temperature=1.0),
        generator=generator(),
        context=CONTEXT,
    )
    written = list(ids)
    return written[: written.index(tokenizer.end_id)] if tokenizer.end_id in written else written
