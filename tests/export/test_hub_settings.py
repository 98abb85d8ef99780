"""config.json of each family: the sizes it gives, and every setting that is refused, by key and value."""

import json
from pathlib import Path
from typing import Any

import pytest

from atinuke.errors import ConfigError, DamagedFileError, RunFolderError
from atinuke.export.hub_settings import FAMILIES, HubSettings, read_hub_settings

GPT2 = {"model_type": "gpt2", "vocab_size": 50257, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024}
LLAMA = {
    "model_type": "llama",
    "vocab_size": 32000,
    "hidden_size": 576,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "num_hidden_layers": 30,
    "intermediate_size": 1536,
    "max_position_embeddings": 2048,
    "hidden_act": "silu",
}
BERT = {
    "model_type": "bert",
    "vocab_size": 30522,
    "hidden_size": 128,
    "num_attention_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 512,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "layer_norm_eps": 1e-12,
}
ROBERTA = BERT | {"model_type": "roberta", "max_position_embeddings": 514, "type_vocab_size": 1, "pad_token_id": 1}
FILES: dict[str, dict[str, Any]] = {"gpt2": GPT2, "llama": LLAMA, "bert": BERT, "roberta": ROBERTA}


def read(folder: Path, values: dict[str, Any]) -> HubSettings:
    (folder / "config.json").write_text(json.dumps(values), encoding="utf-8")
    return read_hub_settings(folder)


def test_gpt2_as_published(tmp_path: Path) -> None:
    found = read(tmp_path, GPT2 | {"n_inner": None, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-05})
    network = found.network
    assert (found.family, network.kind, network.vocab_size) == ("gpt2", "gpt", 50257)
    assert (network.model_dim, network.key_dim, network.hidden_dim) == (768, 768, 3072)
    assert (network.head_count, network.layer_count) == (12, 12)
    assert (network.max_len, network.context, network.dropout) == (1024, 1024, 0.1)


def test_a_llama_with_grouped_heads_and_wide_ones(tmp_path: Path) -> None:
    network = read(tmp_path, LLAMA).network
    assert (network.kind, network.key_dim, network.head_count, network.kv_head_count) == ("llama", 576, 9, 3)
    assert (network.hidden_dim, network.max_len, network.dropout) == (1536, 2048, 0.0)
    assert read(tmp_path, LLAMA | {"head_dim": 128}).network.key_dim == 9 * 128
    assert read(tmp_path, LLAMA | {"num_key_value_heads": None}).network.kv_head_count == 9


@pytest.mark.parametrize(
    "said",
    [
        {"rope_theta": 500000.0, "rope_scaling": None},
        {"rope_parameters": {"rope_theta": 500000.0, "rope_type": "default"}},
        {"rope_scaling": {"rope_type": "default"}, "rope_theta": 500000},
    ],
)
def test_the_base_of_the_angles_is_found_in_old_files_and_new_ones(tmp_path: Path, said: dict[str, Any]) -> None:
    network = read(tmp_path, LLAMA | {"rms_norm_eps": 1e-05} | said).network
    assert (network.rotary_base, network.norm_eps) == (500000.0, 1e-05)


def test_whether_the_head_is_tied(tmp_path: Path) -> None:
    assert not read(tmp_path, LLAMA).ties_head
    assert read(tmp_path, LLAMA | {"tie_word_embeddings": True}).ties_head
    assert read(tmp_path, GPT2).ties_head


def test_bert_keeps_its_own_vocabulary_and_gets_no_mask_at_its_end(tmp_path: Path) -> None:
    found = read(tmp_path, BERT)
    network = found.network
    assert (network.kind, network.vocab_size, network.has_mask) == ("bert", 30522, False)
    assert (network.max_len, found.first_place, network.dropout) == (512, 0, 0.1)


@pytest.mark.parametrize("kind", ["roberta", "xlm-roberta", "camembert"])
def test_the_places_of_roberta_begin_after_the_pad(tmp_path: Path, kind: str) -> None:
    found = read(tmp_path, ROBERTA | {"model_type": kind})
    assert (found.family, found.network.max_len, found.first_place) == ("roberta", 512, 2)
    assert read(tmp_path, ROBERTA | {"pad_token_id": 4}).network.max_len == 509


def test_a_norm_with_another_epsilon_is_told_to_the_network(tmp_path: Path) -> None:
    assert read(tmp_path, ROBERTA | {"layer_norm_eps": 1e-05}).network.norm_eps == 1e-05
    assert read(tmp_path, ROBERTA).network.norm_eps is None


REFUSED = [
    ("gpt2", {"activation_function": "relu"}, 'activation_function is "relu"; expected "gelu_new"'),
    ("gpt2", {"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon is 1e-06; expected 1e-05"),
    ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights is false; expected true"),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is true"),
    ("gpt2", {"tie_word_embeddings": False}, "tie_word_embeddings is false; expected true"),
    ("gpt2", {"add_cross_attention": True}, "add_cross_attention is true"),
    ("gpt2", {"n_embd": None}, "n_embd is missing; expected a whole number"),
    ("gpt2", {"n_layer": 0}, "n_layer is 0; expected a whole number, 1 or more"),
    ("gpt2", {"n_head": True}, "n_head is true"),
    ("gpt2", {"n_head": "12"}, 'n_head is "12"'),
    ("gpt2", {"n_head": 7}, "config.json describes no network of ours"),
    ("gpt2", {"resid_pdrop": 1.5}, "describes no network of ours"),
    ("gpt2", {"resid_pdrop": "no"}, 'resid_pdrop is "no"; expected a number'),
    ("gpt2", {"vocab_size": None}, "vocab_size is missing"),
    ("llama", {"hidden_act": "gelu"}, 'hidden_act is "gelu"; expected "silu"'),
    ("llama", {"attention_bias": True}, "attention_bias is true; expected false"),
    ("llama", {"mlp_bias": True}, "mlp_bias is true; expected false"),
    ("llama", {"rope_scaling": {"type": "linear", "factor": 2}}, 'rope_scaling.type is "linear"; expected "default"'),
    ("llama", {"rope_scaling": {"rope_type": "llama3"}}, 'rope_scaling.rope_type is "llama3"'),
    ("llama", {"rope_parameters": {"rope_type": "yarn"}}, 'rope_parameters.rope_type is "yarn"'),
    ("llama", {"rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}}, "factor is 0.5; expected 1"),
    ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5; expected 1"),
    ("llama", {"rope_scaling": "long"}, 'rope_scaling is "long"; expected a table'),
    ("llama", {"rope_theta": float("nan")}, "rope_theta is NaN; expected a number"),
    ("llama", {"tie_word_embeddings": "yes"}, 'tie_word_embeddings is "yes"; expected true or false'),
    ("llama", {"num_key_value_heads": 4}, "describes no network of ours"),
    ("llama", {"quantization_config": {"bits": 4}}, "quantization_config is .*; expected null"),
    ("bert", {"hidden_act": "relu"}, 'hidden_act is "relu"; expected "gelu"'),
    ("bert", {"hidden_act": "gelu_new"}, 'hidden_act is "gelu_new"'),
    ("bert", {"position_embedding_type": "relative_key"}, 'position_embedding_type is "relative_key"'),
    ("bert", {"is_decoder": True}, "is_decoder is true"),
    ("bert", {"type_vocab_size": 3}, "type_vocab_size is 3; expected 2 or 1"),
    ("bert", {"tie_word_embeddings": False}, "tie_word_embeddings is false"),
    ("roberta", {"pad_token_id": -1}, "pad_token_id is -1; expected a whole number, 0 or more"),
    ("roberta", {"max_position_embeddings": 2}, "describes no network of ours"),
]


@pytest.mark.parametrize(("family", "changes", "said"), REFUSED, ids=[f"{row[0]}-{row[1]}" for row in REFUSED])
def test_what_ours_would_compute_otherwise_is_refused_by_key_and_value(
    tmp_path: Path, family: str, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        read(tmp_path, FILES[family] | changes)
    assert "\n" not in str(caught.value)
    assert "config.json" in str(caught.value)


@pytest.mark.parametrize("kind", ["bart", "mistral", 7, ["bert"]])
def test_another_kind_of_network_is_refused(tmp_path: Path, kind: Any) -> None:
    with pytest.raises(ConfigError, match=r"model_type is .*; expected one of gpt2, llama, bert, roberta"):
        read(tmp_path, BERT | {"model_type": kind})


def test_a_kind_that_is_not_said_has_to_be_added(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'has no model_type; .*"model_type": "bert"'):
        read(tmp_path, {key: value for key, value in BERT.items() if key != "model_type"})


def test_a_file_that_is_no_object_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[1, 2")
    with pytest.raises(DamagedFileError, match=r"config\.json is damaged"):
        read_hub_settings(tmp_path)


def test_a_folder_without_config_says_so(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"config\.json is missing"):
        read_hub_settings(tmp_path)


def test_every_kind_leads_to_a_family_with_a_file_here() -> None:
    assert set(FAMILIES.values()) == set(FILES)
