# SPDX-License-Identifier: MIT
"""What a client core has to prove, point by point, and the tests here that prove it. A test that is renamed or
taken away without its point being proven elsewhere is missed here."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

POINTS = {
    "DSN: IPv6, sub-path, secret, percent-encoding, text project": "parts errors_are_told_apart_and_name_no_key",
    "authentication header": "auth_header the_request_is_the_one_of_the_protocol",
    "envelope: golden bytes, lengths, empty payload, newlines": (
        "golden_bytes a_built_envelope_has_its_headers_and_no_time_of_sending"
        " a_reader_is_as_tolerant_as_the_servers what_is_no_envelope_is_refused"
    ),
    "compression: round trip and threshold": "only_larger_bodies_are_compressed_and_always_to_the_same_bytes",
    "each status code": (
        "what_every_status_means what_the_server_refuses_is_given_up_and_counted"
        " a_busy_server_is_asked_again_later an_event_that_is_too_large_is_sent_again_without_its_bulk"
        " strict_protocol_gives_up_at_once"
    ),
    "rate limits": (
        "the_header_counts_on_every_answer 429_without_the_header_obeys_retry_after"
        " 429_without_any_header_holds_for_a_minute a_shorter_limit_does_not_end_a_longer_one"
        " a_limit_on_everything_covers_every_category a_limit_on_one_category_does_not_hold_up_another"
        " limited_items_are_taken_out_of_an_envelope 429_keeps_the_event_until_the_limit_ends"
    ),
    "client reports: cadence, quantities, no loop": (
        "losses_are_summed_by_reason_and_category a_report_that_could_not_be_delivered_is_counted_again"
        " a_report_rides_along_after_30_seconds_and_has_an_envelope_of_its_own_after_60"
        " client_reports_can_be_switched_off"
    ),
    "event: golden file, Relay, Bugsink": (
        "golden_bytes whatever_is_captured_passes_the_servers_normaliser"
        " crash_with_everything_on_it_is_stored only_attributes_of_the_schema_are_sent"
    ),
    "exceptions: chains, circles, 5000 links": (
        "chains_run_from_the_oldest_cause_to_the_raised_exception a_circle_of_causes_ends"
        " an_exception_that_is_its_own_cause a_chain_of_5000_keeps_the_newest_and_the_first_cause"
    ),
    "exceptions: groups and notes": (
        "a_group_is_flattened_depth_first_with_ids a_group_as_cause_shows_its_members"
        " a_group_of_10000_is_capped_quickly notes_follow_the_text"
    ),
    "exceptions: hostile str, repr, eq": (
        "a_str_that_raises_costs_only_the_text exceptions_that_cannot_be_compared_hashed_or_marked"
        " hostile_attributes_of_an_exception_are_not_touched"
    ),
    "exceptions: KeyError, errno, SyntaxError, deep recursion, no traceback": (
        "the_text_of_an_exception_is_what_a_traceback_prints error_numbers_are_given_with_their_names"
        " a_syntax_error_shows_the_place_it_speaks_of of_1000_frames_the_first_50_and_the_last_200_are_kept"
        " an_exception_that_was_not_raised_has_no_stack_trace"
    ),
    "source: exec'd, zip, .pyc only, deleted, huge lines, other encodings, no file": (
        "generated_code_shows_the_source_in_linecache source_comes_from_a_zip_archive"
        " a_module_that_is_byte_code_only_has_its_frame_and_no_source"
        " a_source_that_was_deleted_meanwhile_costs_its_lines_only"
        " source_in_another_encoding_and_with_huge_lines"
        " a_frame_whose_file_does_not_exist_as_extension_modules_have_them"
    ),
    "variables": (
        "secrets_in_locals_are_filtered_by_name_and_by_look huge_values_cost_less_than_a_millisecond"
        " a_lazy_query_is_not_run mocks_are_shown_without_being_called circles_and_deep_nesting_end"
        " of_100_locals_the_first_are_shown_and_the_rest_counted"
        " no_method_of_the_application_runs_while_its_values_are_described"
    ),
    "whose code a frame is": (
        "whose_code_a_frame_is a_virtual_environment_inside_the_project_is_not_the_application"
        " the_standard_library_is_not_the_application_even_when_the_root_holds_it"
    ),
    "breadcrumbs: ring, fork, hook": (
        "breadcrumbs_are_a_ring_sorted_over_scopes_and_copied"
        " before_breadcrumb_that_raises_drops_the_crumb_and_no_event"
    ),
    "tags, user, request put right": (
        "tags_are_texts_of_bounded_length users_are_known_attributes_as_text_and_the_rest_is_data"
        " requests_are_known_attributes_without_secrets attributes_are_put_right"
    ),
    "scrubbing": (
        "names_of_secrets_are_known_in_every_spelling secrets_are_known_by_their_look command_lines"
        " query_strings_keep_their_form trees_are_scrubbed_at_any_depth_and_say_where"
        " none_of_forty_secrets_leaves_the_process the_key_of_our_own_dsn_is_a_secret_anywhere"
    ),
    "_meta": "what_is_cut_or_filtered_is_told_in_meta a_large_event_sheds_in_order_and_says_so",
    "scopes: threads, executors, tasks, generators, nesting, other contexts, greenlets": (
        "threads_have_scopes_of_their_own executors_and_copied_contexts_see_the_scope_they_were_given"
        " tasks_inherit_and_do_not_leak async_generators_leave_no_scope_behind deeply_nested_blocks"
        " scope_can_be_entered_again_on_another_thread greenlets_have_scopes_of_their_own"
    ),
    "propagation: parsing, own server left alone": (
        "sentry_trace_is_parsed_tolerantly traceparent_is_read_where_sentry_trace_is_absent"
        " our_own_server_is_left_alone continued_trace_is_handed_on_with_its_own_baggage"
    ),
    "worker: full queue, slow, refused, hanging": (
        "memory_is_bounded_and_what_gives_way_is_counted a_server_that_comes_back_gets_everything"
        " a_server_that_never_answers_delays_the_end_by_the_timeout_and_no_more"
        " a_server_that_is_known_to_be_down_does_not_delay_the_end"
        " an_endless_answer_is_read_no_further_than_64_kib"
    ),
    "worker: forks": (
        "children_of_a_parent_whose_threads_capture_never_hang_and_lose_nothing"
        " a_child_sends_its_own_events_and_not_the_parents preloaded_application"
        " children_of_multiprocessing_report_once_each the_parents_connection_survives_its_children"
    ),
    "worker: os._exit, SIGTERM, shutdown, atexit, close twice, after close": (
        "a_sudden_end_leaves_everything_to_the_next_process sigterm_keeps_its_default_meaning"
        " no_thread_of_ours_is_alive_when_the_interpreter_is_torn_down"
        " the_first_event_of_an_atexit_callback_is_delivered closing_twice_and_capturing_after_it"
        " an_event_after_close_is_kept_for_the_next_process flush_does_not_wait_for_itself"
    ),
    "proxies, SOCKS, CA, client certificates": (
        "which_proxy_is_used a_proxy_is_used_and_given_its_password socks_proxies_are_spoken_to"
        " a_ca_bundle_can_be_named the_certificate_is_shown_where_it_is_asked_for"
    ),
    "recursion": (
        "log_records_of_hooks_do_not_become_events a_repr_that_captures_inside_of_a_capture"
        " debug_logs_of_the_sending_library_are_neither_events_nor_breadcrumbs"
    ),
    "Spotlight: where to, pauses": (
        "where_to nobody_listens_costs_one_line_and_a_pause_that_doubles"
        " events_that_the_server_limits_are_copied_all_the_same"
    ),
    "sessions": (
        "units_of_work_are_counted_by_their_outcome nothing_is_sent_unless_asked_for_and_with_a_release"
        " messages_do_not_count_as_errors_and_sampled_out_errors_do"
    ),
    "check-ins": "a_job_that_ends_well a_job_that_fails_is_raised_on schedules slugs_are_what_servers_take",
    "feedback": "feedback_is_an_item_of_its_own_about_the_last_error",
    "hooks by dotted path": (
        "hooks_from_the_environment_and_the_file a_hook_is_imported_at_its_first_use_only"
        " filters_that_fail_drop_the_event_count_it_and_say_so_once before_send_may_return_rubbish"
    ),
}


@pytest.fixture(scope="module")
def tests() -> set[str]:
    found: set[str] = set()
    for path in Path(__file__).parents[1].rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                found.add(node.name[5:])
    return found


@pytest.mark.parametrize("point", POINTS)
def test_every_point_is_proven(tests: set[str], point: str) -> None:
    assert set(POINTS[point].split()) - tests == set()
