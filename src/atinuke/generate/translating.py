"""Text in one language → text in another, by an encoder and a decoder or by one decoder that was trained on pairs."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from atinuke.config import printable
from atinuke.data.pairs import longest_source
from atinuke.errors import ConfigError, RunFolderError
from atinuke.generate.beam import SearchRules, write_all
from atinuke.generate.loading import TrainedRun
from atinuke.models.decoder import Decoder
from atinuke.models.seq2seq import Seq2Seq
from atinuke.tokenizers.tokenizer import Tokenizer

BEAM = 5
AT_ONCE = 1000
"""Texts that are translated together: batches are made of those of like length."""
MOST_TIMES, MOST_MORE = 2, 20
"""A target has at most so many times its source's tokens, and so many more."""


@dataclass(frozen=True)
class Translator:
    """A network that was trained on pairs, and how it searches."""

    model: nn.Module
    tokenizer: Tokenizer
    context: int
    """Tokens of the longest source (encoder-decoder), or of source and target together (decoder)."""
    beam: int = BEAM
    length_penalty: float = 1.0

    @classmethod
    def of_run(cls, trained: TrainedRun, *, beam: int = BEAM, length_penalty: float = 1.0) -> "Translator":
        """The translator in a run; RunFolderError where the run was not trained on pairs."""
        data = trained.folder.read_config().get("data", {})
        if not data.get("pairs"):
            name = printable(str(trained.folder.path))
            raise RunFolderError(f"{name} was not trained on pairs and does not translate; {trained.usage}.")
        return cls(trained.model, trained.tokenizer, trained.context, beam, length_penalty)

    def translate(self, texts: Sequence[str]) -> Iterator[str]:
        """The likeliest target of each of `texts`, in their order; an empty text stays empty.

        ConfigError for a text that is longer than the network was trained for.
        """
        for start in range(0, len(texts), AT_ONCE):
            yield from self._translate(texts[start : start + AT_ONCE])

    def _translate(self, texts: Sequence[str]) -> list[str]:
        model = self.model
        assert isinstance(model, Seq2Seq | Decoder)
        stripped = [text.strip() for text in texts]
        sources = [[int(id) for id in ids] for ids in self.tokenizer.encode_batch(stripped)]
        for text, ids in zip(stripped, sources, strict=True):
            if len(ids) > self.longest_source:
                raise ConfigError(
                    f"The source {printable(text[:40])!r}… has {len(ids):,} tokens; this network was trained for at "
                    f"most {self.longest_source:,}. Give its sentences one by one."
                )
        found = [""] * len(texts)
        for most, places in self._by_length(sources).items():
            rules = SearchRules(self.tokenizer.end_id, most, self.beam, self.length_penalty)
            ends = [self.tokenizer.end_id] if isinstance(model, Decoder) else []
            written = write_all(model, [[*sources[place], *ends] for place in places], rules)
            for place, target in zip(places, written, strict=True):
                found[place] = self.tokenizer.decode(target.ids).strip()
        return found

    def _by_length(self, sources: Sequence[Sequence[int]]) -> dict[int, list[int]]:
        """Places of sources by the most tokens that their targets may have.

        That depends on a source's own length alone, rounded up, so that no translation depends on its neighbours.
        """
        groups: dict[int, list[int]] = {}
        for place, ids in enumerate(sources):
            if ids:
                rounded = 1 << (len(ids) - 1).bit_length()
                room = self.context - len(ids) - 1 if isinstance(self.model, Decoder) else self.context
                groups.setdefault(min(MOST_TIMES * rounded + MOST_MORE, room), []).append(place)
        return groups

    def cut(self, texts: Sequence[str]) -> tuple[list[str], int]:
        """`texts`, those that are too long without their ends, and how many those are."""
        encoded = self.tokenizer.encode_batch([text.strip() for text in texts])
        lengths = [len(ids) for ids in encoded]
        short = [
            self._beginning([int(id) for id in ids]) if length > self.longest_source else text
            for text, ids, length in zip(texts, encoded, lengths, strict=True)
        ]
        return short, sum(length > self.longest_source for length in lengths)

    def _beginning(self, ids: Sequence[int]) -> str:
        """As much of a text as fits. Cut inside a character or a piece, its end may have more tokens than before."""
        for kept in range(self.longest_source, 0, -1):
            text = self.tokenizer.decode(ids[:kept]).rstrip("\ufffd").strip()
            if len(self.tokenizer.encode(text)) <= self.longest_source:
                return text
        return ""

    @property
    def longest_source(self) -> int:
        """Tokens of the longest source that is accepted, as of those that were learned from."""
        return longest_source(self.context, "decoder-only" if isinstance(self.model, Decoder) else "encoder-decoder")
