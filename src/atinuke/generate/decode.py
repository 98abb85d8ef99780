"""One token after another: the window that the network sees, its cache, and text that appears as it is written."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from atinuke.generate.config import SamplingRules
from atinuke.generate.lean import lean_steps
from atinuke.generate.sampling import choose
from atinuke.generate.stopping import StopTexts
from atinuke.models.decoder import Decoder
from atinuke.tokenizers.tokenizer import TextDecoder, Tokenizer

FinishReason = Literal["length", "stop", "end"]


class Window:
    """The last tokens of a text, at most `context` of them, and what the network makes of them.

    When the window is full, the `slide` oldest tokens go. The article that this follows ("Humpty Dumpty") lets one go
    at a time. Positions are counted from the window's start, so with every slide all that the cache holds becomes
    wrong and the window is read anew. Half of the context at a time is therefore the default: reading anew then
    costs about two tokens' work for each token written, and the network always sees between half of its context and
    all of it. `slide=1` is the article's way, at `context` tokens' work for each.
    """

    def __init__(self, model: Decoder, tokens: Sequence[int], context: int, slide: int | None = None) -> None:
        if not tokens:
            raise ValueError("a window needs at least one token to begin with")
        self._model = model
        self._device = next(model.parameters()).device
        self._context = context
        self._slide = slide if slide is not None else max(1, context // 2)
        self._cache = model.new_cache(1, context)
        self._steps = lean_steps(model, context)
        self.tokens = list(tokens[-context:])

    def append(self, token: int) -> None:
        """`token` follows; the oldest ones go if there is no room for it."""
        if len(self.tokens) == self._context:
            del self.tokens[: self._slide]
            self._cache = self._model.new_cache(1, self._context)
        self.tokens.append(token)

    @torch.inference_mode()
    def logits(self) -> Float[Tensor, " V"]:
        """Logits of the token after the window, at the price of those tokens that were not read yet.

        The readable twin is `model(all of the window's tokens)[0, -1]`: the tests compare them at every step.
        """
        unread = self.tokens[self._cache.length :]
        assert unread, "the logits after the same token were asked for twice"
        ids = torch.tensor([unread], device=self._device)
        if len(unread) > 1 or self._steps is None:
            return self._model(ids, self._cache)[0, -1]
        x = self._model.embed(ids, self._cache.last_tokens, self._cache.length)[0, 0]
        first = x
        for number, (step, layer) in enumerate(zip(self._steps, self._cache.layers, strict=True)):
            x = step(self._model.enter(number, x, first), layer)
        self._cache.last_tokens = ids
        return self._model.read_out(x[None, None])[0, 0]


def generate_ids(
    model: Decoder,
    prompt_ids: Sequence[int],
    *,
    tokens: int,
    rules: SamplingRules,
    generator: torch.Generator,
    context: int,
    slide: int | None = None,
    vocab_size: int | None = None,
) -> Generator[int, None, None]:
    """`tokens` ids that follow `prompt_ids` (at least one). Which id ends a text is not known here.

    The model is in evaluation mode until the iterator is used up or closed. `slide`: see `Window`. Ids from
    `vocab_size` on are never written: a network may have one that stands for a masked token.
    """
    with _evaluating(model):
        # a cache no larger than this request can fill
        window = Window(model, prompt_ids, min(context, len(prompt_ids) + tokens), slide)
        history = set(prompt_ids)
        for written in range(1, tokens + 1):
            token = choose(window.logits()[:vocab_size], rules, history, generator)
            yield token
            if written < tokens:
                history.add(token)
                window.append(token)


class Completion(Iterator[str]):
    """A text that is being written: iterate for its pieces, then read `token_count` and `finish_reason`.

    No piece ends inside a UTF-8 character or holds a part of a stop text. The same request with the same seed gives
    the same text, whatever else is asked beside it.
    """

    def __init__(
        self,
        model: Decoder,
        tokenizer: Tokenizer,
        prompt: str,
        *,
        tokens: int,
        rules: SamplingRules,
        stop: Sequence[str],
        seed: int,
        context: int,
    ) -> None:
        self.seed = seed
        self.token_count = 0
        """Tokens written so far, those of a stop text included, the document separator not."""
        self.finish_reason: FinishReason | None = None
        """length: all tokens were written; stop: a stop text came; end: the document ended. None: not finished."""
        ids = [int(id) for id in tokenizer.encode(prompt)] or [tokenizer.end_id]
        generator = torch.Generator().manual_seed(seed)
        self._ids = generate_ids(
            model,
            ids,
            tokens=tokens,
            rules=rules,
            generator=generator,
            context=context,
            vocab_size=tokenizer.vocab_size,
        )
        self._end_id = tokenizer.end_id
        self._decoder = TextDecoder(tokenizer)
        self._stops = StopTexts(stop)

    def __next__(self) -> str:
        while self.finish_reason is None:
            if piece := self._step():
                return piece
        raise StopIteration

    def _step(self) -> str:
        """The text that one more token lets appear."""
        token = next(self._ids, None)
        if token is None or token == self._end_id:
            shown = self._stops.feed(self._decoder.finish()) + ("" if self._stops.is_found else self._stops.finish())
            self._finish("stop" if self._stops.is_found else "length" if token is None else "end")
            return shown
        self.token_count += 1
        shown = self._stops.feed(self._decoder.feed(token))
        if self._stops.is_found:
            self._finish("stop")
        return shown

    def _finish(self, reason: FinishReason) -> None:
        self.finish_reason = reason
        self._ids.close()


def generate_text(
    model: Decoder,
    tokenizer: Tokenizer,
    prompt: str,
    *,
    tokens: int = 200,
    rules: SamplingRules = SamplingRules(),  # noqa: B008  (frozen)
    stop: Sequence[str] = (),
    seed: int = 0,
    context: int,
) -> Completion:
    """What the model writes after `prompt`, piece by piece; after the document separator if the prompt is empty.

    It ends after `tokens` tokens, before a stop text, or where the model ends the document.
    """
    return Completion(model, tokenizer, prompt, tokens=tokens, rules=rules, stop=stop, seed=seed, context=context)


@contextmanager
def _evaluating(model: Decoder) -> Iterator[None]:
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
