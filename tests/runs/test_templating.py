import pytest

from runs.templating import BadTemplate, compile_template, compile_templates

VALUES = {
    "input": 'Say "hi"',
    "session_id": None,
    "messages": [{"role": "user", "content": "hi"}],
    "metadata": {"user": {"name": "Ann"}, "items": 3},
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("plain", "plain"),
        ("{{ input }}", 'Say "hi"'),
        ("Q: {{ input }}", 'Q: Say "hi"'),
        ("{{ session_id }}", None),
        ("session={{ session_id }}", "session="),
        ("{{ messages }}", [{"role": "user", "content": "hi"}]),
        ("{{ messages | tojson }}", [{"role": "user", "content": "hi"}]),
        ("said: {{ messages | tojson }}", 'said: [{"role": "user", "content": "hi"}]'),
        ("said: {{ messages }}", 'said: [{"role": "user", "content": "hi"}]'),
        ("{{ metadata.user.name }}", "Ann"),
        ("{{ metadata.items }}", 3),
        ("{{ metadata.nothing.deeper }}", None),
        ("{{ metadata.nothing | default('x') }}", "x"),
        ("{% if session_id %}{{ session_id }}{% else %}new{% endif %}", "new"),
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", "user: hi\n"),
        ("{{ messages[-1].content | upper }}", "HI"),
        ("{{ input ~ '!' }}", 'Say "hi"!'),
    ],
)
def test_a_template_is_filled_in(text, filled):
    assert compile_template(text)(VALUES) == filled


def test_a_whole_body_keeps_its_shape_and_types():
    fill = compile_templates({"a": ["{{ input }}", 1, None, True], "b": {"c": "{{ messages }}"}})

    assert fill(VALUES) == {"a": ['Say "hi"', 1, None, True], "b": {"c": VALUES["messages"]}}


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__() }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ input.format(1) }}",
        "{{ range(10**9) }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ 1 + 1 }}",
        "{% for a in messages %}{% for b in messages %}x{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}",
        "{% set x = 1 %}",
        "{% include 'x' %}",
        "{% import 'x' as y %}",
        "{% extends 'x' %}",
        "{% filter upper %}x{% endfilter %}",
        "{{ input | attr('__class__') }}",
        "{{ input | replace('', 'aaaaaaaa') }}",
        "{{ input | center(1000000000) }}",
        "{{ messages | map('upper') }}",
        "{{ lipsum(100) }}",
        "{{ input",
        "{% if %}",
        "{{ " + "(" * 500 + "1" + ")" * 500 + " }}",
        "{{ input }}" + "x" * 200_000,
    ],
)
def test_a_template_that_could_do_more_is_refused(text):
    with pytest.raises(BadTemplate):
        compile_template(text)(VALUES)


def test_objects_have_keys_and_no_attributes():
    assert compile_template("{{ input.__class__ }}")(VALUES) is None
    assert compile_template("{{ metadata['__class__'] }}")(VALUES) is None


def test_a_name_that_is_not_there_is_said():
    with pytest.raises(BadTemplate, match="names “question”"):
        compile_template("{{ question }}")(VALUES)
    assert compile_template("{{ question }}", strict=False)(VALUES) is None


def test_a_filled_in_text_has_a_limit():
    values = {"messages": [{"content": "x" * 100_000}] * 100}

    with pytest.raises(BadTemplate, match="more than"):
        compile_template("{% for m in messages %}{{ m.content }}{% endfor %}")(values)
