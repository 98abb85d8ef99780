"""Text cannot become markup: checked with the standard library's HTML parser, which we did not write."""

import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.report.markup import Html, fill, join, json_block, tag


class Seen(HTMLParser):
    """What a parser finds: the elements in order, and the text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((name, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]) | st.sampled_from("<>&\"'/!-]["))


@given(text=HOSTILE, value=HOSTILE)
def test_text_and_attributes_come_back_from_a_parser_as_they_went_in(text: str, value: str) -> None:
    seen = Seen(tag("p", text, title=value))
    assert seen.elements == [("p", {"title": value})]
    assert seen.text == text


def test_markup_inside_markup_is_kept_and_text_beside_it_is_escaped() -> None:
    assert tag("p", tag("b", "<1>"), " & ", None, class_="a", aria_label="x", hidden=None) == (
        '<p class="a" aria-label="x"><b>&lt;1&gt;</b> &amp; </p>'
    )
    assert tag("br") == "<br>"
    assert join("<", Html("<i>"), None, "") == "&lt;<i>"


@pytest.mark.parametrize("text", ["</script><script>x", "<!--", "]]>", "&lt;", "\u2028", "</SCRIPT\n>"])
def test_a_json_block_cannot_end_its_script_element_and_reads_back_the_same(text: str) -> None:
    block = json_block({text: [text, 1.5, None]})
    assert not set(block) & set("<>&\u2028\u2029")
    assert json.loads(block) == {text: [text, 1.5, None]}


def test_what_is_put_into_a_template_is_not_looked_at_again() -> None:
    assert fill("<p>{{a}}</p>{{b}}", {"a": join("{{b}}"), "b": join("2")}) == "<p>{{b}}</p>2"


def test_lone_surrogates_and_control_characters_do_not_reach_the_file() -> None:
    assert tag("p", "a\ud800b\x00c\x1bd", title="\udfff") == '<p title="\ufffd">a\ufffdb\ufffdc\ufffdd</p>'
    json_block({"a": "\ud800"}).encode()
