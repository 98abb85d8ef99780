"""The head of coreference: equal to the formula of each span and pair, blind to padding, and able to learn."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from atinuke.data.batches.batch import IGNORE
from atinuke.tasks.coreference import ranking
from atinuke.tasks.coreference.coreference_task import Coreference, LitBankCoreference
from atinuke.tasks.coreference.documents import Document
from atinuke.tasks.coreference.ranking import DISTANCES, Ranked, RankingHead, ranking_loss
from atinuke.tasks.coreference.spans import MAX_WIDTH
from atinuke.tasks.rows import batch_of
from atinuke.tokenizers.reading import Reader

WIDTH = 6
NONE = -math.inf

# Two windows, of five words and of three; the second sentence goes on in the second window.
FIRSTS = torch.tensor([[1, 2, 4, 5, 6], [1, 2, 3, -1, -1]])
LASTS = torch.tensor([[1, 3, 4, 5, 7], [1, 2, 4, -1, -1]])
SENTENCES = torch.tensor([[0, 0, 0, 1, 1], [1, 1, 1, -1, -1]])
SENTENCE_OF_WORD = [0, 0, 0, 1, 1, 1, 1, 1]


@pytest.fixture
def head() -> RankingHead:
    """With weights large enough to tell spans apart."""
    torch.manual_seed(0)
    made = RankingHead(WIDTH, dropout=0.0)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.3)
    return made.eval()


@pytest.fixture
def hidden() -> Tensor:
    torch.manual_seed(1)
    return torch.randn(2, 9, WIDTH)


def said_of(head: RankingHead, hidden: Tensor) -> Ranked:
    with torch.no_grad():
        return head(hidden, torch.ones(hidden.shape[:2], dtype=torch.bool), FIRSTS, LASTS, SENTENCES)


def vectors(hidden: Tensor) -> tuple[Tensor, Tensor]:
    """First and last token of each of the eight words."""
    places = [(window, word) for window, count in ((0, 5), (1, 3)) for word in range(count)]
    first = torch.stack([hidden[window, FIRSTS[window, word]] for window, word in places])
    return first, torch.stack([hidden[window, LASTS[window, word]] for window, word in places])


def span_vector(head: RankingHead, hidden: Tensor, start: int, end: int) -> Tensor:
    """g, by its formula."""
    first, last = vectors(hidden)
    inside = (first + last)[start : end + 1] / 2
    shares = head.attend(inside).softmax(dim=0)
    return torch.cat([first[start], last[end], (shares * inside).sum(dim=0), head.width.weight[end - start]])


class TestTwin:
    def test_mention_scores(self, head: RankingHead, hidden: Tensor) -> None:
        said = said_of(head, hidden)
        parts = (head.mention_first, head.mention_last, head.mention_inside, head.mention_width)
        matrix = torch.cat([part.weight for part in parts], dim=1)
        expected = torch.full((8, MAX_WIDTH), NONE)
        with torch.no_grad():
            for start in range(8):
                for end in range(start, 8):
                    if SENTENCE_OF_WORD[start] == SENTENCE_OF_WORD[end]:
                        units = matrix @ span_vector(head, hidden, start, end) + head.mention_first.bias
                        expected[start, end - start] = head.mention_out(units.relu())
        assert_close(said.every_span, expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("most", [50, 1])
    def test_links(self, head: RankingHead, hidden: Tensor, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ranking, "ANTECEDENTS", most)
        said = said_of(head, hidden)
        spans = list(zip(said.firsts.tolist(), said.lasts.tolist(), strict=True))
        with torch.no_grad():
            g = [span_vector(head, hidden, *span) for span in spans]
            for later in range(len(spans)):
                coarse = {
                    earlier: float(
                        said.mention_scores[later]
                        + said.mention_scores[earlier]
                        + head.coarse(g[later]) @ g[earlier] / math.sqrt(len(g[0]))
                    )
                    for earlier in range(later)
                }
                best = sorted(coarse, key=lambda earlier: -coarse[earlier])[:most]
                found = {
                    int(antecedent): float(score)
                    for antecedent, score in zip(said.antecedents[later], said.scores[later], strict=True)
                    if score > NONE
                }
                assert sorted(found) == sorted(best)
                for earlier in best:
                    bucket = sum(later - earlier >= boundary for boundary in DISTANCES)
                    units = (
                        head.pair_later(g[later])
                        + head.pair_earlier(g[earlier])
                        + head.pair_product(g[later] * g[earlier])
                        + head.pair_distance(head.distance.weight[bucket])
                    )
                    expected = coarse[earlier] + float(head.pair_out(units.relu()))
                    assert found[earlier] == pytest.approx(expected, rel=1e-4, abs=1e-4)


class TestForm:
    def test_spans_are_sorted_few_and_do_not_cross(self, head: RankingHead, hidden: Tensor) -> None:
        said = said_of(head, hidden)
        spans = list(zip(said.firsts.tolist(), said.lasts.tolist(), strict=True))
        assert len(spans) == 3 and spans == sorted(spans)  # 0.4 of eight words
        assert not any(a < c <= b < d for a, b in spans for c, d in spans)
        assert all(SENTENCE_OF_WORD[first] == SENTENCE_OF_WORD[last] for first, last in spans)
        assert_close(said.mention_scores, said.every_span[said.firsts, said.lasts - said.firsts])

    def test_padding_changes_nothing(self, head: RankingHead, hidden: Tensor) -> None:
        before = said_of(head, hidden)
        wider = torch.cat([hidden, torch.full((2, 4, WIDTH), 7.0)], dim=1)
        marks = (torch.cat([each, torch.full((2, 3), -1)], dim=1) for each in (FIRSTS, LASTS, SENTENCES))
        with torch.no_grad():
            after = head(wider, torch.ones(2, 13, dtype=torch.bool), *marks)
        for one, other in zip(before, after, strict=True):
            assert_close(one, other, rtol=1e-4, atol=1e-4)

    def test_a_document_of_one_word(self, head: RankingHead) -> None:
        one = torch.tensor([[1]])
        said = head(torch.randn(1, 3, WIDTH), torch.ones(1, 3, dtype=torch.bool), one, one, torch.zeros_like(one))
        assert said.firsts.tolist() == [0] and said.scores.tolist() == [[NONE]]
        loss = ranking_loss(said, (torch.zeros(1, 0, dtype=torch.long),) * 3, judges_mentions=False)
        assert loss.item() == 0

    def test_the_first_predictions_are_nearly_even(self, hidden: Tensor) -> None:
        torch.manual_seed(0)
        said = said_of(RankingHead(WIDTH, dropout=0.1).eval(), hidden)
        assert said.every_span[said.every_span > NONE].abs().max() < 0.1
        assert said.scores[said.scores > NONE].abs().max() < 0.5


def by_hand() -> Ranked:
    """Three spans of one word of five: the second may follow the first, the third both."""
    every_span = torch.zeros(5, MAX_WIDTH)
    every_span[3, 1] = 1.0
    every_span[4, 1:] = NONE
    places = torch.tensor([0, 2, 4])
    scores = torch.tensor([[NONE, NONE], [1.0, NONE], [2.0, 0.5]])
    return Ranked(places, places, torch.zeros(3), torch.tensor([[0, 1], [0, 1], [1, 0]]), scores, every_span)


def targets_of(*mentions: tuple[int, int, int]) -> tuple[Tensor, ...]:
    """As they are stacked: in the first of two rows, and none in the other."""
    columns = torch.tensor(mentions, dtype=torch.long).reshape(-1, 3).T
    return tuple(torch.stack([column, torch.full_like(column, IGNORE)]) for column in columns)


class TestLoss:
    def test_worked_by_hand(self) -> None:
        loss = ranking_loss(by_hand(), targets_of((0, 0, 0), (4, 4, 0), (2, 2, 1)), judges_mentions=False)
        second = math.log(1 + math.e)  # is to follow none
        third = math.log(1 + math.exp(2) + math.exp(0.5)) - 0.5  # is to follow the first
        assert loss.item() == pytest.approx((second + third) / 3)

    def test_any_antecedent_of_the_cluster_will_do(self) -> None:
        loss = ranking_loss(by_hand(), targets_of((0, 0, 0), (2, 2, 0), (4, 4, 0)), judges_mentions=False)
        second = math.log(1 + math.e) - 1
        third = math.log(1 + math.exp(2) + math.exp(0.5)) - math.log(math.exp(2) + math.exp(0.5))
        assert loss.item() == pytest.approx((second + third) / 3)

    def test_what_is_no_mention_is_to_follow_nothing(self) -> None:
        said = by_hand()
        nothing = ranking_loss(said, targets_of(), judges_mentions=False)
        third = math.log(1 + math.exp(2) + math.exp(0.5))
        assert nothing.item() == pytest.approx((math.log(1 + math.e) + third) / 3)
        # nor does a mention that was not kept change anything, or one too wide to be a span, or beyond its sentence
        others = targets_of((0, 0, 0), (3, 4, 0), (0, 30, 0), (4, 5, 0))
        assert_close(ranking_loss(said, others, judges_mentions=False), nothing)

    def test_mentions_are_judged_where_singletons_are_annotated(self) -> None:
        given = targets_of((0, 0, 0), (3, 4, 1), (0, 30, 0), (4, 5, 0))
        links = ranking_loss(by_hand(), given, judges_mentions=False)
        both = ranking_loss(by_hand(), given, judges_mentions=True)
        # three kept spans of score 0, one of them a mention, and a mention of score 1 that was not kept
        assert (both - links).item() == pytest.approx((3 * math.log(2) + math.log(1 + math.exp(-1))) / 4)


class TestDocument:
    """Rows, batch, head, loss and decoding together."""

    TEXT = (
        "Ada saw a dog. It barked at her loudly. The dog ran off. Ada followed it home at once. "
        "Nobody else saw any of this"
    )
    CLUSTERS = ([(0, 0), (7, 7), (13, 13)], [(2, 3), (4, 4), (9, 10), (15, 15)], [(16, 16)])

    def batch(self, document: Document, reader: Reader, max_tokens: int):  # type: ignore[no-untyped-def]
        task = LitBankCoreference(keeps_singletons=True)
        rows = task.rows(0, document, reader, max_tokens, with_targets=True)
        return task, rows, batch_of(rows, task.name)

    def test_learns_a_document_by_heart(self, reader: Reader, document_of: Callable[..., Document]) -> None:
        torch.manual_seed(0)
        document = document_of(self.TEXT, *self.CLUSTERS)
        task, rows, batch = self.batch(document, reader, 16)
        assert len(rows) > 1
        tokens, _, is_token, _, *marks = batch.inputs
        hidden = torch.randn(*tokens.shape, 16)
        head = task.head(16, 0.0)
        optimizer = torch.optim.Adam(head.parameters(), lr=5e-3)
        losses = []
        for _ in range(400):
            loss = task.loss(head(hidden, is_token, *marks), batch.targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < 0.1 * losses[0]
        with torch.no_grad():
            said = head.eval()(hidden, is_token, *marks)
        outputs = [tuple(each.numpy() for each in said), *[()] * (len(rows) - 1)]
        (found,) = task.decode([document], rows, outputs)
        assert sorted(found) == sorted([list(mention) for mention in cluster] for cluster in self.CLUSTERS)
        assert task.score([document], [found]).value == pytest.approx(100)

    def test_every_weight_gets_a_gradient(self, reader: Reader, document_of: Callable[..., Document]) -> None:
        torch.manual_seed(0)
        task, _, batch = self.batch(document_of(self.TEXT, *self.CLUSTERS), reader, 16)
        tokens, _, is_token, _, *marks = batch.inputs
        hidden = torch.randn(*tokens.shape, 16, requires_grad=True)
        head = task.head(16, 0.2)
        task.loss(head(hidden, is_token, *marks), batch.targets).backward()
        for name, parameter in head.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.abs().sum() > 0, name
        assert hidden.grad is not None and hidden.grad.isfinite().all()

    def test_a_document_without_mentions(self, reader: Reader, document_of: Callable[..., Document]) -> None:
        torch.manual_seed(0)
        task = Coreference(keeps_singletons=False)
        document = document_of(self.TEXT)
        rows = task.rows(0, document, reader, 16, with_targets=True)
        batch = batch_of(rows, task.name)
        assert all(each.shape == (len(rows), 0) for each in batch.targets)
        tokens, _, is_token, _, *marks = batch.inputs
        said = task.head(WIDTH, 0.0)(torch.randn(*tokens.shape, WIDTH), is_token, *marks)
        assert task.loss(said, batch.targets).isfinite()

    def test_windows_of_any_size_show_the_head_the_same_words(
        self, reader: Reader, document_of: Callable[..., Document]
    ) -> None:
        # hidden vectors that depend on the token alone: then where windows end makes no difference
        torch.manual_seed(0)
        table = torch.randn(100, WIDTH)
        head = RankingHead(WIDTH, dropout=0.0).eval()
        found = []
        for max_tokens in (16, 40, 100):
            _, _, batch = self.batch(document_of(self.TEXT, *self.CLUSTERS), reader, max_tokens)
            tokens, _, is_token, _, *marks = batch.inputs
            with torch.no_grad():
                found.append(head(table[tokens], is_token, *marks))
        for other in found[1:]:
            for one, same in zip(found[0], other, strict=True):
                assert_close(one, same, rtol=1e-4, atol=1e-4)
