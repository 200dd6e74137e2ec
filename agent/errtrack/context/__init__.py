# SPDX-License-Identifier: MIT
"""What is known around an event: scopes, breadcrumbs, the trace that it belongs to."""
