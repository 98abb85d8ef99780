"""Predictions in the columns of CoNLL-2005, which srl-eval.pl reads, and back.

    -    (A1*  *
    -    *)    *
    be   (V*)  *       the lemma of each predicate, and a column of brackets for each of them, from left to right
    there *    (V*)

White space parts the columns, and a blank line ends each sentence, one without predicates too.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from atinuke.data.rows import RowNotes, read_file
from atinuke.errors import SourceError
from atinuke.tasks.roles.brackets import Span, cells_of
from atinuke.tasks.roles.columns import NOTHING, blocks_of, propositions_of
from atinuke.tasks.roles.reading import PROPS
from atinuke.tasks.roles.sentence import Propositions, Sentence

NO_LEMMA = "_"
OTHER_LEMMA = "a predicate of another lemma than the key has there, so that all its arguments are missed"


def write_props(sentences: Iterable[Sentence], said: Iterable[Propositions]) -> str:
    """The text of a file: what is said of each sentence. A predicate that the key has goes by the key's lemma, as
    srl-eval.pl compares them; any other by its word."""
    return "".join(_block(sentence, each) for sentence, each in zip(sentences, said, strict=True))


def read_props(
    path: Path, sentences: Sequence[Sentence], notes: RowNotes, *, compares_lemmas: bool = True
) -> list[dict[int, tuple[Span, ...]]]:
    """What a file says of each of `sentences`. SourceError for brackets or columns that do not fit, and where its
    sentences are not these.

    Under `compares_lemmas` a predicate whose lemma differs from the key's is passed over and counted, as srl-eval.pl
    does.
    """
    file = read_file(str(path), notes)
    blocks = list(blocks_of(file, None))
    found: list[dict[int, tuple[Span, ...]]] = []
    for sentence, block in zip(sentences, blocks, strict=False):
        if len(block) != len(sentence.words):
            raise SourceError(
                f"{file.name}:{block[0].line}: the sentence has {len(block)} lines, and that of {sentence.spot} has "
                f"{len(sentence.words)} words; expected predictions for the same sentences in the same order."
            )
        keys = {each.predicate: _lemma(each.lemma, sentence.words[each.predicate]) for each in sentence.propositions}
        said: dict[int, tuple[Span, ...]] = {}
        for each in propositions_of(file.name, block, PROPS, notes):
            if compares_lemmas and keys.get(each.predicate, each.lemma) != each.lemma:
                notes.skip(OTHER_LEMMA, f"{file.name}:{block[each.predicate].line}")
            else:
                said[each.predicate] = each.spans
        found.append(said)
    if len(blocks) != len(sentences):
        raise SourceError(
            f"{file.name} has {len(blocks):,} sentences; expected {len(sentences):,}, as the split has, those without "
            "a predicate too."
        )
    return found


def _block(sentence: Sentence, said: Propositions) -> str:
    length = len(sentence.words)
    lemmas = [NOTHING] * length
    keys: Mapping[int, str] = {each.predicate: each.lemma for each in sentence.propositions}
    for predicate in said:
        lemmas[predicate] = _lemma(keys.get(predicate, ""), sentence.words[predicate])
    columns = [lemmas, *(cells_of(length, said[predicate]) for predicate in sorted(said))]
    widths = [max(map(len, column)) for column in columns]
    lines = (
        " ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()
        for cells in zip(*columns, strict=True)
    )
    return "\n".join(lines) + "\n\n"


def _lemma(lemma: str, word: str) -> str:
    """A lemma that can stand in a column: without white space, and never the sign for none."""
    joined = "_".join((lemma or word.lower()).split())
    return joined if joined not in ("", NOTHING) else NO_LEMMA
