# SPDX-License-Identifier: MIT
"""What Django's and Flask's instrumentations promise, and the tests that prove it: ``file`` and then, after it, names
of tests in that file. A test that is renamed or taken away is missed here."""

from __future__ import annotations

import pytest

from proven import missing

DJANGO = {
    # Patch points
    "3.1 WSGI and ASGI handlers, test clients, runserver": (
        "test_django failing_view_is_one_event clients_of_tests_share_nothing_between_requests"
        " runserver_with_its_reloader_and_debug_reports_once"
    ),
    "3.1 what was made before the patches is covered": "test_django_served project_that_was_there_before_us",
    "3.1 the server's layer and the handler's are one": (
        "test_django nothing_is_reported_beside_the_requests"
        " test_framework_servers each_failure_once_whatever_serves"
    ),
    # Captured data
    "3.2 names by URL": (
        "test_django names_of_routes routes_included_twice_keep_their_own_prefix"
        " language_of_a_route_is_shown_as_it_appears path_that_leads_nowhere_is_named_by_itself"
    ),
    "3.2 names by function, of classes, of handler404": "test_django transaction_is_named_by_its_view class_based_views",
    "3.2 an error in a middleware has the view's route": (
        "test_django error_in_a_middleware_has_the_views_route"
        " test_django_served transactions_have_name_status_and_origin"
    ),
    "3.2 cookies of session and CSRF, forwarded host": (
        "test_django session_and_csrf_cookies_are_never_shown host_that_a_trusted_proxy_was_asked_for"
    ),
    "3.2 bodies, by WSGI and ASGI, by their size": (
        "test_django json_is_shown_scrubbed forms_are_shown_scrubbed files_are_named_and_not_shown"
        " body_that_the_view_consumed_is_not_shown test_django_served bodies_by_their_size"
    ),
    "3.2 users: loaded ones only, the application's own win": (
        "test_django user_that_the_application_set_wins user_of_a_session_that_was_loaded"
        " test_django_served user_where_personal_data_may_be_sent"
    ),
    "3.2 frames of templates, tags and blocks": "test_django_database template_is_the_last_frame",
    "3.2 query sets are placeholders, nested too": "test_django capture_makes_no_query",
    "3.2 answers that are no errors": (
        "test_django answers_are_not_errors test_django_served requests_that_django_refuses_are_no_errors"
        " test_django_rest_framework answers_of_the_framework_are_not_errors"
    ),
    "3.2 failed_request_status_codes, and twice in one request": (
        "test_django answers_named_by_their_status_are_reported"
        " error_in_the_view_and_another_in_middleware_are_two_events"
        " answer_of_a_middleware_is_reported_after_the_error_of_its_view"
    ),
    "3.2 SystemExit under WSGI and ASGI": (
        "test_django exit_in_a_view_is_reported_by_the_server_layer"
        " test_django_served exit_in_a_view_under_asgi_is_one_event"
    ),
    # Performance
    "3.3 http.server": "test_django_served transactions_have_name_status_and_origin",
    "3.3 middleware.django, every hook, by option": (
        "test_django_spans middlewares_are_spans_below_each_other spans_are_left_out_by_option"
        " test_django_served hooks_of_middlewares_are_spans"
    ),
    "3.3 view.render, view.response.render": "test_django_spans views_are_spans rendering_a_response_is_a_span",
    "3.3 template.render, the context and its query sets": (
        "test_django_database templates_are_spans test_django_served template_is_named_and_asks_for_no_rows"
    ),
    "3.3 event.django": "test_django_spans receivers_of_signals_are_spans own_receivers_and_denied_signals_are_no_spans",
    "3.3 db, connect, COMMIT and ROLLBACK": (
        "test_django_database queries_are_spans ends_of_transactions_are_spans_by_option"
        " test_django_served connection_to_the_database_is_told"
    ),
    "3.3 cache.get, cache.put": "test_django_spans caches_are_spans_with_hits address_of_a_cache_has_no_password",
    "3.3 psycopg 2 and 3": "test_django_database postgres_and_redis_behind_django",
    "3.3 a trace's tags for the browser, of requests alone": (
        "test_django_database template_shows_the_trace test_django_spans answers_are_the_same"
        " test_django_served template_outside_of_a_request_has_no_tags"
    ),
    "3.3 quirks 1, 2: own receivers, statuses of views": (
        "test_django_spans own_receivers_and_denied_signals_are_no_spans views_are_spans"
    ),
    "3.3 quirk 4: a value that equals the default is a hit": "test_django_spans caches_are_spans_with_hits",
    "3.3 quirk 5: a sync iterator under ASGI is one event": "test_django error_while_streaming_has_the_requests_tags",
    "3.3 quirk 6: one URLconf under two prefixes": "test_django routes_included_twice_keep_their_own_prefix",
    "3.3 quirk 7: test clients": (
        "test_django clients_of_tests_share_nothing_between_requests"
        " test_django_served requests_of_a_test_client_are_transactions"
    ),
    # Pitfalls of wrapping middlewares
    "3.5 modes, marks, hooks and MiddlewareNotUsed stay": "test_django_spans middlewares_keep_their_modes_and_looks",
    "3.5 async functions stay what they are, measured too": (
        "test_django_served async_views_run_at_the_same_time_traced"
    ),
    # Statements
    "3.6.1 an error by WSGI": "test_django failing_view_is_one_event",
    "3.6.2 404 and 403": "test_django answers_are_not_errors",
    "3.6.3 statuses that are named": (
        "test_django answers_named_by_their_status_are_reported"
        " ordinary_error_stays_one_event_that_is_not_handled"
    ),
    "3.6.4 view and middleware": "test_django error_in_the_view_and_another_in_middleware_are_two_events",
    "3.6.5 handler500 that reads the request": "test_django failing_view_is_one_event",
    "3.6.6 JSON, bad JSON, octets, consumed": (
        "test_django json_is_shown_scrubbed bodies_that_are_no_json_are_marked_as_left_out"
        " body_that_the_view_consumed_is_not_shown"
    ),
    "3.6.7 multipart": "test_django files_are_named_and_not_shown",
    "3.6.8 who is logged in, with personal data and without": (
        "test_django user_that_the_application_looked_at_is_shown"
        " test_django_served user_is_nobodys_business_unless_asked_for"
    ),
    "3.6.9 a lazy user": (
        "test_django user_that_nobody_looked_at_is_not_asked_for"
        " test_django_served user_where_personal_data_may_be_sent"
    ),
    "3.6.10 cookies under other names": "test_django session_and_csrf_cookies_are_never_shown",
    "3.6.11 a template's syntax": "test_django_database template_is_the_last_frame",
    "3.6.12 a query set in a variable": "test_django capture_makes_no_query",
    "3.6.13 SystemExit": "test_django exit_in_a_view_is_reported_by_the_server_layer",
    "3.6.14 Django's own loggers": (
        "test_django nothing_is_reported_beside_the_requests answers_are_not_errors"
        " runserver_with_its_reloader_and_debug_reports_once"
    ),
    "3.6.15 patterns": (
        "test_django names_of_routes routes_included_twice_keep_their_own_prefix"
        " language_of_a_route_is_shown_as_it_appears path_that_leads_nowhere_is_named_by_itself"
    ),
    "3.6.16 an urlconf of the request's own": (
        "test_django route_of_an_urlconf_that_a_middleware_chose"
        " test_django_served transactions_have_name_status_and_origin"
    ),
    "3.6.17 async views at once": (
        "test_django async_views_run_at_the_same_time requests_at_once_keep_apart"
        " test_django_served async_views_run_at_the_same_time_traced"
    ),
    "3.6.18 an async view, its request and body": (
        "test_django failing_async_view_is_one_event test_django_served bodies_by_their_size"
    ),
    "3.6.19 through threads and loops": "test_django tags_cross_threads_and_loops_inside_a_view",
    "3.6.20 the thread of a view": "test_django_spans thread_of_a_view_is_told",
    "3.6.21 signals": (
        "test_django_spans receivers_of_signals_are_spans own_receivers_and_denied_signals_are_no_spans"
        " spans_are_left_out_by_option"
    ),
    "3.6.22 caches": "test_django_spans caches_are_spans_with_hits address_of_a_cache_has_no_password",
    "3.6.23 cached pages and fragments": "test_django_spans cached_pages_are_put_and_then_got",
    "3.6.24 slow queries": (
        "test_django_database slow_query_names_the_line_that_made_it"
        " test_django_spans transactions_slow_queries_and_methods_by_option"
    ),
    "3.6.25 transactions of databases": (
        "test_django_database ends_of_transactions_are_spans_by_option"
        " test_django_spans transactions_slow_queries_and_methods_by_option"
    ),
    "3.6.26 many statements, named parameters, Composed": (
        "test_django_database many_statements_at_once_and_named_parameters postgres_and_redis_behind_django"
    ),
    "3.6.27 Django REST framework": (
        "test_django_rest_framework parsed_data_is_shown authentication_is_a_span"
    ),
    "3.6.28 a command that fails": "test_django management_command_that_fails_reaches_the_excepthook",
    "3.6.29 HEAD": (
        "test_django_database head_is_no_transaction"
        " test_django_spans transactions_slow_queries_and_methods_by_option"
        " test_django_served head_is_no_transaction_but_its_error_is_an_event"
    ),
    "3.6.30 one trace with tracing off": (
        "test_django template_and_event_have_the_same_trace trace_goes_on_with_tracing_off"
        " test_django_served page_and_transaction_have_one_trace"
    ),
    "3.6.31 a stream that fails": "test_django error_while_streaming_has_the_requests_tags",
    "3.6.32 a class that is async only": "test_django_spans middlewares_keep_their_modes_and_looks",
    "3.6.33 tasks of Django 6": (
        "test_django_spans tasks_are_spans test_django_served tasks_enqueued_by_async_code_are_spans"
    ),
    "3.6.34 websockets": (
        "test_django_channels failing_consumers_are_one_event_each websocket_is_a_transaction"
        " consumer_under_a_communicator_is_reported"
    ),
    "3.6.35 a test client thrice": "test_django clients_of_tests_share_nothing_between_requests",
    "3.6.36 a client that has gone": "test_django client_that_goes_away_is_no_error",
    # Troubles that others have, and what holds for every web framework
    "3.7 users in async code": "test_django_served user_where_personal_data_may_be_sent",
    "3.7 memory": "test_django requests_are_let_go",
    "3.7 suspicious requests are no noise": "test_django_served requests_that_django_refuses_are_no_errors",
    "1.5 the mount is in the URL, the query is not": "test_django_served where_the_application_is_mounted_is_in_the_url",
    "1.5 personal headers": "test_django personal_data_stays_home",
    "1.5 never more of a body than the option says": (
        "test_django_served bodies_by_their_size test_django body_that_is_too_large_to_be_shown_is_not_read"
    ),
    "1.6 traces that come in": (
        "test_django_served trace_that_comes_in_is_continued test_django trace_goes_on_with_tracing_off"
    ),
    "1.6 samplers see the request": "test_django_served sampler_is_shown_the_request",
    "1.6 statuses and origins": "test_django_served transactions_have_name_status_and_origin",
    "tracing that is switched on later": "test_django_served tracing_that_is_switched_on_in_a_running_process",
    "11.8, 11.14: names, own signals, users, test clients": (
        "test_django routes_included_twice_keep_their_own_prefix clients_of_tests_share_nothing_between_requests"
        " test_django_spans own_receivers_and_denied_signals_are_no_spans"
    ),
    "12 every server": "test_framework_servers each_failure_once_whatever_serves",
}

FLASK = {
    "4.1 __call__ and wsgi_app, early imports, subclasses": (
        "test_flask app_made_with_flask_imported_early_and_subclassed"
        " test_flask_served each_mode_of_flask_reports_once_and_propagates_as_ever"
    ),
    "4.2 flask's mechanism, and the server's outside of dispatch": (
        "test_flask_served what_fails_around_a_view_is_one_event error_while_streaming_is_the_requests"
    ),
    "4.2 names, and none": (
        "test_flask_served names_by_endpoint_and_by_rule transactions_have_name_status_and_origin"
    ),
    "4.2 bodies": "test_flask_served bodies_that_the_view_has_read bodies_that_cannot_be_shown_are_marked",
    "4.2 cookies and users, never a query": (
        "test_flask_served personal_data_where_it_may_be_sent who_is_logged_in"
        " test_flask_requests flask_login_without_a_manager"
    ),
    "4.2 requests are let go": "test_flask environ_is_let_go_after_the_request",
    "4.2 what is not reported": "test_flask_served answers_are_not_errors",
    "4.3 the transaction": "test_flask_served transactions_have_name_status_and_origin",
    "4.5.1 debug and testing": (
        "test_flask failing_view_is_one_event"
        " test_flask_served each_mode_of_flask_reports_once_and_propagates_as_ever"
    ),
    "4.5.2 names": (
        "test_flask_served names_by_endpoint_and_by_rule failing_view_is_one_event_with_all_that_is_known"
    ),
    "4.5.3 abort": "test_flask_served answers_are_not_errors",
    "4.5.4 error handlers": (
        "test_flask_requests handler_of_every_exception_takes_them"
        " test_flask_served failing_view_is_one_event_with_all_that_is_known"
    ),
    "4.5.5 an error handler that fails": "test_flask_served error_in_an_error_handler_shows_what_it_was_called_for",
    "4.5.6 logged errors": "test_flask_served logged_errors_alone_and_on_their_way_up",
    "4.5.7 below app.wsgi_app": "test_flask_served each_mode_of_flask_reports_once_and_propagates_as_ever",
    "4.5.8 commands": "test_flask_served command_that_fails_is_the_excepthooks_alone",
    "4.5.9 JSON by its size": "test_flask_served bodies_by_their_size",
    "4.5.10 empty JSON": "test_flask_served bodies_that_the_view_has_read",
    "4.5.11 forms and files, by their size": (
        "test_flask_served bodies_that_the_view_has_read bodies_by_their_size bodies_that_cannot_be_shown_are_marked"
    ),
    "4.5.12 raw bodies": "test_flask_served bodies_that_cannot_be_shown_are_marked bodies_by_their_size",
    "4.5.13 2,000 keys": "test_flask_served bodies_by_their_size",
    "4.5.14 views read all of it": "test_flask_served views_read_their_body_whole_in_any_order",
    "4.5.15 flask-login": (
        "test_flask_served who_is_logged_in personal_data_where_it_may_be_sent"
        " test_flask_requests flask_login_without_a_manager who_is_logged_in_is_told_where_personal_data_may_be_sent"
    ),
    "4.5.16 streams at once": (
        "test_flask_served streams_at_once_keep_apart"
        " test_flask_requests interleaved_streams_keep_apart_and_a_client_that_leaves_is_no_error"
    ),
    "4.5.17 one request after the other": (
        "test_flask_served failing_view_is_one_event_with_all_that_is_known"
        " test_framework_servers each_failure_once_whatever_serves"
    ),
    "4.5.18 a test client in a view": "test_flask_served request_inside_of_a_request_has_its_own",
    "4.5.19 404": "test_flask_served transactions_have_name_status_and_origin",
    "4.5.20 MethodView": "test_flask_served names_by_endpoint_and_by_rule",
    "4.5.21 sentry_trace_meta": (
        "test_flask_served template_carries_the_trace_of_its_request_on template_continues_the_trace_that_came_in"
        " what_the_application_calls_by_that_name_stays template_outside_of_a_request_has_no_tags"
    ),
    "4.5.22 a trace with tracing off": "test_flask_served error_has_its_own_trace_or_the_one_that_came_in",
    "4.5.23 async views": "test_flask_served asynchronous_view_is_one_event",
    "4.5.24 the answer's status": "test_flask_served transactions_have_name_status_and_origin",
    "4.5.25 OPTIONS and HEAD": (
        "test_flask_served head_and_options_are_no_transactions_but_their_errors_are_events"
    ),
    "4.5.26 sys.exit": "test_flask_served exit_in_a_view_is_reported_by_the_server_layer",
    "4.5.27 around a view": "test_flask_served what_fails_around_a_view_is_one_event",
    "4.5.28 mounted": "test_flask_served each_mode_of_flask_reports_once_and_propagates_as_ever",
    "4.5.29 installed late": "test_flask_served application_that_was_there_before_us",
    "4.5.30 a stream with context": "test_flask_served error_while_streaming_is_the_requests",
    "4.5.31 a client that leaves": "test_flask_served client_that_leaves_is_no_error",
    "4.5.32 a body drained by the view": "test_flask_served bodies_that_the_view_has_read",
    "4.6 without blinker": "test_flask_served errors_are_reported_without_blinker",
    "4.6 PROPAGATE_EXCEPTIONS": "test_flask_served each_mode_of_flask_reports_once_and_propagates_as_ever",
    "4.6 extensions that replace handle_exception": "test_flask_served errors_in_restful_resources_are_reported",
    "1.4 a server's layer, Flask's, and one in between are one": (
        "test_flask_served each_mode_of_flask_reports_once_and_propagates_as_ever"
        " transactions_have_name_status_and_origin nothing_is_reported_beside_the_requests"
    ),
    "1.6 samplers see the environ": "test_flask_served sampler_is_shown_the_environ",
    "tracing that is switched on later": "test_flask_served tracing_that_is_switched_on_in_a_running_process",
    "12 every server": "test_framework_servers each_failure_once_whatever_serves",
}

#: Where we do something else than others do, and why.
OTHERWISE = {
    "1.4 what fails outside of Flask's dispatch, and is swallowed by a middleware around Flask, is no event": (
        "the outermost layer reports for all of them; two would cost every request"
    ),
    "3.2 every logger django.security.* is left out, not DisallowedHost's alone": "each of them tells of an answer",
    "3.2 SystemExit under ASGI is an event": "it ends the server, and no layer further out gets to see it",
    "3.2 an empty body, and one of a GET, is no data": "there is nothing to say of it",
    "3.3 template.render is named by the template that was found": "a list of candidates says less",
    "3.3 quirk 3: get_or_set, add, incr and the like have no spans of their own": "what they call has",
    "3.4 4.4 a wrong style is told on stderr, and the default stands": "no setting of ours stops an application",
    "4.2 a body that the view has not read is not read for the event": "the stream is the application's",
    "4.3 Flask's templates have no spans": "none by default elsewhere, and each would cost every page",
    "4.5.27 what fails after each request is one event": "Flask runs it once more for its own answer",
    "1.5 an empty query string is left out": "servers take it for none",
    "1.5 texts in a body keep max_value_length characters": "as every other text of an event does",
}

FACTS = {
    **{"Django " + fact: proof for fact, proof in DJANGO.items()},
    **{"Flask " + f: p for f, p in FLASK.items()},
}


@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_is_proven(fact: str) -> None:
    assert missing(FACTS[fact]) == []
