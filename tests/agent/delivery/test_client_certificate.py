# SPDX-License-Identifier: MIT
"""A server that asks for a client certificate gets the one that ``cert_file`` and ``key_file`` name."""

from __future__ import annotations

import ssl
from pathlib import Path

from sink import Sink

from errtrack.delivery.sender import Sender
from errtrack.dsn import Dsn
from errtrack.options import Options

CERTIFICATE = str(Path(__file__).parent / "loopback.pem")  # certificate and key in one file
EVENT = b'{"event_id":"%s"}\n{"type":"event","length":2}\n{}\n' % (b"ab" * 16)


def test_the_certificate_is_shown_where_it_is_asked_for(options: Options, tmp_path: Path) -> None:
    options.set("ca_certs", CERTIFICATE, "test")
    with Sink(CERTIFICATE) as sink:
        context = sink._server.tls
        assert context is not None
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(CERTIFICATE)

        refused = Sender(options, Dsn.parse(sink.dsn), {})
        assert refused.send(EVENT).status == 0
        refused.close()
        assert sink.requests == []

        options.set("cert_file", CERTIFICATE, "test")
        shown = Sender(options, Dsn.parse(sink.dsn), {})
        assert shown.send(EVENT).status == 200
        shown.close()

        key = tmp_path / "key.pem"
        text = Path(CERTIFICATE).read_text(encoding="ascii")
        begin = text.index("-----BEGIN PRIVATE KEY")
        key.write_text(text[begin : text.index("-----END PRIVATE KEY-----", begin) + 26], encoding="ascii")
        options.set("key_file", str(key), "test")
        apart = Sender(options, Dsn.parse(sink.dsn), {})
        assert apart.send(EVENT).status == 200
        apart.close()
