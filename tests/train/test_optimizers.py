"""Muon against the singular value decomposition and torch's own; every parameter has one owner."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from atinuke.models import Atinuke, AtinukePaper
from atinuke.models.config import PictureConfig
from atinuke.tasks.body import Tuned
from atinuke.tasks.heads import PooledHead
from atinuke.train.optimizers import Muon, block_matrices, build_optimizers, orthogonalise, scale_learning_rates


@pytest.mark.parametrize("shape", [(8, 8), (6, 20), (20, 6), (128, 384)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_orthogonalise_keeps_the_singular_vectors_and_levels_the_values(
    shape: tuple[int, int], dtype: torch.dtype
) -> None:
    matrices = torch.randn(3, *shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalise(matrices, dtype)
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    inside = left.mT @ result @ right.mT  # diagonal, with the new singular values on it
    values = inside.diagonal(dim1=-2, dim2=-1)
    assert values.min() > 0.75 and values.max() < 1.25
    tolerance = 0.02 if dtype == torch.float32 else 0.15
    assert (inside - torch.diag_embed(values)).abs().max() < tolerance
    assert result.dtype == torch.float32


def test_the_size_of_a_gradient_does_not_matter() -> None:
    matrix = torch.randn(1, 8, 12, generator=torch.Generator().manual_seed(0))
    assert_close(orthogonalise(matrix * 1e-3), orthogonalise(matrix), atol=2e-3, rtol=2e-3)


def test_a_zero_gradient_gives_a_zero_update() -> None:
    assert orthogonalise(torch.zeros(1, 4, 6)).abs().max() == 0


def test_muon_goes_where_torchs_muon_goes() -> None:
    torch.manual_seed(0)
    ours, theirs = nn.Parameter(torch.zeros(12, 8)), nn.Parameter(torch.zeros(12, 8))
    mine = Muon([ours], lr=0.1, momentum=0.9)
    reference = torch.optim.Muon([theirs], lr=0.1, momentum=0.9, weight_decay=0.0)
    for _ in range(4):
        gradient = torch.randn(12, 8)
        ours.grad, theirs.grad = gradient.clone(), gradient.clone()
        mine.step()
        reference.step()
    # their polynomial leaves singular values between 0.7 and 1.2, so lengths differ while the direction is shared
    assert torch.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > 0.97
    assert 0.7 < ours.norm() / theirs.norm() < 1.4


def test_matrices_of_one_shape_are_updated_as_if_each_were_alone() -> None:
    torch.manual_seed(0)
    shapes = [(6, 4), (4, 6), (6, 4), (5, 5)]
    together = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    alone = [nn.Parameter(parameter.detach().clone()) for parameter in together]
    optimizers = [Muon([parameter], lr=0.1) for parameter in alone]
    joint = Muon(together, lr=0.1)
    for _ in range(3):
        for parameter, twin in zip(together, alone, strict=True):
            parameter.grad = torch.randn_like(parameter)
            twin.grad = parameter.grad.clone()
        joint.step()
        for optimizer in optimizers:
            optimizer.step()
    for parameter, twin in zip(together, alone, strict=True):
        assert_close(parameter, twin)


def test_weight_decay_shrinks_by_rate_times_decay() -> None:
    parameter = nn.Parameter(torch.full((2, 2), 4.0))
    optimizer = Muon([parameter], lr=0.5, weight_decay=0.1)
    parameter.grad = torch.zeros(2, 2)
    optimizer.step()
    assert_close(parameter.detach(), torch.full((2, 2), 4.0 * (1 - 0.5 * 0.1)))


def test_muon_refuses_what_is_not_a_matrix() -> None:
    with pytest.raises(ValueError, match="Muon updates matrices"):
        Muon([nn.Parameter(torch.zeros(3))], lr=0.1)


def test_a_kernel_moves_as_the_matrix_of_all_that_it_sees() -> None:
    torch.manual_seed(0)
    kernels = [nn.Parameter(torch.randn(shape)) for shape in [(8, 3, 2, 2), (8, 3, 2, 2), (4, 2, 5)]]
    matrices = [nn.Parameter(kernel.detach().flatten(1).clone()) for kernel in kernels]
    ours, flat = (Muon(group, lr=0.1, weight_decay=0.1) for group in (kernels, matrices))
    for _ in range(3):
        for kernel, matrix in zip(kernels, matrices, strict=True):
            kernel.grad = torch.randn_like(kernel)
            matrix.grad = kernel.grad.flatten(1).clone()
        ours.step()
        flat.step()
    for kernel, matrix in zip(kernels, matrices, strict=True):
        assert_close(kernel.flatten(1), matrix)


class Stem(nn.Module):
    """Convolutions in a `blocks` of their own, below a network that has another."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Conv2d(3, 4, 2), nn.Conv1d(4, 4, 3)])
        self.blockset = nn.Linear(4, 4)


def test_matrices_and_kernels_are_found_in_every_blocks_however_deep() -> None:
    model = nn.Module()
    model.stem, model.blocks, model.head = Stem(), nn.Sequential(nn.Linear(4, 5), nn.LayerNorm(5)), nn.Linear(5, 2)
    model.blocks[0].requires_grad_(True)
    frozen = nn.Linear(5, 5).requires_grad_(False)
    model.blocks.append(frozen)
    expected = [model.stem.blocks[0].weight, model.stem.blocks[1].weight, model.blocks[0].weight]
    assert {id(matrix) for matrix in block_matrices(model)} == {id(matrix) for matrix in expected}


def test_the_kernels_of_a_picture_stem_are_muons() -> None:
    picture = PictureConfig(height=16, width=16, channels=1, patch=8, stem="convolutions")
    model = Atinuke(11, 16, 8, 24, 2, 1, picture=picture)
    kernels = [name for name, parameter in model.named_parameters() if parameter.ndim == 4 and "blocks" in name]
    assert kernels and all(name.startswith("picture.") for name in kernels)
    own = {id(matrix) for matrix in block_matrices(model)}
    assert {id(dict(model.named_parameters())[name]) for name in kernels} <= own


def test_a_network_without_blocks_is_trained_by_adamw_alone() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    twin = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    twin.load_state_dict(model.state_dict())
    [optimizer] = build_optimizers(
        model,
        "muon",
        lr=0.1,
        matrix_lr=0.2,
        betas=(0.9, 0.95),
        momentum=0.9,
        weight_decay=0.0,
        polar_dtype=torch.float32,
    )
    assert isinstance(optimizer, torch.optim.AdamW)
    reference = torch.optim.AdamW(twin.parameters(), lr=0.1, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0)
    for _ in range(3):
        x = torch.randn(5, 4)
        for network, its in ((model, optimizer), (twin, reference)):
            its.zero_grad()
            network(x).square().sum().backward()
            its.step()
    for name, parameter in model.named_parameters():
        assert_close(parameter, dict(twin.named_parameters())[name])


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_every_parameter_has_exactly_one_owner(kind: str) -> None:
    model = AtinukePaper(11, 18, 50, 100, 2, 3)
    optimizers = build_optimizers(
        model,
        kind,  # type: ignore[arg-type]
        lr=0.1,
        matrix_lr=0.2,
        betas=(0.9, 0.95),
        momentum=0.9,
        weight_decay=0.3,
        polar_dtype=torch.float32,
    )
    owned = [id(p) for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]]
    assert sorted(owned) == sorted(id(parameter) for parameter in model.parameters())
    decayed = {
        id(p) for o in optimizers for group in o.param_groups if group["weight_decay"] > 0 for p in group["params"]
    }
    assert decayed == {id(matrix) for matrix in block_matrices(model)}
    scale_learning_rates(optimizers, 0.5)
    rates = {group["lr"] for optimizer in optimizers for group in optimizer.param_groups}
    assert rates == ({0.05, 0.1} if kind == "muon" else {0.05})


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_tables_and_heads_of_tasks_have_rates_of_their_own(kind: str) -> None:
    model = Tuned(Atinuke(11, 16, 16, 32, 2, 2), {"task": PooledHead(16, 2, 0.0)})
    optimizers = build_optimizers(
        model,
        kind,  # type: ignore[arg-type]
        lr=0.1,
        matrix_lr=0.1,
        embedding_lr=0.2,
        head_lr=0.3,
        betas=(0.9, 0.95),
        momentum=0.9,
        weight_decay=0.0,
        polar_dtype=torch.float32,
    )
    rates = {
        id(p): group["lr"] for optimizer in optimizers for group in optimizer.param_groups for p in group["params"]
    }
    for name, parameter in model.named_parameters():
        expected = 0.3 if name.startswith("heads.") else 0.2 if name == "body.embedding.weight" else 0.1
        assert rates.pop(id(parameter)) == expected, name
    assert not rates
