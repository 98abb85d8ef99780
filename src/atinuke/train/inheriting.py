"""A new network begins with the embeddings of a trained one: its own tokens copied, new ones made of their pieces.

The tokenizers may differ, and so may the languages. A token that both have keeps its vector. One that only the new
tokenizer has begins as the mean of the vectors of the pieces that the old tokenizer cuts it into; where no piece is
known, as the mean of all.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from atinuke.errors import ConfigError
from atinuke.generate.loading import find_run, read_network
from atinuke.models.config import ModelConfig
from atinuke.run_folder import printable
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.train.config import TrainConfig
from atinuke.weights import read_tensors

TABLES = ("embedding.weight", "head.weight")
"""A row for each token; the read-out has one of its own where it is not tied."""
UNKNOWN = "\ufffd".encode()
"""How a tokenizer of whole words spells a word that it does not have."""


def with_inherited_width(cfg: TrainConfig) -> TrainConfig:
    """`cfg` with the model_dim of the run whose embeddings it begins with; ConfigError where it names another."""
    if cfg.init_embeddings is None:
        return cfg
    width = Heritage.read(cfg.init_embeddings).network.model_dim
    if cfg.model.model_dim not in (None, width):
        raise _other_width(cfg.init_embeddings, width, cfg.model.model_dim)
    return cfg.model_copy(update={"model": cfg.model.model_copy(update={"model_dim": cfg.model.model_dim or width})})


@dataclass(frozen=True)
class Heritage:
    """The tables of a trained run, by name, and the tokenizer that numbers their rows."""

    path: Path
    network: ModelConfig
    tokenizer: Tokenizer
    tables: Mapping[str, Float[Tensor, "V D"]]

    @classmethod
    def read(cls, path: Path) -> "Heritage":
        """The embeddings of the run at `path`; an AtinukeError names what is missing or damaged."""
        folder = find_run(path)
        network = read_network(folder)
        if network.numbers:
            raise ConfigError(f"init_embeddings: {printable(path)} reads numbers and has no embeddings of tokens.")
        folder.verify("config.json", "tokenizer.json", "model.safetensors")
        tensors = read_tensors(folder.model)
        tables = {name: tensors[name] for name in TABLES if name in tensors}
        if TABLES[0] not in tables:
            raise ConfigError(f"init_embeddings: {printable(path)} ({network.kind}) holds no learned embeddings.")
        return cls(path, network, Tokenizer.load(folder.tokenizer), tables)

    @torch.no_grad()
    def pass_on(self, model: nn.Module, tokenizer: Tokenizer, kind: str) -> dict[str, int]:
        """Fills the tables of `model`, a network of `kind`; how many tokens were copied, how many made of pieces.

        Kinds of networks take embeddings of different sizes: between two of them the vectors are scaled to the root
        mean square of those that they replace, and read-outs, which may begin at zero, stay as they are. ConfigError
        where the widths differ: an embedding cannot be stretched.
        """
        own = dict(model.named_parameters())
        if TABLES[0] not in own:
            raise ConfigError(
                f"init_embeddings is {printable(self.path)}, and this network learns no embeddings; leave it out."
            )
        rows, copied = self._rows(tokenizer)
        is_same = kind == self.network.kind
        for name, table in self.tables.items():
            if name not in own or (name != TABLES[0] and not is_same):
                continue
            if own[name].shape[1] != table.shape[1]:
                if name != TABLES[0]:
                    continue  # a perceptron reads out of its hidden layer, whose width is no embedding's
                raise _other_width(self.path, table.shape[1], own[name].shape[1])
            known = table[: self.tokenizer.vocab_size]
            vectors = torch.stack([known[pieces].mean(dim=0) for pieces in rows])
            if not is_same:
                vectors *= own[name].square().mean().sqrt() / vectors.square().mean().sqrt().clamp(min=1e-12)
            own[name][: tokenizer.vocab_size] = vectors
        return {"copied": copied, "averaged": len(rows) - copied}

    def _rows(self, tokenizer: Tokenizer) -> tuple[list[list[int]], int]:
        """For each id of the new tokenizer the old ids whose mean it begins as; how many are copies."""
        if tokenizer.fingerprint() == self.tokenizer.fingerprint():
            return [[id] for id in range(tokenizer.vocab_size)], tokenizer.vocab_size
        known = {self.tokenizer.token_bytes(id): id for id in reversed(range(self.tokenizer.vocab_size))}
        everything = list(range(self.tokenizer.vocab_size))
        rows: list[list[int]] = []
        copied = 0
        for id in range(tokenizer.vocab_size):
            piece = tokenizer.token_bytes(id)
            if id == tokenizer.end_id:
                rows.append([self.tokenizer.end_id])
                copied += 1
            elif piece in known:
                rows.append([known[piece]])
                copied += 1
            else:
                rows.append(self._pieces(piece, known) or everything)
        return rows, copied

    def _pieces(self, piece: bytes, known: Mapping[bytes, int]) -> list[int]:
        try:
            text = piece.decode()
            ids = [int(id) for id in self.tokenizer.encode(text)]
            if self.tokenizer.unknown_bytes(text):  # what stands for all unknown words says nothing of this one
                ids = [id for id in ids if self.tokenizer.token_bytes(id) != UNKNOWN]
            return ids
        except UnicodeDecodeError:  # a part of a character: its bytes, where the old tokenizer has them
            return [known[piece[at : at + 1]] for at in range(len(piece)) if piece[at : at + 1] in known]


def _other_width(path: Path, width: int, own: int | None) -> ConfigError:
    return ConfigError(
        f"init_embeddings: {printable(path)} has embeddings of width {width} and this network {own}. "
        f"Give --set model.model_dim={width}."
    )
