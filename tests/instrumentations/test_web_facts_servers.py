# SPDX-License-Identifier: MIT
"""What is promised of servers and of WSGI applications behind them, and the tests that prove it: ``file`` and then,
after it, names of tests in that file. A test that is renamed or taken away is missed here."""

from __future__ import annotations

import pytest

from proven import missing

#: The same application behind every server that we know, and behind every bridge; then what is true of some of them.
ALL = "test_wsgi_servers_all "
SOME = " test_wsgi_statements "
ONE = " test_wsgi_requests "

FACTS = {
    # How patches are put on
    "1.2.1, 2: async functions stay what they are": (
        "test_instrumentation one_handler_serves_async_functions async_objects_are_recognised function_keeps_its_looks"
        " async_function_refuses_bad_arguments_as_it_is_called"
        " test_asgi_servers watched_application_is_itself_to_who_looks"
    ),
    "1.2.3: hooks are registered at boot": (
        "test_import_hook hooks_run_once_after_the_code_and_before_the_import_returns asking_for_a_spec_runs_nothing"
        " test_documents hooks_are_the_modules_that_are_patched"
    ),
    "1.2.4: modules that replace themselves": (
        "test_import_hook a_module_that_replaces_itself_is_handed_over_as_its_replacement"
        " a_lazy_module_is_hooked_when_it_loads_and_not_before"
    ),
    "1.2.5: receivers of signals stay connected": "test_flask failing_view_is_one_event test_django failing_view_is_one_event",
    "1.2.6: no class is replaced, no setting of the user's touched": (
        "test_flask app_made_with_flask_imported_early_and_subclassed"
        " test_instrumentation apply_patches_every_kind_and_remove_restores"
    ),
    "1.2.7: functions that others import by name": (
        "test_starlette what_nobody_took_is_unhandled handled_exceptions_by_their_status"
        " test_celery_pools one_event_a_failed_task_and_none_for_others"
    ),
    "1.2.8: what is there already": (
        "test_import_hook a_module_that_is_there_already_is_handled_at_registration"
        " test_instrumentation missing_attribute_is_noted_and_the_rest_applied"
    ),
    "1.2.9: nothing is watched twice": (
        "test_instrumentation apply_twice_wraps_once test_wsgi_servers watched_application_looks_like_itself"
        " test_by_hand applications_watched_by_hand"
    ),
    "1.2.10: instances made before": (
        "test_flask app_made_with_flask_imported_early_and_subclassed"
        " test_wsgi_servers server_made_and_served_by_an_early_import"
    ),
    "1.2.11, 2.9.25, 2.9.26: environs and scopes are let go": (
        SOME
        + "environs_and_scopes_are_let_go"
        + ONE
        + "environ_and_scopes_are_let_go a_hundred_thousand_requests_leave_nothing"
        " test_flask environ_is_let_go_after_the_request test_asgi_servers scope_is_let_go_and_nothing_grows"
    ),
    "1.2.12: our faults stay ours": (
        "test_instrumentation fault_before_the_call_leaves_the_call_alone fault_after_the_call_leaves_the_result_alone"
        " fault_while_an_exception_passes_is_not_chained_to_it fault_of_skip_leaves_the_call_alone"
        + ONE
        + "request_that_cannot_be_described_costs_no_event"
    ),
    # Scopes
    "1.3: one isolation scope a request, breadcrumbs anew": (
        ALL + "each_failure_once_and_answers_as_without_us"
        " test_wsgi_servers two_hundred_requests_at_once_keep_apart"
        " test_asgi_servers two_hundred_requests_at_once_keep_apart"
        " test_greenlet_workers requests_at_once_keep_to_themselves"
    ),
    "1.3: what inherits a context, and what does not": (
        "test_scope tasks_inherit_and_do_not_leak threads_have_scopes_of_their_own"
        " executors_and_copied_contexts_see_the_scope_they_were_given greenlets_have_scopes_of_their_own"
        " test_concurrent_futures tasks_have_the_tags_of_their_submitter_and_of_nobody_else"
        " test_django tags_cross_threads_and_loops_inside_a_view"
    ),
    "1.3: what an inner task says is said of the request": (
        "test_starlette tags_and_breadcrumbs_of_an_endpoint_below_middleware_that_runs_it_in_a_task"
        " tags_of_an_endpoint_in_the_thread_pool_and_of_a_background_task"
    ),
    "1.3: connections that are kept": (
        SOME + "environs_and_scopes_are_let_go requests_on_one_connection_share_nothing"
        " test_sanic requests_of_one_connection_do_not_mix test_tornado concurrent_requests_do_not_mix"
    ),
    "1.3: streams are in the scope of their request, piece by piece": (
        SOME
        + "two_hundred_bodies_at_once_keep_apart"
        + ONE
        + "interleaved_bodies_on_one_thread_and_a_body_in_another end_of_a_generator_is_in_the_scope_of_its_request"
    ),
    # One failure, one event
    "1.4: the outermost layer opens, inner ones add": (
        SOME + "framework_behind_a_server_is_one_event_and_one_transaction"
        " test_starlette wsgi_application_behind_a_bridge"
    ),
    "1.4: a request within a request": (
        SOME
        + "request_within_a_request"
        + ONE
        + "request_inside_of_a_request_has_its_own_url_and_the_outer_one_goes_on"
        " test_flask request_inside_a_request_has_its_own_url"
    ),
    "1.4: one exception by several ways is one event": (
        "test_dedupe same_exception_on_its_way_up_is_one interleaved_exceptions_are_remembered"
        " instance_raised_anew_is_a_new_failure class_with_own_attribute_rules_is_no_obstacle"
    ),
    "1.4: loggers of servers that tell it again": (
        ALL + "each_failure_once_and_answers_as_without_us" + SOME + "pages_of_cherrypy_under_its_own_server"
        " test_asgi_servers each_failure_once failing_lifespan_is_one_event"
    ),
    # The request of an event
    "1.5: url, method, query, headers, env, and no body": (
        ALL + "each_failure_once_and_answers_as_without_us"
        " test_wsgi_servers url test_asgi_servers url headers_of_one_name_are_joined"
    ),
    "1.5: personal data by option": (
        ALL
        + "each_failure_once_and_answers_as_without_us each_request_is_one_transaction"
        + SOME
        + "unix_socket_has_no_client_address"
        + ONE
        + "address_of_the_client_and_the_users_own"
        " test_flask_requests who_is_logged_in_is_told_where_personal_data_may_be_sent"
    ),
    "1.5: bodies by size and kind": (
        "test_flask_requests json_by_its_size empty_json_form_with_a_file_and_bodies_that_are_neither"
        " views_read_their_body_whole_whatever_is_captured_meanwhile"
        " test_flask body_that_nobody_read_is_not_read_for_the_event"
        " test_django bodies_that_are_no_json_are_marked_as_left_out files_are_named_and_not_shown"
        " json_that_the_view_did_not_read_is_shown body_that_the_view_consumed_is_not_shown"
        " test_django_rest_framework large_body_is_left_out"
    ),
    # Transactions and headers
    "1.6: ops, names, sources, origins of servers": (
        ALL + "each_request_is_one_transaction test_one_trace transactions_tell_of_the_request_and_its_answer"
    ),
    "1.6: status of the answer": (
        ALL + "each_request_is_one_transaction test_tracing status_of_http_codes"
        " unit_is_a_transaction_with_the_answer_and_the_errors_of_its_work"
    ),
    "1.6, 2.9.9, 2.9.10: methods": (
        ALL + "each_request_is_one_transaction" + SOME + "methods_that_are_transactions_may_be_chosen"
        " test_tracing ignored_answers_and_methods_are_no_transactions methods_may_be_chosen"
        " test_asgi_servers trace_is_continued_and_a_head_request_reported_too"
    ),
    "1.6, 2.9.11: a trace that comes in": (
        ALL + "each_request_is_one_transaction" + ONE + "w3c_trace_that_comes_in"
        " test_tracing incoming_trace_is_continued decision_of_the_head_is_kept_whatever_the_rate"
        " test_one_trace one_trace_goes_through_three_processes"
    ),
    "1.6, 2.9.12: without tracing": (
        "test_wsgi_servers continued_trace_is_on_the_event"
        + ONE
        + "trace_that_comes_in_is_continued_and_every_request_else_has_its_own"
        " test_tracing off_nothing_is_recorded_and_errors_have_a_trace"
    ),
    "1.6, 2.9.13: what a sampler is shown": ALL + "each_request_is_one_transaction",
    "1.6, 2.9.14: sessions": (
        "test_sessions requests_of_a_wsgi_server_are_counted units_of_work_are_counted_by_their_outcome"
        " counts_leave_once_a_minute_while_work_goes_on"
    ),
    "1.7: mechanisms": (
        ALL
        + "each_failure_once_and_answers_as_without_us"
        + SOME
        + "framework_behind_a_server_is_one_event_and_one_transaction"
        " tornado_application_in_gunicorns_worker_of_that_name asgi_application_in_gunicorns_own_worker"
    ),
    # Forks, threads, greenlets
    "1.8: no thread before a fork, and one after it": (
        "test_processes errors_before_and_after_a_fork_all_arrive gunicorn_reports_from_the_worker"
        " uwsgi_reports_from_its_workers_and_has_no_thread_in_its_master"
        " test_transport no_thread_and_no_file_before_the_first_event"
        " test_delivery_and_fork a_child_sends_its_own_events_and_not_the_parents"
    ),
    "1.8: no fork hooks": (
        "test_processes errors_before_and_after_a_fork_all_arrive"
        " uwsgi_reports_from_its_workers_and_has_no_thread_in_its_master"
    ),
    "1.8: locks that were held": (
        "test_processes a_fork_in_the_middle_of_an_import_is_no_deadlock"
        " test_delivery_and_fork children_of_a_parent_whose_threads_capture_never_hang_and_lose_nothing"
        " test_spool a_forked_child_writes_elsewhere_and_frees_the_parents_lock"
    ),
    "1.8: preloading": (
        "test_wsgi_servers preloaded_application" + " " + ALL + "each_failure_once_and_answers_as_without_us"
    ),
    "1.8: sudden ends": (
        "test_delivery_at_exit a_sudden_end_leaves_everything_to_the_next_process"
        " test_wsgi_servers worker_timeout_is_reported_with_the_line_it_hung_at"
        " test_mod_wsgi events_are_kept_until_the_next_process_where_apache_is_stopped"
    ),
    "1.8: greenlets": (
        "test_applications greenlets_patched_first_thing_find_nothing_imported"
        " greenlets_patched_after_the_first_event_do_no_harm boot_imports_no_threading"
        " test_greenlet_workers requests_at_once_keep_to_themselves"
        " test_gevent a_greenlet_that_dies_is_one_event_in_its_own_scope"
    ),
    "1.8: the end is bounded": "test_delivery_at_exit a_server_that_never_answers_delays_the_end_by_the_timeout_and_no_more",
    # WSGI servers
    "2.1: every server, every worker, every bridge": ALL + "each_failure_once_and_answers_as_without_us",
    "2.1: sub-classes with a say of their own, prefixes, early imports": (
        SOME + "mounted_below_a_prefix test_wsgi_servers server_made_and_served_by_an_early_import"
        " " + ALL + "each_failure_once_and_answers_as_without_us"
    ),
    "2.1: werkzeug's debugger and reloader, CherryPy's pages": (
        ALL + "each_failure_once_and_answers_as_without_us" + SOME + "pages_of_cherrypy_under_its_own_server"
        " test_processes the_reloader_of_flask_serves_an_instrumented_application"
    ),
    "2.1: gunicorn begins anew": (
        "test_wsgi_servers reloaded_application server_that_executes_itself_anew gunicorn_by_its_own_command"
        + SOME
        + "workers_that_are_begun_anew"
        " test_processes gunicorn_reports_from_the_worker_of_a_master_that_replaced_itself"
    ),
    "2.1: gunicorn's workers for other kinds of applications": (
        SOME + "tornado_application_in_gunicorns_worker_of_that_name asgi_application_in_gunicorns_own_worker"
        " test_asgi_servers each_failure_once"
    ),
    "2.1: the proxy is the application to who looks": (
        "test_wsgi_servers watched_application_looks_like_itself asgi_applications_are_left_alone"
        + ONE
        + "watched_application_is_pickled_and_copied_as_itself"
    ),
    "2.2.1-3: nested, anew, continued": (
        ALL
        + "each_request_is_one_transaction"
        + SOME
        + "framework_behind_a_server_is_one_event_and_one_transaction"
    ),
    "2.2.4, 2.9.24: start_response": (
        ONE + "start_response_is_the_servers_own_with_what_it_takes_and_returns"
        " " + ALL + "each_failure_once_and_answers_as_without_us each_request_is_one_transaction"
    ),
    "2.2.5, 2.9.1, 3, 4: what is raised before an answer": (
        ONE + "what_is_raised_before_an_answer"
        " "
        + ALL
        + "each_failure_once_and_answers_as_without_us"
        + SOME
        + "exit_in_the_application_ends_what_it_ends_without_us"
        " successful_exits_are_no_errors_and_an_interrupt_amid_a_body_is"
        " test_wsgi_servers exits_inside_a_request"
    ),
    "2.2.6, 2.9.15: files": (
        ONE
        + "files_go_to_the_server_as_they_are_where_it_sends_files"
        + SOME
        + "files_are_sent_by_the_kernel_as_without_us"
        " " + ALL + "each_failure_once_and_answers_as_without_us"
    ),
    "2.2.7, 2.9.16: forwarded": (
        ALL
        + "each_request_is_one_transaction"
        + SOME
        + "proxies_are_believed_only_when_asked_for default_ports_of_proxies_are_left_out"
        " test_wsgi_servers url forwarded_host_only_when_asked_for"
    ),
    "2.2: streaming errors are in their transaction, which ends with the body": (
        ALL + "each_request_is_one_transaction" + ONE + "transaction_ends_with_the_body_closed_or_not"
    ),
    "2.3, 2.9.23: lengths stay": (
        SOME + "list_of_one_piece_keeps_its_length" + ONE + "lists_are_untouched_and_lengths_stay"
        " " + ALL + "each_failure_once_and_answers_as_without_us"
    ),
    "2.3: exits end what they end": SOME + "exit_in_the_application_ends_what_it_ends_without_us",
    "2.3: gunicorn loses patience": "test_wsgi_servers worker_timeout_is_reported_with_the_line_it_hung_at",
    "2.3, 2.9.8: clients that go away": (
        ALL + "client_that_goes_away_is_no_error" + ONE + "end_of_a_generator_is_in_the_scope_of_its_request"
        " write_of_a_server_that_fails_is_no_error_but_one_of_the_applications_own_is"
    ),
    "2.4: uWSGI by module, file and mounts, lazy, in threads": (
        "test_uwsgi each_failure_once_however_the_application_is_found several_mounts"
        " requests_side_by_side_in_threads_keep_apart applications_are_left_alone_where_it_is_disabled"
    ),
    "2.4: no fork hooks, no threads": (
        "test_processes uwsgi_reports_from_its_workers_and_has_no_thread_in_its_master"
        " test_launcher uwsgi_without_threads_is_told"
    ),
    "2.4: files by identity": SOME + "files_are_sent_by_the_kernel_as_without_us",
    "2.4: the environ is let go": SOME + "environs_and_scopes_are_let_go",
    "2.5: mod_wsgi": (
        "test_mod_wsgi application_watched_by_hand flask_without_a_line_through_autoload"
        " events_are_kept_until_the_next_process_where_apache_is_stopped"
        " test_processes every_subinterpreter_has_wires_of_its_own"
    ),
    "2.6: what an event has, and has not": ALL + "each_failure_once_and_answers_as_without_us",
    "2.8: options": (
        SOME + "methods_that_are_transactions_may_be_chosen proxies_are_believed_only_when_asked_for"
        " test_wsgi_servers forwarded_host_only_when_asked_for"
    ),
    "2.9.2: prefix and query": (
        SOME + "mounted_below_a_prefix test_uwsgi several_mounts test_wsgi_servers url"
    ),
    "2.9.5: an interrupt amid a body": (
        SOME
        + "successful_exits_are_no_errors_and_an_interrupt_amid_a_body_is"
        + ONE
        + "what_ends_programs_while_a_body_is_iterated"
    ),
    "2.9.6, 7: after the first piece, and in close": (
        ALL + "each_failure_once_and_answers_as_without_us"
        " test_wsgi_servers errors_while_iterating_and_in_close"
    ),
    "2.9.17: no client address": SOME
    + "unix_socket_has_no_client_address"
    + ONE
    + "no_client_address_is_no_user",
    "2.9.18: what is filtered": (
        ALL + "each_failure_once_and_answers_as_without_us each_request_is_one_transaction"
        " test_capture_scrubber names_of_secrets_are_known_in_every_spelling"
    ),
    "2.9.19, 20: interleaved, and in another thread": (
        SOME
        + "two_hundred_bodies_at_once_keep_apart"
        + ONE
        + "interleaved_bodies_on_one_thread_and_a_body_in_another"
    ),
    "2.9.21: a fresh environ": (
        SOME
        + "request_within_a_request"
        + ONE
        + "request_inside_of_a_request_has_its_own_url_and_the_outer_one_goes_on"
    ),
    "2.9.22: two layers": SOME + "framework_behind_a_server_is_one_event_and_one_transaction",
    # Where the field's reference falls short
    "11.1: plain applications need no line": ALL + "each_failure_once_and_answers_as_without_us",
    "11.2: streaming errors have a transaction": ALL + "each_request_is_one_transaction",
    "11.11: one switch for personal data": (
        ALL + "each_failure_once_and_answers_as_without_us test_tornado personal_data_stays_out"
        " test_capture_scrubber names_of_secrets_are_known_in_every_spelling"
    ),
    "11.12, 13: uWSGI without fork hooks, locks that were held": (
        "test_processes uwsgi_reports_from_its_workers_and_has_no_thread_in_its_master"
        " test_delivery_and_fork children_of_a_parent_whose_threads_capture_never_hang_and_lose_nothing"
    ),
    "11.14: test clients leave nothing behind": (
        "test_django test_clients_share_nothing_between_requests test_flask request_inside_a_request_has_its_own_url"
    ),
    # The matrix
    "12: gunicorn, its workers, plain and with frameworks": (
        ALL
        + "each_failure_once_and_answers_as_without_us"
        + SOME
        + "framework_behind_a_server_is_one_event_and_one_transaction asgi_application_in_gunicorns_own_worker"
        " test_asgi_servers each_failure_once"
    ),
    "12: uWSGI": "test_uwsgi each_failure_once_however_the_application_is_found"
    + SOME
    + "framework_behind_a_server_is_one_event_and_one_transaction",
    "12: uvicorn, its workers, reload": (
        "test_asgi_servers each_failure_once two_hundred_requests_at_once_keep_apart"
        " test_processes workers_of_uvicorn_are_reached"
    ),
}

#: Where we do something else than others do, and why.
OTHERWISE = {
    "1.5: a query that is empty is left out": "servers of today take both for the same",
    "2.4: uWSGI without threads": "nothing is sent in the request: what waits lies on disk for the end or the next process",
    "2.5: mod_wsgi's subscribe_events is not used": (
        "Apache starts Python without us: where a line is needed anyway, it watches the application itself"
    ),
    "2.6: a WSGI application behind an ASGI server's bridge is named by its path": (
        "the server has the request in hand before the bridge, and its layer names by path"
    ),
    "2.8: no wsgi.capture_system_exit, no wsgi.finish_on_close": "both are as if they were on",
    "2.3: SystemExit waits for no delivery": "it lies on disk before it goes on its way",
    "1.3: uvicorn, Starlette's bridge and a2wsgi raise what start_response is given": (
        "their ASGI layer lets it out as an error of the request: it is one event, though the application has answered"
    ),
}


@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_is_proven(fact: str) -> None:
    assert missing(FACTS[fact]) == []
