# SPDX-License-Identifier: MIT
"""gunicorn's workers of greenlets, in an environment of their own: 200 requests at once keep to themselves."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from rooms import room

from web import Server, main_exception

pytestmark = pytest.mark.slow

APP = """
import errtrack, logging, time
logging.getLogger("shop").setLevel("INFO")
def app(environ, start_response):
    number = environ["QUERY_STRING"]
    errtrack.set_tag("number", number)
    errtrack.set_user({"id": number})
    logging.getLogger("shop").info("request %s", number)
    time.sleep(0.05)  # the others come in between
    if environ["PATH_INFO"] == "/fail":
        raise ValueError(number)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [number.encode()]
"""


@pytest.mark.parametrize("worker", ["eventlet", "gevent"])
def test_requests_at_once_keep_to_themselves(sandbox: Any, worker: str) -> None:
    sandbox.write("served.py", APP)
    python = room("greenlets").python
    served = ("--bind", "127.0.0.1:PORT", "-k", worker, "served:app")
    with Server(sandbox, python, "-W", "ignore", "-m", "gunicorn", *served) as server:

        def ask(number: int) -> tuple[int, bytes]:
            return server.get("/%s?%d" % ("fail" if number % 4 == 0 else "ok", number))

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(ask, range(200)))
    assert [status for status, _ in answers] == [500 if n % 4 == 0 else 200 for n in range(200)]
    assert all(body == b"%d" % n for n, (status, body) in enumerate(answers) if status == 200)
    events = sandbox.events()
    assert sorted(int(main_exception(event)["value"]) for event in events) == list(range(0, 200, 4))
    for event in events:
        number = main_exception(event)["value"]
        assert event["tags"]["number"] == number
        assert event["user"]["id"] == number
        crumbs = [crumb["message"] for crumb in event["breadcrumbs"]["values"] if crumb["category"] == "shop"]
        assert crumbs == ["request " + number]
