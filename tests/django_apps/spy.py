# SPDX-License-Identifier: MIT
"""Keeps transactions in a file, for tests."""

import json
import os


def keep(event, hint):
    with open(os.path.join(os.environ["SHOP_FOLDER"], "transactions"), "a") as file:
        file.write(json.dumps(event, default=str) + "\n")
    return event
