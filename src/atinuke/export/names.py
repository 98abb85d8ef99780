"""What Hugging Face's files call our weights, family by family."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from atinuke.export.hub_settings import Family

Table = Mapping[str, tuple[str, ...]]
"""Our name → theirs. Where they hold several tensors, ours has them below each other."""


def _both(ours: str, *theirs: str) -> dict[str, tuple[str, ...]]:
    """Weight and bias of one module."""
    return {f"{ours}.{part}": tuple(f"{name}.{part}" for name in theirs) for part in ("weight", "bias")}


@dataclass(frozen=True)
class Names:
    """The names of one family."""

    prefix: str
    """Ahead of the names of a body that was saved with a head."""
    layer: str
    """Ahead of the names of a layer, {} being its number from 0; ours are "blocks.{}."."""
    body: Table
    """Without `prefix`."""
    block: Table
    """Of one layer, without `layer`."""
    heads: Table
    """What a folder may lack: read-outs and poolers."""
    stems: tuple[str, ...]
    """How the names of a body begin: a tensor there that we do not know would be lost."""
    twins: Mapping[str, str] = field(default_factory=dict)
    """Another name → the one above for the same tensor. Some files hold one of the two, some both."""
    turned: frozenset[str] = frozenset()
    """Ours of a block that they hold transposed."""

    def sources(self, layer_count: int) -> dict[str, tuple[str, ...]]:
        """Our name → theirs, of a whole network."""
        found = {**self.body, **self.heads}
        for number in range(layer_count):
            ahead = self.layer.format(number)
            for ours, theirs in self.block.items():
                found[f"blocks.{number}.{ours}"] = tuple(f"{ahead}{name}" for name in theirs)
        return found

    def is_turned(self, ours: str) -> bool:
        """Whether they hold the transpose of this one."""
        return ours.startswith("blocks.") and ours.split(".", 2)[2] in self.turned


_GPT2_MATRICES = {
    "attention.project_qkv": "attn.c_attn",
    "attention.project_out": "attn.c_proj",
    "feed_forward.project_in": "mlp.c_fc",
    "feed_forward.project_out": "mlp.c_proj",
}

_GPT2 = Names(
    prefix="transformer.",
    layer="h.{}.",
    body={"embedding.weight": ("wte.weight",), "positions.weight": ("wpe.weight",), **_both("norm", "ln_f")},
    block={
        **_both("attention_norm", "ln_1"),
        **_both("feed_forward_norm", "ln_2"),
        **{name: names for ours, theirs in _GPT2_MATRICES.items() for name, names in _both(ours, theirs).items()},
    },
    heads={},
    stems=("wte.", "wpe.", "h.", "ln_f."),
    twins={"lm_head.weight": "wte.weight"},
    turned=frozenset(f"{ours}.weight" for ours in _GPT2_MATRICES),
)

_LLAMA = Names(
    prefix="model.",
    layer="layers.{}.",
    body={"embedding.weight": ("embed_tokens.weight",), "norm.weight": ("norm.weight",)},
    block={
        "attention_norm.weight": ("input_layernorm.weight",),
        "attention.project_qkv.weight": tuple(f"self_attn.{part}_proj.weight" for part in ("q", "k", "v")),
        "attention.project_out.weight": ("self_attn.o_proj.weight",),
        "feed_forward_norm.weight": ("post_attention_layernorm.weight",),
        "feed_forward.project_gate.weight": ("mlp.gate_proj.weight",),
        "feed_forward.project_in.weight": ("mlp.up_proj.weight",),
        "feed_forward.project_out.weight": ("mlp.down_proj.weight",),
    },
    heads={"head.weight": ("lm_head.weight",)},
    stems=("embed_tokens.", "layers.", "norm."),
)

_BERT_BODY: Table = {
    "embedding.weight": ("embeddings.word_embeddings.weight",),
    "positions.weight": ("embeddings.position_embeddings.weight",),
    "segment_embedding.weight": ("embeddings.token_type_embeddings.weight",),
    **_both("embedding_norm", "embeddings.LayerNorm"),
}
_BERT_BLOCK: Table = {
    **_both("attention.project_qkv", *(f"attention.self.{part}" for part in ("query", "key", "value"))),
    **_both("attention.project_out", "attention.output.dense"),
    **_both("attention_norm", "attention.output.LayerNorm"),
    **_both("feed_forward.project_in", "intermediate.dense"),
    **_both("feed_forward.project_out", "output.dense"),
    **_both("feed_forward_norm", "output.LayerNorm"),
}

_BERT = Names(
    prefix="bert.",
    layer="encoder.layer.{}.",
    body=_BERT_BODY,
    block=_BERT_BLOCK,
    heads={
        **_both("transform", "cls.predictions.transform.dense"),
        **_both("transform_norm", "cls.predictions.transform.LayerNorm"),
        "head_bias": ("cls.predictions.bias",),
        **_both("pooler", "pooler.dense"),
        **_both("next_sentence_head", "cls.seq_relationship"),
    },
    stems=("embeddings.", "encoder."),
    twins={
        "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
)

_ROBERTA = Names(  # it was never asked whether one sentence follows another: that head is fresh
    prefix="roberta.",
    layer="encoder.layer.{}.",
    body=_BERT_BODY,
    block=_BERT_BLOCK,
    heads={
        **_both("transform", "lm_head.dense"),
        **_both("transform_norm", "lm_head.layer_norm"),
        "head_bias": ("lm_head.bias",),
        **_both("pooler", "pooler.dense"),
    },
    stems=("embeddings.", "encoder."),
    twins={
        "lm_head.decoder.weight": "embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
)

NAMES: dict[Family, Names] = {"gpt2": _GPT2, "llama": _LLAMA, "bert": _BERT, "roberta": _ROBERTA}
