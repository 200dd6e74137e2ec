# What the documentation of sentry-sdk asks for, put where it needs no change of the application.
import os

import sentry_sdk

_rate = os.environ.get("BENCH_TRACES")
sentry_sdk.init(traces_sample_rate=float(_rate) if _rate else None)
