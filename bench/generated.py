# SPDX-License-Identifier: MIT
"""Modules written by the benchmark: a thousand tiny ones, and deep call chains that fail, with realistic locals."""

from __future__ import annotations

import compileall
from pathlib import Path

DEPTH = 30
CHAINS = 40

_HEAD = '''"""Generated for the benchmark: a chain of calls that ends in an error."""

import datetime
import decimal

DEPTH = {depth}


class Order:
    def __init__(self, number, customer):
        self.number = number
        self.customer = customer
        self.paid = False
        self.total = decimal.Decimal("31.50")

'''

# Eight locals or so in each frame: texts, numbers, nested containers, objects, as in the code of a web shop.
_STEP = '''
def step_{index:02d}(number, customer):
    """Step {index} of handling an order."""
    order = Order(number, customer)
    lines = [{{"sku": "tea-%d" % number, "count": 2, "price": 4.25}}, {{"sku": "cup", "count": 1, "price": 23.0}}]
    started = datetime.datetime(2024, 5, 17, 9, 30, number % 60)
    options = {{"gift": False, "note": None, "address": {{"street": "Main Street %d" % number, "city": "Utrecht"}}}}
    token = b"\\x00\\x01step-{index}"
    attempts = ({index}, number, number * 1.5)
    if not customer:
        raise KeyError("customer of order %d" % number)
    for attempt, line in enumerate(lines):
        line["total"] = line["count"] * line["price"]
        if line["total"] < 0:
            return None
    {call}
    return order, options, started, token, attempts
'''


def write(folder: Path) -> Path:
    """Write and compile the modules below *folder*; return it."""
    mark = folder / "written-1"
    if mark.exists():
        return folder
    tiny, chains = folder / "tiny", folder / "chains"
    for package in (tiny, chains):
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("")
    for number in range(1000):
        (tiny / ("m%04d.py" % number)).write_text("VALUE = %d\n" % number)
    for chain in range(CHAINS):
        steps = []
        for index in range(DEPTH):
            last = index == DEPTH - 1
            call = 'raise ValueError("no stock for order %%d" %% number)  # %d' % chain
            if not last:
                call = "step_%02d(number, customer)" % (index + 1)
            steps.append(_STEP.format(index=index, call=call))
        text = _HEAD.format(depth=DEPTH) + "\n".join(steps)
        (chains / ("chain_%02d.py" % chain)).write_text(text)
    compileall.compile_dir(str(folder), quiet=2)
    mark.write_text("")
    return folder
