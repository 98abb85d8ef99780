"""The tokenizer files of a Hugging Face folder → one tokenizer.json of the `tokenizers` library, and special ids.

    tokenizer.json                 as it is; or built of
    vocab.txt                      WordPiece, as BERT's: tokenizer_config.json says whether letters become small ones
    vocab.json, merges.txt         byte-level BPE, as GPT-2's and RoBERTa's
    tokenizer_config.json, special_tokens_map.json, config.json      which tokens begin and end a row

No torch here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers as rust

from atinuke.config import one_line
from atinuke.durable import printable, read_json, reading
from atinuke.errors import ConfigError, DamagedFileError
from atinuke.export.hub_settings import Family, HubSettings

TOKENIZER = "tokenizer.json"
WORDS, PAIRS, MERGES = "vocab.txt", "vocab.json", "merges.txt"
SAYING = ("special_tokens_map.json", "tokenizer_config.json")
"""Files that name special tokens; what the second says counts."""
SPECIAL = ("unk_token", "cls_token", "sep_token", "pad_token", "mask_token", "bos_token", "eos_token")
USUAL = {
    "unk_token": "[UNK]",
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "mask_token": "[MASK]",
}
"""Of a vocab.txt, where nothing names them."""

ROLES: dict[Family, tuple[tuple[str, str], tuple[str, str]]] = {
    "bert": (("cls_token", "[CLS]"), ("sep_token", "[SEP]")),
    "roberta": (("cls_token", "<s>"), ("sep_token", "</s>")),
    "gpt2": (("bos_token", "<|endoftext|>"), ("eos_token", "<|endoftext|>")),
    "llama": (("bos_token", "<s>"), ("eos_token", "</s>")),
}
"""What stands before the first part of a row and what after each: its role, and its usual name."""


class Unreadable(Exception):
    """A text is no tokenizer.json that the library takes; the message is the end of a sentence."""


@dataclass(frozen=True)
class Framing:
    """The special ids around the parts of a row."""

    opening: tuple[int, ...]
    between: tuple[int, ...]
    closing: tuple[int, ...]
    has_segments: bool
    """Whether what follows the first part is segment 1; RoBERTa knows one kind alone."""


def read_tokenizer(folder: Path, settings: HubSettings) -> tuple[str, Framing]:
    """The text of a tokenizer.json, and what a network of this family has around its rows.

    ConfigError where the folder has no tokenizer that can be read, or not the special tokens.
    """
    said = _said(folder)
    if (folder / TOKENIZER).is_file():
        text = _text(folder / TOKENIZER)
    elif (folder / WORDS).is_file():
        text = _word_pieces(folder / WORDS, said)
    elif (folder / PAIRS).is_file() and (folder / MERGES).is_file():
        text = _byte_pairs(folder, said)
    else:
        held = ", which has another format" if (folder / "tokenizer.model").is_file() else ""
        raise ConfigError(
            f"{printable(folder)} has no {TOKENIZER}{held}; expected it, or {WORDS}, or {PAIRS} and {MERGES}. "
            "Make one with transformers: AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)."
        )
    try:
        tokenizer = build(text)
    except Unreadable as reason:
        raise ConfigError(f"{printable(folder)} has a tokenizer that cannot be used: {reason}.") from reason
    return text, _framing(settings, said, tokenizer)


def build(text: str) -> rust.Tokenizer:
    """The library's tokenizer, told to cut nothing off, add nothing, and take special tokens in a text for letters."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"its {TOKENIZER} is not valid JSON") from error
    if not isinstance(tree, dict) or "model" not in tree:
        raise Unreadable(f"its {TOKENIZER} has no model")
    # rows are framed here, and offsets are to be those of whole tokens, which a post-processor may trim
    tree |= {"truncation": None, "padding": None, "post_processor": None}
    try:
        tokenizer = rust.Tokenizer.from_str(json.dumps(tree))
        tokenizer.encode_special_tokens = True
    except BaseException as error:
        # a panic in Rust arrives as pyo3_runtime.PanicException, which is no Exception and cannot be imported
        if isinstance(error, Exception) or type(error).__module__ == "pyo3_runtime":
            raise Unreadable(f"the tokenizers library does not accept it ({one_line(error)[:200]})") from error
        raise
    return tokenizer


def highest_id(tokenizer: rust.Tokenizer) -> int:
    """The highest id that a text can be given; special tokens are none of them."""
    added = tokenizer.get_added_tokens_decoder()
    special = {id for id, token in added.items() if token.special}
    return max((id for id in tokenizer.get_vocab().values() if id not in special), default=-1)


def _word_pieces(path: Path, said: Mapping[str, Any]) -> str:
    ids = {word.removesuffix("\r"): id for id, word in enumerate(_text(path).removesuffix("\n").split("\n"))}
    unknown = _name(said, "unk_token") or USUAL["unk_token"]
    if unknown not in ids:
        raise ConfigError(f"{printable(path)} has no {printable(unknown)}, the token of unknown words. Add it.")
    tokenizer = rust.Tokenizer(rust.models.WordPiece(vocab=ids, unk_token=unknown))
    tokenizer.normalizer = rust.normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=_flag(said, "tokenize_chinese_chars", True),
        strip_accents=_flag(said, "strip_accents", None),
        lowercase=_flag(said, "do_lower_case", True),
    )
    tokenizer.pre_tokenizer = rust.pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = rust.decoders.WordPiece(prefix="##")
    tokenizer.add_special_tokens([name for role in USUAL if (name := _name(said, role) or USUAL[role]) in ids])
    return tokenizer.to_str()


def _byte_pairs(folder: Path, said: Mapping[str, Any]) -> str:
    path = folder / PAIRS
    ids = read_json(path)
    if not all(isinstance(id, int) and not isinstance(id, bool) and id >= 0 for id in ids.values()):
        raise DamagedFileError(f"{printable(path)} is damaged: expected a whole number for each token.")
    merges: list[tuple[str, str]] = []
    for number, line in enumerate(_text(folder / MERGES).split("\n"), start=1):
        line = line.removesuffix("\r")
        if not line or (number == 1 and line.startswith("#version")):
            continue
        left, gap, right = line.partition(" ")
        if not (left and gap and right) or " " in right:
            raise DamagedFileError(
                f"{printable(folder / MERGES)}:{number} is damaged: expected two pieces and a space."
            )
        merges.append((left, right))
    try:
        tokenizer = rust.Tokenizer(rust.models.BPE(vocab=ids, merges=merges))
    except Exception as error:  # a piece of a merge that is no token
        raise DamagedFileError(
            f"{printable(folder / MERGES)} does not fit {PAIRS} ({one_line(error)[:200]}). Fetch the folder again."
        ) from error
    begins_with_space = _flag(said, "add_prefix_space", False)
    tokenizer.pre_tokenizer = rust.pre_tokenizers.ByteLevel(add_prefix_space=begins_with_space)
    tokenizer.decoder = rust.decoders.ByteLevel()
    usual = {name for roles in ROLES.values() for _, name in roles} | {"<pad>", "<unk>", "<mask>"}
    named = {name for role in SPECIAL if (name := _name(said, role)) is not None}
    tokenizer.add_special_tokens(sorted(name for name in usual | named if name in ids))
    return tokenizer.to_str()


def _framing(settings: HubSettings, said: Mapping[str, Any], tokenizer: rust.Tokenizer) -> Framing:
    family = settings.family
    before, after = ROLES[family]
    end = _special(settings, said, tokenizer, *after)
    begin = _special(settings, said, tokenizer, *before)
    if begin is None and family in ("gpt2", "llama"):
        begin = end  # trained without a token for the beginning: the end of what was before stands there
    for id, (role, usual) in ((begin, before), (end, after)):
        if id is None:
            raise ConfigError(
                f"{printable(settings.path.parent)} names no {role}, and {usual} is no token of it. Name it in "
                "tokenizer_config.json."
            )
    assert begin is not None and end is not None
    if family == "roberta":
        return Framing((begin,), (end, end), (end,), has_segments=False)
    return Framing((begin,), (end,), (end,), has_segments=True)


def _special(
    settings: HubSettings, said: Mapping[str, Any], tokenizer: rust.Tokenizer, role: str, usual: str
) -> int | None:
    """The id of a special token: by its name, else as config.json has it, else by its usual name."""
    name = _name(said, role)
    if name is not None:
        id = tokenizer.token_to_id(name)
        if id is None:
            raise ConfigError(
                f"{printable(settings.path.parent)}: {role} is {printable(name)}, which is no token of its vocabulary."
            )
        return id
    value = settings.values.get(f"{role}_id")
    value = value[0] if isinstance(value, list) and value else value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return tokenizer.token_to_id(usual)


def _said(folder: Path) -> dict[str, Any]:
    """What the small files say of special tokens and of how text is read."""
    said: dict[str, Any] = {}
    for name in SAYING:
        if (folder / name).is_file():
            said |= {key: value for key, value in read_json(folder / name).items() if value is not None}
    return said


def _name(said: Mapping[str, Any], role: str) -> str | None:
    """A special token's text; files have it plain, or in a table with how it is to be found in a text."""
    value = said.get(role)
    value = value.get("content") if isinstance(value, dict) else value
    return value if isinstance(value, str) and value else None


def _flag(said: Mapping[str, Any], key: str, usual: Any) -> Any:
    value = said.get(key)
    return value if isinstance(value, bool) else usual


def _text(path: Path) -> str:
    with reading(path):
        raw = path.read_bytes()
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DamagedFileError(f"{printable(path)} is damaged: it is not UTF-8 text.") from error
