r"""How text is split before a model sees it, and where a long text may be cut without changing a single id.

Three promises hold for every pattern here, and the tokenizers rely on them:

- every character belongs to exactly one piece, so pieces joined are the text;
- every repetition is bounded, so ten megabytes without a space cost no more than ten megabytes with them;
- no piece holds a space behind anything but white space, and behind a line feed only more white space follows.
  Since no pattern looks behind, a cut before a space that follows a word, or after a line feed that a word
  follows, falls on a boundary that the pattern makes anyway: the ids are those of the whole text.
"""

import re
from collections.abc import Iterable, Iterator

CONTRACTIONS = r"['’](?i:s|t|d|m|re|ve|ll)"

# Any character at all; the bound keeps the pieces of a long text small.
CHAR_PATTERN = r"[\s\S]{1,1024}"

# Shared by bpe and unigram. Marks count as letters, so that a decomposed ẹ̀ stays in its word. A sign never stands
# behind a letter or a digit inside one piece: that is why a text that spells "<|end|>" or "<0x41>" cannot come out as
# the one token of that name.
SUBWORD_PATTERN = "|".join(
    (
        CONTRACTIONS + r"(?![\p{L}\p{M}])",
        r"[^\r\n\p{L}\p{M}\p{N}]?[\p{L}\p{M}]{1,48}",  # a word, with the space or sign before it
        r"\p{N}{1,2}",
        r" ?[^\s\p{L}\p{M}\p{N}]{1,32}[\r\n]{0,8}",  # signs, with the line end that often follows in code
        r"[^\S\r\n]{0,64}[\r\n]{1,8}",
        r"\s{1,64}(?!\S)",  # white space, but the last space goes with the word after it
        r"\s{1,64}",
    )
)

WORD = rf" ?[\p{{L}}\p{{M}}_][\p{{L}}\p{{M}}\p{{N}}_]{{0,63}}(?:{CONTRACTIONS}(?![\p{{L}}\p{{M}}\p{{N}}_]))?"
SIGN = r"[^\s\p{L}\p{M}\p{N}_]"
LONGEST_SPACES = 16

SOFT_CHUNK_CHARS = 32_768  # a cut is looked for from here on
HARD_CHUNK_CHARS = 262_144  # and made here if no safe place was found

# \w in Python is never white space for the Rust patterns, whatever Unicode version either knows.
_SAFE_CUT = re.compile(r"(?<=\w)(?= )|(?<=\n)(?=\w)")


def word_pattern(sign_runs: Iterable[str] | None) -> str:
    """The pattern of kind word: words, runs of signs, digits, and white space.

    `sign_runs` lists the runs ("--", "...") that are tokens of their own; any other sign stands alone, so that a rare
    run falls into known signs instead of becoming unknown. None takes every run of 2 to 4 signs, to count them.
    """
    if sign_runs is None:
        runs = [SIGN + "{2,4}"]
    else:
        runs = [re.escape(run) for run in sorted(sign_runs, key=lambda run: (-len(run), run))]
    spaces = rf" {{1,{LONGEST_SPACES}}}(?= )"  # the last space of a run is left for the word after it
    return "|".join((WORD, r"\p{N}", *runs, SIGN, r"\r\n", r"\n{1,2}", spaces, r"\s"))


def cut(text: str, soft: int = SOFT_CHUNK_CHARS, hard: int = HARD_CHUNK_CHARS) -> Iterator[str]:
    """`text` in order, in chunks of `soft` (at least 1) to `hard` characters, cut where the patterns split anyway.

    A stretch of `hard - soft` characters without such a place is cut in its middle. That can change the ids around the
    cut, never the text that they stand for.
    """
    start = 0
    while len(text) - start > soft:
        safe = _SAFE_CUT.search(text, start + soft, start + hard)
        end = safe.start() if safe else min(start + hard, len(text))
        if end == len(text):
            break
        yield text[start:end]
        start = end
    if start < len(text):
        yield text[start:]
