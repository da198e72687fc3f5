import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from types import SimpleNamespace
from uuid import UUID
from xml.etree import ElementTree

import pytest
from django import forms
from django.template import Context, Template
from django.test import RequestFactory

from evalhub.web.paging import Count, Page
from evalhub.web.parts import Chip, Link, Stat
from tests import hostile


def render(text, address="/", **values):
    return Template(text).render(Context({"request": RequestFactory().get(address), **values}))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("{{ x|rate }}", '<span class="subtle">–</span>'),
        ("{{ 0.824|rate }}", "82.4\u202f%"),
        ("{% interval 0.842 0.906 0.874 %}", "± 3.2"),
        ("{{ x|score }}{{ 0|score }}", '<span class="subtle">–</span>0'),
        ("{% threshold 0.8 %}", "≥ 0.80"),
        ("{{ 12408|count }}", "12,408"),
        ("{{ about|count }}", "about 12,400"),
        ("{{ 1200|duration }}", "1.2 s"),
        ("{{ 0.0041|money }}", "$0.0041"),
        ("{{ x|none }}{{ 0|none }}", '<span class="subtle">–</span>0'),
        ('{% keycap "mod+enter" %}', '<kbd class="kbd">Ctrl ↵</kbd>'),
        ('{% keycap "g r" %}', '<kbd class="kbd">g r</kbd>'),
        ('{% keycap "?" %}', '<kbd class="kbd">?</kbd>'),
        ('{% badge b "review" %}', '<span class="badge badge--review">&lt;b&gt;</span>'),
        ("{% tags names %}", '<span class="tag">a</span> <span class="tag">&lt;b&gt;</span>'),
        ("{% change 0.005 %}", '<span class="delta">+0.5</span>'),
        ("{% change x %}", '<span class="subtle">–</span>'),
        (
            '{% icon "search" "sm" %}',
            '<svg class="icon icon--sm" aria-hidden="true"><use href="/static/icons.svg#search"/></svg>',
        ),
        (
            '{% icon "x" label="Close" %}',
            '<svg class="icon" role="img" aria-label="Close"><use href="/static/icons.svg#x"/></svg>',
        ),
        (
            "{% progress 45 100 %}",
            '<progress class="progress" value="45" max="100" aria-label="45 of 100">45 of 100</progress>',
        ),
        ("{% progress 0 0 %}", '<progress class="progress" value="0" max="1" aria-label="0 of 0">0 of 0</progress>'),
    ],
)
def test_small_parts(text, html):
    assert render(text, x=None, b="<b>", about=Count(12_431, exact=False), names=["a", "<b>"]) == html


def test_a_significant_change_has_a_colour_and_an_arrow():
    worse = render("{% change -0.031 significant=True unit=True %}")
    better = render('{% change -0.031 significant=True better="down" %}')

    assert worse.startswith('<span class="delta delta--down"><svg')
    assert worse.endswith("−3.1 pt</span>")
    assert better.startswith('<span class="delta delta--up"><svg')


def test_a_time_has_its_full_stamp_as_title():
    html = render("{{ then|when }}", then=datetime(2019, 6, 17, 19, 44, 5, tzinfo=UTC))

    assert html == ('<time datetime="2019-06-17T19:44:05Z" title="17 Jun 2019, 19:44:05 UTC">17 Jun 2019</time>')


@pytest.mark.parametrize(
    ("outcome", "style", "classes", "word"),
    [
        ("passed", "", "verdict verdict--pass verdict--calm", "Pass"),
        ("passed", "plain", "verdict verdict--pass", "Pass"),
        ("failed", "", "verdict verdict--fail", "Fail"),
        ("failed", "fill", "verdict verdict--fail verdict--fill", "Fail"),
        ("cant_tell", "", "verdict verdict--cant", "Can’t tell"),
        ("something_new", "", "verdict verdict--pending verdict--calm", "Something new"),
    ],
)
def test_an_outcome_is_icon_and_word(outcome, style, classes, word):
    html = render("{% verdict outcome style=style %}", outcome=outcome, style=style)

    root = ElementTree.fromstring(html)
    assert root.get("class") == classes
    assert root.find("svg/use").get("href").startswith("/static/icons.svg#")
    assert "".join(root.itertext()) == word


def test_a_failed_run_is_an_error_and_a_failed_result_is_not():
    assert "verdict--error" in render('{% status "failed" %}')
    assert "verdict--fail" in render('{% verdict "failed" %}')


def test_a_person_has_the_same_colour_everywhere():
    person = SimpleNamespace(pk=UUID(int=7), __str__=lambda self: "x")
    mapped = {"id": UUID(int=7), "name": "Ines Kowalski"}

    assert render("{% avatar person %}", person=mapped) == (
        '<span class="avatar avatar--c" role="img" aria-label="Ines Kowalski" title="Ines Kowalski">IK</span>'
    )
    assert "avatar--c" in render("{% avatar person %}", person=person)
    assert render("{% avatar person %}", person=None) == '<span class="subtle">–</span>'


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([("Tone", "passed"), ("Safety", "passed")], "All evaluators pass"),
        ([("Tone", "failed"), ("Safety", "error")], "Tone fail, Safety error"),
        ([("Tone", "passed"), ("Safety", "unscored")], "1 pass, 1 without a score"),
    ],
)
def test_marks_say_in_words_what_failed(pairs, words):
    root = ElementTree.fromstring(render("{% marks pairs %}", pairs=pairs))

    assert root.get("aria-label") == words
    assert len(root) == len(pairs)


@pytest.mark.parametrize(
    "text",
    [
        "{% spark rates low=True %}",
        "{% spark one %}",
        "{% dotplot 0.661 0.54 0.77 0.5 bad=True %}",
        "{% change_plot -0.031 -0.057 -0.005 %}",
        '{% meter 60 parts "12 open, 42 new" %}',
        '{% histogram bins "Scores" threshold=0.8 %}',
        '{% histogram bins "Latency" high=14000 unit="ms" %}',
        '{% histogram none "Nothing" %}',
    ],
)
def test_drawings_are_well_formed_and_have_words(text):
    html = render(
        text, rates=[0.9, None, 0.8], one=[0.5], parts=[("acc", 42), ("acc2", 12)], bins=[1, 0, 2, 40], none=[]
    )

    root = ElementTree.fromstring(html)
    assert root.tag == "svg"
    assert root.get("role") == "img"
    assert root.get("aria-label")
    assert "style" not in html
    assert "nan" not in html.lower()


def test_numbers_stay_inside_their_drawing():
    root = ElementTree.fromstring(render("{% dotplot 0.2 0.1 0.3 0.5 %}"))

    assert root.find("circle").get("cx") == "0.0%"


@pytest.mark.parametrize(
    ("text", "address", "query"),
    [
        ('{% query_set status="failed" %}', "/?q=a&cursor=x&result=1", "?q=a&status=failed"),
        ("{% query_set status=None %}", "/?status=failed&q=a", "?q=a"),
        ('{% query_add "tag" "b" %}', "/?tag=a", "?tag=a&tag=b"),
        ('{% query_add "tag" "a" %}', "/?tag=a", "?tag=a"),
        ('{% query_drop "tag" "a" %}', "/?tag=a&tag=b", "?tag=b"),
        ('{% query_drop "tag" %}', "/?tag=a&tag=b&q=x", "?q=x"),
        ('{% query_set q="a b&c" %}', "/", "?q=a+b%26c"),
        ("{% query_set cursor=1 %}", "/?cursor=0", "?cursor=1"),
    ],
)
def test_links_to_the_list_in_another_state(text, address, query):
    assert render("{% autoescape off %}" + text + "{% endautoescape %}", address) == query
    assert render(text, address) == query.replace("&", "&amp;")


def test_a_column_head_sorts_and_sorts_back():
    head = '<th {% sort_state "name" default="-name" %}>{% sort_link "name" "Name" default="-name" %}</th>'

    assert 'aria-sort="descending"' in render(head)
    assert 'href="?sort=name"' in render(head)
    assert 'aria-sort="ascending"' in render(head, "/?sort=name&cursor=x")
    assert 'href="?sort=-name"' in render(head, "/?sort=name&cursor=x")
    assert render(head, "/?sort=other").startswith("<th >")


def test_a_name_that_turns_its_signs_around_leaves_the_number_behind_it_alone():
    html = render('{% include "components/crumbs.html" with items=links only %}', links=[Link("\u202eylthgiN #6")])

    assert "<bdi>\u202eylthgiN</bdi> #6" in html


@pytest.mark.parametrize("text", hostile.ALL)
def test_hostile_text_is_text_wherever_a_part_shows_it(text):
    parts = (
        "{% badge words %}{% tags names %}{% avatar person %}{% who person %}{% verdict words %}{% marks pairs %}"
        '{% plain words %}{% diff words "x" %}{{ value|prettyjson }}{% progress 1 2 label=words %}'
        "{% panel words note=words %}{{ words }}{% endpanel %}"
        '{% menu "m" words %}{% endmenu %}{% dialog "d" words note=words %}{% enddialog %}'
        '{% include "components/empty.html" with title=words text=words only %}'
        '{% include "components/banner.html" with text=words only %}'
        '{% include "components/chips.html" with items=chips end=words only %}'
        '{% include "components/tabs.html" with items=links label=words only %}'
        '{% include "components/segmented.html" with items=links label=words only %}'
        '{% include "components/crumbs.html" with items=links only %}'
        '{% include "components/stats.html" with items=stats only %}'
        "{% query_set q=words %}"
    )

    allowed = elements_of(render(parts, **words("word"))) | {("del", ()), ("ins", ()), ("time", ("datetime", "title"))}
    html = render(parts, **words(text))

    assert elements_of(html) - allowed == set()
    assert hostile.CANARY not in "".join(re.findall(r'(?:href|src|action)="[^"?]*', html))


def words(text):
    return {
        "words": text,
        "names": [text],
        "person": {"id": 1, "name": text},
        "pairs": [(text, "failed")],
        "value": {text: [text, 1, None, True]},
        "chips": [Chip(text, text, "?")],
        "links": [Link(text, "?", True, 3)],
        "stats": [Stat(text, text, text, text)],
    }


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.add((tag, tuple(sorted(name for name, _ in attributes))))


def elements_of(html):
    return Elements(html).found


class NameForm(forms.Form):
    name = forms.CharField(help_text="Shown in the list.")
    note = forms.CharField(required=False, widget=forms.Textarea)
    kind = forms.ChoiceField(choices=[("a", "A"), ("b", "B")], widget=forms.RadioSelect)
    secret = forms.CharField(widget=forms.HiddenInput)


def test_a_field_names_its_hint_and_its_mistake():
    form = NameForm({"name": ""})

    html = render("{% field form.name %}", form=form)

    assert '<label for="id_name">Name</label>' in html
    assert 'aria-describedby="id_name_hint id_name_error"' in html
    assert 'aria-invalid="true"' in html
    assert 'class="input"' in html
    assert 'id="id_name_error"' in html
    assert "This field is required." in html


def test_a_field_without_mistakes_says_nothing_of_them():
    html = render("{% field form.note %}", form=NameForm())

    assert '<label for="id_note">Note <span class="opt">optional</span></label>' in html
    assert 'class="textarea"' in html
    assert "invalid" not in html


def test_choices_are_a_group_with_a_name():
    html = render("{% field form.kind %}", form=NameForm({"kind": "b"}))

    assert "<legend>Kind</legend>" in html
    assert html.count('<label class="option"') == 2
    assert html.count("checked") == 1


def test_a_form_shows_all_its_fields_and_what_is_wrong_with_the_hidden_ones():
    html = render('{% include "components/form.html" %}', form=NameForm({"name": "x", "kind": "a"}))

    assert '<input type="hidden" name="secret"' in html
    assert '<div class="banner banner--fail" role="alert">' in html


def test_the_pager_says_where_the_page_is():
    page = Page([1, 2], next="abc", previous=None, first=51, size=50)

    html = render('{% include "components/pager.html" %}', "/?q=a&cursor=old", page=page, total=Count(214))

    assert "<span>51–52 of 214</span>" in html
    assert 'href="?q=a&amp;cursor=abc"' in html
    assert html.count("disabled") == 1


def test_long_json_is_cut():
    html = render("{{ value|prettyjson }}", value=["x" * 200_000])

    assert len(html) < 101_000
    assert html.endswith("more characters</span>")


def test_text_that_was_declared_safe_does_not_make_the_same_text_safe():
    declared = render("{% icon 'x' label='<b>' %}{% verdict 'passed' word='<b>' %}")
    found = render("{% icon 'x' label=told %}{% verdict 'passed' word=told %}", told="<b>")

    assert "<b>" in declared
    assert "<b>" not in found
