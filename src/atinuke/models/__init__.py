"""Networks: one short file each, composed of `layers/`. A network takes tokens and gives logits, nothing else.

It knows no data, tokenizer, optimizer, loss or device; those are applied from outside.
Importing this package does not import torch until a network is asked for.
"""

from typing import TYPE_CHECKING, Any

from atinuke.models.config import ModelConfig

if TYPE_CHECKING:
    from atinuke.models.atinuke import Atinuke
    from atinuke.models.atinuke_paper import AtinukePaper
    from atinuke.models.decoder import Decoder

__all__ = ["Atinuke", "AtinukePaper", "ModelConfig", "build_model"]


def build_model(cfg: ModelConfig) -> "Decoder":
    """The network that `cfg` describes, with fresh weights from torch's generator."""
    from atinuke.models.atinuke import Atinuke
    from atinuke.models.atinuke_paper import AtinukePaper

    networks: dict[str, type[Decoder]] = {"atinuke": Atinuke, "atinuke-paper": AtinukePaper}
    return networks[cfg.kind](
        vocab_size=cfg.vocab_size,
        model_dim=cfg.model_dim,
        key_dim=cfg.key_dim,
        hidden_dim=cfg.hidden_dim,
        head_count=cfg.head_count,
        layer_count=cfg.layer_count,
        dropout=cfg.dropout,
        max_len=cfg.max_len,
    )


def __getattr__(name: str) -> Any:
    if name == "Atinuke":
        from atinuke.models.atinuke import Atinuke

        return Atinuke
    if name == "AtinukePaper":
        from atinuke.models.atinuke_paper import AtinukePaper

        return AtinukePaper
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
