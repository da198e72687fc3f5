import gzip
import hashlib
import os
import re
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import override_settings

from evalhub.web.bundle import BUNDLE, put_together

STATIC = Path(settings.BASE_DIR, "static")
HTMX_4_0_1 = "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130"  # dist/htmx.min.js of npm's htmx.org


def test_htmx_is_the_published_file():
    assert hashlib.sha256((STATIC / "vendor" / "htmx.min.js").read_bytes()).hexdigest() == HTMX_4_0_1


def test_the_style_sheet_holds_every_part_in_its_layer():
    sheet = put_together(STATIC / "css")
    parts = {str(part.relative_to(STATIC / "css")) for part in (STATIC / "css").rglob("*.css")} - {"app.css"}

    assert "@import" not in sheet
    assert all((STATIC / "css" / part).read_text().strip().splitlines()[-1] in sheet for part in parts)
    assert set(re.findall(r'@import url\("([^"]+)"\)', (STATIC / "css" / "app.css").read_text())) == parts
    assert sheet.index("@layer tokens, base, layout, components, pages, utilities;") < sheet.index("@layer tokens {")
    assert sheet.count("{") == sheet.count("}")


def test_addresses_in_the_style_sheet_lead_to_files():
    addresses = re.findall(r'url\("([^"]+)"\)', put_together(STATIC / "css"))

    assert addresses
    assert [address for address in addresses if not (STATIC / "css" / address).resolve().is_file()] == []


def test_the_style_sheet_is_found_and_kept_fresh(tmp_path):
    with override_settings(VAR_DIR=tmp_path):
        finders.get_finder.cache_clear()
        first = Path(finders.find(BUNDLE))
        stamp = first.stat().st_mtime_ns
        assert first.read_text() == put_together(STATIC / "css")
        assert Path(finders.find(BUNDLE)).stat().st_mtime_ns == stamp
        first.write_text("old")
        os.utime(first, (0, 0))
        assert Path(finders.find(BUNDLE)).read_text() == put_together(STATIC / "css")
    finders.get_finder.cache_clear()


def test_collected_files_get_names_of_their_own_and_point_at_each_other(tmp_path):
    storages = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
    with override_settings(STATIC_ROOT=tmp_path / "static", VAR_DIR=tmp_path, STORAGES=storages):
        finders.get_finder.cache_clear()
        call_command("collectstatic", interactive=False, verbosity=0)
    finders.get_finder.cache_clear()
    [sheet] = (tmp_path / "static" / "css").glob("evalhub.*.css")

    assert re.search(r'url\("../img/caret\.[0-9a-f]{12}\.svg"\)', sheet.read_text())
    assert Path(f"{sheet}.gz").is_file()


def test_the_first_view_is_light():
    files = [STATIC / "vendor" / "htmx.min.js", STATIC / "js" / "evalhub.js", STATIC / "icons.svg"]
    sizes = [len(gzip.compress(file.read_bytes())) for file in files]
    sizes.append(len(gzip.compress(put_together(STATIC / "css").encode())))

    assert sum(sizes) < 60_000  # of 100 kB for everything, the page itself included


def test_every_icon_that_templates_ask_for_exists():
    drawn = set(re.findall(r'<symbol id="([\w-]+)"', (STATIC / "icons.svg").read_text()))
    asked = set()
    for template in Path(settings.BASE_DIR, "templates").rglob("*.html"):
        asked |= set(re.findall(r'{% icon "([\w-]+)"', template.read_text()))

    assert asked - drawn == set()
