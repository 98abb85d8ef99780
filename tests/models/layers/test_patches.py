"""Patches against torch's own convolution, and what every stem promises."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from atinuke.models.layers.patches import PatchEmbedding, Stem

STEMS: list[Stem] = ["linear", "convolutions"]


def pictures(batch: int, channels: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(batch, channels, height, width, generator=torch.Generator().manual_seed(0))


def without_places(module: PatchEmbedding) -> PatchEmbedding:
    nn.init.zeros_(module.row_places)
    nn.init.zeros_(module.column_places)
    return module


def test_the_linear_stem_multiplies_the_pixels_of_each_patch_by_one_matrix() -> None:
    module = without_places(PatchEmbedding(8, 12, 3, 4, 10, "linear"))
    assert isinstance(module.stem, nn.Conv2d) and module.stem.bias is not None
    seen = pictures(2, 3, 8, 12)
    given = module(seen)
    assert given.shape == (2, 6, 10)
    for row in range(2):
        for column in range(3):
            pixels = seen[:, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4].flatten(1)
            expected = pixels @ module.stem.weight.flatten(1).T + module.stem.bias
            assert_close(given[:, 3 * row + column], expected, atol=1e-5, rtol=1e-5)


def test_the_linear_stem_is_torchs_convolution_on_the_padded_picture() -> None:
    module = without_places(PatchEmbedding(28, 27, 1, 8, 6, "linear"))
    assert isinstance(module.stem, nn.Conv2d)
    # 28 → 32: two rows above and two below; 27 → 32: two columns left and three right
    padded = F.pad(pictures(2, 1, 28, 27), (2, 3, 2, 2))
    expected = F.conv2d(padded, module.stem.weight, module.stem.bias, stride=8).flatten(2).mT
    assert_close(module(pictures(2, 1, 28, 27)), expected)


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize(
    ("height", "width", "patch", "count"),
    [(28, 28, 4, 49), (28, 28, 8, 16), (28, 28, 7, 16), (9, 5, 3, 6), (4, 4, 1, 16), (12, 13, 6, 6)],
)
def test_there_is_one_position_for_each_patch(stem: Stem, height: int, width: int, patch: int, count: int) -> None:
    module = PatchEmbedding(height, width, 1, patch, 16, stem)
    assert module.position_count == count
    assert module(pictures(2, 1, height, width)).shape == (2, count, 16)


@pytest.mark.parametrize("stem", STEMS)
def test_places_are_a_row_and_a_column(stem: Stem) -> None:
    module = PatchEmbedding(8, 12, 1, 4, 5, stem)
    with torch.no_grad():
        module.row_places.copy_(torch.arange(2.0)[:, None].expand(2, 5) * 10)
        module.column_places.copy_(torch.arange(3.0)[:, None].expand(3, 5))
    places = module(pictures(1, 1, 8, 12)) - without_places(module)(pictures(1, 1, 8, 12))
    assert_close(places[0, :, 0], torch.tensor([0.0, 1.0, 2.0, 10.0, 11.0, 12.0]))


@pytest.mark.parametrize("stem", STEMS)
def test_pictures_of_a_batch_do_not_influence_each_other(stem: Stem) -> None:
    module, seen = PatchEmbedding(28, 28, 1, 4, 16, stem).train(), pictures(3, 1, 28, 28)
    assert_close(module(seen)[1:2], module(seen[1:2]), atol=1e-6, rtol=1e-5)


def test_convolutions_see_across_the_edge_of_a_patch_and_the_matrix_does_not() -> None:
    seen = pictures(1, 1, 8, 8)
    other = seen.clone()
    other[..., 3] = 1.0 - other[..., 3]  # the last column of the left patches
    change = {}
    for stem in STEMS:
        torch.manual_seed(0)
        module = PatchEmbedding(8, 8, 1, 4, 16, stem)
        change[stem] = (module(seen) - module(other)).abs().amax(dim=-1)[0]
    assert change["linear"][0] > 1e-3 and change["linear"][1] == 0
    assert change["convolutions"][0] > 1e-3 and change["convolutions"][1] > 1e-3


def test_gradient_reaches_every_parameter_of_the_convolutions() -> None:
    module = PatchEmbedding(28, 28, 3, 8, 16)
    module(pictures(2, 3, 28, 28)).square().sum().backward()
    assert [name for name, p in module.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_pictures_of_another_size_are_refused_with_both_sizes() -> None:
    with pytest.raises(ValueError, match=r"are 3 × 28 × 28 .*reads 1 × 28 × 28"):
        PatchEmbedding(28, 28, 1, 4, 8)(pictures(2, 3, 28, 28))
