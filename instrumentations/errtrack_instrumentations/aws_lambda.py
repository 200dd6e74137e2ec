# SPDX-License-Identifier: MIT
"""Failed invocations of a Lambda function are reported, and delivered before the platform freezes the process.

With the request or the records that it was invoked with. Reported as well: a function that cannot be loaded, an answer
that is no JSON, ``sys.exit``, and, with ``aws_lambda.timeout_warning``, that time is running out. What the platform is
told is the same as without us: no frame of ours is in the function's stack.
"""

from __future__ import annotations

import sys

import errtrack
from errtrack.instrumentation import Call, Instrumentation, OnImport, Patch

from . import _http, _lambda

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType

    from errtrack.instrumentation import Advice


def handle_invocation(call: Call) -> Advice:
    """handle_event_request(client, handler, invoke_id, event_body, content_type, client_context_json,
    cognito_identity_json, invoked_function_arn, epoch_deadline_time_in_ms, ...)"""
    invocation = _lambda.Invocation(
        call.get(2, "invoke_id"),
        call.get(3, "event_body"),
        call.get(7, "invoked_function_arn"),
        call.get(8, "epoch_deadline_time_in_ms"),
    )
    token = invocation.enter()
    try:
        yield
    except Exception:  # of the runtime's: the function's own never come here
        raise
    except BaseException as error:  # sys.exit(): whatever the code, the platform takes it for a failure
        errtrack.report_exception(error, "aws_lambda")
        raise
    finally:
        invocation.close()
        invocation.leave(token)


def report(call: Call) -> Advice:
    """make_error(error_message, error_type, stack_trace, invoke_id=None): while the error is being handled"""
    error = sys.exc_info()[1]
    if error is not None:
        cause = error.__context__
        if type(error).__name__ == "FaultException" and isinstance(cause, (ImportError, SyntaxError)):
            error = cause  # the runtime says it in its own words, without the function's frames
        errtrack.report_exception(error, "aws_lambda")
        if _lambda.current() is None:
            _lambda.flush(10.0)  # as long as the platform gives a function to be loaded
    yield


def deliver_result(call: Call) -> Advice:
    """LambdaRuntimeClient.post_invocation_result(self, invoke_id, result_data, ...)"""
    invocation = _lambda.current()
    if invocation is not None:
        invocation.deliver("ok")
    yield


def deliver_error(call: Call) -> Advice:
    """LambdaRuntimeClient.post_invocation_error(self, invoke_id, error_response_data, xray_fault, ...)"""
    invocation = _lambda.current()
    if invocation is not None:
        invocation.deliver("internal_error")
    yield


def prepare(bootstrap: ModuleType) -> None:
    """awslambdaric.bootstrap has been loaded: what the first invocation would be charged for is done now."""
    _http.prepare()


#: The first since 3.1, the second before.
_CLIENTS = ("BaseLambdaRuntimeClient", "LambdaRuntimeClient")

INSTRUMENTATION = Instrumentation(
    "aws_lambda",
    distribution="awslambdaric",
    supports=">=1.0",
    patches=[
        Patch("awslambdaric.bootstrap", "handle_event_request", handle_invocation),
        Patch("awslambdaric.bootstrap", "make_error", report),
        *(
            Patch("awslambdaric.lambda_runtime_client", name + ".post_invocation_result", deliver_result)
            for name in _CLIENTS
        ),
        *(
            Patch("awslambdaric.lambda_runtime_client", name + ".post_invocation_error", deliver_error)
            for name in _CLIENTS
        ),
    ],
    on_import=[OnImport("awslambdaric.bootstrap", prepare)],
)
