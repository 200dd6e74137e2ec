# SPDX-License-Identifier: MIT
"""What errtrack sees by itself, one file a library; ``catalogue.txt`` is the contents page."""
