"""x-transformers in the manner of its own examples (train_enwik8.py, train_with_muon.py), with subword tokens."""

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[1]))

from racing import Race, asked, prepare, warm_up_then_linear


def main() -> None:
    """Trains and saves."""
    race = asked()
    settings = race.settings
    tokenizer, ids = prepare(race)
    import torch
    from model import build

    torch.manual_seed(race.seed)
    model = build(settings, tokenizer.get_vocab_size())
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    optimizer = _optimizer(model, settings)
    first_lrs = [group["lr"] for group in optimizer.param_groups]
    forward = torch.compile(model) if settings.get("compile") else model
    autocast = torch.autocast(device, torch.bfloat16) if settings.get("bf16") else nullcontext()
    batches = _batches(ids, settings, device)
    accumulate = settings.get("accumulate", 1)
    race.begin()
    model.train()
    is_over = False
    while not is_over:
        for _ in range(accumulate):
            with autocast:
                loss = forward(next(batches))
            (loss / accumulate).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings["clip"])
        _set_lr(optimizer, first_lrs, race)
        optimizer.step()
        optimizer.zero_grad()
        is_over = race.step_ended()
        if len(race.ends) % 200 == 0:
            print(f"step {len(race.ends) - 1}: training loss {loss.item():.3f}", flush=True)
    torch.save({"settings": settings, "weights": model.state_dict()}, race.out / "model.pt")
    params = sum(weight.numel() for weight in model.parameters())
    race.report(params=params, tokens_per_step=accumulate * settings["batch"] * settings["context"])


def _optimizer(model: Any, settings: dict[str, Any]) -> Any:
    import torch

    kind = settings["optimizer"]
    if kind == "adam":
        return torch.optim.Adam(model.parameters(), lr=settings["lr"])
    if kind == "adamw":
        matrices = [p for p in model.parameters() if p.ndim >= 2]
        others = [p for p in model.parameters() if p.ndim < 2]
        groups = [{"params": matrices, "weight_decay": settings["weight_decay"]}, {"params": others, "weight_decay": 0}]
        return torch.optim.AdamW(groups, lr=settings["lr"], betas=(0.9, settings["beta2"]), fused=True)
    from adam_atan2_pytorch import MuonAdamAtan2

    return MuonAdamAtan2(
        muon_params=model.net.muon_parameters(),
        params=model.parameters(),
        lr=settings["lr"],
        muon_lr=settings["muon_lr"],
        weight_decay=settings["weight_decay"],
    )


def _set_lr(optimizer: Any, first_lrs: list[float], race: Race) -> None:
    """Its examples keep the learning rate; the tuned settings bring it to zero by the clock."""
    settings = race.settings
    if settings["schedule"] != "clock":
        return
    factor = max(1e-3, warm_up_then_linear(race.progress(), warm_up=settings["warm_up"], decay=settings["decay"]))
    for group, lr in zip(optimizer.param_groups, first_lrs, strict=True):
        group["lr"] = lr * factor


def _batches(ids: Any, settings: dict[str, Any], device: str) -> Iterator[Any]:
    """Windows that begin anywhere, as the examples' TextSamplerDataset draws them."""
    import torch

    data = torch.from_numpy(ids)
    length = settings["context"] + 1
    while True:
        starts = torch.randint(len(data) - length, (settings["batch"],))
        yield torch.stack([data[start : start + length] for start in starts.tolist()]).to(device)


if __name__ == "__main__":
    main()
