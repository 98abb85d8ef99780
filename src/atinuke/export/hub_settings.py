"""config.json of a Hugging Face folder → our sizes. What asks for another computation than ours is refused by name.

Their names of sizes appear here and in `names.py`, and nowhere else in Atinuke.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from atinuke.config import nearest, one_line, validate
from atinuke.durable import printable, read_json
from atinuke.errors import ConfigError
from atinuke.models.config import ModelConfig

Family = Literal["gpt2", "llama", "bert", "roberta"]

FAMILIES: dict[str, Family] = {
    "gpt2": "gpt2",
    "llama": "llama",
    "bert": "bert",
    "roberta": "roberta",
    "xlm-roberta": "roberta",
    "camembert": "roberta",
}
"""Their model_type → which networks are alike."""

GPT_EPS = 1e-5
LLAMA_EPS = 1e-6
BERT_EPS = 1e-12
ROTARY_BASE = 10_000.0
"""What our networks have where nothing is said: said only where a folder has something else."""
LONGEST_VALUE = 80

Sizes = dict[str, Any]


@dataclass(frozen=True)
class HubSettings:
    """What config.json says, as far as it bears on us."""

    path: Path
    """Of config.json."""
    values: Mapping[str, Any]
    """All of it."""
    family: Family
    network: ModelConfig
    """The same network among ours. Its vocabulary is theirs, their own mask in it: none is added at its end."""
    first_place: int = 0
    """Rows of the table of positions ahead of the first token's: RoBERTa keeps as many as the pad's id, and one."""
    ties_head: bool = True
    """Whether the read-out is the table of tokens."""


def read_hub_settings(folder: Path) -> HubSettings:
    """What `folder`/config.json says. ConfigError names the key and the value that our networks do not have.

    Dropout is that of the residual branches; ours have none on the weights of attention. `context` is all the places
    that the network has.
    """
    path = folder / "config.json"
    given = _Given(path, read_json(path))
    family = _family(given)
    given.expect("quantization_config", None)
    first_place, ties_head = 0, True
    if family == "gpt2":
        sizes = _gpt2(given)
    elif family == "llama":
        sizes, ties_head = _llama(given), given.is_true("tie_word_embeddings", False)
    else:
        first_place = given.whole("pad_token_id", 1, least=0) + 1 if family == "roberta" else 0
        sizes = _bert(given, first_place)
    sizes |= {"vocab_size": given.whole("vocab_size"), "context": sizes["max_len"]}
    try:
        network = validate(ModelConfig, sizes)
    except ConfigError as error:
        raise ConfigError(f"{printable(path)} describes no network of ours: {one_line(error)}.") from error
    return HubSettings(path, given.values, family, network, first_place, ties_head)


def _family(given: "_Given") -> Family:
    kind = given.values.get("model_type")
    if kind is None:
        raise ConfigError(
            f"{printable(given.path)} has no model_type; add one of {', '.join(FAMILIES)}, if it is such a network: "
            '"model_type": "bert".'
        )
    if not isinstance(kind, str) or kind not in FAMILIES:
        hint = nearest(kind, FAMILIES) if isinstance(kind, str) else ""
        given.refuse("model_type", f"one of {', '.join(FAMILIES)}", hint)
    return FAMILIES[kind]


def _gpt2(given: "_Given") -> Sizes:
    """GPT2LMHeadModel is our `gpt`."""
    given.expect("activation_function", "gelu_new", "gelu_pytorch_tanh", "gelu_fast")  # three names of one curve
    given.expect("layer_norm_epsilon", GPT_EPS)
    given.expect("scale_attn_weights", True)
    given.expect("scale_attn_by_inverse_layer_idx", False)
    given.expect("add_cross_attention", False)
    given.expect("tie_word_embeddings", True)
    model_dim = given.whole("n_embd")
    return {
        "kind": "gpt",
        "model_dim": model_dim,
        "key_dim": model_dim,
        "hidden_dim": given.whole("n_inner", 4 * model_dim),
        "head_count": given.whole("n_head"),
        "layer_count": given.whole("n_layer"),
        "dropout": given.number("resid_pdrop", 0.1),
        "max_len": given.whole("n_positions", 1024),
    }


def _llama(given: "_Given") -> Sizes:
    """LlamaForCausalLM is our `llama`."""
    given.expect("hidden_act", "silu", "swish")
    given.expect("attention_bias", False)
    given.expect("mlp_bias", False)
    model_dim, head_count = given.whole("hidden_size"), given.whole("num_attention_heads")
    head_dim = given.whole("head_dim", max(model_dim // head_count, 1))
    sizes: Sizes = {
        "kind": "llama",
        "model_dim": model_dim,
        "key_dim": head_count * head_dim,
        "hidden_dim": given.whole("intermediate_size"),
        "head_count": head_count,
        "kv_head_count": given.whole("num_key_value_heads", head_count),
        "layer_count": given.whole("num_hidden_layers"),
        "max_len": given.whole("max_position_embeddings", 2048),
    }
    base, eps = _rotary_base(given), given.number("rms_norm_eps", LLAMA_EPS)
    return sizes | _unless("rotary_base", base, ROTARY_BASE) | _unless("norm_eps", eps, LLAMA_EPS)


def _rotary_base(given: "_Given") -> float:
    """The base of the angles, wherever it stands: older files have it beside `rope_scaling`, newer ones within."""
    key = "rope_scaling" if given.values.get("rope_scaling") else "rope_parameters"
    values = given.values.get(key) or {}
    if not isinstance(values, dict):
        given.refuse(key, "a table of settings")
    within = _Given(given.path, values, f"{key}.")
    for name in ("rope_type", "type"):  # the second is the older one
        within.expect(name, "default")
    for place in (given, within):
        if place.number("partial_rotary_factor", 1.0) != 1.0:
            place.refuse("partial_rotary_factor", "1")
    return within.number("rope_theta", given.number("rope_theta", ROTARY_BASE))


def _bert(given: "_Given", first_place: int) -> Sizes:
    """BertForPreTraining, and RobertaForMaskedLM from its first place on, are our `bert`."""
    given.expect("hidden_act", "gelu", "gelu_python")
    given.expect("position_embedding_type", "absolute")
    given.expect("is_decoder", False)
    given.expect("add_cross_attention", False)
    given.expect("tie_word_embeddings", True)
    given.expect("type_vocab_size", 2, 1)
    model_dim = given.whole("hidden_size")
    sizes: Sizes = {
        "kind": "bert",
        "model_dim": model_dim,
        "key_dim": model_dim,
        "hidden_dim": given.whole("intermediate_size"),
        "head_count": given.whole("num_attention_heads"),
        "layer_count": given.whole("num_hidden_layers"),
        "dropout": given.number("hidden_dropout_prob", 0.1),
        "max_len": given.whole("max_position_embeddings", 512) - first_place,
    }
    return sizes | _unless("norm_eps", given.number("layer_norm_eps", BERT_EPS), BERT_EPS)


def _unless(name: str, value: float, usual: float) -> Sizes:
    return {} if value == usual else {name: value}


@dataclass(frozen=True)
class _Given:
    """Settings as they were read, checked one at a time."""

    path: Path
    values: Mapping[str, Any]
    within: str = ""
    """Ahead of keys in messages."""

    def whole(self, key: str, usual: int | None = None, *, least: int = 1) -> int:
        """A whole number; `usual` where the file says nothing, or null."""
        value = self._value(key, usual)
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            self.refuse(key, f"a whole number, {least} or more")
        return value

    def number(self, key: str, usual: float) -> float:
        """A finite number, 0 or more."""
        value = self._value(key, usual)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
            self.refuse(key, "a number, 0 or more")
        return float(value)

    def is_true(self, key: str, usual: bool) -> bool:
        """true or false."""
        value = self._value(key, usual)
        if not isinstance(value, bool):
            self.refuse(key, "true or false")
        return value

    def expect(self, key: str, usual: Any, *others: Any) -> None:
        """ConfigError unless the file says nothing, null, or one of these."""
        value = self._value(key, usual)
        allowed = (usual, *others)
        if not any(type(value) is type(each) and value == each for each in allowed):
            self.refuse(key, " or ".join(json.dumps(each) for each in allowed))

    def refuse(self, key: str, expected: str, hint: str = "") -> NoReturn:
        """The error for a value that is not `expected`."""
        value = self.values.get(key)
        shown = json.dumps(value, ensure_ascii=False, default=str)
        if len(shown) > LONGEST_VALUE:
            shown = f"{shown[:LONGEST_VALUE]}…"
        came = "missing" if value is None else printable(shown)
        raise ConfigError(f"{printable(self.path)}: {self.within}{key} is {came}; expected {expected}.{hint}")

    def _value(self, key: str, usual: Any) -> Any:
        value = self.values.get(key)
        return usual if value is None else value
