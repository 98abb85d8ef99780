"""Chances of labels against softmax and teacher forcing by hand; what is written freely ends at the end token."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from atinuke.generate import answering
from atinuke.generate.answering import Answers, write_answer, write_answers
from atinuke.models import Atinuke
from atinuke.models.config import PictureConfig, SoundConfig
from atinuke.models.decoder import Decoder
from atinuke.models.layers.prefix import Prefix
from atinuke.testing import tiny_model

END = 0
LABELS = [[5], [7, 8, 9], [7, 8], [11, 12, 13, 14]]


@pytest.fixture(scope="module")
def model() -> Decoder:
    return tiny_model("atinuke", vocab_size=23)


@pytest.fixture(scope="module")
def seeing() -> Atinuke:
    torch.manual_seed(0)
    picture = PictureConfig(height=4, width=4, channels=1, patch=2, stem="linear")
    sound = SoundConfig(sample_rate_hz=8000, mel_bins=8)
    network = Atinuke(23, 24, 20, 40, 2, 2, picture=picture, sound=sound)
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return network.eval()


def by_teacher_forcing(model: Decoder, prompt: list[int], labels: list[list[int]], prefix: Prefix | None) -> Tensor:
    """ln p of each label with the end behind it, token after token, then normalised over the labels."""
    sums = []
    for label in labels:
        known, total = [*prompt, END], torch.zeros((), dtype=torch.float64)
        for token in [*label, END]:
            with torch.no_grad():
                logits = model(torch.tensor([known]), None, "causal", prefix)[0, -1].double()
            total = total + logits.log_softmax(dim=-1)[token]
            known.append(token)
        sums.append(total)
    return torch.stack(sums).log_softmax(dim=0)


def one_row(prefix: Prefix, row: int) -> Prefix:
    lengths = None if prefix.lengths is None else prefix.lengths[row : row + 1]
    return Prefix(prefix.kind, prefix.values[row : row + 1], lengths)


def rows(prompts: list[list[int]], filler: int = END) -> tuple[Tensor, Tensor]:
    """Prompts with their ends, filled up to one length; and where each end stands."""
    longest = max(map(len, prompts)) + 1
    filled = [[*prompt, END, *[filler] * (longest - 1 - len(prompt))] for prompt in prompts]
    return torch.tensor(filled), torch.tensor([len(prompt) for prompt in prompts])


def test_labels_of_one_token_share_the_softmax_of_their_logits(model: Decoder) -> None:
    labels = [5, 9, 2, 22]
    with torch.no_grad():
        logits = model(torch.tensor([[3, 4, END]]))[0, -1].double()
    expected = logits[labels].exp() / logits[labels].exp().sum()
    found = Answers([[id] for id in labels], END).log_chances(model, *rows([[3, 4]]), None)
    assert_close(found[0].exp().double(), expected, atol=1e-6, rtol=1e-5)
    assert found.exp().sum().item() == pytest.approx(1, abs=1e-6)


def test_labels_of_several_tokens_have_the_chance_of_all_their_tokens_and_the_end(model: Decoder) -> None:
    prompts = [[3, 4], [6], [], [1, 2, 3, 4, 5]]
    found = Answers(LABELS, END).log_chances(model, *rows(prompts), None)
    expected = torch.stack([by_teacher_forcing(model, prompt, LABELS, None) for prompt in prompts])
    assert_close(found.double(), expected, atol=2e-5, rtol=1e-5)


def test_a_label_that_begins_another_is_told_apart_by_its_end(model: Decoder) -> None:
    """Without the end, [7, 8] could never be less likely than [7, 8, 9]."""
    differences = []
    for end in range(10, 23):  # any id could be the end, and any the next
        for last in range(10):
            found = Answers([[7, 8], [7, 8, last]], end).log_chances(model, *rows([[n] for n in range(23)]), None)
            differences += (found[:, 0] - found[:, 1]).tolist()
    assert min(differences) < 0 < max(differences)


@pytest.mark.parametrize("labels", [[[5], [9], [2]], LABELS], ids=["one token", "several"])
def test_what_stands_behind_the_start_and_who_else_is_in_the_batch_do_not_matter(
    model: Decoder, labels: list[list[int]]
) -> None:
    answers, prompts = Answers(labels, END), [[3, 4], [6], [1, 2, 3, 4, 5, 6, 7, 8]]
    plain, filled = (answers.log_chances(model, *rows(prompts, filler), None) for filler in (END, 17))
    assert_close(plain, filled, atol=1e-6, rtol=1e-5)
    for number, prompt in enumerate(prompts):
        alone = answers.log_chances(model, *rows([prompt]), None)
        assert_close(alone[0], plain[number], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("labels", [[[5], [9], [2]], LABELS], ids=["one token", "several"])
@pytest.mark.parametrize("kind", ["picture", "sound"])
def test_a_prefix_is_seen_by_every_label(seeing: Atinuke, kind: str, labels: list[list[int]]) -> None:
    torch.manual_seed(1)
    if kind == "picture":
        prefix = Prefix("picture", torch.rand(2, 1, 4, 4))
    else:
        prefix = Prefix("sound", torch.rand(2, 1600) - 0.5, torch.tensor([1600, 900]))
    found = Answers(labels, END).log_chances(seeing, *rows([[3, 4], [6]]), prefix)
    for number, prompt in enumerate([[3, 4], [6]]):
        own = one_row(prefix, number)
        if all(len(label) == 1 for label in labels):
            with torch.no_grad():
                logits = seeing(torch.tensor([[*prompt, END]]), None, "causal", own)[0, -1].double()
            expected = logits[[label[0] for label in labels]].log_softmax(dim=0)
        else:
            expected = by_teacher_forcing(seeing, prompt, labels, own)
        assert_close(found[number].double(), expected, atol=1e-4, rtol=1e-4)
    assert (found[0] - found[1]).abs().max() > 1e-3


def test_dropout_plays_no_part_and_the_mode_stays() -> None:
    torch.manual_seed(0)
    network = Atinuke(23, 24, 20, 40, 2, 2, dropout=0.5).train()
    nn.init.normal_(network.head.weight, std=0.3)
    first, second = (Answers(LABELS, END).log_chances(network, *rows([[3]]), None) for _ in range(2))
    assert torch.equal(first, second) and network.training and not first.requires_grad


class Scripted(nn.Module):
    """Always writes its script, whatever it is asked, and remembers what it was given."""

    def __init__(self, script: list[int]) -> None:
        super().__init__()
        self.script, self.max_len = script, 99
        self.given: list[list[int]] = []
        self.anything = nn.Parameter(torch.zeros(1))

    def forward(self, tokens: Tensor, cache: None, mask: str, prefix: Prefix | None, places: Tensor) -> Tensor:
        logits = torch.zeros(1, tokens.shape[1], 30)
        logits[0, -1, self.script[len(self.given)]] = 1.0
        logits[0, -1, 25] = 9.0  # an id of the network's own, as that of a mask is
        self.given.append(tokens[0].tolist())
        return logits.flatten(0, 1)[places]


def test_an_answer_is_written_until_its_end() -> None:
    model = Scripted([8, 9, END, 10])
    found = write_answer(model, [3, 4], None, end_id=END, vocab_size=23, most=64)  # type: ignore[arg-type]
    assert found == [8, 9]
    assert model.given == [[3, 4, END], [3, 4, END, 8], [3, 4, END, 8, 9]]


@pytest.mark.parametrize(("script", "most", "found"), [([8] * 9, 5, [8] * 5), ([END], 5, []), ([8, 9], 0, [])])
def test_an_answer_has_at_most_so_many_tokens_and_may_have_none(script: list[int], most: int, found: list[int]) -> None:
    assert write_answer(Scripted(script), [], None, end_id=END, vocab_size=23, most=most) == found  # type: ignore[arg-type]


def test_an_answer_is_the_likeliest_token_each_time(seeing: Atinuke) -> None:
    prefix = Prefix("picture", torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(2)))
    known = [3, END]
    for _ in range(6):
        with torch.no_grad():
            known.append(int(seeing(torch.tensor([known]), None, "causal", prefix)[0, -1].argmax()))
    expected = known[2:]
    expected = expected[: expected.index(END)] if END in expected else expected
    assert write_answer(seeing, [3], prefix, end_id=END, vocab_size=23, most=6) == expected


@pytest.mark.parametrize("kind", [None, "picture", "sound"])
def test_many_rows_are_written_as_each_alone(seeing: Atinuke, kind: str | None) -> None:
    torch.manual_seed(3)
    prompts: list[list[int]] = [[3, 4, 5, 6], [], [7]]
    prefix = Prefix("picture", torch.rand(3, 1, 4, 4)) if kind == "picture" else None
    if kind == "sound":
        prefix = Prefix("sound", torch.rand(3, 1600) - 0.5, torch.tensor([1600, 900, 1200]))
    for end in range(23):  # any id could be the end, so that some rows end before others
        tokens, starts = rows(prompts, filler=17)
        tokens[torch.arange(3), starts] = end
        found = write_answers(seeing, tokens, starts, prefix, end_id=end, vocab_size=23, most=6)
        for number, prompt in enumerate(prompts):
            own = prefix and one_row(prefix, number)
            assert found[number] == write_answer(seeing, prompt, own, end_id=end, vocab_size=23, most=6)


@pytest.mark.parametrize(
    ("script", "number", "ids"),
    [
        ([8, 9, END], 1, [8, 9]),
        ([8, END], 0, [8]),
        ([END], -1, []),
        ([8, 9, 7, 6], -1, [8, 9, 7]),  # it goes on behind the longest label
        ([6, END], -1, [6]),
    ],
)
def test_of_very_many_labels_the_answer_is_the_one_that_is_written_exactly(
    script: list[int], number: int, ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answering, "MOST_COMPARED", 2)
    answers, model = Answers([[8], [8, 9], [8, 7]], END), Scripted(script)
    assert answers.choose(model, *rows([[3]]), None, vocab_size=23) == [(number, ids)]  # type: ignore[arg-type]


def test_few_labels_are_compared_and_the_likeliest_is_the_answer(model: Decoder) -> None:
    answers, (tokens, starts) = Answers(LABELS, END), rows([[3, 4], [6], []])
    found = answers.choose(model, tokens, starts, None, vocab_size=23)
    best = answers.log_chances(model, tokens, starts, None).argmax(dim=1).tolist()
    assert found == [(number, LABELS[number]) for number in best]


@pytest.mark.parametrize("most_compared", [1, 256])
def test_labels_longer_than_what_the_network_has_places_for_are_asked_for_all_the_same(
    most_compared: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network with learned positions fails on a row of one token too many."""
    monkeypatch.setattr(answering, "MOST_COMPARED", most_compared)
    gpt = tiny_model("gpt", vocab_size=23, context=2)
    answers, long = Answers(LABELS, END), [3, 4, 5, 6, 7, 8]
    found = answers.choose(gpt, *rows([long, [6]]), None, vocab_size=23)
    assert found[:1] == answers.choose(gpt, *rows([long[-3:]]), None, vocab_size=23)  # 3 + the end + 4 are 8
    assert found[1:] == answers.choose(gpt, *rows([[6]]), None, vocab_size=23)
