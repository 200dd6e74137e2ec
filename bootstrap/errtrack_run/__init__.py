# SPDX-License-Identifier: MIT
"""Two words in front of a command: ``errtrack-run gunicorn app:wsgi``. The doors of errtrack.

Nothing is imported here: every Python that a launched command starts reads this file.
"""

__version__ = "0.1.0"
