"""The head of coreference: every span of a document is a mention or not, and follows an earlier one or none.

Mention ranking end to end (Lee et al. 2017, arXiv:1707.07045), with pruning from coarse to fine and without the
higher order of Lee et al. 2018 (arXiv:1804.05392). Told neither speakers nor genres, which open data has not.

    W words, L = MAX_WIDTH widths, K spans that are kept, A = min(ANTECEDENTS, K) antecedents for each
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from atinuke.data.batches.batch import IGNORE
from atinuke.models.layers.dropout import Dropout
from atinuke.tasks.coreference.spans import MAX_WIDTH, SPANS_PER_WORD, choose_spans
from atinuke.tasks.heads import INITIAL_SPREAD, start_small

HIDDEN = 150
"""Units of both small networks (Lee et al. 2017, §6)."""
FEATURE = 20
"""Numbers that stand for a width or a distance."""
ANTECEDENTS = 50
"""Earlier spans that each is compared with, of those that the coarse score ranks highest."""
DISTANCES = (2, 3, 4, 5, 8, 16, 32, 64)
"""Where a new bucket begins: 1, 2, 3, 4, 5–7, 8–15, 16–31, 32–63, 64 and more spans back."""


class Ranked(NamedTuple):
    """What the head says of a document. Spans are sorted by their first and last words; scores are float32."""

    firsts: Int[Tensor, " K"]
    lasts: Int[Tensor, " K"]
    mention_scores: Float[Tensor, " K"]
    antecedents: Int[Tensor, "K A"]
    """Numbers of spans."""
    scores: Float[Tensor, "K A"]
    """Of the link to each antecedent, against 0 for having none; −∞ where none stands there."""
    every_span: Float[Tensor, "W L"]
    """Mention scores of all spans, by first word and by words after it; −∞ where a sentence ends before."""


class RankingHead(nn.Module):
    """Words of all windows of one document → scores of mentions and of links.

        x_w      vector of word w: of its first token where a span begins, of its last where one ends, their mean inside
        g_i      [x_first ; x_last ; Σ_w a_w x_w ; width]           a: softmax over the span (Lee et al. 2017, eq. 2–4)
        m_i      u relu(M g_i)                                      mention score
        c_ij     g_i C g_j / √|g|                                   coarse (Lee et al. 2018, §4); the root is ours
        s_ij     m_i + m_j + c_ij + v relu(P [g_i ; g_j ; g_i ∘ g_j ; distance])

    Matrices on parts of g are applied to words before spans are made of them, which gives the same numbers, and for all
    W·L spans takes no more memory than their hidden units do. Dropout is on hidden units, and on the g of kept spans.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        size = 3 * width + FEATURE
        self.dropout = Dropout(dropout)
        self.attend = nn.Linear(width, 1, bias=False)
        self.width = nn.Embedding(MAX_WIDTH, FEATURE)
        self.mention_first = nn.Linear(width, HIDDEN)
        self.mention_last = nn.Linear(width, HIDDEN, bias=False)
        self.mention_inside = nn.Linear(width, HIDDEN, bias=False)
        self.mention_width = nn.Linear(FEATURE, HIDDEN, bias=False)
        self.mention_out = nn.Linear(HIDDEN, 1)
        self.coarse = nn.Linear(size, size, bias=False)
        self.distance = nn.Embedding(len(DISTANCES) + 1, FEATURE)
        self.pair_later = nn.Linear(size, HIDDEN)
        self.pair_earlier = nn.Linear(size, HIDDEN, bias=False)
        self.pair_product = nn.Linear(size, HIDDEN, bias=False)
        self.pair_distance = nn.Linear(FEATURE, HIDDEN, bias=False)
        self.pair_out = nn.Linear(HIDDEN, 1)
        start_small(self)
        for embedding in (self.width, self.distance):
            nn.init.normal_(embedding.weight, std=INITIAL_SPREAD)

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        is_token: Bool[Tensor, "B T"],
        firsts: Int[Tensor, "B n"],
        lasts: Int[Tensor, "B n"],
        sentences: Int[Tensor, "B n"],
    ) -> Ranked:
        """`firsts`, `lasts`: places of the first and the last token of each word of a window; `sentences`: its
        sentence, by numbers that grow. All −1 where a window has no more words; one word there is at least."""
        is_word = firsts >= 0
        window = is_word.nonzero()[:, 0]
        first = hidden[window, firsts[is_word]]  # (W, D)
        last = hidden[window, lasts[is_word]]
        places, is_span = _grid(sentences[is_word])
        shares = self._shares(first, last, places)
        every_span = self._mention_scores(first, last, places, shares).masked_fill(~is_span, -torch.inf)
        most = max(1, int(SPANS_PER_WORD * len(first)))
        chosen = choose_spans(every_span.detach().cpu().numpy(), most)
        starts, ends = (torch.from_numpy(each).to(hidden.device) for each in chosen)
        spans = self._spans(first, last, places, shares, starts, ends)
        mention_scores = every_span[starts, ends - starts]
        antecedents, scores = self._links(spans, mention_scores)
        return Ranked(starts, ends, mention_scores, antecedents, scores, every_span)

    def _shares(
        self, first: Float[Tensor, "W D"], last: Float[Tensor, "W D"], places: Int[Tensor, "W L"]
    ) -> Float[Tensor, "W L L"]:
        """How much of each span each of its words gets, by first word, width, and words after the first."""
        heights = self.attend((first + last) / 2).squeeze(-1).float()[places]  # (W, L)
        is_inside = torch.ones(MAX_WIDTH, MAX_WIDTH, dtype=torch.bool, device=places.device).tril()
        heights = heights[:, None, :].expand(-1, MAX_WIDTH, -1).masked_fill(~is_inside, -torch.inf)
        return heights.softmax(dim=-1).to(first.dtype)

    def _mention_scores(
        self,
        first: Float[Tensor, "W D"],
        last: Float[Tensor, "W D"],
        places: Int[Tensor, "W L"],
        shares: Float[Tensor, "W L L"],
    ) -> Float[Tensor, "W L"]:
        """Of every span, those too that reach beyond their sentence."""
        inside = self.mention_inside((first + last) / 2)[places]  # (W, L, HIDDEN)
        units = self.mention_first(first)[:, None] + self.mention_last(last)[places] + shares.to(inside.dtype) @ inside
        units = units + self.mention_width(self.width.weight)
        return self.mention_out(self.dropout(units.relu())).squeeze(-1).float()

    def _spans(
        self,
        first: Float[Tensor, "W D"],
        last: Float[Tensor, "W D"],
        places: Int[Tensor, "W L"],
        shares: Float[Tensor, "W L L"],
        starts: Int[Tensor, " K"],
        ends: Int[Tensor, " K"],
    ) -> Float[Tensor, "K G"]:
        """The vectors of kept spans."""
        widths = ends - starts
        words = ((first + last) / 2)[places[starts]]  # (K, L, D)
        inside = (shares[starts, widths][:, None, :] @ words).squeeze(1)
        parts = (first[starts], last[ends], inside, self.width(widths).to(first.dtype))
        return self.dropout(torch.cat(parts, dim=-1))

    def _links(
        self, spans: Float[Tensor, "K G"], mention_scores: Float[Tensor, " K"]
    ) -> tuple[Int[Tensor, "K A"], Float[Tensor, "K A"]]:
        """The antecedents of each span that score best at a coarse look, and the scores of the links to them."""
        number = torch.arange(len(spans), device=spans.device)
        coarse = (self.coarse(spans) @ spans.T).float() * spans.shape[-1] ** -0.5
        coarse = coarse + mention_scores[:, None] + mention_scores
        is_earlier = number < number[:, None]
        best, antecedents = coarse.masked_fill(~is_earlier, -torch.inf).topk(min(ANTECEDENTS, len(spans)), dim=1)
        back = (number[:, None] - antecedents).contiguous()  # (K, A); bucketize warns of anything else
        boundaries = torch.tensor(DISTANCES, device=spans.device)
        distance = self.pair_distance(self.distance.weight)[torch.bucketize(back, boundaries, right=True)]
        units = self.pair_later(spans)[:, None] + self.pair_earlier(spans)[antecedents] + distance
        units = units + self.pair_product(spans[:, None] * spans[antecedents])
        fine = self.pair_out(self.dropout(units.relu())).squeeze(-1).float()
        return antecedents, (best + fine).masked_fill(back <= 0, -torch.inf)


def ranking_loss(said: Ranked, targets: tuple[Tensor, ...], *, judges_mentions: bool) -> Float[Tensor, ""]:
    """Mean nats per kept span of following any antecedent of its own cluster, or none where it has none there (Lee et
    al. 2017, eq. 8; they take the sum).

    `targets`: first word, last word and cluster of each mention, IGNORE where there is none. With `judges_mentions`,
    where the data annotates mentions that nothing refers to, mean nats of "is it a mention?" over kept spans and
    mentions are added: links alone would teach that such are none.
    """
    clusters = _cluster_of_every_span(said, targets)
    own = clusters[said.firsts, said.lasts - said.firsts]  # (K,)
    is_right = (own[:, None] == own[said.antecedents]) & (own > 0)[:, None] & said.scores.isfinite()
    is_right = torch.cat([~is_right.any(dim=1, keepdim=True), is_right], dim=1)
    log_shares = F.pad(said.scores, (1, 0)).log_softmax(dim=-1)  # 0 for no antecedent
    loss = -log_shares.masked_fill(~is_right, -torch.inf).logsumexp(dim=-1).mean()
    if not judges_mentions:
        return loss
    is_mention = (clusters > 0) & said.every_span.isfinite()
    is_judged = is_mention.clone()
    is_judged[said.firsts, said.lasts - said.firsts] = True
    judged = said.every_span[is_judged]
    return loss + F.binary_cross_entropy_with_logits(judged, is_mention[is_judged].to(judged.dtype))


def _grid(sentence: Int[Tensor, " W"]) -> tuple[Int[Tensor, "W L"], Bool[Tensor, "W L"]]:
    """For each word and each width the last word of the span, and whether there is such a span inside a sentence."""
    word_count = len(sentence)
    last = torch.arange(word_count, device=sentence.device)[:, None] + torch.arange(MAX_WIDTH, device=sentence.device)
    places = last.clamp(max=word_count - 1)
    return places, (last < word_count) & (sentence[places] == sentence[:, None])


def _cluster_of_every_span(said: Ranked, targets: tuple[Tensor, ...]) -> Int[Tensor, "W L"]:
    """Number of the cluster, from 1; 0 for what is no mention. One that is too wide is no span."""
    firsts, lasts, clusters = (each[each != IGNORE] for each in targets)
    widths = lasts - firsts
    fits = widths < said.every_span.shape[1]
    table = torch.zeros(said.every_span.shape, dtype=torch.long, device=said.every_span.device)
    table[firsts[fits], widths[fits]] = clusters[fits] + 1
    return table
