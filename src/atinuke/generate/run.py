"""`atinuke generate`: a run and prompts → completions, shown as they are written."""

import json
import re
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

from atinuke.errors import SourceError
from atinuke.generate.config import GenerateConfig
from atinuke.generate.decode import Completion, generate_text
from atinuke.generate.filling import fill_prompt
from atinuke.generate.inputs import answer_inputs, answer_text
from atinuke.generate.loading import TrainedRun, load_trained
from atinuke.generate.translating import Translator

FROM_STDIN = "-"
BETWEEN = "\n---\n"
"""Stands between two completions. The last one ends with a line break."""

# Escape sequences could move the cursor, set the title or worse. C0 becomes its picture (␛), DEL and C1 become U+FFFD.
_ON_TERMINALS = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},
    **dict.fromkeys(range(0x7F, 0xA0), 0xFFFD),
}


def run(cfg: GenerateConfig, out: TextIO, stdin: Iterable[str] | None = None) -> None:
    """Writes `cfg.count` completions of each prompt to `out`, each piece as soon as it is there.

    As text: the prompt and what follows it. As JSON: one object a line. The prompt "-" stands for the lines of
    `stdin` (default: this process's), each taken when it comes; empty lines are passed over. A reader that goes away
    is a BrokenPipeError, which the command line ends on quietly.
    """
    trained = load_trained(cfg.run, cfg.device)
    if cfg.sources:
        _translate(trained, cfg, out, sys.stdin if stdin is None else stdin)
        return
    if cfg.inputs:
        _answer(trained, cfg, out)
        return
    if trained.network.kind == "bert":
        _fill(trained, cfg, out, sys.stdin if stdin is None else stdin)
        return
    if trained.folder.read_config().get("data", {}).get("examples") and any(cfg.prompts):
        for prompt in _prompts(cfg.prompts, sys.stdin if stdin is None else stdin):
            answer = answer_text(trained, prompt)
            _show(out, cfg, answer.line, answer.facts)
        return
    show = _show_json if cfg.as_json else _show_text
    is_first = True
    for prompt in _prompts(cfg.prompts, sys.stdin if stdin is None else stdin):
        for seed in range(cfg.seed, cfg.seed + cfg.count):
            if not is_first and not cfg.as_json:
                out.write(BETWEEN)
            is_first = False
            show(out, prompt, _begin(trained, cfg, prompt, seed))
    if not is_first and not cfg.as_json:
        out.write("\n")
    out.flush()


def _translate(trained: TrainedRun, cfg: GenerateConfig, out: TextIO, stdin: Iterable[str]) -> None:
    """One translation a line, in the order of the sources."""
    translator = Translator.of_run(trained, beam=cfg.beam, length_penalty=cfg.length_penalty)
    sources = list(_prompts(cfg.sources, stdin))
    for source, target in zip(sources, translator.translate(sources), strict=True):
        _show(out, cfg, " ".join(target.splitlines()), {"source": source, "target": target})


def _fill(trained: TrainedRun, cfg: GenerateConfig, out: TextIO, stdin: Iterable[str]) -> None:
    """The prompt with its masks filled in; as JSON, with the likeliest tokens for each."""
    for prompt in _prompts(cfg.prompts, stdin):
        filled, guesses = fill_prompt(trained, prompt, count=max(5, cfg.count))
        rows = [[{"text": guess.text, "probability": guess.probability} for guess in each] for each in guesses]
        _show(out, cfg, filled, {"prompt": prompt, "filled": filled, "guesses": rows})


def _answer(trained: TrainedRun, cfg: GenerateConfig, out: TextIO) -> None:
    """For each input, or each row of a table, the answer and how sure it is."""
    question = next((prompt for prompt in cfg.prompts if prompt), "")
    for answer in answer_inputs(trained, cfg.inputs, question):
        _show(out, cfg, answer.line, answer.facts)


def _show(out: TextIO, cfg: GenerateConfig, line: str, facts: dict[str, object]) -> None:
    out.write((_json_line(out, facts) if cfg.as_json else _clean(out, line)) + "\n")
    out.flush()


def _clean(out: TextIO, text: str) -> str:
    return safe_for_terminal(text) if out.isatty() else text


def safe_for_terminal(text: str) -> str:
    """`text` with a harmless sign for each control character but line feed and tab."""
    return text.translate(_ON_TERMINALS)


def _begin(trained: TrainedRun, cfg: GenerateConfig, prompt: str, seed: int) -> Completion:
    return generate_text(
        trained.decoder,
        trained.tokenizer,
        prompt,
        tokens=cfg.tokens,
        rules=cfg.rules,
        stop=cfg.stop,
        seed=seed,
        context=trained.context,
    )


def _prompts(asked: Iterable[str], stdin: Iterable[str]) -> Iterator[str]:
    for prompt in asked:
        if prompt == FROM_STDIN:
            yield from _lines(stdin)
        else:
            yield prompt


def _lines(stdin: Iterable[str]) -> Iterator[str]:
    try:
        for line in stdin:
            if prompt := line.rstrip("\r\n"):
                yield prompt
    except UnicodeDecodeError as error:
        raise SourceError(
            f"The prompts on stdin are not {error.encoding} text (byte {error.object[error.start]:#04x}); "
            "expected UTF-8, one prompt a line."
        ) from error


def _show_text(out: TextIO, prompt: str, completion: Completion) -> None:
    out.write(_clean(out, prompt))
    out.flush()
    for piece in completion:
        out.write(_clean(out, piece))
        out.flush()


def _show_json(out: TextIO, prompt: str, completion: Completion) -> None:
    text = "".join(completion)
    found = {
        "prompt": prompt,
        "completion": text,
        "seed": completion.seed,
        "tokens": completion.token_count,
        "finish_reason": completion.finish_reason,
    }
    out.write(_json_line(out, found) + "\n")
    out.flush()


def _json_line(out: TextIO, found: dict[str, object]) -> str:
    is_utf8 = (getattr(out, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"
    line = json.dumps(found, ensure_ascii=not is_utf8)
    # JSON escapes C0 by itself; DEL and C1 could still steer a terminal
    return re.sub("[\x7f-\x9f]", lambda match: f"\\u{ord(match[0]):04x}", line)
