# SPDX-License-Identifier: MIT
"""Delivery: what was captured is written to disk at once and brought to its destination in the background."""
