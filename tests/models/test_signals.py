"""Pictures and sounds in the same sequence as text: what a network that reads them promises."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from atinuke.models import Atinuke, AtinukePaper
from atinuke.models.config import PictureConfig, SoundConfig
from atinuke.models.layers.attention import BACKENDS
from atinuke.models.layers.prefix import Prefix

PICTURE = PictureConfig(height=8, width=12, channels=1, patch=4)
SOUND = SoundConfig(sample_rate_hz=8000, mel_bins=10)


def build(dropout: float = 0.0, **options: object) -> Atinuke:
    """A small network whose every weight matters: what starts at zero is drawn at random."""
    torch.manual_seed(0)
    model = Atinuke(11, 16, 16, 32, 2, 2, dropout, **{"picture": PICTURE, "sound": SOUND, **options})  # type: ignore[arg-type]
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.2)
    return model.eval()


def tokens_like(batch: int, length: int) -> torch.Tensor:
    return torch.randint(11, (batch, length), generator=torch.Generator().manual_seed(1))


def pictures(batch: int) -> Prefix:
    return Prefix("picture", torch.rand(batch, 1, 8, 12, generator=torch.Generator().manual_seed(2)))


def sounds(batch: int) -> Prefix:
    """Rows of 1000, 1400, 1800 … samples: 6, 8, 11 … positions."""
    values = torch.rand(batch, 1000 + 400 * (batch - 1), generator=torch.Generator().manual_seed(3)) * 2 - 1
    return Prefix("sound", values, 1000 + 400 * torch.arange(batch))


SIGNALS = [pictures, sounds]
Signal = Callable[[int], Prefix]


@pytest.mark.parametrize("signal", SIGNALS)
def test_there_are_logits_for_the_tokens_alone(signal: Signal) -> None:
    assert build()(tokens_like(3, 5), prefix=signal(3)).shape == (3, 5, 11)


@pytest.mark.parametrize("signal", SIGNALS)
def test_later_tokens_change_neither_earlier_logits_nor_what_the_signal_says(signal: Signal) -> None:
    model, before = build(), tokens_like(2, 9)
    after = before.clone()
    after[:, 5:] = (after[:, 5:] + 1) % 11
    one, other = model(before, prefix=signal(2)), model(after, prefix=signal(2))
    assert_close(one[:, :5], other[:, :5])
    assert (one[:, 5:] - other[:, 5:]).abs().amax(dim=(1, 2)).min() > 1e-4


def test_every_patch_counts_for_the_first_token_and_patches_see_each_other_both_ways() -> None:
    model, prefix, tokens = build(), pictures(1), tokens_like(1, 2)
    seen: list[torch.Tensor] = []
    model.blocks[-1].register_forward_hook(lambda module, given, output: seen.append(output[0]))
    model(tokens, prefix=prefix)
    for patch in range(6):
        values = prefix.values.clone()
        row, column = divmod(patch, 3)
        values[..., 4 * row + 1, 4 * column + 1] = 1 - values[..., 4 * row + 1, 4 * column + 1]
        model(tokens, prefix=Prefix("picture", values))
        change = (seen[-1] - seen[0]).abs().amax(dim=-1)
        assert change.min() > 0, "one of the positions does not see this patch"


def test_padding_and_batch_mates_do_not_change_what_is_heard() -> None:
    model, prefix, tokens = build(), sounds(3), tokens_like(3, 4)
    together = model(tokens, prefix=prefix)
    assert prefix.lengths is not None
    for row, length in enumerate(prefix.lengths.tolist()):
        alone = model(tokens[row : row + 1], prefix=Prefix("sound", prefix.values[row : row + 1, :length]))
        # positions are counted from elsewhere, and angles of other places are rounded otherwise
        assert_close(together[row : row + 1], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("split", [[7], [1] * 7, [3, 4], [2, 1, 3, 1]])
def test_cached_decoding_after_a_signal_gives_the_logits_of_the_whole_sequence(
    signal: Signal, split: list[int]
) -> None:
    model, tokens, prefix = build(), tokens_like(3, 7), signal(3)
    cache = model.new_cache(3, 32)
    pieces = [
        model(piece, cache, prefix=prefix if place == 0 else None)
        for place, piece in enumerate(tokens.split(split, dim=1))
    ]
    assert_close(torch.cat(pieces, dim=1), model(tokens, prefix=prefix), atol=1e-5, rtol=1e-5)


def test_a_beam_takes_the_padding_of_its_rows_along() -> None:
    model, tokens, prefix = build(), tokens_like(3, 5), sounds(3)
    cache, rows = model.new_cache(3, 32), torch.tensor([2, 0, 0, 1])
    model(tokens[:, :2], cache, prefix=prefix)
    cache.select(rows)
    expected = model(tokens, prefix=prefix)[rows, 2:]
    assert_close(model(tokens[rows, 2:], cache), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_attention_gives_the_same_after_a_signal(signal: Signal, backend: str) -> None:
    model, tokens = build(), tokens_like(2, 4)
    fast = model(tokens, prefix=signal(2))
    for block in model.blocks:
        block.attention.attend = BACKENDS[backend]
    assert_close(model(tokens, prefix=signal(2)), fast, atol=1e-5, rtol=1e-5)


def test_gradient_reaches_every_parameter_through_text_pictures_and_sounds() -> None:
    model = build()
    for signal in SIGNALS:
        model(tokens_like(3, 5), prefix=signal(3)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_a_network_that_also_sees_and_hears_reads_text_as_one_that_does_not() -> None:
    torch.manual_seed(5)
    plain = Atinuke(11, 16, 16, 32, 2, 2)
    torch.manual_seed(5)
    both = Atinuke(11, 16, 16, 32, 2, 2, picture=PICTURE, sound=SOUND)
    extra = set(both.state_dict()) - set(plain.state_dict())
    assert {name.partition(".")[0] for name in extra} == {"picture", "sound"}
    for name, weight in plain.state_dict().items():
        assert_close(both.state_dict()[name], weight)


def test_one_network_learns_to_name_what_it_sees_and_what_it_hears() -> None:
    torch.manual_seed(0)
    model = Atinuke(11, 32, 32, 64, 2, 2, picture=PICTURE, sound=SOUND)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    start = torch.zeros(4, 1, dtype=torch.long)
    squares = torch.zeros(4, 1, 8, 12)
    for row in range(4):
        squares[row, 0, :, 3 * row : 3 * row + 2] = 1.0
    tones = torch.sin(torch.tensor([[300.0], [700.0], [1300.0], [2300.0]]) * 2 * torch.pi * torch.arange(1600) / 8000)
    lessons = [
        (Prefix("picture", squares), torch.tensor([1, 2, 3, 4])),
        (Prefix("sound", tones), torch.tensor([5, 6, 7, 8])),
    ]
    for _ in range(60):
        loss = sum(nn.functional.cross_entropy(model(start, prefix=prefix)[:, 0], names) for prefix, names in lessons)
        assert isinstance(loss, torch.Tensor)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for prefix, names in lessons:
        assert model(start, prefix=prefix)[:, 0].argmax(dim=-1).tolist() == names.tolist()


def test_bfloat16_autocast_computes_nearly_the_same() -> None:
    model, tokens = build(), tokens_like(2, 4)
    for signal in SIGNALS:
        exact = model(tokens, prefix=signal(2))
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(tokens, prefix=signal(2)).float()
        # 8 bits of mantissa over two layers: a few per cent of the spread of the logits
        assert (rough - exact).abs().max() < 0.1 * exact.std() + 0.1 * exact.abs().max()


def test_a_moved_network_moves_what_it_sees_and_hears_with() -> None:
    """The meta device stands in where there is no other: a table left behind would raise."""
    model = build().to("meta")
    for prefix in (Prefix("picture", pictures(2).values.to("meta")), Prefix("sound", sounds(2).values.to("meta"))):
        logits = model(tokens_like(2, 4).to("meta"), prefix=prefix)
        assert logits.device.type == "meta" and logits.shape[:2] == (2, 4)


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_that_the_network_was_not_built_for_is_refused(signal: Signal) -> None:
    kind = signal(1).kind
    with pytest.raises(ValueError, match=f"given a {kind} and built without; build it with {kind}="):
        build(**{kind: None})(tokens_like(1, 2), prefix=signal(1))
    paper = AtinukePaper(11, 16, 16, 32, 2, 2)
    with pytest.raises(ValueError, match=f"AtinukePaper reads tokens alone and was given a {kind}"):
        paper(tokens_like(1, 2), prefix=signal(1))


def test_a_signal_in_the_middle_of_a_sequence_is_refused() -> None:
    model = build()
    cache = model.new_cache(1, 32)
    model(tokens_like(1, 4), cache)
    with pytest.raises(ValueError, match="before all tokens, and this cache holds 4 positions"):
        model(tokens_like(1, 1), cache, prefix=pictures(1))


def test_another_mask_beside_a_signal_is_refused() -> None:
    with pytest.raises(ValueError, match="tokens after a picture are causal"):
        build()(tokens_like(1, 3), mask="full", prefix=pictures(1))


def test_positions_of_the_signal_count_for_max_len() -> None:
    model = build(max_len=10)
    assert model(tokens_like(1, 4), prefix=pictures(1)).shape == (1, 4, 11)
    with pytest.raises(ValueError, match="11 positions; max_len is 10"):
        model(tokens_like(1, 5), prefix=pictures(1))
