"""Every task's report and card: the figure that counts with what it means, its own samples, data and commands."""

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from atinuke.report.card import write_card
from atinuke.report.record import NOT_MEASURED
from atinuke.report.report import write_report
from atinuke.report.scores import SCORES
from atinuke.report.tasks import TASKS

HOSTILE = "</td></dl><img src=x onerror=alert(1)> `x` | [a](http://x.example) *b*"
COMMON: dict[str, Any] = {
    "name": "plants",
    "params": 1282,
    "seed": 0,
    "device": "cpu",
    "dtype": "float32",
    "context": 64,
    "sizes": {"model_dim": 32, "hidden_dim": 48, "head_count": 4, "layer_count": 2, "dropout": 0.1},
    "steps": 10,
    "epochs": 2.5,
    "train_tokens": 1200,
    "tokens_per_s": 500.0,
    "elapsed_s": 12.0,
    "val_bpb": None,
    "plan": {},
    "timeline": [["training", 10.0]],
}
TOKENIZER = {"kind": "bpe", "vocab_size": 600, "bytes_per_token": 2.4, "loss_note": ""}
SIGNATURE = "nrefs:1|case:mixed|tok:13a"

MASKED = COMMON | {
    "task": "masked",
    "model": "bert",
    "tokenizer": TOKENIZER,
    "batch_tokens": 512,
    "train_bytes": 1_003_854,
    "data": {
        "documents": 3,
        "train_documents": 2,
        "validation_documents": 1,
        "validation_bytes": 111_540,
        "duplicates": 0,
        "near_duplicates": 0,
    },
    "plan": {"expected_tokens": 5120},
    "score": {
        "name": "pseudo-bits per byte",
        "value": 1.9876,
        "is_better": "lower",
        "note": "2,000 of 55,988 tokens, each hidden by itself.",
    },
    "samples": [{"prompt": "A king <and> his horse", "text": "A king <and> [her] horse"}],
}
TRANSLATION = COMMON | {
    "task": "translation",
    "model": "seq2seq",
    "tokenizer": TOKENIZER,
    "bytes_per_token": 2.4,
    "batch_tokens": 2048,
    "train_bytes": 38_334,
    "sources": ["train.de", "train.en"],
    "data": {
        "train_pairs": 285,
        "held_out_pairs": 15,
        "train_bytes": 38_334,
        "held_out_bytes": 1710,
        "train_source_tokens": 8287,
        "train_target_tokens": 7602,
        "skipped": [["one side is empty", 5, ["train.de:3", "train.de:9", "train.de:20"]]],
        "held_out_skipped": [["too long", 1, ["val.de:7"]]],
    },
    "score": {
        "name": "BLEU",
        "value": 31.24,
        "is_better": "higher",
        "note": f"15 held-out pairs, beam 5; {SIGNATURE}",
    },
    "bleu": 31.24,
    "bleu_signature": SIGNATURE,
    "chrf": 54.46,
    "chrf_signature": "nrefs:1|nc:6|nw:0",
    "val_nats_per_token": 1.234,
    "samples": [{"prompt": "Drei <Hunde>", "text": "Three <cats>", "reference": "Three <dogs>"}],
}
EXAMPLES = COMMON | {
    "task": "examples",
    "model": "atinuke",
    "tokenizer": {"kind": "bpe", "vocab_size": 257, "loss_note": ""},
    "batch_rows": 64,
    "labels": ["cat", "dog"],
    "data": {
        "train_rows": {"picture": 9000, "sound": 1},
        "held_out_rows": {"picture": 1000, "sound": 20},
        "labels": 2,
        "height": 28,
        "width": 28,
        "channels": 1,
        "sample_rate_hz": 8000,
        "removed": 3,
        "too_long": 0,
        "shortened": 0,
        "skipped": 7,
        "named_skips": [["broken.png", "no picture"]],
        "changes": {"resized to 28 × 28": 12},
    },
    "score": {"name": "accuracy", "value": 97.4509, "is_better": "higher", "note": "994 of 1,020 held-out examples"},
    "accuracy_by_kind": {"picture": {"right": 980, "total": 1000}, "sound": {"right": 14, "total": 20}},
    "samples": [{"prompt": "held-out picture 5", "text": "<cat>", "reference": "<dog>"}],
}
TABLE = COMMON | {
    "task": "table",
    "model": "perceptron",
    "tokenizer": None,
    "batch_rows": 64,
    "columns": ["red", "volume"],
    "label": "kind",
    "labels": ["flower", "leaf"],
    "data": {
        "columns": ["red", "volume"],
        "train_rows": 180,
        "held_out_rows": 20,
        "skipped": [["not a number in column red", 1, ["plants.csv:13"]]],
        "held_out_skipped": [],
    },
    "score": {"name": "accuracy", "value": 95.0, "is_better": "higher", "note": "19 of 20 rows"},
    "samples": [{"prompt": "red 12, volume 3.4", "text": "<leaf>", "reference": "<flower>"}],
}
NUMBERS = TABLE | {
    "labels": [],
    "score": {"name": "R²", "value": -0.1669, "is_better": "higher", "note": "root of the mean squared error 1.25"},
}
SUMMARIES = {
    "masked": MASKED,
    "translation": TRANSLATION,
    "examples": EXAMPLES,
    "table": TABLE,
    "numbers": NUMBERS,
}

ON_THE_PAGE = {
    "masked": (
        "A bert model",
        "1.988 pseudo-bits per byte on unseen text Lower is better. 2,000 of 55,988 tokens, each hidden by itself.",
        "not comparable with bits per byte",
        "Tokens seen 640 10 steps, 2.50 passes over the text",
        "512 tokens per step",
        "Vocabulary 600",
        "tokens 5,120 5,120 +0.0%",
        "What it fills in Sample 1 original A king <and> his horse filled in A king <and> [her] horse",
        "read 3 documents",
        "held out 1 document, 112 kB",
        "Every file could be read.",
    ),
    "translation": (
        "31.2 BLEU on held-out pairs Higher is better; 100 is the references word for word. "
        f"15 held-out pairs, beam 5; {SIGNATURE}",
        "BLEU 31.2 chrF 54.5",
        "compares only with scores on the same pairs under the same signature",
        "chrF 54.5 nrefs:1|nc:6|nw:0",
        "Held-out loss 1.234 nats per token of the references",
        "any label smoothing included in training",
        "source Drei <Hunde> written Three <cats> reference Three <dogs>",
        "trained on 285 pairs, 38.3 kB held out 15 pairs, 1.71 kB",
        "6 pairs where reason 5 pairs: train.de:3, train.de:9, train.de:20, … one side is empty",
        "1 pair, held out: val.de:7 too long",
    ),
    "examples": (
        "97.45% of the held-out answers are right Higher is better; 100% is every one. 994 of 1,020 held-out examples",
        "pictures 98.0% sounds 70.0%",
        "share of held-out examples whose own answer the model finds likeliest",
        "Answers 2 different ones",
        "Answer tokens per second 500 64 examples per step",
        "Held out 1,020 examples that were not trained on",
        "Answered wrongly example answered should be held-out picture 5 <cat> <dog>",
        "trained on 9,000 pictures and 1 sound held out 1,000 pictures and 20 sounds",
        "height × width × channels 28 × 28 × 1",
        "samples of sound a second 8,000",
        "changed · resized to 28 × 28 12",
        "answers cat, dog",
        "duplicates left out 3",
        "7 examples where reason broken.png no picture",
    ),
    "table": (
        "95.00% of the held-out answers are right Higher is better; 100% is every one. 19 of 20 rows",
        "share of held-out rows whose own answer",
        "2 layers, hidden width 48 ",
        "Rows seen 640 10 steps, 2.50 passes over the rows",
        "What it says of held-out rows row answer truth red 12, volume 3.4 <leaf> <flower>",
        "trained on 180 rows held out 20 rows columns red, volume column that is found kind answers flower, leaf",
        "1 row: plants.csv:13 not a number in column red",
    ),
    "numbers": (
        "−0.167 R² on held-out rows Higher is better; 1 is every number to the digit. root of the mean squared error",
        "below 0 is worse",
        "Mean squared error of the number that is found",
    ),
}
IN_THE_CARD = {
    "masked": (
        "A masked language model (`bert`) of 1,282 parameters",
        "| pseudo-bits per byte, unseen text | 1.988 |",
        "is not comparable with bits per byte",
        "Held out for validation: 1 document, 112 kB.",
        "original:  A king <and> his horse\nfilled in: A king <and> [her] horse",
        "It fills gaps in text that is there",
    ),
    "translation": (
        "A translation model (`seq2seq`)",
        "| BLEU, held-out pairs | 31.2 |\n| chrF, held-out pairs | 54.5 |",
        "15 held-out pairs, beam 5; nrefs:1\\|case:mixed\\|tok:13a",
        "Trained on: 285 pairs, 38.3 kB.",
        "Left out: 6 pairs that were skipped",
        "Skipped: `5 pairs: train.de:3, train.de:9, train.de:20, …`, `one side is empty`.",
        "640 in 10 steps of 2,048 tokens, 2.50 passes over the pairs",
        "source:    Drei <Hunde>\nwritten:   Three <cats>\nreference: Three <dogs>",
        "at most 64 tokens",
    ),
    "examples": (
        "| accuracy, held-out examples | 97.45% |\n| accuracy, pictures | 980 of 1,000 (98.0%) |",
        "| accuracy, sounds | 14 of 20 (70.0%) |",
        "Trained on: 9,000 pictures and 1 sound.",
        "Left out: 3 duplicates of held-out examples, 0 too long ones, 7 examples that were skipped",
        "Changed: `resized to 28 × 28: 12`.",
        "- `held-out picture 5`: `<cat>`, should be `<dog>`",
        "also what is like none of its training examples",
    ),
    "table": (
        "A model that classifies rows of numbers (`perceptron`)",
        "| accuracy, held-out rows | 95.00% |",
        "## Network\n\n- Network: `perceptron`, `hidden_dim` 48, `layer_count` 2, `dropout` 0.1.\n\n",
        "Column that is found: `kind`.",
        "- `red 12, volume 3.4`: `<leaf>`, truth `<flower>`",
        "need not be cause and effect",
    ),
    "numbers": ("A model that finds a number", "| R², held-out rows | −0.167 |", "root of the mean squared error 1.25"),
}
COMMANDS = {
    "masked": ('atinuke generate runs/x "A <mask> word"', "atinuke evaluate runs/x TEXT"),
    "translation": ('atinuke generate runs/x --source "TEXT"', "atinuke evaluate runs/x --pairs FILE FILE"),
    "examples": ("atinuke generate runs/x --input FILE", "atinuke evaluate runs/x --examples FILE"),
    "table": ("atinuke generate runs/x --input FILE.csv", "atinuke evaluate runs/x --examples FILE.csv"),
}
COMMANDS["numbers"] = COMMANDS["table"]
UNITS = {
    "masked": ("tokens", "nats/masked token"),
    "translation": ("target tokens", "nats/target token"),
    "examples": ("answer tokens", "nats/answer token"),
    "table": ("rows", "nats/row"),
    "numbers": ("rows", "squared error"),
}


class Page(HTMLParser):
    """The page as a parser sees it: the names of its elements, its text, and the data of its script."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.names: list[str] = []
        self.ids: set[str] = set()
        self.data: dict[str, Any] = {}
        self.text = ""
        self._inside = ""
        self.feed(page)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.names.append(name)
        self.ids.add(dict(attributes).get("id") or "")
        self._inside = "data" if dict(attributes).get("id") == "run-data" else name

    def handle_endtag(self, name: str) -> None:
        self._inside = ""
        self.text += " "

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self.data = json.loads(data)
        elif self._inside not in ("style", "script"):
            self.text += data


def written(folder: Path, summary: dict[str, Any]) -> tuple[Page, str]:
    """The report and the card of a run with this summary and ten steps."""
    (folder / "summary.json").write_text(json.dumps(summary), encoding="utf-8")
    (folder / "environment.json").write_text('{"cores": 2}')
    always = {"val_loss": 2.0, "tokens_per_s": 500.0, "lr": 3e-3, "grad_norm": 0.5}
    rows = [{"step": step, "tokens": 64 * step, "elapsed_s": step, "loss": 3 / step} | always for step in range(1, 11)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    page = write_report(folder, shown_as=Path("runs/x")).read_text(encoding="utf-8")
    return Page(page), write_card(folder, shown_as=Path("runs/x")).read_text(encoding="utf-8")


@pytest.mark.parametrize("task", SUMMARIES)
def test_the_page_of_each_task_shows_its_own_figure_samples_and_data(task: str, tmp_path: Path) -> None:
    page, _ = written(tmp_path, SUMMARIES[task])
    for shown in (*ON_THE_PAGE[task], *COMMANDS[task], "Resume, or repeat with --fresh"):
        assert shown in page.text, shown
    for of_text in ("8 is knowing nothing", "5-gram", "Copied 8-grams", "Train/val gap", "Once upon a time"):
        assert of_text not in page.text, of_text
    assert NOT_MEASURED not in page.text


@pytest.mark.parametrize("task", SUMMARIES)
def test_the_card_of_each_task_says_what_its_score_means_and_how_to_use_it(task: str, tmp_path: Path) -> None:
    _, card = written(tmp_path, SUMMARIES[task])
    for told in (*IN_THE_CARD[task], *COMMANDS[task], "atinuke.load('runs/x')"):
        assert told in card, told
    for of_text in ("5-gram", "8-grams", "summed negative log2", "run.generate(", "next token of text"):
        assert of_text not in card, of_text


@pytest.mark.parametrize("task", SUMMARIES)
def test_losses_of_other_tasks_than_text_are_never_shown_as_bits_per_byte(task: str, tmp_path: Path) -> None:
    page, _ = written(tmp_path, SUMMARIES[task])
    unit, loss_unit = UNITS[task]
    assert page.data["bytes_per_token"] is None
    assert page.data["unit"] == unit
    assert "y-bits" not in page.ids
    assert f"Loss in {loss_unit}" in page.text
    assert f"Along time {unit} steps" in page.text


@pytest.mark.parametrize("task", SUMMARIES)
def test_hostile_text_stays_text_in_each_task(task: str, tmp_path: Path) -> None:
    clean, _ = written(tmp_path, SUMMARIES[task])
    summary = SUMMARIES[task] | {
        "samples": [{"prompt": HOSTILE, "text": HOSTILE, "reference": HOSTILE}],
        "score": SUMMARIES[task]["score"] | {"note": HOSTILE},
        "accuracy_by_kind": {HOSTILE: {"right": 1, "total": 2}} if task == "examples" else None,
        "labels": [HOSTILE] if SUMMARIES[task].get("labels") else [],
        "columns": [HOSTILE],
        "label": HOSTILE,
        "bleu_signature": HOSTILE,
        "chrf_signature": HOSTILE,
        "data": SUMMARIES[task]["data"] | {"skipped": [[HOSTILE, 2, [HOSTILE]]], "changes": {HOSTILE: 1}},
    }
    page, card = written(tmp_path, summary)
    assert "img" not in page.names
    assert page.text.count("onerror=alert(1)") >= 4
    assert clean.names.count("dl") == page.names.count("dl")
    tokens = MarkdownIt("commonmark").enable("table").parse(card)
    kinds = {inner.type for token in tokens for inner in [token, *(token.children or [])]}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "em_open", "hr"}
    columns = [token.type for token in tokens].count("th_open")
    rows = [token.type for token in tokens].count("tr_open")
    assert [token.type for token in tokens].count("td_open") == (rows - 1) * columns  # no sign ended a cell


@pytest.mark.parametrize("task", SUMMARIES)
def test_a_run_that_was_stopped_before_its_score_has_no_figure_but_the_right_headline(
    task: str, tmp_path: Path
) -> None:
    kept = {key: SUMMARIES[task][key] for key in ("task", "name", "model", "params")}
    summary = kept | {"interrupted": True, "labels": [] if task == "numbers" else None}
    page, card = written(tmp_path, summary)
    words = SCORES[TASKS[task].scores[0]]
    assert f"{NOT_MEASURED} {words.headline}" in page.text
    assert f"| {words.row.replace('{items}', f'{TASKS[task].item}s')} | {NOT_MEASURED} |" in card
    assert f"{TASKS[task].samples.title} {NOT_MEASURED}" in page.text
    assert f"## Samples\n\n{NOT_MEASURED}\n" in card


def test_a_run_that_answered_everything_rightly_says_so(tmp_path: Path) -> None:
    page, card = written(tmp_path, EXAMPLES | {"samples": []})
    assert "Answered wrongly Every held-out example was answered rightly." in page.text
    assert "Every held-out example was answered rightly." in card


def test_a_translator_without_bleu_is_shown_by_its_loss(tmp_path: Path) -> None:
    score = {"name": "nats per token", "value": 1.234, "is_better": "lower", "note": "sacrebleu is not installed"}
    summary = {key: value for key, value in TRANSLATION.items() if not key.startswith(("bleu", "chrf"))}
    page, card = written(tmp_path, summary | {"score": score})
    assert "1.234 nats per token of held-out references Lower is better. sacrebleu is not installed" in page.text
    assert "| nats per token, held-out references | 1.234 |" in card


def test_a_score_of_a_name_that_is_not_known_is_shown_as_the_run_calls_it(tmp_path: Path) -> None:
    page, card = written(tmp_path, TABLE | {"score": {"name": "F1", "value": 0.5, "is_better": "higher", "note": ""}})
    assert "0.500 F1, held out Higher is better." in page.text
    assert "| F1, held out | 0.500 |" in card


@pytest.mark.parametrize(("kind", "is_offered"), [("text", (False, True)), ("sound", (True, False))])
def test_examples_are_asked_about_as_their_kind_allows(
    kind: str, is_offered: tuple[bool, bool], tmp_path: Path
) -> None:
    page, _ = written(tmp_path, EXAMPLES | {"data": EXAMPLES["data"] | {"train_rows": {kind: 9}}})
    lines = ("atinuke generate runs/x --input FILE", 'atinuke generate runs/x "TEXT"')
    assert tuple(line in page.text for line in lines) == is_offered


def test_every_score_that_a_task_can_have_is_described() -> None:
    assert {name for task in TASKS.values() for name in task.scores} == set(SCORES)
