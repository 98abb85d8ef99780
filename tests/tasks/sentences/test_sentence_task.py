"""Tasks on texts without a network: rows and where they are cut, answers back from outputs, scores and facts."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.sentences.answers import Labels, Ratings
from atinuke.tasks.sentences.described_tasks import Cola, Mnli, Mrpc, Rte, SickR, Sst2, Stsb
from atinuke.tasks.sentences.sentence_task import cut_to_fit
from atinuke.tasks.sentences.texts import TextExample
from atinuke.tasks.task import Spot
from atinuke.tokenizers.reading import Reader


def example(answer: str | float | None, first: str = "ab", second: str | None = None, line: int = 2) -> TextExample:
    return TextExample(str(line), first, second, answer, "train", Spot("train.tsv", line))


class TestCutting:
    @given(st.integers(0, 12), st.integers(0, 12), st.integers(2, 20))
    def test_of_a_pair_the_longer_goes_first_token_by_token(self, first: int, second: int, room: int) -> None:
        parts = [np.arange(first), 100 + np.arange(second)]
        slow = [part.tolist() for part in parts]
        while len(slow[0]) + len(slow[1]) > room:
            del slow[0 if len(slow[0]) > len(slow[1]) else 1][-1]
        assert [part.tolist() for part in cut_to_fit(parts, room)] == slow

    @given(st.integers(0, 12), st.integers(1, 20))
    def test_one_text_is_cut_at_its_end(self, length: int, room: int) -> None:
        (part,) = cut_to_fit([np.arange(length)], room)
        assert part.tolist() == list(range(min(length, room)))


class TestRows:
    def test_a_text_is_one_row_with_the_id_of_its_label(self, letter_reader: Reader) -> None:
        task = Sst2.learn([example("1")])
        (row,) = task.rows(7, example("1"), letter_reader, 16, with_targets=True)
        assert row.ids.tolist() == [0, 97, 98, 0] and row.segments.tolist() == [0, 0, 0, 0]
        assert row.example == 7 and row.marks == ()
        (target,) = row.targets
        assert target.shape == () and target.dtype == np.int64 and target == 1

    def test_a_pair_is_cut_to_the_longest_row(self, letter_reader: Reader) -> None:
        task = Rte.learn([example("entailment")])
        (row,) = task.rows(0, example("entailment", "abcdef", "xy"), letter_reader, 8, with_targets=False)
        assert row.ids.tolist() == [0, 97, 98, 99, 0, 120, 121, 0]
        assert row.segments.tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
        assert row.targets == ()

    def test_numbers_are_learned_in_multiples_of_their_spread(self, letter_reader: Reader) -> None:
        task = Stsb.learn([example(1.0), example(5.0)])
        (row,) = task.rows(0, example(5.0), letter_reader, 16, with_targets=True)
        assert row.targets[0].dtype == np.float32 and row.targets[0] == 1.0

    def test_an_example_without_answer_has_no_target(self, letter_reader: Reader) -> None:
        task = Stsb.learn([example(1.0)])
        assert task.rows(0, example(None), letter_reader, 16, with_targets=True)[0].targets == ()

    def test_empty_texts_are_rows_too(self, letter_reader: Reader) -> None:
        task = Mrpc.learn([example("1")])
        (row,) = task.rows(0, example("0", "", ""), letter_reader, 16, with_targets=False)
        assert row.ids.tolist() == [0, 0, 0]

    @pytest.mark.parametrize(("second", "needed"), [(None, 3), ("xy", 5)])
    def test_rows_without_room_are_refused(self, second: str | None, needed: int, letter_reader: Reader) -> None:
        task = Sst2.learn([example("1")])
        assert len(task.rows(0, example("1", second=second), letter_reader, needed, with_targets=False)[0]) == needed
        with pytest.raises(
            ConfigError, match=f"Rows of {needed - 1} tokens have no room .*; expected {needed} at leas"
        ):
            task.rows(0, example("1", second=second), letter_reader, needed - 1, with_targets=False)


class TestDecoding:
    def test_the_likeliest_label(self, letter_reader: Reader) -> None:
        examples = [example("neutral"), example("entailment")]
        task = Mnli.learn(examples)
        rows = [task.rows(n, each, letter_reader, 16, with_targets=False)[0] for n, each in enumerate(examples)]
        logits = [np.array([0.1, 0.2, 0.9], np.float32), np.array([3, -1, -1], np.float32)]
        assert task.decode(examples, rows, [(each,) for each in logits]) == ["contradiction", "entailment"]
        assert task.decode([], [], []) == []

    @pytest.mark.parametrize(("output", "expected"), [(0.0, 3.0), (0.5, 4.0), (9.0, 5.0), (-9.0, 0.0)])
    def test_a_number_on_its_scale(self, output: float, expected: float, letter_reader: Reader) -> None:
        examples = [example(1.0), example(5.0)]
        task = Stsb.learn(examples)
        rows = task.rows(0, examples[0], letter_reader, 16, with_targets=False)
        assert task.decode(examples[:1], rows, [(np.array([output], np.float32),)]) == [expected]


class TestScores:
    def test_figures_come_in_print_order_the_main_one_first(self) -> None:
        examples = [example(answer) for answer in ("1", "1", "0", "0")]
        scores = Mrpc.learn(examples).score(examples, ["1", "0", "0", "0"])
        assert (scores.main, scores.value, scores.counts) == ("accuracy", 75, {"examples": 4})
        assert scores.values == {"accuracy": 75, "f1": pytest.approx(200 / 3)}

    def test_correlations_and_for_relatedness_the_squared_error(self) -> None:
        examples = [example(answer) for answer in (1.0, 2.0, 4.0)]
        scores = SickR.learn(examples).score(examples, [1.0, 2.0, 5.0])
        assert list(scores.values) == ["pearson", "spearman", "mse"] and scores.main == "pearson"
        assert scores.values["spearman"] == pytest.approx(100) and scores.values["mse"] == pytest.approx(1 / 3)

    def test_a_constant_prediction_scores_nothing(self) -> None:
        examples = [example(answer) for answer in ("1", "0", "0")]
        assert Cola.learn(examples).score(examples, ["1"] * 3).values == {"mcc": 0}
        rated = [example(answer) for answer in (1.0, 2.0, 4.0)]
        assert Stsb.learn(rated).score(rated, [2.5] * 3).values == {"pearson": 0, "spearman": 0}

    def test_examples_without_answer_do_not_count(self) -> None:
        examples = [example("1"), example(None)]
        assert Sst2.learn(examples).score(examples, ["1", "0"]).counts == {"examples": 1, "without answer": 1}
        with pytest.raises(SourceError, match=r"train\.tsv has no answers of SST-2 to score with"):
            Sst2.learn(examples).score(examples[1:], ["0"])


class TestLearning:
    def test_labels_are_the_official_ones_whichever_are_seen(self) -> None:
        task = Mnli.learn([example("neutral")])
        assert task.facts == {"labels": ["entailment", "neutral", "contradiction"]}

    def test_numbers_have_a_mean_and_a_spread(self) -> None:
        assert Stsb.learn([example(1.0), example(5.0)]).facts == {"mean": 3.0, "spread": 2.0}
        assert Stsb.learn([example(2.0)]).facts == {"mean": 2.0, "spread": 1.0}

    def test_facts_make_the_task_again(self) -> None:
        for task in (Mnli.learn([example("neutral")]), Stsb.learn([example(0.1), example(0.7)])):
            again = type(task).from_facts(json.loads(json.dumps(task.facts)))
            assert again.facts == task.facts and again.answers == task.answers

    @pytest.mark.parametrize("facts", [{}, {"labels": []}, {"labels": "01"}, {"labels": [0, 1]}, {"mean": 1.0}])
    def test_facts_of_something_else_are_refused(self, facts: dict[str, object]) -> None:
        with pytest.raises(ConfigError, match="tune it again"):
            Sst2.from_facts(facts)
        with pytest.raises(ConfigError, match="tune it again"):
            Stsb.from_facts(facts)

    def test_labels_of_another_task_are_refused(self) -> None:
        with pytest.raises(
            ConfigError, match=r"MNLI is answered with entailment, .*; the tuned run learned entailment,"
        ):
            Mnli.from_facts(Rte.learn([example("entailment")]).facts)

    def test_a_split_without_answers_teaches_nothing(self) -> None:
        for task in (Sst2, Stsb):
            with pytest.raises(SourceError, match=r"train\.tsv has no answers to learn from"):
                task.learn([example(None)])
            with pytest.raises(SourceError, match="There are no examples to learn from"):
                task.learn([])

    def test_a_label_that_was_not_learned_is_named_with_its_place(self) -> None:
        labels = Labels(("no", "yes"), are_all=False)
        labels.check([example("no"), example(None)])
        with pytest.raises(
            SourceError, match=r"train\.tsv:9 has the label 'may be', which was not in the training data"
        ):
            labels.check([example("yes"), example("may be", line=9)])
        with pytest.raises(SourceError, match=r"train\.tsv:2 has the label 'yes'; expected a number"):
            Ratings(0.0, 1.0, 0.0, 5.0).check([example("yes")])
