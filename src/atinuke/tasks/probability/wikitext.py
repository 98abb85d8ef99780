"""WikiText: perplexity per word, comparable between tokenizers and with published numbers.

Merity et al. 2016, arXiv:1609.07843. The published text is cut into tokens by spaces ("@-@", " ,", "= = Title = ="): a
network reads it put together again, as people write, and its nats are divided by the words of the *published* text. So
lm-eval's task `wikitext` does it, document by document, with these rules; older papers divide by tokens with one <eos>
for each line, which `token_perplexity` does.
"""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from atinuke.data.archives import without_compression
from atinuke.data.rows import RowNotes
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.probability.files import files_of, iter_texts
from atinuke.tasks.probability.task import ProbabilityTask, Scorer
from atinuke.tasks.task import Scores, Spot

TITLE = re.compile(r"^ = [^=].* = $")
"""The line that begins a document; sections have more signs."""
CLOSER = (("s '", "s'"), (" @-@ ", "-"), (" @,@ ", ","), (" @.@ ", "."))
"""The plural's apostrophe, hyphens, and separators of numbers."""
AFTER = (":", ";", ".", "!", "?", ",")
"""Signs that stand right after a word."""
BRACKETS = (("(", ")"), ("[", "]"), ("{", "}"), ('"', '"'), ("'", "'"))
LAST = (
    ("= = = =", "===="),
    ("= = =", "==="),
    ("= =", "=="),
    (f" {chr(176)} ", chr(176)),
    (" \n", "\n"),
    ("\n ", "\n"),
    (" N ", " 1 "),
    (" 's", "'s"),
)


@dataclass(frozen=True)
class Article:
    """A document as it was published."""

    spot: Spot
    published: str

    @property
    def text(self) -> str:
        """As people write it."""
        return put_together(self.published)

    @property
    def words(self) -> int:
        """As lm-eval counts them: what white space parts, the empty pieces at both ends among them."""
        return len(re.split(r"\s+", self.published))

    @property
    def tokens(self) -> int:
        """As the authors count: words, and one <eos> for each line."""
        return len(self.published.split()) + self.published.count("\n")


class WikiText(ProbabilityTask):
    """WikiText-2 and -103, whose test sets are the same."""

    name: ClassVar[str] = "wikitext"
    title: ClassVar[str] = "WikiText"
    items: ClassVar[str] = "articles"
    metrics: ClassVar[tuple[str, ...]] = ("word_perplexity", "token_perplexity", "byte_perplexity", "bits_per_byte")
    splits: ClassVar[tuple[str, ...]] = ("valid", "test")
    scored: ClassVar[tuple[str, ...]] = ("test",)
    fetch: ClassVar[str] = "Fetch wiki.test.tokens of WikiText-2 or -103 (or test.txt of a copy) into --data."

    @classmethod
    def read(cls, data: Path, split: str, notes: RowNotes) -> list[Article]:
        """The documents of the one file whose name holds the split."""
        if split not in cls.splits:
            raise ConfigError(f"WikiText has no split {split}; expected valid or test.")
        paths = files_of(data, (".tokens", ".txt", ".raw"), f"wiki.{split}.tokens or {split}.txt")
        if data.is_dir():
            paths = [path for path in paths if split in re.split(r"[._-]", without_compression(path.name).lower())]
        if len(paths) != 1:
            named = ", ".join(path.name for path in paths) or "none"
            raise SourceError(f"{data} has {named} for the split {split}; expected one file: wiki.{split}.tokens.")
        articles: list[Article] = []
        for name, text in iter_texts(paths[0]):
            articles += _articles(name, text)
        if not articles:
            raise SourceError(f"{paths[0]} is empty; expected the lines of WikiText.")
        return articles

    @classmethod
    def score(
        cls, scorer: Scorer, examples: Sequence[Article], say: Callable[[str], None]
    ) -> tuple[Scores, list[dict[str, Any]]]:
        """Perplexities of all articles together."""
        if scorer.kind != "log-likelihood":
            raise ConfigError(
                "WikiText asks for the probability of a text; expected a run of atinuke, gpt, llama or rnn."
            )
        found = scorer.whole([article.text for article in examples])
        nats = sum(each.nats for each in found)
        published_bytes = sum(len(article.published.encode()) for article in examples)
        values = {
            "word_perplexity": _exp(nats / sum(article.words for article in examples)),
            "token_perplexity": _exp(nats / sum(article.tokens for article in examples)),
            "byte_perplexity": _exp(nats / published_bytes),
            "bits_per_byte": nats / math.log(2) / published_bytes,
        }
        answers = [
            {"article": article.published.strip().split("\n")[0].strip(" ="), "nats": each.nats, "words": article.words}
            for article, each in zip(examples, found, strict=True)
        ]
        return Scores("word_perplexity", values, {"articles": len(examples)}), answers


def put_together(text: str) -> str:
    """The text as people write it: signs next to their words, titles without gaps, quotes around what they quote."""
    for before, after in CLOSER:
        text = text.replace(before, after)
    for sign in AFTER:
        text = text.replace(f" {sign} ", f"{sign} ")
    for opening, closing in BRACKETS:
        first, last = re.escape(opening), re.escape(closing)
        # what stands between a sign and the next closing one, without the spaces inside
        text = re.sub(rf"{first}\s*([^{last}]*?)\s*{last}", rf"{opening}\1{closing}", text)
    for before, after in LAST:
        text = text.replace(before, after)
    return text


def _articles(name: str, text: str) -> list[Article]:
    """The documents of a file: each begins with its title. What comes before the first is one if it says anything."""
    found: list[Article] = []
    lines: list[str] = []
    begins = 1

    def close() -> None:
        if any(line.strip() for line in lines):
            found.append(Article(Spot(name, begins), "\n".join(lines) + "\n"))

    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        line = line.removesuffix("\r")
        if TITLE.match(line):
            close()
            lines, begins = [], number
        lines.append(line)
    close()
    return found


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf
