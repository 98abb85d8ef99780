"""A new network begins with a trained one's embeddings: copied where a token is shared, else the mean of its pieces."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from atinuke.config import build_settings
from atinuke.errors import ConfigError, DamagedFileError, RunFolderError
from atinuke.models import build_model
from atinuke.models.config import ModelKind
from atinuke.run_folder import RunFolder
from atinuke.testing import TEXT, Listener, make_classifier, make_run, tiny_network
from atinuke.tokenizers import train_tokenizer
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.train.config import TrainConfig
from atinuke.train.inheriting import Heritage, with_inherited_width
from atinuke.train.objectives import next_token
from atinuke.train.run import run
from atinuke.weights import read_tensors

YORUBA = "Humpty Dumpty jókòó sórí ògiri.\nGbogbo ẹṣin ọba àti gbogbo ènìyàn ọba.\n" * 20


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Trained networks, one whose read-out is its embedding and one whose is its own, and one that fills in."""
    place = tmp_path_factory.mktemp("runs")
    kinds: tuple[ModelKind, ...] = ("gpt", "llama", "bert")
    return {kind: make_run(place / kind, kind) for kind in kinds}


@pytest.fixture(scope="module")
def yoruba() -> Tokenizer:
    return train_tokenizer("bpe", [YORUBA], 330)


def fresh(kind: ModelKind, vocab_size: int) -> torch.nn.Module:
    torch.manual_seed(3)
    return build_model(tiny_network(kind, vocab_size=vocab_size))


def test_the_same_tokenizer_gives_the_same_tables_to_the_bit(runs: dict[str, Path]) -> None:
    heritage = Heritage.read(runs["llama"])
    model = fresh("llama", heritage.tokenizer.vocab_size)
    counts = heritage.pass_on(model, Tokenizer.load(RunFolder(runs["llama"]).tokenizer), "llama")
    saved = read_tensors(RunFolder(runs["llama"]).model)
    own = dict(model.named_parameters())
    for name in ("embedding.weight", "head.weight"):
        assert torch.equal(own[name], saved[name])
    assert counts == {"copied": heritage.tokenizer.vocab_size, "averaged": 0}
    assert not torch.equal(own["blocks.0.attention.project_out.weight"], saved["blocks.0.attention.project_out.weight"])


def test_shared_tokens_are_copied_and_others_are_the_mean_of_their_pieces(
    runs: dict[str, Path], yoruba: Tokenizer
) -> None:
    heritage = Heritage.read(runs["gpt"])
    old, table = heritage.tokenizer, read_tensors(RunFolder(runs["gpt"]).model)["embedding.weight"]
    model = fresh("gpt", yoruba.vocab_size)
    counts = heritage.pass_on(model, yoruba, "gpt")
    found = model.get_parameter("embedding.weight")
    number_of = {old.token_bytes(id): id for id in reversed(range(old.vocab_size))}
    copied = averaged = 0
    for id in range(yoruba.vocab_size):
        piece = yoruba.token_bytes(id)
        if id == yoruba.end_id or piece in number_of:
            copied += 1
            assert torch.equal(found[id], table[old.end_id if id == yoruba.end_id else number_of[piece]])
            continue
        averaged += 1
        try:
            ids = old.encode(piece.decode())
        except UnicodeDecodeError:
            ids = [number_of[bytes([byte])] for byte in piece]
        assert len(ids) > 1
        assert_close(found[id], torch.stack([table[int(each)] for each in ids]).mean(dim=0))
    assert counts == {"copied": copied, "averaged": averaged}
    assert copied >= 257 and averaged > 20  # all bytes, the end, and what the languages share


@pytest.mark.parametrize("piece", [b"\xf0", b"W"], ids=["part of a character", "unknown word"])
def test_where_no_piece_is_known_a_token_begins_as_the_mean_of_all(tmp_path: Path, piece: bytes) -> None:
    """A tokenizer of whole words knows no bytes; its sign for unknown words is no piece of anything."""
    heritage = Heritage.read(make_run(tmp_path / "run", "gpt", tokenizer="word"))
    letters = train_tokenizer("bpe", [TEXT], 280)
    model = fresh("gpt", letters.vocab_size)
    heritage.pass_on(model, letters, "gpt")
    unknown = next(id for id in range(letters.vocab_size) if letters.token_bytes(id) == piece)
    table = heritage.tables["embedding.weight"]
    assert_close(model.get_parameter("embedding.weight")[unknown], table.mean(dim=0))


@pytest.mark.parametrize(
    ("old", "new", "head_is_inherited"), [("llama", "llama", True), ("gpt", "llama", False), ("llama", "gpt", False)]
)
def test_a_read_out_of_its_own_is_inherited_by_a_network_that_has_one(
    runs: dict[str, Path], yoruba: Tokenizer, old: str, new: ModelKind, head_is_inherited: bool
) -> None:
    heritage, model = Heritage.read(runs[old]), fresh(new, yoruba.vocab_size)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    heritage.pass_on(model, yoruba, new)
    changed = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    assert changed == ({"embedding.weight", "head.weight"} if head_is_inherited else {"embedding.weight"})
    if head_is_inherited:
        own = model.get_parameter("head.weight")[yoruba.end_id]
        assert torch.equal(own, heritage.tables["head.weight"][heritage.tokenizer.end_id])


def test_the_read_out_of_a_perceptron_is_left_alone_as_it_stands_behind_another_layer(runs: dict[str, Path]) -> None:
    heritage = Heritage.read(runs["llama"])
    model = fresh("perceptron", heritage.tokenizer.vocab_size)
    head = model.get_parameter("head.weight").clone()
    assert head.shape[1] != heritage.network.model_dim
    before = model.get_parameter("embedding.weight").clone()
    heritage.pass_on(model, heritage.tokenizer, "perceptron")
    assert torch.equal(model.get_parameter("head.weight"), head)
    found, table = model.get_parameter("embedding.weight"), heritage.tables["embedding.weight"]
    assert_close(found / found.norm(), table / table.norm())
    assert_close(found.square().mean(), before.square().mean())


def test_between_kinds_of_networks_vectors_are_scaled_so_that_the_first_loss_stays_sane(runs: dict[str, Path]) -> None:
    """Embeddings a hundred times as large as a tied read-out expects would begin with a loss of hundreds of nats."""
    heritage = Heritage.read(runs["llama"])
    model = fresh("gpt", heritage.tokenizer.vocab_size)
    tokens = torch.randint(heritage.tokenizer.vocab_size, (4, 17), generator=torch.Generator().manual_seed(0))
    plain = next_token(model(tokens[:, :-1]), tokens[:, 1:]).item()
    large = replace(heritage, tables={"embedding.weight": 100 * heritage.tables["embedding.weight"]})
    large.pass_on(model, heritage.tokenizer, "gpt")
    assert next_token(model(tokens[:, :-1]), tokens[:, 1:]).item() < 1.2 * plain


def test_the_id_of_a_masked_token_is_neither_taken_nor_overwritten(runs: dict[str, Path], yoruba: Tokenizer) -> None:
    heritage = Heritage.read(runs["bert"])
    known = heritage.tokenizer.vocab_size
    assert heritage.tables["embedding.weight"].shape[0] == known + 1
    model = fresh("bert", yoruba.vocab_size + 1)
    mask = model.get_parameter("embedding.weight")[-1].clone()
    heritage.pass_on(model, yoruba, "bert")
    found = model.get_parameter("embedding.weight")
    assert torch.equal(found[-1], mask) and not torch.equal(found[0], mask)
    assert torch.equal(found[yoruba.end_id], heritage.tables["embedding.weight"][heritage.tokenizer.end_id])


def test_training_starts_from_the_inherited_tables(runs: dict[str, Path], tmp_path: Path) -> None:
    """As the checkpoint before the first step has them; the width comes from the run that is named."""
    book = tmp_path / "book.txt"
    book.write_text(YORUBA, encoding="utf-8")
    flags = {"data.sources": [str(book)], "model.kind": "llama", "tokenizer.vocab_size": 300, "budget.steps": 1}
    flags |= {"model.layer_count": 1, "model.context": 16, "batch_seqs": 2, "dtype": "float32", "device": "cpu"}
    flags |= {"init_embeddings": str(runs["llama"]), "out": str(tmp_path / "run"), "sample_prompts": ["H"]}
    listener = Listener()
    folder = RunFolder(run(build_settings(TrainConfig, flags=flags), listener, already_s=0.0))
    start = read_tensors(folder.state / "step-00000000" / "model.safetensors")
    heritage, tokenizer = Heritage.read(runs["llama"]), Tokenizer.load(folder.tokenizer)
    expected = build_model(tiny_network("llama", vocab_size=tokenizer.vocab_size))
    counts = heritage.pass_on(expected, tokenizer, "llama")
    for name in ("embedding.weight", "head.weight"):
        assert torch.equal(start[name], expected.get_parameter(name))
    assert any(f"{counts['copied']:,} tokens copied, {counts['averaged']:,} averaged" in line for line in listener.said)
    assert folder.read_config()["model"]["model_dim"] == 24
    assert not torch.equal(read_tensors(folder.model)["embedding.weight"], start["embedding.weight"])


def test_the_width_is_taken_over_where_it_is_left_open_and_another_is_refused(runs: dict[str, Path]) -> None:
    path = runs["gpt"]
    assert with_inherited_width(TrainConfig()) == TrainConfig()
    assert with_inherited_width(TrainConfig(init_embeddings=path)).model.model_dim == 24
    other = TrainConfig.model_validate({"init_embeddings": path, "model": {"model_dim": 32}})
    with pytest.raises(ConfigError, match=r"width 24 and this network 32\. Give --set model\.model_dim=24"):
        with_inherited_width(other)
    with pytest.raises(ConfigError, match="width 24 and this network 16"):
        narrow = tiny_network("gpt", vocab_size=300).model_copy(update={"model_dim": 16, "key_dim": 16})
        Heritage.read(path).pass_on(build_model(narrow), Heritage.read(path).tokenizer, "gpt")


def test_a_network_without_embeddings_inherits_none(runs: dict[str, Path]) -> None:
    heritage = Heritage.read(runs["gpt"])
    network = tiny_network("perceptron", vocab_size=heritage.tokenizer.vocab_size)
    with pytest.raises(ConfigError, match="this network learns no embeddings; leave it out"):
        blind = build_model(network.model_copy(update={"token_input": "one-hot"}))
        heritage.pass_on(blind, heritage.tokenizer, "perceptron")


def test_what_holds_no_embeddings_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="nothing does not exist"):
        Heritage.read(tmp_path / "nothing")
    with pytest.raises(ConfigError, match="reads numbers and has no embeddings of tokens"):
        Heritage.read(make_classifier(tmp_path / "table"))
    damaged = make_run(tmp_path / "run", "gpt")
    weights = RunFolder(damaged).model
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedFileError, match=r"model\.safetensors"):
        Heritage.read(damaged)
