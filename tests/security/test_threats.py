"""Every class of threat that the product knows has a test that stands for it, and a line in SECURITY.md."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
THREATS: dict[str, tuple[str, ...]] = {
    "expression escape": (
        "tests/security/test_expression_escapes.py::test_no_expression_touches_files_environment_or_network",
        "tests/engine/expressions/test_abuse.py::test_hostile_expressions_fail_cleanly_and_in_time",
    ),
    "double evaluation": ("tests/security/test_early_runs.py::test_what_an_expression_gives_is_never_parsed_again",),
    "script escape": (
        "tests/security/scripts/test_monty.py::test_no_hostile_script_passes_and_each_ends_in_time",
        "tests/security/scripts/test_cpython.py::test_no_hostile_script_passes_and_each_ends_in_time",
        "tests/security/scripts/test_cpython.py::test_dangerous_system_calls_are_refused_by_the_filter",
    ),
    "code run at validate, preview or import": (
        "tests/security/test_early_runs.py::test_validating_and_importing_a_document_run_nothing_of_it",
    ),
    "command injection": (
        "tests/engine/activities/test_commands.py::test_each_value_is_one_argument_and_nothing_else",
        "tests/engine/activities/test_commands.py::test_only_registered_commands_run",
    ),
    "SQL node": (
        "tests/engine/nodes/integration/test_database.py::test_no_payload_is_more_than_a_value",
        "tests/engine/nodes/integration/test_database.py::test_read_only_node_writes_nothing",
        "tests/engine/nodes/integration/test_database.py::test_timeout_ends_the_statement",
    ),
    "file read and write": (
        "tests/security/test_path_traversal.py::test_no_operation_on_a_file_leaves_the_tenants_folder",
        "tests/security/test_path_traversal.py::test_no_entry_of_an_archive_is_written_outside_its_folder",
    ),
    "another's credential": (
        "tests/api/test_credential_access.py"
        "::test_workflow_that_names_it_is_neither_saved_published_started_nor_rerun_by_others",
        "tests/engine/nodes/integration/test_http.py::test_credential_is_bound_to_its_hosts",
    ),
    "cross-tenant ids": (
        "tests/api/test_cross_tenant.py::test_an_id_of_another_tenant_is_answered_404_on_every_route",
        "tests/api/test_cross_tenant.py::test_a_name_of_another_tenant_means_nothing",
        "tests/api/test_cross_tenant.py::test_no_list_shows_what_is_another_tenants",
    ),
    "role escalation": (
        "tests/api/test_permission_matrix.py::test_route_lets_in_whom_the_table_says_and_nobody_else",
        "tests/api/test_permissions.py::test_a_route_without_a_permission_keeps_the_app_from_starting",
    ),
    "mass assignment": (
        "tests/api/test_cross_tenant.py::test_no_body_says_whose_something_is",
        "tests/api/test_openapi.py::test_request_bodies_take_no_unknown_member",
    ),
    "auth exemption by path match": (
        "tests/api/test_permissions.py::test_a_route_added_past_the_check_lets_nobody_in",
        "tests/api/test_permission_matrix.py::test_every_route_has_a_row_and_every_row_a_route",
    ),
    "weak tokens": (
        "tests/security/test_tokens.py::test_no_forged_token_is_read",
        "tests/api/authentication/test_signing_key.py::test_a_short_or_well_known_key_is_refused",
        "tests/api/sign_in/test_service.py::test_a_refresh_token_is_good_once_and_its_reuse_ends_the_login",
    ),
    "webhook forging and replay": (
        "tests/security/test_webhooks.py::test_a_forged_call_starts_nothing",
        "tests/security/test_webhooks.py::test_of_ten_replays_at_once_one_comes_in",
        "tests/security/test_webhooks.py::test_a_signed_call_is_refused_while_its_nonce_cannot_be_kept",
    ),
    "SSRF": (
        "tests/security/test_ssrf.py::test_no_url_of_the_corpus_leads_inside",
        "tests/security/test_ssrf.py::test_no_redirect_leads_to_a_url_of_the_corpus",
        "tests/security/test_ssrf.py::test_a_name_is_checked_each_time_it_is_connected_to",
    ),
    "secrets in logs and history": (
        "tests/security/test_canary.py::test_no_secret_of_any_type_is_kept_anywhere",
        "tests/security/test_encryption.py::test_a_secret_is_nowhere_in_temporals_database",
    ),
    "decompression bombs": (
        "tests/security/test_bombs.py::test_an_archive_is_measured_as_it_is_unpacked",
        "tests/engine/nodes/integration/test_http.py::test_answer_past_the_cap_is_stopped_by_its_unpacked_size",
    ),
    "graph and JSON bombs, endless loops, regex bombs": (
        "tests/security/test_bombs.py::test_json_from_outside_is_refused_before_it_breaks_its_reader",
        "tests/security/test_bombs.py::test_yaml_is_data_of_a_bounded_size_or_refused",
        "tests/security/test_bombs.py::test_a_pattern_of_a_schema_is_refused_or_takes_linear_time",
        "tests/engine/nodes/control/test_loop.py::test_more_passes_than_allowed_are_refused_before_the_first",
        "tests/engine/dag/validate/test_robustness.py::test_large_documents_are_checked_in_seconds",
    ),
    "spreadsheet injection": ("tests/api/executions/test_exports.py::test_no_cell_is_a_formula",),
}


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("threat", THREATS)
def test_each_threat_has_tests_that_there_are(threat: str) -> None:
    assert THREATS[threat]
    for name in THREATS[threat]:
        path, _, function = name.partition("::")
        assert function in names_in(path), f"{name} is gone: name the test that stands for {threat}"


def test_each_threat_stands_in_the_security_model() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    assert [threat for threat in THREATS if f"| {threat} |" not in text] == []
