# SPDX-License-Identifier: MIT
"""What is promised for ASGI servers, Starlette and FastAPI, and the tests that prove it. The numbers are those of the
list of facts about web frameworks that this was built by.
"""

from __future__ import annotations

import pytest

from proven import missing

FACTS = {
    # Rules for all frameworks
    "1.1 doors of the servers: uvicorn, hypercorn, daphne, gunicorn's workers": (
        "test_asgi_servers each_failure_once test_starlette_requests every_server"
    ),
    "1.1 bridges from ASGI to WSGI": (
        "test_asgi_servers wsgi_application_that_uvicorn_runs test_starlette wsgi_application_behind_a_bridge"
        " test_starlette_requests frameworks_behind_bridges_are_one_event_in_the_scopes_of_the_request"
    ),
    "1.2.1 a watched application stays a coroutine function": (
        "test_asgi_servers watched_application_is_itself_to_who_looks each_failure_once"
    ),
    "1.2.8, 1.2.10 started late: imported, made, served before": (
        "test_starlette_requests late_start_below_a_server_that_runs_already"
        " clients_of_tests_need_no_server_and_no_early_start"
    ),
    "1.2.11 nothing is kept beyond the request": (
        "test_asgi_servers scope_is_let_go_and_nothing_grows"
        " test_starlette_requests two_thousand_requests_leave_nothing_behind"
    ),
    "1.2.12 odd bytes of a client are no fault": "test_asgi_requests odd_bytes_and_headers_of_one_name",
    "1.3 a scope each: at once, one after another on a connection": (
        "test_asgi_servers two_hundred_requests_at_once_keep_apart"
        " test_asgi_requests second_request_of_a_connection_begins_anew"
        " test_starlette_requests two_hundred_requests_at_once_keep_apart"
    ),
    "1.3 tasks, executors, threads, the pool of anyio": (
        "test_asgi_requests what_was_said_in_tasks_executors_and_threads_is_said_of_the_request"
        " test_starlette tags_of_an_endpoint_in_the_thread_pool_and_of_a_background_task"
    ),
    "1.3 streaming in the scope of the request": (
        "test_asgi_servers each_failure_once test_starlette_requests every_server"
    ),
    "1.4 layers in one another are one event, one transaction": (
        "test_asgi_requests nested_layers_are_one_transaction_and_one_event"
        " test_asgi_servers each_failure_once test_starlette_requests every_server"
        " frameworks_behind_bridges_are_one_event_in_the_scopes_of_the_request"
        " test_django failing_view_is_one_event test_sanic under_an_asgi_server"
    ),
    "1.4 a request within a request has its own scope": (
        "test_asgi_requests request_within_a_request_has_a_scope_of_its_own"
    ),
    "1.4 the framework's record is richer than the server's": (
        "test_starlette what_nobody_took_is_unhandled transaction_is_the_route test_starlette_requests transactions"
    ),
    "1.4 the server's log of an exception is no second event": (
        "test_asgi_servers each_failure_once failing_lifespan_is_one_event"
        " test_asgi_requests every_event_is_one_that_is_expected"
    ),
    "1.5 url, method, query, headers, env": (
        "test_asgi_requests request_of_the_event request_without_host_is_told_by_the_servers_address"
        " odd_bytes_and_headers_of_one_name root_path_stands_once_in_the_url test_asgi_servers url headers_of_one_name_are_joined"
    ),
    "1.5 cookies, address, user with personal data alone": (
        "test_asgi_requests request_of_the_event personal_data_where_it_is_asked_for"
        " test_starlette personal_data_when_asked_for request_of_the_event"
        " test_starlette_requests user_of_the_middleware_and_of_the_application"
    ),
    "1.5 bodies: JSON, forms, files, too large, unread": (
        "test_starlette json_that_was_read_is_shown_scrubbed forms_that_were_read bodies_that_cannot_be_shown_are_marked"
        " bodies_that_were_not_read_or_drained_by_the_application"
    ),
    "1.6 op, source, origin, status": (
        "test_asgi_requests transaction_of_a_request status_of_transactions test_starlette_requests transactions"
    ),
    "1.6 methods": (
        "test_asgi_requests head_and_options_are_no_transactions_and_their_errors_are_events methods_and_sampler"
    ),
    "1.6 traces that come in, also where tracing is off": (
        "test_asgi_requests trace_is_continued_also_where_tracing_is_off"
        " test_asgi_servers trace_is_continued_and_a_head_request_reported_too"
    ),
    "1.6 the template's variable": "test_starlette_requests meta_tags_carry_the_trace_of_the_request",
    "1.6 what a sampler is shown": (
        "test_asgi_requests methods_and_sampler test_starlette_requests sampler_is_shown_path_and_scope"
    ),
    "1.6 sessions": "test_asgi_requests release_health_counts_requests_by_their_outcome",
    "1.7 mechanisms": (
        "test_asgi_servers each_failure_once test_starlette what_nobody_took_is_unhandled handled_exceptions_by_their_status"
    ),
    "1.8 preloaded and spawned workers, ends by signal": (
        "test_asgi_servers each_failure_once test_starlette_requests every_server"
        " test_asgi_requests release_health_counts_requests_by_their_outcome test_processes workers_of_uvicorn_are_reached"
    ),
    # Any ASGI application
    "9.1 exactly once for each application, workers and reload": (
        "test_asgi_servers each_failure_once test_processes workers_of_uvicorn_are_reached"
    ),
    "9.1 ASGI-2 and ASGI-3": "test_asgi_servers each_failure_once",
    "9.1 lifespan": "test_asgi_servers failing_lifespan_is_one_event failing_start_under_hypercorn_is_one_event",
    "9.1 websockets: op, tag, one transaction a connection": (
        "test_asgi_requests websocket_is_one_transaction_however_long"
        " test_asgi_servers websocket_that_fails_and_one_that_is_left test_django_channels websocket_is_a_transaction"
    ),
    "9.1 the status is that of http.response.start": "test_asgi_requests status_of_transactions",
    "9.1 cancelled requests are no events": "test_asgi_requests cancelled_request_is_no_event",
    "9.1 the exception is the application's own, with its cause": (
        "test_asgi_requests cause_is_intact_where_the_server_sees_it test_starlette cause_of_an_exception_stays"
    ),
    "9.1 plumbing of anyio is left out of the chain": "test_starlette what_nobody_took_is_unhandled",
    "9.1 url by server, root_path, Host": (
        "test_asgi_servers url test_asgi_requests request_without_host_is_told_by_the_servers_address"
        " root_path_stands_once_in_the_url"
    ),
    "9.1 the client's address": "test_asgi_requests personal_data_where_it_is_asked_for",
    "9.1 headers in lower case, joined": (
        "test_asgi_requests odd_bytes_and_headers_of_one_name test_asgi_servers headers_of_one_name_are_joined"
    ),
    "9.1 receive is neither called nor wrapped": (
        "test_asgi_requests receive_and_send_are_the_servers_own answers_are_as_without_us"
        " test_starlette_requests what_reads_from_receive_gets_all_of_it"
    ),
    "9.1 what runs after the answer counts": (
        "test_asgi_requests time_after_the_answer_counts error_after_the_answer_and_error_that_the_server_raises"
    ),
    "9.1 name: endpoint, else path": (
        "test_asgi_requests transaction_of_a_request endpoint_that_a_router_left_is_the_name"
        " test_starlette_requests names_by_endpoint transactions"
    ),
    "9.1 two requests at once": "test_asgi_servers two_hundred_requests_at_once_keep_apart",
    "9.1 nested middleware is one transaction": "test_asgi_requests nested_layers_are_one_transaction_and_one_event",
    "9.1 HEAD is no transaction": (
        "test_asgi_requests head_and_options_are_no_transactions_and_their_errors_are_events"
    ),
    "9.1 clients that leave are no events": (
        "test_asgi_servers client_that_goes_away_is_no_error_but_an_error_of_the_same_kind_is"
        " websocket_that_fails_and_one_that_is_left test_django client_that_goes_away_is_no_error"
    ),
    "9.1 a failing send is no event": (
        "test_asgi_servers send_of_a_server_that_fails_is_no_error"
        " test_asgi_requests websocket_that_talks_to_a_client_that_has_left_is_no_error"
    ),
    "9.1 a stream that fails is one event": (
        "test_asgi_servers each_failure_once test_starlette what_nobody_took_is_unhandled"
    ),
    "9.1 query: decoded, none where empty": "test_asgi_requests request_of_the_event",
    "9.1 X-Forwarded-For with two values": "test_asgi_requests personal_data_where_it_is_asked_for",
    # Starlette and FastAPI
    "9.2 exceptions before the user's handlers": (
        "test_starlette handled_exceptions_by_their_status"
        " test_starlette_requests answered_exceptions_by_their_status"
    ),
    "9.2 classes of middleware, functions, partials": (
        "test_starlette_requests middlewares_are_spans_in_one_another what_middlewares_receive_and_send_are_spans"
    ),
    "9.3 what is captured, and what is not": (
        "test_starlette every_event_is_one_that_is_expected what_nobody_took_is_unhandled answers_are_as_without_us"
    ),
    "9.3 an answered exception has its frames": "test_starlette_requests answered_exceptions_by_their_status",
    "9.3 bodies only as the application has read them": (
        "test_starlette bodies_that_were_not_read_or_drained_by_the_application"
        " test_starlette_requests what_reads_from_receive_gets_all_of_it"
    ),
    "9.4 ops, tags and the thread of a sync endpoint": (
        "test_starlette_requests transactions websocket_that_fails_and_one_that_is_left thread_of_a_sync_endpoint_is_told"
        " middlewares_are_spans_in_one_another what_middlewares_receive_and_send_are_spans"
    ),
    "9.5 options": (
        "test_starlette_requests names_by_endpoint other_statuses_are_failures_where_asked_for"
        " middlewares_are_no_spans_unless_asked_for test_asgi_requests methods_and_sampler"
    ),
    "9.6.1 async and sync endpoints, names by both styles": (
        "test_starlette_requests endpoints_of_both_kinds names_by_endpoint"
        " test_starlette transaction_is_the_route transaction_is_the_endpoint_where_asked_for"
    ),
    "9.6.2 HTTPException by its status: default, others, none, handlers of a number": (
        "test_starlette_requests answered_exceptions_by_their_status other_statuses_are_failures_where_asked_for"
        " no_status_is_a_failure_where_none_is_named test_starlette handled_exceptions_by_their_status"
    ),
    "9.6.3 requests that do not validate": (
        "test_starlette_requests every_event_is_one_that_is_expected answers_are_as_without_us"
        " test_starlette every_event_is_one_that_is_expected"
    ),
    "9.6.4 bodies": (
        "test_starlette json_that_was_read_is_shown_scrubbed forms_that_were_read bodies_that_cannot_be_shown_are_marked"
        " bodies_that_were_not_read_or_drained_by_the_application"
        " test_starlette_requests what_reads_from_receive_gets_all_of_it"
    ),
    "9.6.5 spans of middlewares": (
        "test_starlette_requests middlewares_are_spans_in_one_another what_middlewares_receive_and_send_are_spans"
        " middlewares_are_no_spans_unless_asked_for answers_are_as_without_us"
    ),
    "9.6.6 BaseHTTPMiddleware keeps what the endpoint said": (
        "test_starlette tags_and_breadcrumbs_of_an_endpoint_below_middleware_that_runs_it_in_a_task"
        " test_starlette_requests endpoints_of_both_kinds every_server"
    ),
    "9.6.7 user of the middleware, and of the application": (
        "test_starlette_requests user_of_the_middleware_and_of_the_application"
    ),
    "9.6.8 prefixes of routers and mounts, hosts": (
        "test_starlette_requests names_below_hosts_mounts_and_routers test_starlette transaction_is_the_route"
    ),
    "9.6.9 transactions of 404": "test_starlette_requests transactions",
    "9.6.10 2,000 requests": "test_starlette_requests two_thousand_requests_leave_nothing_behind",
    "9.6.11, 12, 20 background tasks, dependencies, rendering": "test_starlette what_nobody_took_is_unhandled",
    "9.6.13 the template's variable": (
        "test_starlette_requests meta_tags_carry_the_trace_of_the_request meta_tags_are_empty_outside_of_a_request"
    ),
    "9.6.14 sampler": "test_starlette_requests sampler_is_shown_path_and_scope",
    "9.6.15 application made before we came": (
        "test_starlette_requests late_start_below_a_server_that_runs_already"
        " clients_of_tests_need_no_server_and_no_early_start"
    ),
    "9.6.16 websockets": (
        "test_starlette_requests websocket_that_fails_and_one_that_is_left"
        " test_starlette websocket_that_fails_and_one_that_is_left"
    ),
    "9.6.17 the test client": "test_starlette_requests clients_of_tests_need_no_server_and_no_early_start",
    "9.6.18 many requests at once": "test_starlette_requests two_hundred_requests_at_once_keep_apart",
    "9.6.19 mounted Flask and Django": (
        "test_starlette_requests frameworks_behind_bridges_are_one_event_in_the_scopes_of_the_request"
    ),
    "9.7 groups of one, chains": (
        "test_asgi_requests group_of_one_is_taken_apart_and_of_two_is_not"
        " test_starlette_requests group_of_one_is_told_as_the_one_in_the_scopes_of_its_task"
        " test_starlette what_nobody_took_is_unhandled cause_of_an_exception_stays"
    ),
    # Where the field's reference falls short
    "11.1 plain applications with no line of code": "test_asgi_servers each_failure_once",
    "11.2 streams that fail have their transaction": (
        "test_starlette_requests every_server test_asgi_requests time_after_the_answer_counts"
        " errors_are_in_the_transaction_of_their_request"
    ),
    "11.7 Channels": "test_django_channels failing_consumers_are_one_event_each consumer_under_a_communicator_is_reported",
    "11.9 handlers of numbers, bodies, causes": (
        "test_starlette handled_exceptions_by_their_status"
        " test_starlette_requests what_reads_from_receive_gets_all_of_it"
        " test_asgi_requests cause_is_intact_where_the_server_sees_it"
    ),
    "11.11 one switch for personal data": "test_asgi_requests request_of_the_event personal_data_where_it_is_asked_for",
    "11.14 test clients share no scope": (
        "test_starlette_requests clients_of_tests_need_no_server_and_no_early_start"
        " test_django test_clients_share_nothing_between_requests"
    ),
    "12 servers: ok, error, stream": (
        "test_asgi_servers each_failure_once test_starlette_requests every_server"
        " test_django failing_view_is_one_event test_django_channels failing_consumers_are_one_event_each"
    ),
}

#: Where we do something else, and why.
OTHERWISE = {
    "9.1 SystemExit": "uvicorn answers 500 to it and logs it: an event of that log, since nobody else tells of it",
    "9.1 lifespan: only what fails after the first message": "before, an application says that it knows no lifespan",
    "9.2 Middleware.__init__": "the class is looked at as the stack is built: later, so that a late start has it too",
    "9.2 context_processors": "a global of the environment, as url_for is: nobody's list or context is changed",
    "9.3 name of an error in a middleware": "the path: a request is the same one wherever it fails",
    "1.3 what an endpoint says in a task of BaseHTTPMiddleware": (
        "is on its errors and messages; the transaction has what was said outside: each task has its own tags"
    ),
    "1.6 query of a request without one": "left out, not null",
}


@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_is_proven(fact: str) -> None:
    assert missing(FACTS[fact]) == []
