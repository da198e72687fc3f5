"""The rules of which addresses may be called, over a list of our own."""

from ipaddress import ip_address

import pytest

from runs.guarding import AddressRefused, Target, check_addresses, may_call, target_of

ONE = "127.0.0.1"
PRIVATE = [
    # loopback, this network, private, shared, link-local, cloud, special, multicast, reserved
    ONE, "127.0.0.2", "127.1.2.3", "127.255.255.254", "0.0.0.0", "0.0.0.1", "0.255.255.255", "10.0.0.0", "10.0.0.1",
    "10.255.255.255", "172.16.0.1", "172.20.10.2", "172.31.255.255", "192.168.0.1", "192.168.1.254", "100.64.0.1",
    "100.100.100.200", "100.127.255.254", "169.254.0.1", "169.254.169.254", "169.254.170.2", "169.254.255.255",
    "168.63.129.16", "192.0.0.1", "192.0.0.8", "192.0.0.170", "192.0.2.1", "192.88.99.1", "198.18.0.1",
    "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "224.0.1.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255",
    "::", "::1", "::2", "fe80::1", "fe80::a9fe:a9fe", "febf::1", "fec0::1", "feff::1", "fc00::1", "fd00::1",
    "fd00:ec2::254", "fdff:ffff::1", "ff00::1", "ff02::1", "ff0e::1", "100::1", "2001:db8::1", "2001::1",
    "2001:10::1", "2001:20::1", "2001:1::1", "3fff::1",
    # IPv4 addresses inside IPv6 ones: mapped, compatible, 6to4, Teredo, NAT64 with both prefixes, ISATAP
    "::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:192.168.0.1", "::ffff:169.254.169.254",
    "::ffff:0.0.0.0", "::ffff:100.64.0.1", "::ffff:172.16.5.4", "::ffff:168.63.129.16",
    "::127.0.0.1", "::7f00:1", "::10.0.0.1", "::169.254.169.254", "::192.168.1.1",
    "2002:7f00:1::", "2002:7f00:1::1", "2002:a00:1::1", "2002:c0a8:101::1", "2002:a9fe:a9fe::1", "2002:6440:1::1",
    "2001:0:7f00:1::", "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:0:a00:1:0:0:f5ff:fffe",
    "64:ff9b::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b::c0a8:1",
    "64:ff9b:1::127.0.0.1", "64:ff9b:1::8.8.8.8", "64:ff9b:1:ffff::a00:1",
    "2a00:1450::5efe:7f00:1", "2a00:1450::200:5efe:a00:1", "2607:f8b0::5efe:192.168.0.1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.216.34", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]
SPELLINGS = [
    "http://2130706433/", "http://0x7f000001/", "http://017700000001/", "http://0x7f.0.0.1/", "http://0177.0.0.1/",
    "http://127.1/", "http://127.0.1/", "http://0/", "http://0x0/", "http://1.2.3.4.5/", "http://256.1.1.1/",
    "http://127.0.0.01/", "http://127.0.0.0x1/", "http://00127.0.0.1/", "http://4294967296/", "http://０x7f.1/",
    "http://[::1%25eth0]/", "http://[fe80::1%eth0]/", "http://[::1/", "http://::1/", "http://[gg::1]/",
    "http://[v1.fe80::a]/",
]  # fmt: skip
TRICKS = [
    "", " ", "http://", "https://", "http:/host", "http:host", "//host/path", "host/path", "file:///etc/passwd",
    "ftp://host/", "gopher://host/", "data:text/plain,x", "javascript:alert(1)", "ws://host/", "dict://host:11211/",
    "jar:http://host!/", "http://host\\@other/", "http:\\\\host\\", "http://user@host/", "http://user:pw@host/",
    "http://@host/", "http://host#@other/", "http://host/#part", "http://host:0/", "http://host:99999/",
    "http://host:8o/", "http://ho st/", "http://host/\r\nHost: other", "http://host/\x00", "http://host\t/",
    "http://ho%73t/", "http://%31%32%37.0.0.1/", "http://-host-/", "http://a..b/", "http://.host/", "http://*/",
    "http://ho;st/", "http://" + "a" * 64 + ".example/", "http://" + "a." * 130 + "example/",
]  # fmt: skip


@pytest.mark.parametrize("text", PRIVATE)
def test_what_is_not_public_is_not_called(text):
    assert not may_call(ip_address(text))


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses_are_called(text):
    assert may_call(ip_address(text))


@pytest.mark.parametrize("url", SPELLINGS)
def test_an_address_spelled_as_a_puzzle_is_refused(url):
    with pytest.raises(AddressRefused):
        target_of(url)


@pytest.mark.parametrize("url", TRICKS)
def test_an_address_that_plays_tricks_is_refused(url):
    with pytest.raises(AddressRefused):
        target_of(url)


def test_the_list_is_long_enough():
    assert len(PRIVATE) + len(SPELLINGS) + len(TRICKS) >= 154


def test_usual_addresses_are_taken_apart():
    found = [target_of(url) for url in (
        "https://bot.example.com/chat?a=1", "http://Bot.Example.COM.:8080", "https://bücher.example/", "http://8.8.8.8/",
        "https://[2606:4700::1111]:444/x",
    )]  # fmt: skip

    assert [(t.scheme, t.host, t.port, t.authority) for t in found] == [
        ("https", "bot.example.com", 443, "bot.example.com"),
        ("http", "bot.example.com", 8080, "bot.example.com:8080"),
        ("https", "xn--bcher-kva.example", 443, "xn--bcher-kva.example"),
        ("http", "8.8.8.8", 80, "8.8.8.8"),
        ("https", "2606:4700::1111", 444, "[2606:4700::1111]:444"),
    ]


def test_one_private_address_among_public_ones_refuses_the_name():
    with pytest.raises(AddressRefused, match="leads to 10.0.0.1"):
        check_addresses(["8.8.8.8", "10.0.0.1"], Target("https", "bot.example.com", 443))


def test_the_operator_opens_networks(settings):
    settings.ALLOWED_NETWORKS = ["10.1.0.0/16", "fd12::/32"]

    opened = [text for text in [*PRIVATE, "10.1.2.3", "::ffff:10.1.2.3", "fd12::5"] if not_refused(text)]

    assert opened == ["10.1.2.3", "::ffff:10.1.2.3", "fd12::5"]


def test_metadata_stays_closed_in_a_wide_network(settings):
    settings.ALLOWED_NETWORKS = ["0.0.0.0/0", "::/0"]

    closed = [text for text in PRIVATE if not not_refused(text)]

    assert closed == [
        "100.100.100.200", "169.254.0.1", "169.254.169.254", "169.254.170.2", "169.254.255.255", "168.63.129.16",
        "fe80::1", "fe80::a9fe:a9fe", "febf::1", "fd00:ec2::254", "::ffff:169.254.169.254", "::ffff:168.63.129.16",
        "::169.254.169.254", "2002:a9fe:a9fe::1", "64:ff9b::a9fe:a9fe",
    ]  # fmt: skip


def test_metadata_is_opened_by_its_very_address(settings):
    settings.ALLOWED_NETWORKS = ["169.254.169.254"]

    assert not_refused("169.254.169.254")
    assert not not_refused("169.254.169.253")


def test_the_operator_opens_ports_of_a_network(settings):
    settings.ALLOWED_NETWORKS = ["10.1.0.0/16:8000-8002", "[fd12::/32]:11434", "10.1.2.0/24:443", "169.254.169.254:80"]

    opened = [
        (text, port)
        for text in ("10.1.2.3", "::ffff:10.1.2.3", "10.1.3.3", "fd12::5", "169.254.169.254", "10.2.0.1")
        for port in (80, 443, 7999, 8000, 8002, 8003, 11434)
        if not_refused(text, port)
    ]

    assert opened == [
        ("10.1.2.3", 443), ("10.1.2.3", 8000), ("10.1.2.3", 8002),
        ("::ffff:10.1.2.3", 443), ("::ffff:10.1.2.3", 8000), ("::ffff:10.1.2.3", 8002),
        ("10.1.3.3", 8000), ("10.1.3.3", 8002), ("fd12::5", 11434), ("169.254.169.254", 80),
    ]  # fmt: skip


def test_a_public_address_is_called_at_any_port(settings):
    settings.ALLOWED_NETWORKS = ["10.1.0.0/16:8000", "8.8.8.0/24:443"]

    assert not_refused("8.8.8.8", 8080)


def not_refused(text: str, port: int = 443) -> bool:
    try:
        check_addresses([text], Target("https", "host", port))
    except AddressRefused:
        return False
    return True
