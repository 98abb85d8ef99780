"""The model card, read back by a Markdown parser that we did not write."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from atinuke.report.card import code, fenced, write_card
from atinuke.report.record import NOT_MEASURED
from atinuke.report.scores import PROTOCOL

SUMMARY: dict[str, Any] = {
    "name": "my_letters",
    "model": "atinuke",
    "params": 1_187_456,
    "seed": 3,
    "device": "cpu",
    "dtype": "float32",
    "train_bytes": 1_003_854,
    "elapsed_s": 118.3,
    "time_budget_s": 120.0,
    "tokens_per_s": 14_312.0,
    "val_bpb": 2.2134,
    "val_bytes": 111_540,
    "context": 128,
    "sources": ["letters/1900.txt", "letters/1901.txt"],
    "tokenizer": {"kind": "word", "vocab_size": 1024, "bytes_per_token": 2.62, "loss_note": "Rare words are lost."},
    "sizes": {"model_dim": 96, "head_count": 3, "layer_count": 4, "dropout": 0.1},
    "train_bpb": 2.043,
    "gap_bpb": 0.1704,
    "baseline_5gram_bpb": 2.253,
    "copied_8grams": {"copied": 3, "total": 240},
    "samples": [{"prompt": "Dear ", "text": "Sir,\n\n# not a heading\n```\n<b>not bold</b>\n````\nend"}],
    "data": {"documents": 41, "train_documents": 40, "bytes": 1_115_394, "validation_documents": 1, "duplicates": 5},
    "epochs": 3.91,
    "steps": 1951,
    "batch_tokens": 768,
    "finished_at": "2026-08-03T14:03:22+00:00",
    "val_token_perplexity": 46.3,
}
HOSTILE = "</code><img src=x onerror=alert(1)> `x` ``y`` | [a](http://x.example) www.x.example ![i](y) \\ *b*\n# c\n---"


def card(folder: Path, summary: dict[str, Any], environment: dict[str, Any] | None = None) -> str:
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (folder / "environment.json").write_text(json.dumps(environment or {"cores": 2}), encoding="utf-8")
    path = write_card(folder, shown_as=Path("runs/letters"))
    assert path == folder / "README.md"
    return path.read_text(encoding="utf-8")


def tokens(text: str) -> list[Token]:
    found = MarkdownIt("commonmark").enable("table").parse(text)
    return [inner for token in found for inner in [token, *(token.children or [])]]


def test_the_card_tells_the_facts_of_the_run(tmp_path: Path) -> None:
    text = card(tmp_path, SUMMARY, {"torch": "2.13.0"})
    for told in (
        "# my\\_letters",
        "`atinuke`) of 1,187,456 parameters",
        "finished 3 August 2026, 14:03 UTC",
        "| bits per byte, unseen text | 2.213 |",
        "| gap between the two | 0.170 |",
        "| bits per byte of a byte 5-gram model, unseen text | 2.253 |",
        "| 3 of 240 (1.2%) |",
        PROTOCOL,
        "Sources: `letters/1900.txt`, `letters/1901.txt`.",
        "Trained on: 40 documents, 1.00 MB.",
        "Held out for validation: 1 document, 112 kB.",
        "Left out: 5 duplicates",
        "`model_dim` 96, `head_count` 3, `layer_count` 4, `dropout` 0.1.",
        "Tokenizer: `word`, 1,024 ids",
        "1,498,368 in 1,951 steps of 768",
        "seed 3",
        "Rare words are lost.",
        "atinuke generate runs/letters",
        "atinuke.load('runs/letters')",
        "- torch: `2.13.0`",
    ):
        assert told in text, told


def test_a_model_that_the_five_gram_beats_has_that_among_its_limits(tmp_path: Path) -> None:
    line = "it does not do better than counting bytes"
    assert line not in card(tmp_path, SUMMARY)
    assert line in card(tmp_path, SUMMARY | {"val_bpb": 2.3})


def test_a_sample_comes_back_from_the_parser_as_the_model_wrote_it(tmp_path: Path) -> None:
    blocks = [token.content for token in tokens(card(tmp_path, SUMMARY)) if token.type == "fence"]
    assert blocks[0] == "Dear Sir,\n\n# not a heading\n```\n<b>not bold</b>\n````\nend\n"
    assert len(blocks) == 3


def test_hostile_names_and_samples_are_never_markup(tmp_path: Path) -> None:
    summary = SUMMARY | {
        "name": HOSTILE,
        "model": HOSTILE,
        "device": HOSTILE,
        "finished_at": HOSTILE,
        "sources": [HOSTILE],
        "samples": [{"prompt": HOSTILE, "text": HOSTILE}],
        "tokenizer": {"kind": HOSTILE, "loss_note": HOSTILE},
    }
    clean, found = tokens(card(tmp_path, SUMMARY)), tokens(card(tmp_path, summary, {HOSTILE: HOSTILE}))
    assert not {token.type for token in found} & {"html_block", "html_inline", "link_open", "image", "em_open", "hr"}
    headings = [token.type for token in clean].count("heading_open")
    assert [token.type for token in found].count("heading_open") == headings
    assert sum("onerror=alert(1)" in token.content for token in found if token.type == "code_inline") >= 5


def test_a_run_without_scores_says_what_was_not_measured(tmp_path: Path) -> None:
    text = card(tmp_path, {"name": "x", "interrupted": True})
    assert "The run was interrupted" in text
    assert f"| bits per byte, unseen text | {NOT_MEASURED} |" in text
    assert f"## Samples\n\n{NOT_MEASURED}\n" in text


TEXT = st.text(st.sampled_from("`~ \nab\t#>"), max_size=40)


@given(TEXT)
def test_nothing_ends_a_fenced_block_before_its_end(text: str) -> None:
    first, *rest = MarkdownIt("commonmark").parse(f"before\n\n{fenced(text)}\n\nafter")[3:]
    assert first.type == "fence"
    assert first.content == f"{text}\n"
    assert [token.content for token in rest if token.type == "inline"] == ["after"]


@given(TEXT)
def test_nothing_ends_a_code_span_before_its_end(text: str) -> None:
    inner = MarkdownIt("commonmark").parse(f"x{code(text)}x")[1].children or []
    assert [token.type for token in inner] == ["text", "code_inline", "text"]
    assert inner[1].content.strip() == " ".join(text.split())


@pytest.mark.parametrize("text", ["`", "``a", "a`", "`a`", ""])
def test_a_code_span_may_begin_and_end_with_backticks(text: str) -> None:
    inner = MarkdownIt("commonmark").parse(code(text))[1].children or []
    assert inner[0].content == (text or " ")
