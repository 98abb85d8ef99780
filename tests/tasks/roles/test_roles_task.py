"""The task: what it learns, decodes and writes, one pass and two; and the real files of PropBank-EWT."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from atinuke.data.rows import RowNotes
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.registry import find_task
from atinuke.tasks.roles.brackets import Span
from atinuke.tasks.roles.roles_task import (
    FOUND_FILE,
    PREDICTED_FILE,
    RoleLabelling,
    Roles,
    Roles05,
    Roles05EndToEnd,
    Roles12,
    Roles12EndToEnd,
    RolesEndToEnd,
)
from atinuke.tasks.roles.sentence import Proposition, Sentence, prediction_of, said_of
from atinuke.tasks.task import Row, Spot
from atinuke.tokenizers.reading import Reader

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data")) / "propbank-ewt"

ALL = (Roles, Roles05, Roles12, RolesEndToEnd, Roles05EndToEnd, Roles12EndToEnd)

SENTENCES = [
    Sentence(
        ("He", "said", "it", "was", "late"),
        (
            Proposition(1, "say", "say.01", (Span(0, 1, "A0"), Span(1, 2, "V"), Span(2, 5, "A1"))),
            Proposition(3, "be", "be.01", (Span(2, 3, "A1"), Span(3, 4, "V"), Span(4, 5, "A2"))),
        ),
        Spot("dev", 1),
    ),
    Sentence(("Oh", "yes"), (), Spot("dev", 7)),
]


def logits(tags: Sequence[int], count: int) -> tuple[NDArray[Any], ...]:
    """What a head would say that is sure of `tags`, with padding behind."""
    scores = np.zeros((len(tags) + 3, count), dtype=np.float32)
    scores[np.arange(len(tags)), list(tags)] = 9.0
    scores[len(tags) :, 1] = 99.0
    return (scores,)


def answers(task: RoleLabelling, sentences: Sequence[Sentence], reader: Reader) -> tuple[list[Row], list[Any]]:
    """Rows, and what a perfect head would say of them."""
    rows = [
        row
        for number, sentence in enumerate(sentences)
        for row in task.rows(number, sentence, reader, 64, with_targets=True)
    ]
    return rows, [logits(row.targets[0].tolist(), task.tags.count) for row in rows]


def test_the_registry_knows_the_corpora() -> None:
    assert [find_task(each.name) for each in ALL] == list(ALL)


def test_every_task_is_told_apart_and_described() -> None:
    assert len({each.name for each in ALL}) == len({each.title for each in ALL}) == len(ALL)
    for each in ALL:
        assert "--data" in each.fetch
        assert each.metrics[0] == ("end_to_end_f1" if each.needs_two_passes else "f1")


def test_what_is_learned_comes_back_from_its_facts() -> None:
    task = Roles.learn(SENTENCES)
    assert task.facts == {"labels": ["A0", "A1", "A2", "V"]}
    assert Roles.from_facts(task.facts).facts == task.facts


def test_data_without_arguments_teaches_nothing() -> None:
    with pytest.raises(SourceError, match="dev has no argument of any predicate to learn from"):
        Roles.learn(SENTENCES[1:])
    with pytest.raises(SourceError, match="no argument of any predicate"):
        Roles.learn([])


def test_roles_of_another_corpus_are_refused_and_a_rare_one_is_not() -> None:
    task = Roles(["ARG0", "ARG1", "V"])
    with pytest.raises(SourceError) as caught:
        task.check(SENTENCES)
    assert str(caught.value) == (
        "dev:1 has the role A0, and no role of its split was learned; those that were are ARG0, ARG1. Give data with "
        "the same roles."
    )
    known = Roles(["A0", "V"])
    known.check(SENTENCES)
    known.check(SENTENCES[1:])
    scores = known.score(SENTENCES, [prediction_of(each.spans) for each in SENTENCES])
    assert scores.counts["arguments_of_roles_not_learned"] == 3


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ConfigError, match="PropBank-EWT has no split Test; expected train, dev, test"):
        Roles.read(Path("."), "Test", RowNotes())


def test_a_perfect_head_scores_a_hundred(reader: Reader) -> None:
    task = Roles.learn(SENTENCES)
    rows, outputs = answers(task, SENTENCES, reader)
    predictions = task.decode(SENTENCES, rows, outputs)
    assert predictions[0] == {
        "propositions": [
            {"predicate": 1, "arguments": [[0, 1, "A0"], [1, 2, "V"], [2, 5, "A1"]]},
            {"predicate": 3, "arguments": [[2, 3, "A1"], [3, 4, "V"], [4, 5, "A2"]]},
        ],
        "cut_words": 0,
    }
    assert predictions[1] == {"propositions": [], "cut_words": 0}
    scores = task.score(SENTENCES, predictions)
    assert scores.value == 100.0
    assert set(scores.values) == set(task.metrics)
    assert (scores.counts["propositions"], scores.counts["arguments"]) == (2, 4)


def test_words_that_were_cut_are_counted_and_have_no_arguments(reader: Reader) -> None:
    task = Roles.learn(SENTENCES)
    (row, *_) = task.rows(0, SENTENCES[0], reader, 3 + 2 + 4, with_targets=True)  # "said" is two tokens
    (prediction, _) = task.decode(SENTENCES, [row], [logits(row.targets[0].tolist(), task.tags.count)])
    _, start, end = row.place
    assert end - start == 3
    assert prediction["cut_words"] == 2
    assert all(start <= first < last <= end for first, last, _ in said_of(prediction)[1])


def test_two_passes_find_predicates_and_then_their_arguments(reader: Reader) -> None:
    task = RolesEndToEnd.learn(SENTENCES)
    rows, outputs = answers(task, SENTENCES, reader)
    assert [row.place[0] for row in rows] == [1, 3, -1, -1]
    predicate = task.tags.predicate
    outputs[2] = logits([0, predicate, 0, 0, predicate], task.tags.count)  # "was" is not found, "late" is
    first = task.decode(SENTENCES, rows, outputs)
    assert [each["predicates"] for each in first] == [[1, 4], []]

    asked = task.second_pass(SENTENCES, first)
    assert [each.words for each in asked] == [each.words for each in SENTENCES]
    rows = [row for number, each in enumerate(asked) for row in task.rows(number, each, reader, 64, with_targets=False)]
    assert [row.place for row in rows] == [(4, 0, 5)]  # what is given was asked before
    found = task.tags.of_spans(5, (Span(2, 3, "A1"), Span(4, 5, "V")))
    second = task.decode(asked, rows, [logits(found.tolist(), task.tags.count)])

    joined = task.join_passes(SENTENCES, first, asked, second)
    assert sorted(said_of(joined[0])) == [1, 3, 4]
    scores = task.score(SENTENCES, joined)
    assert scores.main == "end_to_end_f1"
    assert scores.values["f1"] == 100.0  # those that are given are all right
    assert scores.values["end_to_end_precision"] == pytest.approx(100 * 2 / 3)  # A1 of "late" is in excess
    assert scores.values["end_to_end_recall"] == pytest.approx(100 * 2 / 4)  # those of "was" are missed
    assert scores.values["end_to_end_f1"] == pytest.approx(100 * 4 / 7)
    assert scores.values["predicate_f1"] == pytest.approx(50.0)
    assert tuple(scores.values) == task.metrics


def test_a_split_without_rows_is_decoded_too() -> None:
    for task in (Roles.learn(SENTENCES), RolesEndToEnd.learn(SENTENCES)):
        assert said_of(task.decode(SENTENCES[1:], [], [])[0]) == {}


class TestFiles:
    """Columns of CoNLL-2005."""

    SAID = (
        prediction_of({1: (Span(0, 1, "A0"), Span(1, 2, "V")), 3: SENTENCES[0].spans[3]}),
        prediction_of({}),
    )

    def test_predictions_come_back_from_their_files(self, tmp_path: Path) -> None:
        task = Roles.learn(SENTENCES)
        written = task.write_predictions(tmp_path / "new", SENTENCES, self.SAID)
        assert [path.name for path in written] == ["predicted.props", "key.props", "table.txt"]
        assert written[0].read_text() == (
            "-   (A0*) *\nsay (V*)  *\n-   *     (A1*)\nbe  *     (V*)\n-   *     (A2*)\n\n-\n-\n\n"
        )
        assert "Percentage of perfect props :  50.00" in written[2].read_text()
        assert task.read_predictions(tmp_path / "new", SENTENCES, RowNotes()) == list(self.SAID)
        assert task.read_predictions(written[0], SENTENCES, RowNotes()) == list(self.SAID)

    def test_predictions_of_both_settings_come_back_from_their_folder(self, tmp_path: Path) -> None:
        task = RolesEndToEnd.learn(SENTENCES)
        found = {1: SENTENCES[0].spans[1], 4: (Span(4, 5, "V"),)}
        said = [prediction_of({**SENTENCES[0].spans, **found}, found), prediction_of({}, [])]
        task.write_predictions(tmp_path, SENTENCES, said)
        assert (tmp_path / FOUND_FILE).read_text().splitlines()[4] == "late *)    (V*)"
        assert "late" not in (tmp_path / PREDICTED_FILE).read_text()
        assert task.read_predictions(tmp_path, SENTENCES, RowNotes()) == said
        alone = task.read_predictions(tmp_path / FOUND_FILE, SENTENCES, RowNotes())
        assert alone == [prediction_of(found, found), prediction_of({}, [])]

    def test_another_lemma_loses_its_arguments_and_is_counted(self, tmp_path: Path) -> None:
        path = tmp_path / "theirs.props"
        path.write_text("- (A0*)\ntell (V*)\n- (A1*\n- *\n- *)\n\n- *\nagree (V*)\n\n")
        notes = RowNotes()
        task = Roles.learn(SENTENCES)
        predictions = task.read_predictions(path, SENTENCES, notes)
        assert [sorted(said_of(each)) for each in predictions] == [[], [1]]
        assert list(notes.places.values()) == [[f"{path}:2"]]
        assert task.score(SENTENCES, predictions).values["recall"] == 0.0
        found = RolesEndToEnd.learn(SENTENCES).read_predictions(path, SENTENCES, notes)
        assert [each["predicates"] for each in found] == [[1], [1]]

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("-\n-\n-\n-\n-\n\n", r"has 1 sentences; expected 2, as the split has"),
            ("-\n-\n-\n-\n-\n\n-\n-\n\n-\n\n", r"has 3 sentences; expected 2, as the split has"),
            ("-\n-\n-\n-\n\n-\n-\n\n", r":1: the sentence has 4 lines, and that of dev:1 has 5 words"),
            ("-\n-\n-\n-\n-\n\n-\nv\n\n", r":8: the sentence has 1 predicate in column 1, and 0 columns of arguments"),
            ("- *\n-\n-\n-\n-\n\n-\n-\n\n", r":2 has 1 column; expected 2, as line 1 has"),
            ("- (A0*\nv *\n- *\n- *\n- *\n\n-\n-\n\n", r":1, column 2: \(A0\* is not closed before the sentence ends"),
            ("\n\n", r"is empty"),
        ],
    )
    def test_files_that_do_not_fit_are_named(self, text: str, reason: str, tmp_path: Path) -> None:
        path = tmp_path / "theirs.props"
        path.write_text(text)
        for task in (Roles.learn(SENTENCES), RolesEndToEnd.learn(SENTENCES)):
            with pytest.raises(SourceError, match=reason):
                task.read_predictions(path, SENTENCES, RowNotes())

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"predicted\.props does not exist"):
            Roles.learn(SENTENCES).read_predictions(tmp_path, SENTENCES, RowNotes())


@pytest.mark.real_data
@pytest.mark.skipif(not DATA.is_dir(), reason="PropBank-EWT is not under ATINUKE_DATA")
@pytest.mark.parametrize(
    ("split", "sentences", "words", "propositions"),
    [("train", 12_518, 204_163, 40_419), ("dev", 1_964, 24_837, 4_950), ("test", 2_054, 24_920, 4_792)],
)
def test_propbank_ewt_is_read_whole(split: str, sentences: int, words: int, propositions: int, tmp_path: Path) -> None:
    notes = RowNotes()
    found = Roles.read(DATA, split, notes)
    counts = len(found), sum(len(each.words) for each in found), sum(len(each.propositions) for each in found)
    assert counts == (sentences, words, propositions)
    assert not notes.counts and not notes.remarks
    if split != "train":
        task = Roles.learn(found)
        said = [prediction_of(each.spans) for each in found]
        assert task.score(found, said).value == 100.0
        task.write_predictions(tmp_path, found, said)
        assert task.read_predictions(tmp_path, found, notes) == said
        assert not notes.counts
