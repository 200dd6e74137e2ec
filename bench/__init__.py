# SPDX-License-Identifier: MIT
"""The benchmark: what errtrack costs over bare Python, beside what other agents cost, against our budgets."""
