"""TransformerSeq2Seq is transformers' MarianMTModel: logits, loss, gradients, decoding and beam search, on one set of
random weights copied in either direction."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import MarianConfig, MarianMTModel

from atinuke.generate.beam import EarlyStopping, beam_search, greedy
from atinuke.models.seq2seq import TransformerSeq2Seq
from atinuke.train.objectives import next_token

VOCAB, DIM, HIDDEN, HEADS, LAYERS, MAX_LEN = 23, 16, 32, 2, 2, 64
PAD, START, END = 22, 21, 0


def theirs(activation: str = "swish", scale_embedding: bool = True) -> MarianMTModel:
    torch.manual_seed(0)
    config = MarianConfig(
        vocab_size=VOCAB,
        d_model=DIM,
        encoder_layers=LAYERS,
        decoder_layers=LAYERS,
        encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS,
        encoder_ffn_dim=HIDDEN,
        decoder_ffn_dim=HIDDEN,
        max_position_embeddings=MAX_LEN,
        activation_function=activation,
        scale_embedding=scale_embedding,
        dropout=0.0,
        pad_token_id=PAD,
        eos_token_id=END,
        forced_eos_token_id=None,
        decoder_start_token_id=START,
    )
    model = MarianMTModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                # as large as to make every part matter; gains of norms stay near 1
                parameter.copy_(0.3 * torch.randn_like(parameter) + (parameter == 1).all())
        model.final_logits_bias.normal_(std=0.5)
    return model


def ours(activation: str = "silu", scale_embedding: bool = True) -> TransformerSeq2Seq:
    torch.manual_seed(1)
    return TransformerSeq2Seq(
        VOCAB,
        DIM,
        DIM,
        HIDDEN,
        HEADS,
        LAYERS,
        max_len=MAX_LEN,
        norm_place="post",
        activation=activation,  # type: ignore[arg-type]
        sinusoid_order="halves",
        scales_embedding=scale_embedding,
    ).eval()


def couples(
    mine: TransformerSeq2Seq, other: MarianMTModel, of: Callable[[Tensor], Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Views of equal shape into both networks: `of` a parameter, or of its gradient. Every number of ours occurs."""
    found = [(of(mine.embedding.weight), of(other.model.shared.weight))]

    def add(our_layer: nn.Linear | nn.LayerNorm, *their_layers: nn.Module) -> None:
        for name in ("weight", "bias"):
            parts = of(getattr(our_layer, name)).chunk(len(their_layers))
            found.extend((part, of(getattr(layer, name))) for part, layer in zip(parts, their_layers, strict=True))

    def add_common(block: nn.Module, layer: nn.Module) -> None:
        attention = layer.self_attn
        add(block.attention.project_qkv, attention.q_proj, attention.k_proj, attention.v_proj)
        add(block.attention.project_out, attention.out_proj)
        add(block.attention_norm, layer.self_attn_layer_norm)
        add(block.feed_forward.project_in, layer.fc1)
        add(block.feed_forward.project_out, layer.fc2)
        add(block.feed_forward_norm, layer.final_layer_norm)

    for block, layer in zip(mine.blocks[:LAYERS], other.model.encoder.layers, strict=True):
        add_common(block, layer)
    for block, layer in zip(mine.blocks[LAYERS:], other.model.decoder.layers, strict=True):
        add_common(block, layer)
        cross = layer.encoder_attn
        add(block.cross_attention.project_query, cross.q_proj)
        add(block.cross_attention.project_kv, cross.k_proj, cross.v_proj)
        add(block.cross_attention.project_out, cross.out_proj)
        add(block.cross_attention_norm, layer.encoder_attn_layer_norm)
    return found


@torch.no_grad()
def copied(mine: TransformerSeq2Seq, other: MarianMTModel, *, to_us: bool = True) -> None:
    pairs = [*couples(mine, other, lambda parameter: parameter), (mine.head_bias, other.final_logits_bias[0])]
    assert sum(part.numel() for part, _ in pairs) == sum(parameter.numel() for parameter in mine.parameters())
    for part, their_part in pairs:
        (part if to_us else their_part).copy_(their_part if to_us else part)


def couple(
    activation: str = "silu", scale_embedding: bool = True, to_us: bool = True
) -> tuple[TransformerSeq2Seq, MarianMTModel]:
    mine, other = ours(activation, scale_embedding), theirs(activation.replace("silu", "swish"), scale_embedding)
    if not to_us:
        with torch.no_grad():
            mine.head_bias.normal_(std=0.5)
    copied(mine, other, to_us=to_us)
    return mine, other


def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """source (3, 9), is_source, target_in, targets (3, 7): rows of unequal length."""
    generator = torch.Generator().manual_seed(2)
    source = torch.randint(1, START, (3, 9), generator=generator)
    is_source = torch.arange(9) < torch.tensor([9, 4, 6])[:, None]
    targets = torch.randint(1, START, (3, 7), generator=generator)
    targets[torch.arange(7) >= torch.tensor([5, 7, 2])[:, None]] = -100
    target_in = torch.cat([torch.full((3, 1), START), targets[:, :-1].clamp(min=0)], dim=1)
    return source.masked_fill(~is_source, PAD), is_source, target_in, targets


@pytest.mark.parametrize("to_us", [True, False], ids=["theirs to ours", "ours to theirs"])
@pytest.mark.parametrize(("activation", "scale_embedding"), [("silu", True), ("relu", True), ("gelu", False)])
def test_both_compute_the_same_logits(activation: str, scale_embedding: bool, to_us: bool) -> None:
    mine, other = couple(activation, scale_embedding, to_us)
    source, is_source, target_in, _ = batch()
    expected = other(input_ids=source, attention_mask=is_source.long(), decoder_input_ids=target_in)
    states = mine.encode(source, is_source).states
    assert_close(states[is_source], expected.encoder_last_hidden_state[is_source], atol=1e-5, rtol=1e-5)
    logits = mine(source, is_source, target_in)
    assert expected.logits.abs().max() > 1
    assert (logits - expected.logits).abs().max() <= 1e-4


def test_both_have_the_same_loss_and_gradients() -> None:
    mine, other = couple()
    source, is_source, target_in, targets = batch()
    loss = next_token(mine(source, is_source, target_in), targets)
    expected = other(
        input_ids=source, attention_mask=is_source.long(), decoder_input_ids=target_in, labels=targets
    ).loss
    assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    loss.backward()
    expected.backward()

    def gradient(parameter: Tensor) -> Tensor:
        assert parameter.grad is not None
        return parameter.grad

    for part, their_part in couples(mine, other, gradient):
        assert_close(part, their_part, atol=1e-4, rtol=1e-4)
    assert gradient(mine.embedding.weight).abs().max() > 0.01


def test_both_give_the_same_logits_step_by_step_from_their_caches() -> None:
    mine, other = couple()
    source, is_source, target_in, _ = batch()
    whole = other(input_ids=source, attention_mask=is_source.long(), decoder_input_ids=target_in)
    memory, cache = mine.encode(source, is_source), mine.new_cache(3, 7)
    their_cache = None
    for place in range(7):
        token = target_in[:, place : place + 1]
        expected = other(
            encoder_outputs=(whole.encoder_last_hidden_state,),
            attention_mask=is_source.long(),
            decoder_input_ids=token,
            past_key_values=their_cache,
            use_cache=True,
        )
        their_cache = expected.past_key_values
        logits = mine.decode(token, memory, cache)
        assert_close(logits, expected.logits, atol=1e-4, rtol=0)
        assert_close(logits, whole.logits[:, place : place + 1], atol=1e-4, rtol=0)


def theirs_written(
    other: MarianMTModel, source: Tensor, is_source: Tensor, **settings: object
) -> tuple[list[list[int]], list[float]]:
    """What their `generate` gives: ids up to the end, without start and end, and the scores where there are any."""
    found = other.generate(
        input_ids=source,
        attention_mask=is_source.long(),
        do_sample=False,
        max_new_tokens=12,
        return_dict_in_generate=True,
        output_scores=True,
        **settings,
    )
    ids = []
    for row in found.sequences[:, 1:].tolist():
        ids.append(row[: row.index(END)] if END in row else [token for token in row if token != PAD])
    return ids, found.sequences_scores.tolist() if "sequences_scores" in found else []


def sources(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    source = torch.randint(1, START, (6, 8), generator=generator)
    is_source = torch.arange(8) < torch.randint(2, 9, (6, 1), generator=generator)
    return source.masked_fill(~is_source, PAD), is_source


@pytest.fixture(scope="module")
def writers() -> tuple[TransformerSeq2Seq, MarianMTModel]:
    """Networks that have begun to learn to repeat their source, so that texts end here and there, none for certain."""
    mine, other = ours(), theirs()
    generator = torch.Generator().manual_seed(3)
    optimizer = torch.optim.Adam(mine.parameters(), lr=1e-2)
    for _ in range(30):
        lengths = torch.randint(1, 9, (32, 1), generator=generator)
        source = torch.randint(1, START, (32, 9), generator=generator).scatter(1, lengths, END)
        targets = source.masked_fill(torch.arange(9) > lengths, -100)
        target_in = torch.cat([torch.full((32, 1), START), source[:, :-1]], dim=1)
        loss = next_token(mine(source, torch.arange(9) < lengths, target_in), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        mine.head_bias[PAD] = -1e4  # theirs would take a text that holds it for shorter
    copied(mine, other, to_us=False)
    return mine, other


@pytest.mark.parametrize("early_stopping", [False, True, "never"])
@pytest.mark.parametrize(("beam", "length_penalty"), [(2, 1.0), (5, 0.6), (5, 0.0), (4, 2.0)])
def test_beam_search_finds_what_theirs_finds(
    writers: tuple[TransformerSeq2Seq, MarianMTModel],
    beam: int,
    length_penalty: float,
    early_stopping: EarlyStopping,
) -> None:
    mine, other = writers
    source, is_source = sources(beam)
    expected, scores = theirs_written(
        other,
        source,
        is_source,
        num_beams=beam,
        num_return_sequences=beam,
        length_penalty=length_penalty,
        early_stopping=early_stopping,
    )
    found = beam_search(
        mine,
        source,
        is_source,
        start_id=START,
        end_id=END,
        max_tokens=12,
        beam=beam,
        length_penalty=length_penalty,
        early_stopping=early_stopping,
    )
    flat = [hypothesis for hypotheses in found for hypothesis in hypotheses]
    assert_close(torch.tensor([each.score for each in flat]), torch.tensor(scores), atol=1e-4, rtol=1e-4)
    assert [each.ids for each in flat] == expected
    if length_penalty <= 1:  # above, the longest texts win
        assert len({len(each.ids) for each in flat}) > 2  # neither all ended at once nor all cut off


def test_greedy_writes_what_theirs_writes(writers: tuple[TransformerSeq2Seq, MarianMTModel]) -> None:
    mine, other = writers
    for seed in range(3):
        source, is_source = sources(seed)
        expected, _ = theirs_written(other, source, is_source, num_beams=1)
        found = greedy(mine, source, is_source, start_id=START, end_id=END, max_tokens=12)
        assert [each.ids for each in found] == expected
