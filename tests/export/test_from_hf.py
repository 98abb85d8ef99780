"""Folders that transformers saved against our networks read from them: the same logits from the same files."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    CamembertConfig,
    CamembertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPT2Model,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaModel,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from atinuke.errors import ConfigError, DamagedFileError, RunFolderError
from atinuke.export.from_hf import HubNetwork, read_hub_network
from atinuke.models import GPT, Bert, Llama

VOCAB_SIZE, PLACES = 37, 16
SPREAD = 0.2  # ten times the usual, so that every weight matters
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}  # float32, sums in another order

ENCODER = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
}
ROBERTA = ENCODER | {"max_position_embeddings": PLACES + 2, "type_vocab_size": 1, "pad_token_id": 1}
LLAMA = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 0,
    "eos_token_id": 1,
}


def gpt2(**settings: object) -> GPT2Config:
    sizes = {"vocab_size": VOCAB_SIZE, "n_positions": PLACES, "n_embd": 16, "n_layer": 2, "n_head": 2}
    return GPT2Config(**{**sizes, "bos_token_id": 0, "eos_token_id": 0, **settings})


def llama(**settings: object) -> LlamaConfig:
    return LlamaConfig(**{**LLAMA, **settings})


def bert(**settings: object) -> BertConfig:
    return BertConfig(**{**ENCODER, "max_position_embeddings": PLACES, **settings})


def randomised(model: PreTrainedModel) -> PreTrainedModel:
    """Every weight, gain and bias from N(0, SPREAD), so that none can be swapped or left out without being seen."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=SPREAD, generator=random)
    return model.eval()


def saved(model: PreTrainedModel, folder: Path) -> Path:
    randomised(model).save_pretrained(folder)
    return folder


def tokens_like(batch: int = 2, length: int = 12) -> Tensor:
    """No pads of RoBERTa among them: it gives those another place."""
    return torch.randint(3, VOCAB_SIZE, (batch, length), generator=torch.Generator().manual_seed(1))


def compare(ours: Tensor, theirs: Tensor) -> None:
    assert theirs.std() > 0.05  # not a comparison of zeros
    assert_close(ours, theirs, **TOLERANCE)


def build(folder: Path) -> tuple[HubNetwork, nn.Module]:
    found = read_hub_network(folder)
    return found, found.build()


DECODERS: dict[str, Callable[[], PreTrainedModel]] = {
    "gpt2": lambda: GPT2LMHeadModel(gpt2()),
    "gpt2 with another hidden_dim": lambda: GPT2LMHeadModel(gpt2(n_inner=20)),
    "llama": lambda: LlamaForCausalLM(llama()),
    "llama with wide heads": lambda: LlamaForCausalLM(llama(head_dim=6, num_key_value_heads=4)),
    "llama tied": lambda: LlamaForCausalLM(llama(tie_word_embeddings=True)),
    "llama 3": lambda: LlamaForCausalLM(
        llama(rms_norm_eps=1e-3, rope_parameters={"rope_type": "default", "rope_theta": 100.0})
    ),
}


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_have_the_same_logits(name: str, tmp_path: Path) -> None:
    theirs = randomised(DECODERS[name]())
    theirs.save_pretrained(tmp_path)
    found, ours = build(tmp_path)
    assert found.fresh == () and found.left_out == ()
    with torch.no_grad():
        compare(ours(tokens_like()), theirs(tokens_like()).logits)
    assert not ours.training


@pytest.mark.parametrize("eps", [1e-12, 1e-3])
def test_bert_has_the_same_logits_in_both_heads(tmp_path: Path, eps: float) -> None:
    theirs = randomised(BertForPreTraining(bert(layer_norm_eps=eps)))
    theirs.save_pretrained(tmp_path)
    found, ours = build(tmp_path)
    assert isinstance(ours, Bert) and found.fresh == () and found.left_out == ()
    segments = torch.tensor([[0] * 7 + [1] * 5, [0] * 3 + [1] * 9])
    is_token = torch.arange(12) < torch.tensor([[12], [9]])
    with torch.no_grad():
        said = ours(tokens_like(), segments, is_token)
        expected = theirs(tokens_like(), attention_mask=is_token.long(), token_type_ids=segments)
    compare(said.logits[is_token], expected.prediction_logits[is_token])
    compare(said.next_sentence, expected.seq_relationship_logits)


ROBERTAS: dict[str, Callable[[], PreTrainedModel]] = {
    "roberta": lambda: RobertaForMaskedLM(RobertaConfig(**ROBERTA)),
    "roberta with the epsilon of the published one": lambda: RobertaForMaskedLM(
        RobertaConfig(**ROBERTA, layer_norm_eps=1e-5)
    ),
    "roberta with two kinds of segments": lambda: RobertaForMaskedLM(
        RobertaConfig(**{**ROBERTA, "type_vocab_size": 2})
    ),
    "xlm-roberta": lambda: XLMRobertaForMaskedLM(XLMRobertaConfig(**ROBERTA)),
    "camembert": lambda: CamembertForMaskedLM(CamembertConfig(**ROBERTA)),
}


@pytest.mark.parametrize("name", ROBERTAS)
def test_roberta_has_the_same_logits_in_all_its_places(name: str, tmp_path: Path) -> None:
    theirs = randomised(ROBERTAS[name]())
    theirs.save_pretrained(tmp_path)
    found, ours = build(tmp_path)
    assert isinstance(ours, Bert) and found.network.max_len == PLACES
    assert {"pooler.weight", "pooler.bias", "next_sentence_head.weight", "next_sentence_head.bias"} == set(found.fresh)
    tokens = tokens_like(length=PLACES)
    is_token = torch.arange(PLACES) < torch.tensor([[PLACES], [9]])
    padded = tokens.masked_fill(~is_token, 1)
    with torch.no_grad():
        expected = theirs(padded, attention_mask=is_token.long()).logits
        compare(ours(tokens, None, is_token).logits[is_token], expected[is_token])


def test_one_kind_of_segment_becomes_two_that_say_the_same(tmp_path: Path) -> None:
    found = read_hub_network(saved(RobertaForMaskedLM(RobertaConfig(**ROBERTA)), tmp_path))
    first, second = found.weights["segment_embedding.weight"]
    assert torch.equal(first, second)


BODIES: dict[str, tuple[Callable[[], PreTrainedModel], int]] = {
    "gpt2": (lambda: GPT2Model(gpt2()), 0),
    "llama": (lambda: LlamaModel(llama()), 1),
    "bert": (lambda: BertModel(bert()), 7),  # its pooler is there; two modules of the read-out, a bias, one head
}


@pytest.mark.parametrize("name", BODIES)
def test_a_body_that_was_saved_alone_gets_fresh_heads(name: str, tmp_path: Path) -> None:
    made, fresh = BODIES[name]
    theirs = randomised(made())
    theirs.save_pretrained(tmp_path)
    found, ours = build(tmp_path)
    assert len(found.fresh) == fresh
    with torch.no_grad():
        if isinstance(ours, Bert):
            hidden = ours.encode(tokens_like())
        else:
            assert isinstance(ours, GPT | Llama)
            hidden = ours.finish(ours.hidden(tokens_like()))
        compare(hidden, theirs(tokens_like()).last_hidden_state)
    again = read_hub_network(tmp_path)
    assert all(torch.equal(found.weights[part], again.weights[part]) for part in found.fresh)


def test_the_head_of_another_task_is_left_out_and_named(tmp_path: Path) -> None:
    found = read_hub_network(saved(BertForSequenceClassification(bert(num_labels=3)), tmp_path))
    assert sorted(found.left_out) == ["classifier.bias", "classifier.weight"]
    assert "transform.weight" in found.fresh and "pooler.weight" not in found.fresh


def test_torchs_random_state_stays_as_it_was(tmp_path: Path) -> None:
    folder = saved(BertForMaskedLM(bert()), tmp_path)
    before = torch.get_rng_state()
    build(folder)
    assert torch.equal(torch.get_rng_state(), before)


def test_half_precision_is_read_as_float32(tmp_path: Path) -> None:
    model = randomised(LlamaForCausalLM(llama())).to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    weights = read_hub_network(tmp_path).weights
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}
    assert torch.equal(weights["head.weight"], model.lm_head.weight.detach().float())


# --- The files ---


def tensors_of(folder: Path) -> dict[str, Tensor]:
    return dict(load_file(folder / "model.safetensors"))


def rewrite(folder: Path, tensors: dict[str, Tensor]) -> None:
    save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, folder / "model.safetensors")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return saved(BertForPreTraining(bert()), tmp_path)


def sharded(folder: Path) -> dict[str, str]:
    """Every tensor in one of two files, and an index; which file has which."""
    tensors = tensors_of(folder)
    (folder / "model.safetensors").unlink()
    files = {name: f"model-0000{1 + number % 2}-of-00002.safetensors" for number, name in enumerate(tensors)}
    for file in set(files.values()):
        save_file({name: tensors[name].clone() for name in tensors if files[name] == file}, folder / file)
    write_index(folder, files)
    return files


def write_index(folder: Path, weight_map: object) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def test_weights_in_several_files_are_the_same(folder: Path) -> None:
    whole = read_hub_network(folder).weights
    sharded(folder)
    parts = read_hub_network(folder).weights
    assert list(parts) == list(whole)
    assert all(torch.equal(parts[name], whole[name]) for name in whole)


@pytest.mark.parametrize("place", ["../model.safetensors", "/model.safetensors", "", "..", 3])
def test_an_index_that_points_out_of_the_folder_is_refused(folder: Path, place: object) -> None:
    files = sharded(folder)
    write_index(folder, files | {"bert.pooler.dense.bias": place})
    with pytest.raises(DamagedFileError, match=r"bert\.pooler\.dense\.bias lies in no file of this folder"):
        read_hub_network(folder)


@pytest.mark.parametrize("weight_map", [None, {}, []])
def test_an_index_without_names_is_damaged(folder: Path, weight_map: object) -> None:
    sharded(folder)
    write_index(folder, weight_map)
    with pytest.raises(DamagedFileError, match="it has no weight_map"):
        read_hub_network(folder)


def test_a_missing_part_and_a_missing_tensor_are_named(folder: Path) -> None:
    files = sharded(folder)
    write_index(folder, files | {"bert.other": "model-00001-of-00002.safetensors"})
    with pytest.raises(DamagedFileError, match=r"model-00001-of-00002\.safetensors is damaged: it has no bert\.other"):
        read_hub_network(folder)
    write_index(folder, files)
    (folder / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(RunFolderError, match=r"model-00002-of-00002\.safetensors"):
        read_hub_network(folder)


def test_the_first_names_of_bert_are_known(folder: Path) -> None:
    expected, tensors = read_hub_network(folder).weights, tensors_of(folder)
    old = {}
    for name, tensor in tensors.items():
        for new_end, old_end in (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta")):
            name = name.removesuffix(new_end) + old_end if name.endswith(new_end) else name
        old[name] = tensor
    assert set(old) != set(tensors)
    old["bert.embeddings.position_ids"] = torch.arange(PLACES)[None]
    rewrite(folder, old)
    found = read_hub_network(folder)
    assert found.left_out == ()
    assert all(torch.equal(found.weights[name], tensor) for name, tensor in expected.items())


def test_a_second_name_of_a_tensor_may_stand_alone_or_beside_the_first(folder: Path) -> None:
    first, second = "bert.embeddings.word_embeddings.weight", "cls.predictions.decoder.weight"
    expected, tensors = read_hub_network(folder).weights, tensors_of(folder)
    rewrite(folder, tensors | {second: tensors[first]})
    assert torch.equal(read_hub_network(folder).weights["embedding.weight"], expected["embedding.weight"])
    rewrite(folder, {name: tensor for name, tensor in tensors.items() if name != first} | {second: tensors[first]})
    assert torch.equal(read_hub_network(folder).weights["embedding.weight"], expected["embedding.weight"])
    rewrite(folder, tensors | {second: tensors[first] + 1})
    with pytest.raises(ConfigError, match="with different numbers; our network has one tensor for both"):
        read_hub_network(folder)


def without(*names: str) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if name not in names}


QUERY = "bert.encoder.layer.0.attention.self.query.weight"
DISTANCES = "bert.encoder.layer.0.attention.self.distance_embedding.weight"
FAULTS: dict[str, tuple[Callable[[dict[str, Tensor]], dict[str, Tensor]], str]] = {
    "missing": (
        without(QUERY),
        r"has no tensor encoder\.layer\.0\.attention\.self\.query\.weight, which bert networks",
    ),
    "unknown": (lambda found: found | {DISTANCES: torch.zeros(3, 8)}, "distance_embedding.weight, which our network"),
    "one layer more": (
        lambda found: found | {QUERY.replace("layer.0", "layer.2"): found[QUERY]},
        r"has a tensor encoder\.layer\.2\..*2 layers does not have",
    ),
    "of another size": (lambda found: found | {QUERY: torch.zeros(8, 16)}, r"make a tensor of \(40, 16\)"),
    "not to be joined": (lambda found: found | {QUERY: torch.zeros(16, 8)}, "do not fit below each other"),
    "quantised": (lambda found: found | {QUERY: torch.zeros(16, 16, dtype=torch.int8)}, "query.weight as int8"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_weights_that_do_not_fit_are_refused_by_name(folder: Path, fault: str) -> None:
    change, said = FAULTS[fault]
    rewrite(folder, change(tensors_of(folder)))
    with pytest.raises(ConfigError, match=said) as caught:
        read_hub_network(folder)
    assert "\n" not in str(caught.value)


def test_a_config_of_another_vocabulary_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 40}))
    with pytest.raises(ConfigError, match=r"make a tensor of \(37,.*\), and config\.json one of \(40,"):
        read_hub_network(folder)


def test_pickles_are_not_read(folder: Path) -> None:
    shutil.move(folder / "model.safetensors", folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"pytorch_model\.bin, a pickle, .*AutoModelForPreTraining\.from_pretrained"):
        read_hub_network(folder)


def test_a_folder_without_weights_says_so(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match=r"has no model\.safetensors"):
        read_hub_network(folder)


def test_a_damaged_file_is_named(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(DamagedFileError, match=r"model\.safetensors is damaged"):
        read_hub_network(folder)
