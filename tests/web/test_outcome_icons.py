"""Long lists draw outcomes by style sheet, from files that must show what the sprite shows."""

import re
from pathlib import Path

import pytest
from django.conf import settings

STATIC = Path(settings.BASE_DIR) / "static"
FILES = sorted((STATIC / "img" / "outcomes").glob("*.svg"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_icon_of_a_list_is_the_one_of_the_sprite(file):
    sprite = (STATIC / "icons.svg").read_text()
    symbol = re.search(rf'<symbol id="{file.stem}" viewBox="([^"]+)">(.*?)</symbol>', sprite, re.DOTALL)

    view, drawing = symbol.groups()

    assert file.read_text() == (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}">{drawing.replace("currentColor", "#000")}</svg>\n'
    )


def test_every_icon_is_used_and_every_used_one_is_there():
    styles = (STATIC / "css" / "pages.css").read_text()

    assert sorted(set(re.findall(r"img/outcomes/([a-z]+)\.svg", styles))) == [file.stem for file in FILES]
