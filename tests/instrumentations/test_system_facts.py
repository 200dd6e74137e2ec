# SPDX-License-Identifier: MIT
"""What the interpreter's and the standard library's instrumentations promise, and the tests that prove it: ``file``
and then, after it, names of tests in that file. A test that is renamed or taken away is missed here."""

from __future__ import annotations

import pytest

from proven import missing

FACTS = {
    # Boot
    "boot loads atexit alone": "test_boot boot_loads_its_own_few_modules_and_atexit boot_starts_nothing_and_writes_nothing",
    "modules already there are handled, later ones when they come": (
        "test_import_hook a_module_that_is_there_already_is_handled_at_registration"
        " hooks_run_once_after_the_code_and_before_the_import_returns"
    ),
    "hooks may import, from many threads": (
        "test_import_hook a_hook_that_fires_in_the_middle_of_another_import_may_import"
        " many_threads_import_at_once_and_the_hook_runs_once"
    ),
    "each trigger is patched, without wrapt, under the old name": (
        "test_interpreter each_trigger_is_patched_without_wrapt_and_looks_as_ever"
        " plain_programs_never_load_wrapt_nor_asyncio"
    ),
    "no boot in the resource tracker": "test_boot the_resource_tracker_of_multiprocessing_is_left_alone",
    "every module of the standard library imported first": (
        "test_stdlib_modules every_module_imported_first_is_as_bare"
    ),
    # excepthook
    "excepthook 1, 6: event with locals, end as ever": "test_excepthook crash_is_reported_and_ends_as_ever",
    "excepthook 2: previous hook": (
        "test_interpreter the_previous_hook_gets_the_very_same_objects_once_and_we_report"
    ),
    "excepthook 3: sys.ps1 and always_run": (
        "test_excepthook interactive_prompt_is_left_alone_unless_asked typing_errors_are_events_when_asked_for"
        " test_interpreter at_a_prompt_the_traceback_is_printed_as_ever"
    ),
    "excepthook 4: always_run must be a bool": "test_excepthook wrong_setting_is_refused_in_one_line",
    "excepthook 5: SystemExit, Ctrl-C": "test_excepthook ordinary_ends_are_no_events ctrl_c_is_no_event",
    "excepthook 7: exceptiongroup's output": "test_excepthook backport_of_exception_groups_prints_as_ever",
    "excepthook 8: logged and raised": (
        "test_interpreter logged_and_raised_to_the_top_is_one_event_and_the_first_wins"
    ),
    "excepthook 9: our fault": "test_excepthook failing_capture_keeps_the_traceback without_stderr",
    "excepthook 10: prompts": "test_excepthook typing_errors_at_a_prompt_are_no_events",
    "excepthook: ways to start, forks, names, typer": (
        "test_excepthook every_way_to_start_a_program forked_child_that_fails_is_reported"
        " hook_that_replaces_ours_keeps_its_say test_boot the_wire_bears_no_other_hooks_name"
        " test_typer error_is_one_event_and_printed_as_ever"
    ),
    # atexit
    "atexit 1: delivered, no word": "test_atexit events_of_the_last_moment_are_delivered",
    "atexit 3, 4: timeout": "test_atexit exit_waits_no_longer_than_the_timeout_for_a_hanging_server",
    "atexit 5: captured at exit, no threads": (
        "test_atexit event_captured_in_a_callback_of_the_application_at_exit"
        " test_transport without_a_thread_the_caller_of_close_delivers"
    ),
    "atexit 7: fork": "test_atexit event_of_the_parent_is_not_sent_again_by_a_forked_child",
    "atexit 8: signals by option": (
        "test_atexit signal_by_option_delivers_and_still_kills without_the_option_no_handler_is_installed"
        " handlers_of_the_application_stay"
    ),
    # dedupe
    "dedupe 1-3": (
        "test_dedupe same_exception_on_its_way_up_is_one equal_exceptions_are_two"
        " interleaved_exceptions_are_remembered instance_raised_anew_is_a_new_failure"
    ),
    "dedupe 4: messages": "test_interpreter messages_are_no_repeats_of_each_other",
    "dedupe 5: nothing kept": (
        "test_dedupe nothing_is_kept_alive test_interpreter exceptions_are_let_go_by_dedupe"
    ),
    "dedupe 6: futures": "test_concurrent_futures a_failure_raised_to_the_top_by_result_is_one_event",
    "dedupe 7: raise from": "test_interpreter an_effect_shows_the_cause_that_was_reported_before",
    # exceptions
    "exceptions 1-4, 9: chains": (
        "test_capture_exceptions chains_run_from_the_oldest_cause_to_the_raised_exception a_circle_of_causes_ends"
    ),
    "exceptions 5, 6: notes": "test_capture_exceptions notes_follow_the_text",
    "exceptions 7: errno": "test_capture_exceptions error_numbers_are_given_with_their_names",
    "exceptions 8: failing str": "test_capture_exceptions a_str_that_raises_costs_only_the_text",
    "exceptions 10, 11: groups": (
        "test_capture_exceptions a_group_is_flattened_depth_first_with_ids a_group_as_cause_shows_its_members"
    ),
    "exceptions 12: deep": "test_capture_stacktrace a_traceback_of_100000_frames_does_not_hang",
    "exceptions: remote tracebacks": (
        "test_capture_exceptions the_traceback_of_a_pool_worker_is_text_and_not_a_false_link"
    ),
    # logging
    "logging 1, 2": "test_logging info_is_a_breadcrumb_and_error_an_event critical_is_fatal",
    "logging 3, 4: extra": "test_logging extra_is_shown_and_nothing_else_is",
    "logging 5-7": (
        "test_logging exception_has_its_mechanism_and_the_logged_text stack_is_shown_without_logging_itself"
        " no_exc_info_is_none test_interpreter empty_exc_info_of_any_kind_is_none"
    ),
    "logging 8, 9": (
        "test_logging levels_filters_and_disabling_of_the_program_come_first"
        " test_interpreter levels_below_the_thresholds_of_loggers_are_nothing"
        " the_record_that_a_filter_puts_in_place_is_the_one_seen"
    ),
    "logging 10: ignored loggers": "test_logging ignored_loggers",
    "logging 11-13": (
        "test_logging warnings_group_by_their_text renamed_levels_stay_what_they_are"
        " custom_levels_are_rounded_down_and_keep_their_name"
    ),
    "logging 14: malformed": (
        "test_logging malformed_call_is_an_event test_interpreter malformed_calls_are_breadcrumbs_too"
    ),
    "logging 15-18": (
        "test_logging handler_that_raises_loses_neither_its_error_nor_the_event"
        " queue_handler_and_listener_make_one_event thresholds_can_be_none breadcrumbs_can_be_off"
        " logger_without_handlers_and_propagation"
    ),
    "logging 19: no loop": "test_logging delivery_at_debug_level_makes_no_loop",
    "loguru 1-7": (
        "test_loguru levels_become_breadcrumbs_and_events sinks_removed_by_the_program_do_not_end_it"
        " exception_and_extra records_of_logging_handed_over_are_one_event"
    ),
    # http.client
    "http.client 1-6": (
        "test_stdlib request_is_a_breadcrumb_with_its_status_and_level hook_may_change_and_drop_breadcrumbs"
        " put_request_without_url second_request_before_the_answer_leaves_the_first_one_intact"
        " test_outgoing an_answer_asked_for_in_an_outdated_way_is_noted_once"
    ),
    "http.client 7, 8: trace": (
        "test_stdlib continued_trace_is_handed_on_with_its_own_baggage"
        " test_traces_stdlib each_request_carries_its_own_span"
        " test_outgoing outside_of_transactions_the_trace_goes_along_with_tracing_on"
    ),
    "http.client 9: targets": (
        "test_stdlib targets_decide_which_requests_carry_the_trace no_targets_in_the_file_means_no_headers"
        " test_outgoing targets_are_searched_for_in_the_url"
    ),
    "http.client 10, 12, 13, 15: spans": (
        "test_traces_stdlib request_without_an_answer_is_a_failed_span span_lasts_as_long_as_the_body"
        " slow_request_names_the_line_of_the_application test_stdlib failed_requests_are_breadcrumbs_without_status"
    ),
    "http.client 11: tunnel": "test_stdlib request_through_a_tunnel_names_target_and_proxy",
    "http.client 14: our server": "test_stdlib our_own_server_is_left_alone",
    # subprocess
    "subprocess 1, 3: environment": (
        "test_stdlib child_gets_the_trace_and_nothing_else_changes_in_its_environment"
        " positional_arguments_reach_the_process test_outgoing processes_of_gevent_are_seen"
        " a_trace_taken_over_from_the_environment_goes_no_further_by_itself"
    ),
    "subprocess 2, 8: message": (
        "test_stdlib started_processes_are_breadcrumbs"
        " test_outgoing every_way_to_start_a_process_is_one_breadcrumb"
    ),
    "subprocess 4, 6, 7: failures": "test_stdlib processes_that_cannot_start_fail_as_ever_and_are_breadcrumbs",
    "subprocess 5: spans": "test_traces_stdlib process_is_a_span_of_start_and_one_of_waiting",
    "subprocess 9: secrets": "test_stdlib secrets_on_command_lines_are_filtered",
    "subprocess 10: off": "test_stdlib disabled_by_name_nothing_is_touched",
    # threads
    "threads 1, 12": "test_threading a_failing_target_is_one_event_and_the_programs_hook_is_called_once switched_off_nothing_is_seen",
    "threads 2: the documented sample": "test_threading the_documented_sample a_thread_that_starts_a_thread_hands_on",
    "threads 3: spans of pools": (
        "test_interpreter spans_of_pool_tasks_are_the_submitters_only_with_propagation"
    ),
    "threads 4, 8, 16": "test_threading subclasses_instance_level_run_and_timers",
    "threads 5, 6": "test_threading names_and_identities_stay scopes_are_forked_both_ways",
    "threads 7": "test_traces_stdlib threads_and_tasks_begin_below_the_span_that_started_them",
    "threads 9, 10": "test_threading system_exit_is_none_and_other_base_exceptions_are_events",
    "threads 11, 14": "test_threading starting_twice_fails_as_ever a_finished_thread_goes_without_the_collector",
    "threads 13, 15, 16: pools": (
        "test_concurrent_futures tasks_have_the_tags_of_their_submitter_and_of_nobody_else"
        " map_carries_as_submit_does run_in_executor_carries"
    ),
    # asyncio
    "asyncio 1-5, 7": (
        "test_asyncio a_task_that_nobody_awaits_is_one_event what_somebody_awaits_is_theirs"
        " a_failing_callback_is_one_event_with_its_scope"
        " the_programs_exception_handler_is_called_with_what_it_would_get"
    ),
    "asyncio 6: uvloop": "test_asyncio uvloop_is_watched_alike",
    "asyncio 8-10": (
        "test_asyncio a_failing_group_is_one_event_at_the_top eager_tasks_go_on_working"
        " a_context_that_is_given_is_the_tasks_own"
    ),
    "asyncio: task_spans": "test_interpreter tasks_are_spans_when_asked_for tasks_are_no_spans_unless_asked_for",
    # multiprocessing
    "multiprocessing 1-3": "test_multiprocessing a_child_that_fails_is_one_event_from_the_child",
    "multiprocessing 4-6": (
        "test_multiprocessing what_a_child_captured_arrives_before_the_parent_ends"
        " an_error_in_a_pools_task_is_the_parents"
        " a_plain_fork_is_as_any_process_and_sends_nothing_of_its_parents"
    ),
    # small ones
    "unraisablehook 1, 2, 4, 5": (
        "test_unraisablehook failing_finaliser_is_reported_and_printed_as_ever"
        " ctrl_c_and_errors_without_traceback_are_no_events hook_of_the_application_in_front_of_ours_is_called_once"
        " callback_at_exit_is_reported_before_the_last_flush"
        " test_interpreter failing_weak_reference_callback_is_reported"
    ),
    "argv": (
        "test_on_every_event argv_is_read_at_the_events_time each_is_off_by_name"
        " extra_of_a_wrong_type_is_survived_by_argv"
        " test_interpreter transactions_have_command_line_and_runtime_but_no_modules"
    ),
    "sys_exit": "test_sys_exit which_ends_are_reported off_unless_asked_for_and_then_not_there_at_all",
    "modules": (
        "test_on_every_event modules_lists_what_is_installed slow_path_holds_no_event_up"
        " broken_metadata_folders_do_no_harm test_interpreter installed_packages_are_read_once"
    ),
    "socket": (
        "test_on_request connections_and_lookups_are_breadcrumbs"
        " test_outgoing connections_and_lookups_are_spans sockets_are_no_spans_unless_asked_for"
    ),
    "gnu_backtrace": "test_on_request gnu_frames_leave_the_text_and_follow_the_frames text_without_gnu_frames_stays",
    "pure_eval, executing": (
        "test_on_request expressions_near_the_failing_statement_come_first without_source_the_variables_stay"
        " without_the_packages_the_variables_stay executing_qualifies_the_functions_of_frames"
    ),
    "cloud_resource_context": (
        "test_on_request aws_is_asked_with_a_token google_is_asked_and_its_zone_read refused_or_away_is_no_cloud"
        " documents_in_part_or_broken provider_that_is_named_is_the_only_one_asked"
    ),
    "runtime": "test_on_every_event runtime_system_and_device_are_on_every_event context_that_the_application_set_wins",
    "faulthandler": (
        "test_fatal_signals crash_is_one_fatal_event_with_the_stacks_of_all_threads"
        " test_faulthandler handler_of_the_application_stays"
    ),
    # Where the field's reference is passed, beyond what stands above.
    "beyond 1: requests that get no answer": "test_stdlib failed_requests_are_breadcrumbs_without_status",
    "beyond 4: run of an instance, errors beyond Exception": (
        "test_threading subclasses_instance_level_run_and_timers"
        " system_exit_is_none_and_other_base_exceptions_are_events"
    ),
    "beyond 7: groups that are only a cause": "test_capture_exceptions a_group_as_cause_shows_its_members",
    "beyond 8: OpenAI": (
        "test_openai parsed_answers_are_one_span_each raw_answers answers_with_several_choices roles_are_made_common_and_the_callers_messages_left_alone"
        " test_openai_streams the_span_ends_once_on_every_way_out a_stream_that_breaks_off_is_an_error_and_a_finished_span"
        " pieces_of_calls_are_put_together numbers_of_nothing_are_not_set streamed_responses_have_text_of_text_alone"
    ),
    "beyond 9: LaunchDarkly": "test_launchdarkly a_program_under_the_launcher after_postfork async_client",
    "beyond 10: Statsig": "test_statsig second_server_of_one_process shared_instance_of_the_core",
    "beyond 11: children of multiprocessing": (
        "test_multiprocessing a_child_that_fails_is_one_event_from_the_child"
    ),
    "beyond 12: one event per failure, on every loop": "test_asyncio what_somebody_awaits_is_theirs uvloop_is_watched_alike",
    "beyond 13: exit without a word, soon": (
        "test_atexit embedded_store_needs_no_wait nothing_captured_means_no_wait_and_nothing_loaded"
    ),
    "beyond 14, 15: backport's output, prompts of asyncio": (
        "test_excepthook backport_of_exception_groups_prints_as_ever interactive_prompt_is_left_alone_unless_asked"
    ),
    "beyond 16: loguru's sinks removed": "test_loguru sinks_removed_by_the_program_do_not_end_it",
    "beyond 18: command lines": "test_stdlib secrets_on_command_lines_are_filtered",
    "beyond 20: nothing for plain scripts": "test_interpreter plain_programs_never_load_wrapt_nor_asyncio",
}

#: Where we do something else than others do, and why.
OTHERWISE = {
    "excepthook: the level is fatal": "what ends the process is kept on disk with more care than the rest",
    "excepthook: Ctrl-C is no event": "it is no failure",
    "atexit 2, 6: neither message nor callback": "nobody loses anything by leaving: what is pending lies on disk",
    "exceptions: each link says how it is linked": "servers of today show it",
    "logging: urllib3's loggers are not left out": "our own requests are known by their thread",
    "unraisablehook 3, asyncio: on by default": "zero code; repeats from one place are held back",
    "subprocess: one span of waiting": "what nests in it says nothing new",
}


@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_is_proven(fact: str) -> None:
    assert missing(FACTS[fact]) == []
