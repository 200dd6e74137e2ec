# SPDX-License-Identifier: MIT
"""The plan of faults, the promises of the spool, of fatal signals and of safety, and the tests that prove each: ``file``
and then, after it, names of tests in that file. docs/faults.md tells the same fault by fault, for readers."""

from __future__ import annotations

import pytest

from proven import missing

PLAN = {
    "T1: a normal end, and its code": (
        "test_delivery_at_exit a_normal_end_delivers_everything_and_keeps_its_code a_healthy_server_delays_the_end_little"
        " test_atexit events_of_the_last_moment_are_delivered"
    ),
    "T2: a sudden end; signals as without us": (
        "test_delivery_at_exit a_sudden_end_leaves_everything_to_the_next_process sigterm_keeps_its_default_meaning"
        " test_launcher signal_handlers_of_python_are_the_same signal_dispositions_are_the_same"
        " test_excepthook ctrl_c_is_no_event"
    ),
    "T3: kill -9 at random moments, and at each call": (
        "test_delivery_and_kill no_accepted_event_is_lost_by_kill_9"
        " test_every_call every_call_may_be_the_last_or_fail every_call_may_fail_in_every_way"
        " test_storm_and_kill counts_survive_kill_9_at_any_moment"
    ),
    "T4: fatal signals": (
        "test_fatal_signals crash_is_one_fatal_event_with_the_stacks_of_all_threads crash_in_a_thread_names_that_thread"
        " crash_where_little_can_be_said_is_one_event_all_the_same forked_childs_crash_is_its_own"
        " test_supervisor fatal_error_of_the_interpreter_is_reported_though_it_leaves_no_stacks"
    ),
    "T5: killed from outside, and for want of memory": (
        "test_supervisor kill_is_reported_at_once_and_passed_on"
        " death_by_want_of_memory_is_told_apart_by_the_control_group polite_end_is_passed_on_and_no_news"
    ),
    "T6: MemoryError under a limit": "test_nothing_left end_is_as_ever_and_reported reserves_are_no_memory_in_use",
    "T7: power cut": (
        "test_bounds after_a_power_cut_what_was_synced_is_there_and_nothing_is_broken"
        " what_ends_a_process_outlives_a_loss_of_power what_cannot_be_delivered_is_written_out_once_a_second"
        " with_the_server_away_the_worker_sees_to_that"
    ),
    "T8: multiprocessing and pools": (
        "test_multiprocessing a_child_that_fails_is_one_event_from_the_child an_error_in_a_pools_task_is_the_parents"
        " test_concurrent_futures process_pools_report_in_the_process_that_submitted"
        " test_processes children_of_multiprocessing_report_once_each children_of_billiard_report_once_each"
        " test_delivery_and_fork a_child_of_multiprocessing_that_ends_without_us_leaves_its_events"
    ),
    "T9: the last moments": (
        "test_last_moments what_comes_last_is_stored_and_nobody_is_told"
        " test_delivery_at_exit the_first_event_of_an_atexit_callback_is_delivered"
        " no_thread_of_ours_is_alive_when_the_interpreter_is_torn_down"
        " test_transport without_a_thread_the_caller_of_close_delivers"
        " without_a_thread_the_caller_of_close_waits_no_longer_than_allowed"
        " test_applications a_first_event_at_exit_is_not_lost"
    ),
    "T10: descriptors used up": (
        "test_nothing_left end_is_as_ever_and_reported test_bad_input descriptors_used_up"
        " test_delivery_at_exit the_exit_code_is_kept_when_no_descriptor_is_left"
        " test_spool an_open_segment_needs_no_more_descriptors without_descriptors_put_fails_and_later_succeeds"
    ),
    "T11: crash loop": (
        "test_delivery_at_exit a_crash_loop_of_a_program_with_a_slow_server_delivers_as_it_goes"
        " test_backlog script_that_has_nothing_to_report_delivers_it_at_exit server_delivers_it_at_its_first_request"
    ),
    "T12: before the first line": (
        "test_excepthook every_way_to_start_a_program"
        " test_last_moments program_that_breaks_before_its_first_line_is_reported"
        " test_launcher a_broken_agent_does_not_keep_the_command_from_running"
    ),
    "T13: server away, then back; next process, sibling": (
        "test_transport a_server_that_comes_back_gets_everything the_next_process_delivers_what_was_left"
        " at_exit_a_healthy_server_is_given_what_was_left_too"
        " test_delivery_at_exit a_living_sibling_delivers_what_a_killed_process_left"
    ),
    "T14: each status": (
        "test_sender what_every_status_means test_transport what_the_server_refuses_is_given_up_and_counted"
        " a_busy_server_is_asked_again_later a_pause_grows_and_is_bounded"
        " a_server_that_fails_on_one_event_is_given_three_tries_and_the_others_get_through"
        " wrong_settings_are_told_with_their_remedy_and_everything_is_kept"
        " an_event_that_is_too_large_is_sent_again_without_its_bulk 429_keeps_the_event_until_the_limit_ends"
        " strict_protocol_gives_up_at_once"
    ),
    "T15: servers and resolvers that hang": (
        "test_sender an_answer_has_to_be_there_in_time a_black_hole_is_given_up_after_the_connect_timeout"
        " a_hanging_request_is_cut_short_from_another_thread faults_of_the_network_are_put_into_words"
        " test_delivery_at_exit a_server_that_never_answers_delays_the_end_by_the_timeout_and_no_more"
        " a_resolver_that_hangs_delays_the_end_by_the_timeout_and_no_more"
        " a_server_that_is_known_to_be_down_does_not_delay_the_end"
        " test_atexit exit_waits_no_longer_than_the_timeout_for_a_hanging_server test_bad_input unreachable_server"
    ),
    "T16: hostile servers, proxies": (
        "test_sender no_redirect_is_followed an_endless_answer_is_read_no_further_than_64_kib"
        " answers_without_end_of_every_kind_are_given_up an_untrusted_certificate_is_never_talked_to"
        " which_proxy_is_used test_rate_limits the_header_counts_on_every_answer"
        " 429_without_the_header_obeys_retry_after"
        " test_transport an_untrusted_certificate_is_told_with_its_remedy_and_everything_is_kept"
    ),
    "T17: clocks that jump": "test_bounds too_old_goes_but_not_because_a_clock_jumped",
    "T18: forks while threads capture": (
        "test_delivery_and_fork children_of_a_parent_whose_threads_capture_never_hang_and_lose_nothing"
        " children_of_terminals_and_of_subprocess_are_children_too"
        " a_child_sends_its_own_events_and_not_the_parents"
        " a_fork_in_the_middle_of_our_imports_leaves_a_child_that_can_import"
        " test_fork_warnings hundreds_of_forks_at_any_moment_warn_of_nothing_and_nothing_is_lost_or_sent_twice"
    ),
    "T19: forks without Python's hooks": (
        "test_delivery_and_fork a_child_sends_its_own_events_and_not_the_parents a_child_that_puts_nothing_ends_at_once"
        " test_spool a_forked_child_writes_elsewhere_and_frees_the_parents_lock"
        " test_processes uwsgi_reports_from_its_workers_and_has_no_thread_in_its_master"
        " test_uwsgi each_failure_once_however_the_application_is_found"
    ),
    "T20: servers and workers": (
        "test_processes gunicorn_reports_from_the_worker gunicorn_reports_from_the_worker_of_a_master_that_replaced_itself"
        " errors_before_and_after_a_fork_all_arrive workers_of_uvicorn_are_reached workers_of_celery_are_reached"
        " test_wsgi_servers_all each_failure_once_and_answers_as_without_us"
        " test_asgi_servers each_failure_once test_celery_pools one_event_a_failed_task_and_none_for_others"
        " test_celery_recycled events_of_recycled_processes_are_there_once"
        " test_celery task_whose_process_was_killed_is_reported_by_the_parent"
        " test_mod_wsgi application_watched_by_hand test_greenlet_workers requests_at_once_keep_to_themselves"
    ),
    "T21: signal handlers, finalisers, the collector": (
        "test_transport events_from_a_signal_handler_that_interrupts_everything_arrive"
        " test_spool threads_a_signal_handler_and_del_lose_nothing_while_segments_come_and_go"
        " test_client captures_from_signal_handlers_and_finalisers"
        " test_logging finalisers_and_signals_from_the_first_capture_to_the_spool_never_deadlock"
        " test_last_moments captures_while_the_collector_runs_and_of_weak_references_are_all_counted"
        " test_recursion a_repr_that_captures_inside_of_a_capture test_boot warnings_as_errors_find_nothing"
    ),
    "T22: hooks and functions of ours that fail": (
        "test_hooks filters_that_fail_drop_the_event_count_it_and_say_so_once"
        " error_sampler_decides_and_a_bad_one_keeps_the_event nothing_is_captured_while_a_hook_runs"
        " test_client before_send_may_return_rubbish capture_inside_of_a_hook_is_dropped"
        " test_internal_faults whatever_of_ours_breaks_the_application_ends_as_ever"
    ),
    "T23: every source of errors": (
        "test_excepthook crash_is_reported_and_ends_as_ever ordinary_ends_are_no_events ctrl_c_is_no_event"
        " error_in_the_users_hook_keeps_the_traceback hook_that_replaces_ours_keeps_its_say"
        " test_threading a_failing_target_is_one_event_and_the_programs_hook_is_called_once"
        " test_unraisablehook failing_finaliser_is_reported_and_printed_as_ever raw_thread_is_reported"
        " callback_at_exit_is_reported_before_the_last_flush"
        " test_interpreter failing_weak_reference_callback_is_reported"
        " test_asyncio a_task_that_nobody_awaits_is_one_event a_failing_callback_is_one_event_with_its_scope"
        " a_failing_group_is_one_event_at_the_top"
        " test_concurrent_futures an_error_that_nobody_collects_is_reported_in_the_tasks_scope"
        " a_done_callback_that_fails_is_one_event test_sys_exit which_ends_are_reported"
    ),
    "T24: greenlets that patch, early or late": (
        "test_applications greenlets_patched_first_thing_find_nothing_imported"
        " greenlets_patched_after_the_first_event_do_no_harm"
        " test_greenlet_workers requests_at_once_keep_to_themselves"
    ),
    "T25: sub-interpreters, no global lock, Windows": (
        "test_processes every_subinterpreter_has_wires_of_its_own"
        " test_last_moments free_threaded_python_counts_every_error_of_32_threads"
        " test_applications on_windows_the_command_is_a_child_that_gets_ctrl_c"
    ),
    "T26: hostile values": (
        "test_capture_variables no_method_of_the_application_runs_while_its_values_are_described"
        " a_whole_event_with_hostile_locals_runs_none_of_their_code mocks_are_shown_without_being_called"
        " huge_values_cost_less_than_a_millisecond a_frame_stays_within_its_bytes"
        " test_capture_event whatever_is_captured_becomes_valid_json_within_bounds an_absurd_event_is_still_sent"
    ),
    "T27: deep, long and circular": (
        "test_capture_variables circles_and_deep_nesting_end"
        " test_capture_stacktrace of_1000_frames_the_first_50_and_the_last_200_are_kept"
        " a_traceback_of_100000_frames_does_not_hang"
        " test_capture_exceptions a_circle_of_causes_ends a_chain_of_5000_keeps_the_newest_and_the_first_cause"
        " a_group_of_10000_is_capped_quickly a_text_of_100_mb_is_cut"
    ),
    "T28: lazy objects": (
        "test_last_moments lazy_objects_of_real_libraries_are_described_without_being_asked"
        " test_capture_variables a_lazy_query_is_not_run"
    ),
    "T29: storms": (
        "test_storm every_error_of_a_storm_is_told_or_counted storm_of_ten_thousand_a_second_for_a_minute"
        " test_storms counts_are_exact_from_many_threads no_cap_at_zero what_is_remembered_is_bounded_and_keeps_what_has_something_to_tell"
        " test_budget a_storm_of_different_errors_loses_its_variables_then_its_events_and_no_count"
        " test_storm_and_kill counts_are_the_parents_alone_and_told_once_though_a_child_lives_on"
    ),
    "T30: nothing is kept alive": (
        "test_client exception_and_its_frames_are_let_go test_capture_stacktrace nothing_of_the_exception_stays_alive"
        " test_dedupe nothing_is_kept_alive"
    ),
    "T31: full disks": (
        "test_full_disk reserve_keeps_what_ends_the_process_and_all_that_was_accepted_is_there"
        " space_that_comes_back_is_used_at_once test_bad_input full_disk full_file_system stderr_is_a_full_device"
        " test_spool a_short_write_is_no_success_and_costs_no_other_record"
        " test_transport a_full_disk_is_told_once_and_events_go_through_memory"
        " test_every_call every_call_may_be_the_last_or_fail"
    ),
    "T32: no usable folder": (
        "test_places the_candidates_in_their_order without_home_the_user_database_is_asked"
        " an_unusable_wish_is_told_once_and_the_next_folder_used no_folder_at_all_is_told_with_a_remedy"
        " test_transport without_any_folder_events_go_through_memory"
        " test_spool without_locks_a_segment_is_abandoned_when_its_writer_is"
        " test_bad_input read_only_store_folder unwritable_store_folder home_unset_and_no_folder_named"
    ),
    "T33: damaged segments": (
        "test_segment records_that_were_not_damaged_are_all_found a_torn_record_costs_only_itself"
        " a_zeroed_or_empty_head_is_no_record test_spool garbage_in_the_folder_does_no_harm"
    ),
    "T34: folders of strangers, links": (
        "test_places what_a_stranger_could_have_prepared_is_refused nothing_is_made_below_a_strangers_link"
        " private_folder_that_a_stranger_has_prepared_is_refused a_folder_of_another_user_is_refused"
        " test_spool links_and_strange_files_are_not_claimed test_segment only_plain_files_are_read"
    ),
    "T35: secrets": (
        "test_planted_secrets none_of_forty_secrets_leaves_the_process the_search_finds_a_secret_that_is_there"
        " test_capture_event secrets_planted_in_40_places_are_not_in_the_bytes"
        " test_capture_scrubber secrets_are_known_by_their_look names_of_secrets_are_known_in_every_spelling"
    ),
    "T36: the key of the DSN": (
        "test_last_moments key_of_the_dsn_is_on_no_command_line_of_the_process_or_its_children"
        " test_transport nothing_of_the_key_is_on_disk test_faulthandler keys_of_the_dsn_are_not_written"
        " test_capture_scrubber the_key_of_our_own_dsn_is_a_secret_anywhere"
        " test_waiting what_waits_is_shown_without_the_key"
    ),
    "T37: terminals and names of files": (
        "test_terminal nothing_in_an_event_reaches_the_terminal_unescaped"
        " test_bounds what_a_server_refuses_can_be_looked_at_for_a_day"
    ),
    "T38: what boot imports": (
        "test_boot boot_loads_its_own_few_modules_and_atexit boot_costs_a_fraction_of_an_interpreter_start"
        " boot_does_not_grow test_launcher launcher_imports_nothing_but_its_own_few"
    ),
    "T39: every function of ours breaks; switched off": (
        "test_internal_faults whatever_of_ours_breaks_the_application_ends_as_ever"
        " event_that_a_fault_keeps_off_the_disk_is_delivered_from_memory"
        " test_boot a_fault_at_any_statement_of_boot_leaves_the_application_alone switched_off_nothing_at_all_is_laid"
    ),
}

SPOOL = {
    "5.1: write first, send second": (
        "test_transport an_event_is_on_disk_when_put_returns no_thread_and_no_file_before_the_first_event"
        " a_clean_exit_leaves_no_file test_launcher signal_handlers_of_python_are_the_same"
    ),
    "5.2: where": (
        "test_places the_candidates_in_their_order the_folder_is_made_for_this_user_alone spool_dir_has_its_own_place"
        " test_transport destinations_do_not_mix nothing_of_the_key_is_on_disk"
    ),
    "5.3: format": (
        "test_segment the_frame_is_the_documented_one large_payloads_are_compressed_and_come_back_whole"
        " empty_and_endless_payloads_are_refused marks_are_seen_by_the_next_reader"
        " a_tail_in_the_writing_is_found_when_it_is_complete test_spool the_segment_says_who_wrote_it"
    ),
    "5.4: owners, locks, forks": (
        "test_spool a_living_process_keeps_its_segments claims_are_bounded_and_begin_with_the_oldest"
        " a_hidden_file_is_left_to_its_writer_and_swept_when_it_died"
        " a_forked_child_writes_elsewhere_and_frees_the_parents_lock"
        " without_locks_a_segment_is_abandoned_when_its_writer_is"
        " threads_a_signal_handler_and_del_lose_nothing_while_segments_come_and_go"
        " a_segment_that_a_thread_is_writing_to_is_not_removed"
    ),
    "5.5: durability": (
        "test_bounds what_ends_a_process_outlives_a_loss_of_power what_cannot_be_delivered_is_written_out_once_a_second"
        " after_a_power_cut_what_was_synced_is_there_and_nothing_is_broken"
    ),
    "5.6: bounds": (
        "test_spool a_large_segment_is_followed_by_another an_old_segment_is_followed_by_another"
        " test_bounds oldest_goes_first_and_is_counted what_ended_a_process_outlives_the_rest"
        " process_alone_cannot_write_more_than_the_bound reserve_is_there_for_a_fatal_event_and_for_nothing_else"
        " test_transport losses_are_reported_when_the_transport_is_closed"
        " memory_is_bounded_and_what_gives_way_is_counted"
        " test_storm_and_kill counts_are_exact_whichever_call_is_the_last_or_fails"
    ),
    "5.7: an uploader outlives a program at a terminal": (
        "test_uploader end_takes_no_time_and_everything_arrives auto_is_for_terminals_outside_of_containers"
        " at_a_terminal_the_prompt_is_back_at_once there_is_one_at_a_time_and_it_delivers_what_came_later"
        " uploader_gives_up_after_its_life_and_what_is_left_is_not_tried_again_at_once uploader_has_nothing_of_the_program"
    ),
    "5.7: one thread, from the first event on, gone at the end": (
        "test_transport no_thread_and_no_file_before_the_first_event close_ends_the_thread"
        " without_a_thread_the_caller_of_close_delivers"
        " test_delivery_at_exit no_thread_of_ours_is_alive_when_the_interpreter_is_torn_down"
    ),
    "5.7: timeouts, kept connection, compression": (
        "test_sender a_black_hole_is_given_up_after_the_connect_timeout an_answer_has_to_be_there_in_time"
        " the_connection_is_kept only_larger_bodies_are_compressed_and_always_to_the_same_bytes"
        " answer_in_two_pieces_is_not_waited_for an_idle_connection_is_probed"
    ),
    "5.7: at least once, twice only by death between answer and mark": (
        "test_delivery_and_kill no_accepted_event_is_lost_by_kill_9"
        " test_every_call every_call_may_be_the_last_or_fail test_transport hundreds_of_events_from_many_threads_arrive_exactly_once"
    ),
    "5.7: order": "test_bounds fatal_event_is_sent_first test_transport events_arrive_once_and_in_order",
    "5.7: pauses": (
        "test_transport a_pause_grows_and_is_bounded a_busy_server_is_asked_again_later"
        " flush_tries_at_once_although_a_pause_is_on"
    ),
    "5.7: 400, 404, 422": (
        "test_transport what_the_server_refuses_is_given_up_and_counted"
        " test_bounds what_a_server_refuses_can_be_looked_at_for_a_day only_the_newest_that_were_refused_are_kept"
    ),
    "5.7: 401, 403": "test_transport wrong_settings_are_told_with_their_remedy_and_everything_is_kept",
    "5.7: 408, 425, 502, 503, 504": "test_transport a_busy_server_is_asked_again_later",
    "5.7: 500": (
        "test_transport a_server_that_fails_on_one_event_is_given_three_tries_and_the_others_get_through"
    ),
    "5.7: 413": "test_transport an_event_that_is_too_large_is_sent_again_without_its_bulk",
    "5.7: 429": (
        "test_transport 429_keeps_the_event_until_the_limit_ends a_limit_on_everything_stops_everything"
        " a_limit_on_one_category_does_not_hold_up_another"
        " test_rate_limits the_header_counts_on_every_answer 429_without_any_header_holds_for_a_minute"
    ),
    "5.7: the protocol to the letter, where asked for": "test_transport strict_protocol_gives_up_at_once",
    "5.7: siblings and successors": (
        "test_delivery_at_exit a_living_sibling_delivers_what_a_killed_process_left"
        " test_transport the_next_process_delivers_what_was_left test_spool claims_are_bounded_and_begin_with_the_oldest"
    ),
    "5.8: damage": (
        "test_segment records_that_were_not_damaged_are_all_found"
        " test_transport a_broken_record_does_not_hold_up_the_others"
        " test_drain a_record_that_the_store_cannot_take_does_not_hold_up_the_others"
    ),
    "5.9: nothing unscrubbed on disk": "test_planted_secrets none_of_forty_secrets_leaves_the_process",
}

SIGNALS = {
    "6: a file of stacks, opened at boot, read by whoever comes next": (
        "test_faulthandler fatal_signal_leaves_its_stacks_and_still_kills all_threads_are_in_it"
        " process_that_ends_by_itself_leaves_nothing file_is_locked_while_the_process_lives"
        " test_fatal_signals living_sibling_reports_it what_a_killed_process_left_without_a_crash_goes"
        " file_of_a_living_process_is_left_alone damaged_text_is_still_reported text_of_newer_pythons_is_read"
        " next_process_with_an_event_reports_it_to_the_server_before_its_own"
    ),
    "6: the application's own handler": (
        "test_faulthandler handler_of_the_application_stays application_that_enables_it_later_has_its_way"
    ),
    "6: forked children": (
        "test_faulthandler forked_child_has_a_file_of_its_own parent_of_a_child_that_ended_well_still_has_its_file"
        " test_fatal_signals forked_childs_crash_is_its_own"
    ),
    "6: told once": "test_fatal_signals crash_is_one_fatal_event_with_the_stacks_of_all_threads",
    "6: supervised": (
        "test_supervisor crash_is_one_event_with_its_stacks exit_status_and_output_are_the_commands"
        " every_signal_reaches_the_command process_1_of_a_container_reaps_orphans_and_passes_the_status_on"
        " ctrl_c_at_a_terminal_reaches_the_command_once"
    ),
    "6: never guessed": "test_supervisor polite_end_is_passed_on_and_no_news",
}

SAFETY = {
    "7.1: values by exact types, nothing of theirs runs": (
        "test_capture_variables no_method_of_the_application_runs_while_its_values_are_described"
        " hostile_values_attached_to_an_event_are_not_asked_either standard_types_show_what_they_hold"
        " test_last_moments lazy_objects_of_real_libraries_are_described_without_being_asked"
    ),
    "7.1: repr only where asked for": (
        "test_capture_variables repr_is_called_only_when_asked_for_and_guarded"
        " test_hooks custom_repr_describes_objects_wherever_they_stand"
    ),
    "7.9: three faults switch off; captures have a budget": (
        "test_circuit_breaker after_three_faults_it_is_taken_off doctor_tells_of_it"
        " test_budget a_dear_capture_goes_on_without_variables_and_says_so what_ends_a_process_is_always_an_event"
        " test_doctor doctor_tells_what_captures_may_cost_and_which_process_went_over_it"
    ),
    "7.10: BaseException passes through": (
        "test_capture_variables a_whole_event_with_hostile_locals_runs_none_of_their_code"
        " test_celery soft_time_limit_that_strikes_in_our_code_is_the_tasks"
    ),
}

FACTS = {**PLAN, **SPOOL, **SIGNALS, **SAFETY}

#: Where we do something else than the plan says, or prove less, and why.
OTHERWISE = {
    "T6: fifty times": "the end is the same each time; three kinds of it are tried instead",
    "T11: start is blocked until the backlog is sent": "nobody's start is held up; the end is, by the timeout at most",
    "T14: eight requests an event and day": (
        "one event knocks for all, every quarter of an hour at the longest: a server of one's own that was away over night"
        " has everything fifteen minutes after it is back"
    ),
    "T16: an upgrade to https of the same host is followed": "no redirect at all is: the DSN is to be corrected, and told",
    "T17: libfaketime": "not on the machines of the tests; the clocks that our code asks are moved instead",
    "T18: 2,000 forks": "hundreds, in four ways, with threads that capture; `nox -s faults` kills among forks besides",
    "T20: granian": "not instrumented; its workers are Python processes, and report what ends them",
    "T22: a hook that hangs": "it is the application's code; only what is ours is bounded",
    "T23: sys.excepthook replaced later": "a hook that does not call ours has decided: the error is the application's own",
    "T25: no global lock; Windows": "not promised; tests are written and skipped where there is no such build or system",
    "T29: five events a minute": "a burst of 500 is kept whole first: what fails seldom is never cut",
    "T33: a million mutations": "1,500 a run, of another seed at each; the reader has no state that more could meet",
    "T35: 120 secrets": "forty values in forty places, and every spelling of names by itself",
    "T37: web viewer": "there is none",
    "T38: no dependencies": "urllib3 and wrapt, imported late and only where needed; none at boot",
    "T40: a day": "`nox -s soak` runs for hours, by hand: storms, 20,000 kills; no test can prove a day in CI",
    "5.3: nothing of a storm but its count": "counts have a file of their own (delivery/tally.py): a record each were too dear",
    "5.6: 10,000 records, 16 MB a process": "one bound in bytes (`spool_max_size`), of which no process takes all",
    "5.7: newest twenty first": "own events in their order, fatal ones first: an order that can be told in one line",
    "5.7: redirect of http to https": "see T16",
    "5.7: an uploader for all outside of containers": (
        "at terminals alone, or where it is asked for: elsewhere nobody waits for a prompt, and a process that nobody"
        " asked for is a surprise"
    ),
    "5.8: what our own code fails on is set aside after three tries": (
        "a record that cannot be read is set aside at once; a fault of ours leaves it for a version that can"
    ),
    "5.9: spool in memory only": "not offered: what is on disk is scrubbed, and of the user's own folder",
    "6: taken from an application that has enabled it": "its handler is its own; supervised, the signal is reported anyway",
    "7.1: opt-in by type": "`custom_repr` is asked for each object, and answers for the types it knows",
}


@pytest.mark.parametrize("fact", FACTS)
def test_every_fact_is_proven(fact: str) -> None:
    assert missing(FACTS[fact]) == []


def test_every_test_of_the_plan_has_its_row_or_its_reason() -> None:
    numbers = {fact.partition(":")[0] for fact in (*PLAN, *OTHERWISE)}
    assert {"T%d" % number for number in range(1, 41)} <= numbers
    assert all(OTHERWISE.values())
