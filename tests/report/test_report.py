"""The report: whole for whole and for interrupted runs, alone in its file, and deaf to what a model may write."""

import json
import math
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from atinuke.report.record import NOT_MEASURED
from atinuke.report.report import write_report
from atinuke.report.scores import PROTOCOL

HOSTILE = '</script><img src=x onerror="window.hit=1"><!-- ]]> {{data}} & \u2028 \''

SUMMARY: dict[str, Any] = {
    "name": "tinyshakespeare",
    "model": "atinuke",
    "params": 1_187_456,
    "seed": 20_260_803,
    "device": "cpu",
    "dtype": "float32",
    "train_bytes": 1_003_854,
    "elapsed_s": 118.3,
    "time_budget_s": 120.0,
    "tokens_per_s": 14_312.0,
    "val_bpb": 2.2134,
    "val_bytes": 111_540,
    "context": 128,
    "sources": ["input.txt.gz"],
    "tokenizer": {"kind": "bpe", "vocab_size": 1024, "bytes_per_token": 2.5, "loss_note": ""},
    "sizes": {"model_dim": 128, "key_dim": 128, "hidden_dim": 512, "head_count": 4, "layer_count": 5, "dropout": 0.0},
    "train_loss": 3.71,
    "train_bpb": 2.043,
    "gap_bpb": 0.1704,
    "baseline_5gram_bpb": 2.459,
    "copied_8grams": {"copied": 3, "total": 240},
    "samples": [{"prompt": "ROMEO:\n", "text": "What shall I say?"}, {"prompt": "", "text": "\nA king!"}],
    "plan": {
        "expected_tokens": 77_000,
        "expected_wishes": 3,
        "considered": [{"model_dim": 64, "tokens_per_s": 61_200}, {"model_dim": 128, "tokens_per_s": 14_800}],
        "reason": "the larger one ends lower",
    },
    "timeline": [["reading", 1.0], ["training", 8.0], ["scoring", 1.0]],
    "data": {
        "documents": 1,
        "train_documents": 1,
        "bytes": 1_115_394,
        "validation_documents": 1,
        "duplicates": 0,
        "near_duplicates": 2,
        "skipped": [["cover.png", "binary"]],
        "re_encoded": [["old.txt", "cp1252"]],
    },
    "epochs": 3.91,
    "steps": 100,
    "batch_tokens": 768,
    "finished_at": "2026-08-03T14:03:22+00:00",
    "interrupted": False,
    "val_token_perplexity": 46.3,
}


class Parsed(HTMLParser):
    """The page as a parser sees it: elements with attributes, visible text, and the content of each script."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self._inside = ""
        self.feed(page)
        self.close()
        self.text = " ".join(self.text.split())

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))
        self._inside = name
        if name == "script":
            self.scripts.append("")

    def handle_endtag(self, name: str) -> None:
        self._inside = ""
        self.text += " " if name in ("dt", "dd", "td", "th", "div", "p", "li", "h1", "h2", "h3") else ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data


def make_run(folder: Path, summary: dict[str, Any], steps: int = 100, **files: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in {"summary": summary, "config": {"seed": 0}, "environment": {"cores": 2}, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    rows = [
        {
            "step": step,
            "tokens": 768 * step,
            "elapsed_s": 5 + step,
            "loss": 3.5 + 3 / step,
            "lr": 3e-3 * (1 - step / steps),
            "tokens_per_s": 14_000.0 + step,
            "grad_norm": 1 / step,
            **({"val_loss": 4.0} if step % 10 == 0 else {}),
        }
        for step in range(1, steps + 1)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def parsed(folder: Path) -> Parsed:
    return Parsed(write_report(folder, shown_as=Path("runs/x")).read_text(encoding="utf-8"))


def test_the_page_shows_every_figure_without_a_script(tmp_path: Path) -> None:
    page = parsed(make_run(tmp_path, SUMMARY))
    for shown in (
        "tinyshakespeare",
        "An atinuke model of 1.19 M parameters, trained from nothing on input.txt.gz in 1 min 58 s on cpu (float32).",
        "Finished 3 August 2026, 14:03 UTC.",
        "2.213 bits per byte on unseen text",
        "Perplexity per token: 46.3.",
        "Byte 5-gram, unseen text 2.459",
        "needs 10.0% fewer bits than counting bytes does",
        "Train/val gap 0.170",
        "Parameters 1.19 M 5 layers, width 128, 4 heads",
        "Tokens seen 76.8 k 100 steps, 3.91 passes over the text",
        "Time used 1 min 58 s 98.6% of 2 min 00 s",
        "Tokens per second 14.3 k 768 tokens per step",
        "Copied 8-grams 1.2% 3 of 240 in the samples",
        "ROMEO: What shall I say?",
        "training 8.0 s · 80.0%",
        "tokens 77,000 76,800 −0.3%",
        "wishes 3 not measured",
        "Sizes that were considered model_dim tokens/s 64 61,200 128 14,800",
        "reason the larger one ends lower",
        "read 1 document, 1.12 MB",
        "held out 1 document, 112 kB",
        "near-duplicates left out 2",
        "seed 20260803",
        "cover.png binary",
        "old.txt cp1252",
        "cores 2",
        'atinuke generate runs/x "Once upon a time"',
        "atinuke evaluate runs/x TEXT",
        "atinuke train --config runs/x/config.json --out runs/x",
        PROTOCOL,
    ):
        assert shown in page.text, shown
    assert NOT_MEASURED not in page.text.replace("wishes 3 not measured", "")


def test_a_sample_keeps_every_line_break(tmp_path: Path) -> None:
    page = write_report(make_run(tmp_path, SUMMARY)).read_text(encoding="utf-8")
    assert '<pre dir="auto"><span>\nA king!</span></pre>' in page  # a parser drops a line break right after <pre>


def test_a_model_that_does_worse_than_the_five_gram_is_said_to(tmp_path: Path) -> None:
    page = parsed(make_run(tmp_path, SUMMARY | {"val_bpb": 2.7049}))
    assert "needs 10.0% more bits than counting bytes does" in page.text


def test_an_interrupted_run_shows_what_there_is_and_what_was_not_measured(tmp_path: Path) -> None:
    summary = {key: SUMMARY[key] for key in ("name", "model", "params", "elapsed_s", "time_budget_s", "finished_at")}
    page = parsed(make_run(tmp_path, summary | {"interrupted": True, "val_bpb": None}))
    for shown in (
        "This run was interrupted",
        "Stopped 3 August 2026",
        "not measured bits per byte on unseen text",
        "Train/val gap not measured",
        "Copied 8-grams not measured",
        "What it writes not measured",
        "Where the time went not measured",
        "duplicates left out not measured",
        "Tokens seen 76.8 k",
    ):
        assert shown in page.text, shown


def test_an_empty_folder_gives_a_page_that_says_so(tmp_path: Path) -> None:
    page = parsed(tmp_path)
    assert "No step was recorded" in page.text
    assert "Machine and settings not measured" in page.text


def test_samples_too_short_for_an_eight_gram_are_not_a_share_of_zero(tmp_path: Path) -> None:
    page = parsed(make_run(tmp_path, SUMMARY | {"copied_8grams": {"copied": 0, "total": 0}}))
    assert "Copied 8-grams not measured samples too short to tell" in page.text


def test_the_page_asks_for_nothing_and_allows_only_its_own_scripts(tmp_path: Path) -> None:
    page = parsed(make_run(tmp_path, SUMMARY))
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-")
    assert "img-src data:" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]
    addresses = [a[key] for _, a in page.elements for key in ("src", "href", "action", "data", "poster") if key in a]
    assert set(addresses) == {"data:,", "#main"}
    styles = write_report(tmp_path).read_text(encoding="utf-8").partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"url\(|@import", styles)


def test_the_licence_of_the_library_inside_travels_with_the_page(tmp_path: Path) -> None:
    page = write_report(make_run(tmp_path, SUMMARY)).read_text(encoding="utf-8")
    assert "The MIT License (MIT)" in page
    assert "Leon Sorokin" in page


def test_the_data_block_holds_the_curves_and_survives_values_that_json_lacks(tmp_path: Path) -> None:
    folder = make_run(tmp_path, SUMMARY | {"val_bpb": math.nan})
    with (folder / "metrics.jsonl").open("a") as rows:
        rows.write('{"step": 101, "tokens": 77568, "elapsed_s": 106, "loss": NaN}\n')
    data = json.loads(parsed(folder).scripts[0])
    assert data["val_bpb"] is None
    assert data["bytes_per_token"] == 2.5
    assert data["curves"]["loss"]["loss"][-1] is None
    assert data["curves"]["lr"]["step"][:3] == [1, 2, 3]


def test_a_long_run_makes_a_page_of_bounded_size(tmp_path: Path) -> None:
    page = write_report(make_run(tmp_path, SUMMARY, steps=20_000))
    assert page.stat().st_size < 600_000


def hostile_run(folder: Path) -> Path:
    """Every place where a run can put text says something hostile."""
    summary = SUMMARY | {
        "name": HOSTILE,
        "model": HOSTILE,
        "device": HOSTILE,
        "finished_at": HOSTILE,
        "sources": [HOSTILE, HOSTILE],
        "samples": [{"prompt": HOSTILE, "text": HOSTILE}],
        "tokenizer": {"kind": HOSTILE, "bytes_per_token": 2.5, "loss_note": HOSTILE},
        "plan": {HOSTILE: HOSTILE, "forecast": {HOSTILE: HOSTILE}, "t": [{HOSTILE: HOSTILE}], "m": {HOSTILE: HOSTILE}},
        "timeline": [[HOSTILE, 3.0]],
        "data": {"skipped": [[HOSTILE, HOSTILE]], "re_encoded": [[HOSTILE, HOSTILE]]},
    }
    return make_run(folder, summary, config={HOSTILE: HOSTILE}, environment={HOSTILE: HOSTILE, "x": {HOSTILE: HOSTILE}})


def test_hostile_text_stays_text_wherever_it_stands(tmp_path: Path) -> None:
    page = parsed(hostile_run(tmp_path))
    names = [name for name, _ in page.elements]
    assert "img" not in names
    assert names.count("script") == 3
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]
    assert page.text.count("window.hit=1") >= 20
    assert json.loads(page.scripts[0])["bytes_per_token"] == 2.5


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no chromium on this machine: tests/SKIPS.md")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=flags)
        yield running
        running.close()


def watched(browser: Browser, path: Path, **options: Any) -> tuple[Page, list[str]]:
    """The opened page, and a list of everything that it should not do: errors, refused content, requests."""
    faults: list[str] = []
    page = browser.new_page(**options)
    page.on("console", lambda message: faults.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("request", lambda request: faults.append(f"request: {request.url}"))
    page.add_init_script("addEventListener('securitypolicyviolation', (e) => console.error(e.violatedDirective))")
    page.goto(path.resolve().as_uri())
    assert faults == [f"request: {path.resolve().as_uri()}"]
    faults.clear()
    return page, faults


def test_the_curves_are_drawn_and_the_choices_change_them(browser: Browser, tmp_path: Path) -> None:
    page, faults = watched(browser, write_report(make_run(tmp_path, SUMMARY)), viewport={"width": 1200, "height": 900})
    loss = page.locator("[data-chart=loss]")
    assert page.locator("[data-chart] canvas").count() == 4
    # The last step's loss is 3.53 nats per token of 2.5 bytes: 2.037 bits per byte.
    assert re.search(r"time\s*1:45\s*raw\s*2\.037", loss.inner_text())
    page.get_by_text("nats/token").click()
    page.get_by_text("steps", exact=True).click()
    assert re.search(r"step\s*100\s*raw\s*3\.530", loss.inner_text())
    page.get_by_label("logarithmic loss").check()
    loss.focus()
    page.keyboard.press("Home")
    assert page.locator("#reading").inner_text().startswith("step: 1, raw: 6.500")
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size({"width": 360, "height": 800})
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    assert page.locator("[data-chart] canvas").count() == 4
    assert (
        max(box["width"] for box in map(Locator.bounding_box, page.locator("[data-chart] canvas").all()) if box) < 330
    )
    assert faults == []
    page.close()


def test_a_browser_neither_runs_nor_fetches_what_a_model_wrote(browser: Browser, tmp_path: Path) -> None:
    page, faults = watched(browser, write_report(hostile_run(tmp_path)))
    assert page.evaluate("window.hit") is None
    assert page.locator("img").count() == 0
    assert HOSTILE in (page.locator(".samples pre").first.text_content() or "")
    assert page.locator("[data-chart] canvas").count() == 4
    # Even markup that got in would stay still: the policy refuses its handler and its address.
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.hit=1\">')")
    page.wait_for_timeout(100)
    assert page.evaluate("window.hit") is None
    assert "console error: img-src" in faults
    assert "console error: script-src-attr" in faults
    page.close()
