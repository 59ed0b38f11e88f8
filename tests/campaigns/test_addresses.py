"""The addresses a code may lead to, and what is added to them. No database."""

import pytest

from campaigns.errors import Invalid
from campaigns.tokens.addresses import (
    Limits,
    host_of,
    normal_host,
    require_utm,
    verified_hosts,
    with_query,
    with_scan,
    with_utm,
)
from campaigns.tokens.destinations import checked, parse_rules

A = "https://a.example/"
SCAN = "0198c0de00007000800000000000abcd"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Shop.Example.COM", "shop.example.com"),
        ("shop.example.com.", "shop.example.com"),
        ("café.example", "xn--caf-dma.example"),
        ("CAFÉ.example", "xn--caf-dma.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("xn--caf-dma.example", "xn--caf-dma.example"),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
    ],
)
def test_hosts_are_compared_as_browsers_do(text: str, host: str) -> None:
    assert normal_host(text) == host
    assert verified_hosts([text, text.upper()]) == [host] or "ß" in text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://a.example",
        "a.example:80",
        "a.example/x",
        "a..example",
        "*.com",
        "*.",
        "*",
        "a.*.example",
        "a b",
        "[::1]",
        "me@a.example",
        "a" * 64 + ".example",
        "x" * 300,
        "\0.example",
        "-a.example",
        "a_b\n.example",
        ".",
    ],
)
def test_anything_else_is_no_verified_host(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        verified_hosts(["good.example", text])
    assert refusal.value.context["pointer"] == "/verified_hosts/1"


def test_fifty_hosts_are_enough() -> None:
    assert len(verified_hosts([f"h{number}.example" for number in range(50)])) == 50
    with pytest.raises(Invalid):
        verified_hosts([f"h{number}.example" for number in range(51)])


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("https://shop.example/x", True),
        ("HTTPS://SHOP.EXAMPLE/", True),
        ("http://shop.example:8080/", True),
        ("https://xn--caf-dma.example/", True),
        ("https://sub.shop.example/", False),
        ("https://eu.brand.example/", True),
        ("https://a.b.brand.example/", True),
        ("https://brand.example/", False),
        ("https://evilbrand.example/", False),
        ("https://shop.example.evil.example/", False),
        ("https://evil.example/?shop.example", False),
    ],
)
def test_verified_hosts_are_the_only_ones(url: str, allowed: bool) -> None:
    limits = Limits(tuple(verified_hosts(["shop.example", "*.brand.example", "café.example"])))
    assert limits.allows(url) is allowed
    for write in (limits.require, lambda url: parse_rules([{"destination": url}], limits)):
        if allowed:
            write(url)
        else:
            with pytest.raises(Invalid, match="verified hosts"):
                write(url)


@pytest.mark.parametrize(
    ("own", "url", "loops"),
    [
        ("https://go.example", "https://go.example/t/7K3Q9XABW4", True),
        ("https://go.example", "HTTPS://GO.EXAMPLE/T/7K3Q9XABW4", True),
        ("https://go.example", "http://go.example:80/t/7K3Q9XABW4", True),
        ("https://go.example", "https://go.example:443/t/7K3Q9XABW4", True),
        ("https://go.example", "http://go.example/t/7K3Q9XABW4", True),
        ("https://go.example", "https://go.example/%74/7K3Q9XABW4", True),
        ("https://brand.example/go", "https://brand.example/go/t/7K3Q9XABW4", True),
        ("https://brand.example/go", "https://brand.example/t/7K3Q9XABW4", False),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/t/7K3Q9XABW4", True),
        ("http://127.0.0.1:8000", "http://127.0.0.1:9000/t/7K3Q9XABW4", False),
        ("https://go.example", "https://go.example/m/verger", False),
        ("https://go.example", "https://other.example/t/7K3Q9XABW4", False),
    ],
)
def test_a_code_cannot_lead_to_a_code(own: str, url: str, loops: bool) -> None:
    limits = Limits((), own)
    if loops:
        with pytest.raises(Invalid, match="cannot lead to a code"):
            limits.require(url)
    else:
        limits.require(url)


def test_the_host_that_is_shown_is_its_ascii_form() -> None:
    assert host_of("https://XN--CAF-DMA.example:8443/x?y#z") == "xn--caf-dma.example"


FACTS = {
    "place": "Halle & Cie",
    "token": "7K3Q9XABW4",
    "campaign": "Été",
    "medium": "qr",
    "channel": None,
    "label": "A=1",
}


@pytest.mark.parametrize(
    ("url", "utm", "made"),
    [
        (A, {"source": "{place}"}, A + "?utm_source=Halle%20%26%20Cie"),
        (A + "?x=1", {"campaign": "{campaign}-{medium}"}, A + "?x=1&utm_campaign=%C3%89t%C3%A9-qr"),
        (A + "#part", {"content": "{label}"}, A + "?utm_content=A%3D1#part"),
        (A + "?utm_source=mine#p", {"source": "{place}", "term": "x"}, A + "?utm_source=mine&utm_term=x#p"),
        (A + "?utm%5Fsource=mine", {"source": "x"}, A + "?utm%5Fsource=mine"),
        (A + "?utm_source", {"source": "x"}, A + "?utm_source"),
        (A + "?", {"term": "{token}"}, A + "?utm_term=7K3Q9XABW4"),
        (A, {"source": "{channel}"}, A),
        (A, {}, A),
    ],
)
def test_utm_parameters_are_filled_in_and_clobber_nothing(url: str, utm: dict[str, str], made: str) -> None:
    assert with_utm(url, utm, FACTS) == made


@pytest.mark.parametrize("template", ["{shop}", "{place", "place}", "{}", "{{place}}", "{place.name}"])
def test_a_utm_template_with_an_unknown_hole_is_refused(template: str) -> None:
    with pytest.raises(Invalid) as refusal:
        require_utm({"source": template})
    assert refusal.value.context["pointer"] == "/utm/source"


def test_a_merge_patch_changes_some_templates_and_takes_others_away() -> None:
    so_far = {"source": "{place}", "term": "x"}
    assert checked({"utm": {"term": None, "medium": "qr"}}, Limits(), utm=so_far)["utm"] == {
        "source": "{place}",
        "medium": "qr",
    }
    assert checked({"utm": None}, Limits(), utm=so_far)["utm"] is None
    assert checked({"label": "x"}, Limits(), utm=so_far) == {"label": "x"}


def test_the_scan_id_stands_in_the_query_before_the_fragment() -> None:
    assert with_scan(A + "?x=1#part", SCAN) == f"{A}?x=1&passerelle_scan=scn_{SCAN}#part"
    assert with_query(A + "?x=1&", "y=2") == A + "?x=1&y=2"
