"""The network that a tuned run begins with: its sizes, its weights, and how it reads text."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from atinuke.errors import ConfigError, RunFolderError
from atinuke.generate.loading import find_run, read_network
from atinuke.models.config import ModelConfig
from atinuke.run_folder import RunFolder, printable
from atinuke.tasks.config import FinetuneConfig
from atinuke.tokenizers.reading import OurReader, Reader
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.train.config import ModelChoice, TokenizerConfig
from atinuke.weights import read_tensors

BODY = "body."
"""What the names of the network's own weights begin with in a tuned run."""
HEADS = "heads."


@dataclass(frozen=True)
class Base:
    """What is known of the network before it learns a task."""

    network: ModelConfig
    model: ModelChoice
    """The same as the settings of a run have it."""
    tokenizer: TokenizerConfig
    reader: Reader
    weights: Mapping[str, Tensor] | None
    """By the names of the plain network; None where fresh ones are wanted."""

    def keep_reader(self, folder: RunFolder) -> None:
        """Writes what reads text into a run folder, so that it is complete in itself."""
        if isinstance(self.reader, OurReader):
            self.reader.tokenizer.save(folder.tokenizer)
            return
        from atinuke.export.hub_reader import HubReader

        assert isinstance(self.reader, HubReader)
        self.reader.save(folder.path)


def read_base(cfg: FinetuneConfig) -> Base:
    """The run or the Hugging Face network that `cfg` names; an AtinukeError says what is wrong with it."""
    return _of_run(cfg) if cfg.task.run is not None else _of_hub(cfg)


def open_reader(folder: RunFolder, cfg: FinetuneConfig) -> Reader:
    """What `Base.keep_reader` left in the run folder of a tuned run."""
    if cfg.task.init is None:
        return OurReader(Tokenizer.load(folder.tokenizer))
    from atinuke.export.hub_reader import HubReader

    return HubReader.load(folder.path)


def _of_run(cfg: FinetuneConfig) -> Base:
    assert cfg.task.run is not None
    folder = find_run(cfg.task.run)
    config, network = folder.read_config(), read_network(folder)
    name = printable(folder.path)
    if network.kind in ("seq2seq", "rnn-seq2seq") or network.numbers:
        raise ConfigError(
            f"{name} holds a {network.kind} network, which gives no vector for each token of a text; expected a run of "
            "atinuke, gpt, llama, bert, rnn or perceptron."
        )
    if config.get("task", {}).get("init") is not None:
        raise ConfigError(f"{name} began with a Hugging Face network; begin the next task with it: --init NAME_OR_DIR.")
    folder.verify("config.json", "tokenizer.json", "model.safetensors")
    tensors = None
    if not cfg.task.from_scratch:
        tensors = read_tensors(folder.model)
        if any(key.endswith(("lora_a", "lora_b")) for key in tensors):
            raise RunFolderError(
                f"{name} was tuned by low-rank additions, which belong to its task; begin with the run that it began "
                "with."
            )
        if any(key.startswith(HEADS) for key in tensors):
            tensors = {key.removeprefix(BODY): each for key, each in tensors.items() if key.startswith(BODY)}
    return Base(
        network,
        ModelChoice.model_validate(config["model"]),
        TokenizerConfig.model_validate(config["tokenizer"]),
        OurReader(Tokenizer.load(folder.tokenizer)),
        tensors,
    )


def _of_hub(cfg: FinetuneConfig) -> Base:
    from atinuke.export.from_hf import read_hub_network
    from atinuke.export.hub_folder import hub_folder
    from atinuke.export.hub_reader import HubReader

    assert cfg.task.init is not None
    path: Path = hub_folder(cfg.task.init)
    found = read_hub_network(path)
    sizes: dict[str, Any] = found.network.model_dump(exclude={"vocab_size"})
    return Base(
        found.network,
        ModelChoice.model_validate(sizes),
        TokenizerConfig(vocab_size=found.network.vocab_size),
        HubReader.of_folder(path),
        found.weights,
    )
