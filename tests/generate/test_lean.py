"""The lean step: equal to the blocks that it stands for, and given up where it does not know them."""

import pytest
import torch
from torch import nn

from atinuke.generate.decode import Window
from atinuke.generate.lean import lean_steps
from atinuke.models import GPT, Atinuke, AtinukePaper, Llama
from atinuke.models.decoder import Decoder
from atinuke.models.layers.attention import BACKENDS
from atinuke.testing import tiny_model

LENGTH = 12
KINDS = ("atinuke", "atinuke-paper", "gpt", "llama")


def randomised(model: Decoder, seed: int = 0) -> Decoder:
    """Weights that leave no part of the network without effect."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3, generator=random)
    return model.eval()


def assert_steps_equal_blocks(model: Decoder) -> None:
    """Random vectors, one after another through each block: by its step, and by its forward with a cache."""
    steps = lean_steps(model, LENGTH)
    assert steps is not None
    slow, fast = model.new_cache(1, LENGTH), model.new_cache(1, LENGTH)
    width = model.blocks[0].attention.project_qkv.in_features
    random = torch.Generator().manual_seed(1)
    with torch.inference_mode():
        for _ in range(LENGTH):
            for number, (block, step) in enumerate(zip(model.blocks, steps, strict=True)):
                x = torch.randn(width, generator=random)
                expected = block(x[None, None], slow.layers[number])[0, 0]
                torch.testing.assert_close(step(x, fast.layers[number]), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_equals_its_block(kind: str) -> None:
    assert_steps_equal_blocks(tiny_model(kind))  # type: ignore[arg-type]


@pytest.mark.parametrize("network", [Atinuke, AtinukePaper, GPT, Llama])
@pytest.mark.parametrize("heads", [1, 4])
def test_each_step_equals_its_block_at_other_sizes(network: type[Decoder], heads: int) -> None:
    assert_steps_equal_blocks(randomised(network(11, 20, 8, 13, heads, 2)))


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_each_step_equals_its_block_with_grouped_keys_and_values(kv_heads: int) -> None:
    assert_steps_equal_blocks(randomised(Llama(11, 20, 16, 13, 4, 2, kv_head_count=kv_heads)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_of_lean_steps_has_the_logits_of_the_whole_network(kind: str) -> None:
    """Places included, which a network may add before its first block; and past the end, where the window slides."""
    model = tiny_model(kind)  # type: ignore[arg-type]
    window = Window(model, [1, 2, 3], LENGTH)
    for token in range(4, 20):
        with torch.no_grad():
            expected = model(torch.tensor([window.tokens]))[0, -1]
        torch.testing.assert_close(window.logits(), expected, rtol=1e-4, atol=1e-4)
        window.append(token)


def test_blocks_with_norms_after_their_sums_are_left_to_the_network_itself() -> None:
    model = tiny_model("gpt")
    assert lean_steps(model, LENGTH) is not None
    model.blocks[1].norm_place = "post"
    assert lean_steps(model, LENGTH) is None


def test_the_chosen_attention_kernel_is_the_one_that_is_called() -> None:
    model = tiny_model("atinuke")
    for block in model.blocks:
        block.attention.attend = lambda query, key, value, mask: torch.zeros_like(query)
    assert_steps_equal_blocks(model)
    for block in model.blocks:
        block.attention.attend = BACKENDS["reference"]
    assert_steps_equal_blocks(model)


def test_an_odd_head_is_left_to_the_network_itself_and_decodes_all_the_same() -> None:
    model = randomised(Atinuke(11, 20, 6, 13, 2, 2))
    assert lean_steps(model, LENGTH) is None
    window = Window(model, [1, 2, 3], LENGTH)
    for token in (4, 5, 6):
        window.logits()
        window.append(token)
    with torch.no_grad():
        expected = model(torch.tensor([window.tokens]))[0, -1]
    torch.testing.assert_close(window.logits(), expected, rtol=1e-5, atol=1e-5)


class Doubled(nn.Linear):
    """A projection that someone has changed."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_that_is_not_known_exactly_is_left_to_the_network_itself(kind: str) -> None:
    model = tiny_model(kind)  # type: ignore[arg-type]
    assert lean_steps(model, LENGTH) is not None
    feed_forward = model.blocks[1].feed_forward
    feed_forward.project_in = Doubled(feed_forward.project_in.in_features, feed_forward.project_in.out_features)
    assert lean_steps(model, LENGTH) is None


def test_hooks_are_called_because_the_network_itself_runs() -> None:
    model, seen = tiny_model("atinuke"), []
    hook = model.blocks[1].attention.register_forward_hook(lambda *_: seen.append(1))
    window = Window(model, [1], LENGTH)
    for token in (2, 3):
        window.logits()
        window.append(token)
    hook.remove()
    assert len(seen) == 2


def test_a_capacity_beyond_max_len_is_refused() -> None:
    with pytest.raises(ValueError, match="max_len"):
        lean_steps(AtinukePaper(11, 20, 6, 13, 2, 2, max_len=8), 9)
