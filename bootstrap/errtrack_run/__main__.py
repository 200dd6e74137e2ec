# SPDX-License-Identifier: MIT
"""``python -m errtrack_run COMMAND`` is ``errtrack-run COMMAND``."""

import sys

from errtrack_run.launcher import main

if __name__ == "__main__":
    sys.exit(main())
