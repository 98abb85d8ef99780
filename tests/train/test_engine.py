"""What the engine chooses by what a device can do."""

import pytest
import torch

from atinuke.models.layers import attention
from atinuke.train.engine import choose_float32_products


@pytest.mark.parametrize(("dtype", "precision"), [("bfloat16", "high"), ("float32", "highest")])
def test_on_a_gpu_float32_is_exact_for_those_who_ask_for_it(
    monkeypatch: pytest.MonkeyPatch, dtype: str, precision: str
) -> None:
    chosen: list[str] = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", chosen.append)
    choose_float32_products(torch.device("cuda"), dtype)
    assert chosen == [precision]


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_elsewhere_nothing_is_changed(monkeypatch: pytest.MonkeyPatch, device: str) -> None:
    monkeypatch.setattr(torch, "set_float32_matmul_precision", pytest.fail)
    choose_float32_products(torch.device(device), "bfloat16")


@pytest.mark.parametrize(
    ("device", "dtype", "kernel"),
    [
        ("cpu", torch.bfloat16, "batched_attention"),
        ("cpu", torch.float32, "sdpa_attention"),
        ("meta", torch.bfloat16, "sdpa_attention"),  # stands for any device but a CPU
    ],
)
def test_attention_is_torchs_fused_kernel_but_where_that_is_slow(
    monkeypatch: pytest.MonkeyPatch, device: str, dtype: torch.dtype, kernel: str
) -> None:
    asked: list[str] = []
    for name in ("batched_attention", "sdpa_attention"):
        monkeypatch.setattr(attention, name, lambda *given, name=name: asked.append(name) or given[0])
    query = torch.zeros(1, 2, 3, 4, device=device, dtype=dtype)
    attention.fast_attention(query, query, query)
    assert asked == [kernel]
