"""Promises of every encoder-decoder that is built of blocks: who sees whom, caches, beams, padding, learning."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from atinuke.models import ModelConfig, TransformerSeq2Seq, build_model

SIZES = (11, 18, 24, 36, 2, 2)


def build(norm_place: str = "pre", dropout: float = 0.0, max_len: int = 50) -> TransformerSeq2Seq:
    """A small network whose every weight matters."""
    torch.manual_seed(0)
    model = TransformerSeq2Seq(*SIZES, dropout, max_len, norm_place=norm_place)  # type: ignore[arg-type]
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.3)
    return model.eval()


def batch() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    source = torch.randint(11, (3, 7), generator=generator)
    is_source = torch.arange(7) < torch.tensor([7, 3, 5])[:, None]
    return source, is_source, torch.randint(11, (3, 6), generator=generator)


both = pytest.mark.parametrize("norm_place", ["pre", "post"])


@both
def test_the_future_of_the_target_does_not_change_its_past(norm_place: str) -> None:
    model, (source, is_source, target) = build(norm_place), batch()
    after = target.clone()
    after[:, 4:] = (after[:, 4:] + 1) % 11
    before_logits, after_logits = model(source, is_source, target), model(source, is_source, after)
    assert_close(before_logits[:, :4], after_logits[:, :4])
    assert (before_logits[:, 4:] - after_logits[:, 4:]).abs().max() > 1e-3


@both
def test_every_token_of_the_source_changes_every_target_position(norm_place: str) -> None:
    model, (source, is_source, target) = build(norm_place), batch()
    logits = model(source, is_source, target)
    for place in range(7):
        other = source.clone()
        other[0, place] = (other[0, place] + 1) % 11
        assert (model(other, is_source, target)[0] - logits[0]).abs().amax(dim=-1).min() > 1e-5


@both
def test_what_stands_in_the_padding_changes_nothing_nor_does_its_amount(norm_place: str) -> None:
    model, (source, is_source, target) = build(norm_place), batch()
    logits = model(source, is_source, target)
    assert_close(model(torch.where(is_source, source, (source + 3) % 11), is_source, target), logits)
    assert_close(model(source[1:2, :3], is_source[1:2, :3], target[1:2]), logits[1:2], atol=1e-5, rtol=1e-5)


@both
@pytest.mark.parametrize("split", [[6], [1] * 6, [2, 3, 1]])
def test_cached_decoding_gives_the_logits_of_the_whole_target(norm_place: str, split: list[int]) -> None:
    model, (source, is_source, target) = build(norm_place), batch()
    memory, cache = model.encode(source, is_source), model.new_cache(3, 6)
    pieces = [model.decode(piece, memory, cache) for piece in target.split(split, dim=1)]
    assert cache.length == 6
    assert_close(torch.cat(pieces, dim=1), model(source, is_source, target), atol=1e-5, rtol=1e-5)


def test_several_rows_of_one_source_read_its_memory_as_copies_of_it_would() -> None:
    model, (source, is_source, _) = build(), batch()
    memory = model.encode(source, is_source)
    target = torch.randint(11, (6, 5), generator=torch.Generator().manual_seed(4))
    rows = torch.tensor([0, 0, 1, 1, 2, 2])
    expected = model(source[rows], is_source[rows], target)
    assert_close(model.decode(target, memory), expected, atol=1e-5, rtol=1e-5)
    assert_close(model.decode(target, memory.for_rows(6)), expected, atol=1e-5, rtol=1e-5)
    assert memory.for_rows(3) is memory


def test_selected_rows_go_on_from_where_they_came_from() -> None:
    model, (source, is_source, target) = build(), batch()
    memory, cache = model.encode(source, is_source), model.new_cache(3, 6)
    model.decode(target[:, :4], memory, cache)
    rows = torch.tensor([2, 0, 0, 2])
    cache.select(rows)
    logits = model.decode(target[rows, 4:], memory.select(rows), cache)
    assert_close(logits, model(source, is_source, target)[rows, 4:], atol=1e-5, rtol=1e-5)


@both
def test_gradient_reaches_every_parameter(norm_place: str) -> None:
    model, (source, is_source, target) = build(norm_place), batch()
    (model(source, is_source, target) * torch.arange(11)).square().sum().backward()
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert untouched == []


def reversed_texts(rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sources, and as targets the same backwards."""
    source = torch.randint(1, 11, (rows, 5), generator=generator)
    target = source.flip(1)
    return source, torch.ones_like(source, dtype=torch.bool), nn.functional.pad(target[:, :-1], (1, 0)), target


@both
def test_it_learns_to_read_backwards_from_its_first_weights(norm_place: str) -> None:
    """Which no network can that does not look at the right place of the source."""
    torch.manual_seed(0)
    model = TransformerSeq2Seq(11, 32, 32, 64, 2, 1, norm_place=norm_place)  # type: ignore[arg-type]
    optimizer, generator = torch.optim.Adam(model.parameters(), lr=5e-3), torch.Generator().manual_seed(0)
    for _ in range(120):
        source, is_source, target_in, target = reversed_texts(32, generator)
        loss = nn.functional.cross_entropy(model(source, is_source, target_in).flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.3  # ln 10 = 2.3 is chance


def test_the_first_loss_is_near_that_of_guessing() -> None:
    torch.manual_seed(0)
    model, (source, is_source, target) = TransformerSeq2Seq(500, 64, 64, 128, 4, 2), batch()
    logits = model(source, is_source, target)
    # not of the token that is read: a table that reads and writes is likeliest to repeat it at first
    loss = nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), target[:, 1:].flatten())
    assert abs(loss.item() - torch.tensor(500.0).log().item()) < 0.7
    assert 0.5 < logits.std().item() < 2.0


def test_dropout_falls_on_all_four_places_and_only_while_training() -> None:
    model, (source, is_source, target) = build(dropout=0.3), batch()
    calm = model(source, is_source, target)
    assert_close(calm, build()(source, is_source, target))
    model.train()
    assert (model(source, is_source, target) - calm).abs().max() > 0.01
    block = model.blocks[-1]
    places = [model, block, block.feed_forward.activation, block.attention.attend, block.cross_attention.attend]
    for place in places:
        model.eval()
        place.train()
        for child in place.children():
            child.train(isinstance(child, nn.Dropout))
        torch.manual_seed(0)
        assert (model(source, is_source, target) - calm).abs().max() > 1e-3, type(place).__name__


def test_max_len_is_enforced_on_both_sides() -> None:
    model = build(max_len=5)
    fits, long = torch.zeros(1, 5, dtype=torch.long), torch.zeros(1, 6, dtype=torch.long)
    assert model(fits, fits == 0, fits).shape == (1, 5, 11)
    for source, target in ((long, fits), (fits, long)):
        with pytest.raises(ValueError, match="6 positions; max_len is 5"):
            model(source, source == 0, target)
    memory, cache = model.encode(fits, fits == 0), model.new_cache(1, 9)
    model.decode(fits, memory, cache)
    with pytest.raises(ValueError, match="max_len is 5"):
        model.decode(fits[:, :1], memory, cache)


def test_heads_that_cannot_share_key_dim_are_refused() -> None:
    with pytest.raises(ValueError, match="key_dim must be a multiple of head_count"):
        TransformerSeq2Seq(10, 18, 52, 100, 3, 3)


def test_tables_of_positions_are_not_part_of_a_checkpoint() -> None:
    model = build()
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}


def test_a_moved_network_moves_its_tables() -> None:
    """The meta device stands in where there is no other: a table left behind would raise."""
    model, inputs = build(), batch()
    model(*inputs)
    assert model.to("meta")(*(each.to("meta") for each in inputs)).device.type == "meta"


def test_bfloat16_weights_compute_nearly_the_same() -> None:
    model, inputs = build(), batch()
    exact = model(*inputs)
    rough = model.to(torch.bfloat16)(*inputs).float()
    assert (rough - exact).abs().max() < 0.2 * exact.std() + 0.1 * exact.abs().max()


def test_a_network_that_has_generated_can_still_be_trained() -> None:
    model, inputs = build(), batch()
    with torch.inference_mode():
        model(*inputs)
    model(*inputs).sum().backward()
    assert model.embedding.weight.grad is not None


def test_build_model_builds_what_the_configuration_says() -> None:
    settings = {"kind": "seq2seq", "vocab_size": 11, "model_dim": 16, "key_dim": 8, "hidden_dim": 24}
    sizes = {"head_count": 2, "layer_count": 3, "context": 4, "max_len": 9, "norm_place": "post", "dropout": 0.1}
    model = build_model(ModelConfig.model_validate({**settings, **sizes}))
    assert isinstance(model, TransformerSeq2Seq)
    assert (len(model.blocks), model.max_len, model.blocks[0].norm_place) == (6, 9, "post")
    assert model.blocks[3].cross_attention.project_kv.weight.shape == (16, 16)
