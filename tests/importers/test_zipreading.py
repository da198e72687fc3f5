import json
import os
import struct

import pytest

from evalhub.importers.problems import ImportProblem, Limits
from evalhub.importers.zipreading import open_archive
from tests.importers.building import make_header, make_sample, write_eval, zipfile


def problem_with(path, read=None, **limits):
    with pytest.raises(ImportProblem) as caught, open_archive(path, Limits(**limits)) as archive:
        archive.read(read)
    return str(caught.value)


def make_zip(folder, members, method=zipfile.ZIP_DEFLATED):
    path = folder / "file.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["/etc/passwd", "samples/../../x.json", "..\\x", "C:/x.json", "\\\\server\\x"])
def test_a_name_that_leads_outside_refuses_the_file(tmp_path, name):
    path = make_zip(tmp_path, {"header.json": "{}", name: "x"})

    assert problem_with(path) == f"{name} leads outside of the zip file; a file with such a name is not read"


def test_names_with_slashes_and_signs_are_fine(tmp_path):
    name = "samples/control/slash\\id ?&#%_epoch_1.json"

    with open_archive(make_zip(tmp_path, {name: "x"})) as archive:
        assert archive.read(name) == b"x"


def test_nothing_is_written_to_disk(tmp_path):
    path = write_eval(tmp_path, [make_sample(1)])

    with open_archive(path) as archive:
        archive.read("header.json")

    assert os.listdir(tmp_path) == ["log.eval"]


def test_a_member_larger_than_the_limit_is_not_unpacked(tmp_path):
    path = make_zip(tmp_path, {"big.json": b"0" * 5000})

    assert problem_with(path, "big.json", record_bytes=4000) == "big.json is larger than 4,000 bytes when unpacked"


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_ZSTANDARD])
def test_a_member_that_lies_about_its_size_is_not_unpacked_beyond_it(tmp_path, method):
    path = make_zip(tmp_path, {"small.json": b"0" * 100_000}, method)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<L", 100_000), struct.pack("<L", 10)))

    said = problem_with(path, "small.json", record_bytes=4000)

    assert said.startswith("small.json ")


def test_a_zip_bomb_is_told_by_its_ratio(tmp_path):
    path = make_zip(tmp_path, {f"{n}.json": b"0" * 100_000 for n in range(10)})

    said = problem_with(path, expansion_from_bytes=500_000, expansion=20)

    assert said.endswith("more than 20 times as much: a zip bomb is not read.")


def test_a_small_file_may_have_any_ratio(tmp_path):
    with open_archive(make_zip(tmp_path, {"a.json": b"0" * 100_000}), Limits(expansion=2)) as archive:
        assert len(archive.read("a.json")) == 100_000


def test_too_many_members_are_refused_by_the_directory_s_own_word(tmp_path):
    path = make_zip(tmp_path, {f"{n}.json": "" for n in range(12)})

    assert problem_with(path, members=10) == "The zip file has more than 10 members."


def test_a_directory_that_is_larger_than_it_says_is_refused_before_it_is_read(tmp_path):
    path = make_zip(tmp_path, {f"{'n' * 500}{n}.json": "" for n in range(12)})
    data = path.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    path.write_bytes(data[: end + 8] + struct.pack("<HH", 1, 1) + data[end + 12 :])

    assert problem_with(path, members=10) == "The zip file has more than 10 members."


def test_a_cut_off_file_says_so(tmp_path):
    path = write_eval(tmp_path, [make_sample(1)])
    path.write_bytes(path.read_bytes()[:-40])

    assert problem_with(path) == "The zip file is cut off: its directory, which is at its end, is missing."


def test_a_broken_member_is_named(tmp_path):
    path = make_zip(tmp_path, {"header.json": json.dumps(make_header())}, zipfile.ZIP_STORED)
    path.write_bytes(path.read_bytes().replace(b"arithmetic", b"arithmetiX"))

    assert problem_with(path, "header.json") == ("header.json cannot be unpacked (Bad CRC-32 for file 'header.json')")


def test_an_encrypted_member_is_named(tmp_path):
    path = make_zip(tmp_path, {"header.json": "{}"})
    data = bytearray(path.read_bytes())
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)

    assert problem_with(path) == "header.json is encrypted"


def test_an_unknown_compression_is_named(tmp_path):
    path = make_zip(tmp_path, {"header.json": "{}"})
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 10), (b"PK\x03\x04", 8)):
        at = data.index(mark) + offset
        data[at : at + 2] = struct.pack("<H", 98)
    path.write_bytes(data)

    assert problem_with(path, "header.json").startswith("header.json cannot be unpacked")
