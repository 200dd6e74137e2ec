# SPDX-License-Identifier: MIT
"""What errtrack sees by itself, one file a library; ``catalogue.py`` is the contents page.

Nothing is imported here: the catalogue is read at every start of an instrumented Python.
"""
