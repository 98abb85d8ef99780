"""What the user names → the folder of a Hugging Face network: one that is there, or fetched from the hub."""

import os
import re
from pathlib import Path

from atinuke.config import one_line
from atinuke.durable import printable
from atinuke.errors import ConfigError, MissingExtraError

SCHEME = "hf:"
WANTED = ("*.json", "*.txt", "model*.safetensors")
UNWANTED = ("*/*",)
"""Folders within: the same network for other programs."""
LONGEST_REASON = 200

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


def hub_folder(spec: str | os.PathLike[str]) -> Path:
    """The folder behind `hf:NAME_OR_DIR` or a path. A folder that exists is taken as it is, whatever its name.

    A name is fetched through huggingface_hub, or taken from its cache. ConfigError where there is neither folder nor
    name, and where fetching fails; MissingExtraError where the library is missing.
    """
    text = os.fspath(spec)
    name = text.removeprefix(SCHEME)
    if not name or "\0" in name:
        raise ConfigError(f"{printable(text) or 'an empty name'} names no network; expected {SCHEME}NAME or a folder.")
    if os.path.isdir(name):
        return Path(name)
    if os.path.exists(name):
        raise ConfigError(f"{printable(name)} is a file; expected the folder of a network, with its config.json.")
    if text == name:
        raise ConfigError(f"{printable(name)} does not exist; expected a folder, or {SCHEME}NAME for one on the hub.")
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{printable(name)} is no folder here and no name on the hub, which looks like bert-base-uncased or "
            "owner/name."
        )
    return _fetched(name)


def _fetched(name: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise MissingExtraError.for_extra(f"Fetching {SCHEME}{name}", "hub") from error
    try:
        return Path(snapshot_download(name, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED)))
    except Exception as error:  # the library's own, those of the net beneath it, and those of the disk
        reason = one_line(error)[:LONGEST_REASON] or type(error).__name__
        raise ConfigError(
            f"{SCHEME}{name} could not be fetched ({reason}). Without a connection, give the folder of a network that "
            f"was fetched before: {SCHEME}DIR."
        ) from error
