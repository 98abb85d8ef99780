"""The tensors of a Hugging Face folder, by plain names. Only safetensors are read: other files of weights hold code."""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from atinuke.durable import printable, read_json
from atinuke.errors import ConfigError, DamagedFileError
from atinuke.export.hub_settings import Family
from atinuke.export.names import Names
from atinuke.weights import read_tensors

WHOLE = "model.safetensors"
INDEX = "model.safetensors.index.json"

LOADERS: dict[Family, str] = {
    "gpt2": "AutoModelForCausalLM",
    "llama": "AutoModelForCausalLM",
    "bert": "AutoModelForPreTraining",
    "roberta": "AutoModelForMaskedLM",
}
"""transformers' class that keeps the read-out too."""

_COMPUTED = re.compile(r"(^|\.)(position_ids|token_type_ids|rotary_emb\.inv_freq|attn\.bias|attn\.masked_bias)$")
"""Tables that older versions saved beside the weights: places, masks, angles."""
_OLD_ENDINGS = {".gamma": ".weight", ".beta": ".bias"}
"""What weight and bias of a norm were called in the first files of BERT."""


def read_hub_weights(folder: Path, family: Family) -> dict[str, Tensor]:
    """All tensors of the folder's model.safetensors, or of the files that its index names.

    ConfigError where there are none, which says how to convert what is there instead.
    """
    if (folder / WHOLE).is_file():
        return read_tensors(folder / WHOLE)
    if (folder / INDEX).is_file():
        return _read_indexed(folder)
    found = sorted(path.name for path in folder.glob("*.bin")) if folder.is_dir() else []
    if not found:
        raise ConfigError(f"{printable(folder)} has no {WHOLE}; expected the folder of a network with its weights.")
    raise ConfigError(
        f"{printable(folder)} has its weights as {printable(found[0])}, a pickle, which can run code when it is read, "
        f"and none as {WHOLE}. If you trust it, convert it with transformers: "
        f"{LOADERS[family]}.from_pretrained(FOLDER).save_pretrained(NEW_FOLDER)."
    )


def plain_tensors(tensors: Mapping[str, Tensor], names: Names, where: str) -> dict[str, Tensor]:
    """The tensors without the body's prefix, without what can be computed, each under one name.

    ConfigError where two names of one tensor hold different ones, and for numbers that are no weights.
    """
    plain: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if _COMPUTED.search(name):
            continue
        for old, new in _OLD_ENDINGS.items():
            if name.endswith(old):
                name = name.removesuffix(old) + new
        if not tensor.dtype.is_floating_point:
            raise ConfigError(
                f"{where} holds {printable(name)} as {str(tensor.dtype).removeprefix('torch.')}; expected float32, "
                "float16 or bfloat16. Give the network before it was quantised."
            )
        plain[name.removeprefix(names.prefix)] = tensor
    for other, first in names.twins.items():
        if other not in plain:
            continue
        twin = plain.pop(other)
        if first in plain and not torch.equal(twin, plain[first]):
            raise ConfigError(
                f"{where} holds {other} and {first} with different numbers; our network has one tensor for both. "
                "Give another network."
            )
        plain.setdefault(first, twin)
    return plain


def _read_indexed(folder: Path) -> dict[str, Tensor]:
    index = folder / INDEX
    listed = read_json(index).get("weight_map")
    if not isinstance(listed, dict) or not listed:
        raise DamagedFileError(f"{printable(index)} is damaged: it has no weight_map. Fetch the folder again.")
    files: dict[str, list[str]] = {}
    for name, file in listed.items():
        if not isinstance(file, str) or file in ("", ".", "..") or re.search(r"[/\\\0]", file):
            raise DamagedFileError(f"{printable(index)} is damaged: {printable(name)} lies in no file of this folder.")
        files.setdefault(file, []).append(name)
    tensors: dict[str, Tensor] = {}
    for file, expected in files.items():
        held = read_tensors(folder / file)
        missing = [name for name in expected if name not in held]
        if missing:
            raise DamagedFileError(
                f"{printable(folder / file)} is damaged: it has no {printable(missing[0])}, which {INDEX} puts there."
            )
        tensors |= {name: held[name] for name in expected}
    return tensors
