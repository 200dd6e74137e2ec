"""DSNs: every row of the grammar, and errors that say what is wrong without giving a key away."""

from __future__ import annotations

import pytest

from errtrack.dsn import BadDsn, Dsn


@pytest.mark.parametrize(
    ("text", "url", "key", "secret"),
    [
        ("https://abc@host/1", "https://host/api/1/envelope/", "abc", ""),
        ("http://abc@host:8000/1", "http://host:8000/api/1/envelope/", "abc", ""),
        ("https://abc:def@host/1", "https://host/api/1/envelope/", "abc", "def"),
        ("https://abc@host:443/1", "https://host/api/1/envelope/", "abc", ""),
        ("https://abc@[::1]:8443/1", "https://[::1]:8443/api/1/envelope/", "abc", ""),
        ("http://abc@[fe80::2]/1", "http://[fe80::2]/api/1/envelope/", "abc", ""),
        ("https://abc@host/sub/path/12", "https://host/sub/path/api/12/envelope/", "abc", ""),
        ("https://abc@host/text-project", "https://host/api/text-project/envelope/", "abc", ""),
        ("https://a%40c%C3%A9@host/1", "https://host/api/1/envelope/", "a@c\u00e9", ""),
        ("https://abc@host/1?timeout=2&verify_ssl=0", "https://host/api/1/envelope/", "abc", ""),
        ("https://abc@host/1/", "https://host/api/1/envelope/", "abc", ""),
        ("  HTTPS://abc@HOST/1 ", "https://host/api/1/envelope/", "abc", ""),
    ],
)
def test_parts(text: str, url: str, key: str, secret: str) -> None:
    dsn = Dsn.parse(text)
    assert (dsn.envelope_url, dsn.public_key, dsn.secret) == (url, key, secret)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nonsense", "no scheme"),
        ('"https://secretkey@host.example/1"', "in quotes"),
        ("ftp://SECRETKEY@host/1", "not http or https"),
        ("https://host/1", "no public key"),
        ("https://@host/1", "public key is empty"),
        ("https://SECRETKEY@/1", "no host"),
        ("https://SECRETKEY@host", "no project id"),
        ("https://SECRETKEY@host/", "no project id"),
        ("https://SECRETKEY@host:port/1", "port is not a number"),
        ("https://SECRETKEY@host:99999/1", "port is not a number"),
        ("https://SECRETKEY@[::1/1", "IPv6"),
        ("https://SECRETKEY@ho st/1", "white space"),
    ],
)
def test_errors_are_told_apart_and_name_no_key(text: str, reason: str) -> None:
    with pytest.raises(BadDsn, match=reason) as caught:
        Dsn.parse(text)
    assert "SECRETKEY" not in str(caught.value)


def test_auth_header() -> None:
    assert Dsn.parse("https://abc@h/1").auth_header("errtrack.python/1.0") == (
        "Sentry sentry_key=abc, sentry_version=7, sentry_client=errtrack.python/1.0"
    )
    assert Dsn.parse("https://abc:def@h/1").auth_header("c/1").endswith(", sentry_secret=def")


def test_shown_forms_hold_no_key() -> None:
    dsn = Dsn.parse("https://PUBLIC:SECRET@host:9000/sub/7")
    for shown in (dsn.masked, repr(dsn), dsn.envelope_url, dsn.digest):
        assert "PUBLIC" not in shown and "SECRET" not in shown
    assert dsn.masked == "https://***@host:9000/sub/7"


def test_digest_tells_destinations_apart() -> None:
    texts = (
        "https://a@h/1",
        "https://b@h/1",
        "https://a@i/1",
        "https://a@h/2",
        "http://a@h/1",
        "https://a@h/x/1",
    )
    digests = {Dsn.parse(text).digest for text in texts}
    assert len(digests) == len(texts)
    assert all(len(d) == 16 for d in digests)
    assert Dsn.parse("https://a@h:443/1").digest == Dsn.parse("https://a@h/1").digest


def test_org_id() -> None:
    assert Dsn.parse("https://a@o123.ingest.sentry.io/1").org_id == "123"
    assert Dsn.parse("https://a@other.example/1").org_id is None


def test_digest_is_that_of_hashlib_and_loads_it_not() -> None:
    import hashlib
    import subprocess
    import sys

    expected = hashlib.sha256(b"https://h\n\n1\na").hexdigest()[:16]
    assert Dsn.parse("https://a@h/1").digest == expected
    code = "import sys; from errtrack.dsn import Dsn; Dsn.parse('https://a@h/1').digest; print('hashlib' in sys.modules)"
    bare = "import sys; print('hashlib' in sys.modules)"
    answers = [
        subprocess.run([sys.executable, "-c", c], capture_output=True, text=True).stdout for c in (code, bare)
    ]
    assert answers[0] == answers[1]
