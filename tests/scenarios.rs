//! What an upgrade of a live node has to be able to do, and which test shows it.
//!
//! Three lists: what is refused before anything is touched (B), what happens on the node (C), interruptions (D); then the
//! 32 defects of the tool that this one follows (F). Each line names tests by file and function, and they must be there.
//! What no test shows yet is in [`OPEN`] with the reason; that list may only get shorter.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// Name, what, and the tests: `file function`.
type Line = (&'static str, &'static str, &'static [&'static str]);

const TABLE: &[Line] = &[
    (
        "B1",
        "beams that are cut off, no beams, or another module",
        &[
            "tests/facts/bad.rs truncated_beams_stop",
            "tests/facts/bad.rs files_that_are_no_beams_stop",
            "tests/facts/bad.rs a_file_with_another_module_inside_stops",
            "tests/upgrade/conversion.rs beams_that_cannot_be_used",
        ],
    ),
    (
        "B2",
        "sticky modules",
        &[
            "tests/facts/changes.rs sticky_preloaded_and_cover_compiled_modules_are_named_and_left_alone",
        ],
    ),
    (
        "B3",
        "instructions that are wrong behind the point of no return",
        &["tests/language/codes.rs scripts_obey_the_law"],
    ),
    (
        "B4",
        "soft purge and somebody runs old code: refused, with names",
        &["tests/agent/agent_tests.erl lingering_refused"],
    ),
    (
        "B5",
        "brutal purge: told whom it kills",
        &["tests/agent/agent_tests.erl lingering_brutal"],
    ),
    (
        "B6",
        "an apply in front of the point of no return is not called by a preview",
        &["tests/upgrade/unusual.rs a_preview_calls_nothing"],
    ),
    (
        "B7",
        "a conversion without a code_change",
        &["tests/language/merge.rs conversions_need_a_callback"],
    ),
    (
        "B8",
        "state machines, handlers, special processes",
        &[
            "tests/facts/classes.rs servers_of_every_kind",
            "tests/agent/agent_tests.erl happy_special",
        ],
    ),
    (
        "B9",
        "from another file, cover compiled, preloaded, without a file",
        &[
            "tests/facts/paths.rs a_module_from_elsewhere_is_not_compared_with_the_wrong_file",
            "tests/facts/changes.rs a_module_without_a_file_is_left_alone",
            "tests/facts/changes.rs sticky_preloaded_and_cover_compiled_modules_are_named_and_left_alone",
        ],
    ),
    (
        "B10",
        "an explicit vsn that is the same",
        &["tests/facts/changes.rs a_hand_written_vsn_hides_nothing"],
    ),
    (
        "B11",
        "same MD5, other lines",
        &["tests/facts/changes.rs same_code_with_other_lines_is_reported_and_not_loaded"],
    ),
    (
        "B12",
        "vsn of every form",
        &["tests/agent/agent_tests.erl vsn_values"],
    ),
    (
        "B13",
        "no SASL, embedded mode, outside of applications",
        &[
            "tests/upgrade/nodes.rs embedded_and_with_a_long_name",
            "tests/upgrade/nodes.rs without_a_compiler",
            "tests/facts/changes.rs a_module_outside_of_every_application_takes_part",
        ],
    ),
    (
        "B14",
        "beams that the node's OTP cannot load",
        &[
            "tests/upgrade/conversion.rs beams_that_cannot_be_used",
            "tests/agent/agent_tests.erl not_loadable",
        ],
    ),
    (
        "C1",
        "a plain module, nobody inside",
        &["tests/upgrade/corners.rs two_hundred_modules_at_one_instant"],
    ),
    (
        "C2",
        "a process in a local loop lives and is named",
        &["tests/agent/agent_tests.erl lingering_reported"],
    ),
    (
        "C3",
        "the same module again, with somebody in its old code",
        &[
            "tests/agent/agent_tests.erl lingering_refused",
            "tests/agent/agent_tests.erl lingering_brutal",
        ],
    ),
    (
        "C4",
        "a fully qualified loop comes to new code by itself",
        &["tests/upgrade/unusual.rs a_loop_comes_to_new_code_by_itself"],
    ),
    (
        "C5",
        "a fun of the old code",
        &["tests/upgrade/corners.rs a_fun_of_the_old_code"],
    ),
    (
        "C6",
        "a server with code_change: once, the right OldVsn, the same pid",
        &[
            "tests/agent/agent_tests.erl happy_gen_server",
            "tests/upgrade/conversion.rs failing_when_pushed",
        ],
    ),
    (
        "C7",
        "soft: state untouched",
        &["tests/agent/agent_tests.erl happy_soft"],
    ),
    (
        "C8",
        "state machines, handlers, special processes are converted",
        &[
            "tests/agent/agent_tests.erl happy_statem",
            "tests/agent/agent_tests.erl happy_event",
            "tests/agent/agent_tests.erl happy_special",
            "tests/upgrade/random.rs applications_made_up_by_a_seed",
        ],
    ),
    (
        "C9",
        "code_change errs, raises, exits",
        &["tests/upgrade/conversion.rs every_way_to_fail"],
    ),
    (
        "C10",
        "a slow conversion",
        &[
            "tests/upgrade/conversion.rs one_that_takes_too_long",
            "tests/agent/agent_tests.erl hangs_in_code_change",
        ],
    ),
    (
        "C11",
        "a busy process",
        &["tests/upgrade/suspend.rs a_busy_server_aborts_the_run"],
    ),
    (
        "C12",
        "a hundred stuck ones cost one timeout",
        &["tests/agent/agent_tests.erl hundred_busy"],
    ),
    (
        "C13",
        "a process dies meanwhile",
        &["tests/agent/agent_tests.erl dies_meanwhile"],
    ),
    (
        "C14",
        "a process is born meanwhile",
        &["tests/agent/agent_tests.erl born_meanwhile"],
    ),
    (
        "C15",
        "one process under two changed modules",
        &["tests/upgrade/unusual.rs one_process_under_two_modules"],
    ),
    (
        "C16",
        "a supervisor's strategy and specifications",
        &[
            "tests/agent/agent_tests.erl happy_supervisor",
            "tests/upgrade/children.rs started_and_stopped_on_request_of_the_plan",
        ],
    ),
    (
        "C17",
        "a new child",
        &[
            "tests/upgrade/children.rs started_and_stopped_on_request_of_the_plan",
            "tests/upgrade/children.rs without_a_statement_it_is_inferred",
        ],
    ),
    (
        "C18",
        "a child that is gone",
        &[
            "tests/upgrade/children.rs started_and_stopped_on_request_of_the_plan",
            "tests/upgrade/children.rs without_a_statement_it_is_inferred",
        ],
    ),
    (
        "C19",
        "a wrong specification",
        &["tests/upgrade/corners.rs a_supervisor_whose_new_specification_is_wrong"],
    ),
    (
        "C20",
        "a hundred thousand processes",
        &["tests/agent/agent_tests.erl many"],
    ),
    (
        "C21",
        "a supervisor and its workers in one upgrade",
        &["tests/upgrade/random.rs applications_made_up_by_a_seed"],
    ),
    (
        "C22",
        "a suspended supervisor elsewhere",
        &["tests/facts/processes.rs a_suspended_supervisor_costs_its_own_answer_only"],
    ),
    (
        "C23",
        "specifications that say too little",
        &[
            "tests/facts/classes.rs a_handler_is_found_in_its_manager_whatever_the_specification_says",
        ],
    ),
    (
        "C24",
        "outside of all supervision trees",
        &["tests/facts/processes.rs children_behind_a_wrapper_in_a_pool_and_outside_of_all_trees"],
    ),
    (
        "C25",
        "Elixir",
        &[
            "tests/facts/elixir.rs supervisors_servers_agents_and_tasks",
            "tests/facts/elixir.rs a_consolidated_protocol_is_never_replaced_by_its_unconsolidated_beam",
            "tests/upgrade/elixir.rs a_genserver_in_elixir",
        ],
    ),
    (
        "C26",
        "stop and start as instructions: refused",
        &["tests/upgrade/insert.rs what_breaks_the_laws_is_refused"],
    ),
    (
        "C27",
        "a module removed while a process runs it: reported, and the next to load it is told",
        &["tests/upgrade/removal.rs a_process_that_stays_in_what_is_removed"],
    ),
    (
        "C28",
        "removed and purged: killed, restarted by its supervisor, loaded on demand",
        &["tests/upgrade/removal.rs purged_with_its_process_and_loaded_on_demand"],
    ),
    (
        "C29",
        "removing what was never loaded is no error",
        &["tests/upgrade/removal.rs what_was_never_loaded"],
    ),
    (
        "C30",
        "applications added and removed, with their code, and back",
        &[
            "tests/upgrade/removal.rs a_whole_application",
            "tests/upgrade/removal.rs an_application_that_starts_and_one_that_does_not",
        ],
    ),
    (
        "C31",
        "a new version without changed modules: code path and priv_dir, nothing loaded",
        &["tests/upgrade/libraries.rs a_new_version_without_changed_modules"],
    ),
    (
        "C32",
        "an unchanged application in another folder: only when asked",
        &["tests/upgrade/libraries.rs another_library_folder_only_when_asked"],
    ),
    (
        "C33",
        "env in .app changed: config_change once, with the differences",
        &["tests/upgrade/libraries.rs config_change_is_called_once_per_application"],
    ),
    (
        "C34",
        "restart_emulator: refused",
        &["tests/upgrade/insert.rs what_breaks_the_laws_is_refused"],
    ),
    (
        "C35",
        "restart_new_emulator: refused",
        &["tests/upgrade/insert.rs what_breaks_the_laws_is_refused"],
    ),
    (
        "C36",
        "sync_nodes: the nodes of a group wait for each other; refused without one",
        &[
            "tests/rollout/together.rs nodes_wait_for_each_other_at_sync_nodes",
            "tests/upgrade/insert.rs what_breaks_the_laws_is_refused",
        ],
    ),
    (
        "C37",
        "a call behind the switch raises",
        &["tests/agent/agent_tests.erl apply_fails"],
    ),
    (
        "C38",
        "many modules, many processes in old code",
        &["tests/upgrade/unusual.rs many_modules_with_many_processes"],
    ),
    (
        "C39",
        "on_load and NIF modules",
        &[
            "tests/agent/agent_tests.erl on_load_ok",
            "tests/agent/agent_tests.erl on_load_fails",
            "tests/facts/changes.rs nif_modules_are_refused_until_the_plan_allows_them",
        ],
    ),
    (
        "C40",
        "two hundred modules at one instant",
        &["tests/upgrade/corners.rs two_hundred_modules_at_one_instant"],
    ),
    (
        "C41",
        "links, spaces, letters in paths",
        &["tests/upgrade/corners.rs names_and_folders_of_elsewhere"],
    ),
    (
        "C42",
        "names in other letters",
        &[
            "tests/upgrade/corners.rs names_and_folders_of_elsewhere",
            "tests/session/calls.rs atoms_are_utf_8",
        ],
    ),
    (
        "D1",
        "the client is killed, the connection lost",
        &[
            "tests/upgrade/sweep.rs every_fault_at_every_step",
            "tests/upgrade/attach.rs the_connection_was_cut",
            "tests/upgrade/killed.rs updo_killed_at_any_moment",
        ],
    ),
    (
        "D2",
        "the executor is killed",
        &[
            "tests/upgrade/sweep.rs every_fault_at_every_step",
            "tests/agent/agent_tests.erl kill_any_time",
        ],
    ),
    (
        "D3",
        "two at once",
        &[
            "tests/upgrade/lock.rs the_second_run_is_refused",
            "tests/upgrade/lock.rs two_at_the_same_instant",
        ],
    ),
    (
        "D4",
        "the node goes down",
        &[
            "tests/upgrade/conversion.rs the_node_goes_down_in_the_middle",
            "tests/upgrade/persist.rs the_node_dies_between_two_writes",
        ],
    ),
    (
        "D5",
        "again: only what still differs",
        &["tests/upgrade/corners.rs again_only_what_still_differs"],
    ),
    (
        "D6",
        "the way back later",
        &[
            "tests/upgrade/rollback.rs a_run_is_undone_and_only_while_it_is_the_last",
            "tests/upgrade/children.rs started_and_stopped_on_request_of_the_plan",
        ],
    ),
    (
        "D7",
        "no way back is said before",
        &["tests/upgrade/way_back.rs no_way_back_until_copies_are_kept"],
    ),
    (
        "D8",
        "states after up and down are the original ones",
        &["tests/upgrade/random.rs applications_made_up_by_a_seed"],
    ),
    (
        "F1",
        "an unchanged explicit vsn",
        &["tests/facts/changes.rs a_hand_written_vsn_hides_nothing"],
    ),
    (
        "F2",
        "a new module on an embedded node",
        &[
            "tests/facts/changes.rs a_new_module_of_an_embedded_node_is_loaded_and_so_is_one_that_was_left_out",
        ],
    ),
    (
        "F3",
        "a deleted module is told",
        &["tests/facts/changes.rs changed_new_and_deleted_modules_with_remaining_callers"],
    ),
    (
        "F4",
        "a sticky folder",
        &[
            "tests/facts/changes.rs sticky_preloaded_and_cover_compiled_modules_are_named_and_left_alone",
        ],
    ),
    (
        "F5",
        "a version installed beside",
        &["tests/facts/paths.rs an_installed_newer_version_is_reported_with_how_to_use_it"],
    ),
    (
        "F6",
        "a new specification",
        &["tests/facts/apps.rs a_new_specification_on_disk_is_reported_key_by_key"],
    ),
    (
        "F7",
        "a truncated beam",
        &["tests/facts/bad.rs truncated_beams_stop"],
    ),
    (
        "F8",
        "only lines moved",
        &["tests/facts/changes.rs same_code_with_other_lines_is_reported_and_not_loaded"],
    ),
    (
        "F9",
        "a consolidated protocol",
        &[
            "tests/facts/elixir.rs a_consolidated_protocol_is_never_replaced_by_its_unconsolidated_beam",
        ],
    ),
    (
        "F10",
        "a state machine",
        &[
            "tests/agent/agent_tests.erl happy_statem",
            "tests/facts/classes.rs servers_of_every_kind",
        ],
    ),
    (
        "F11",
        "a server that gets its conversion",
        &["tests/facts/classes.rs a_server_that_gets_a_conversion_is_converted"],
    ),
    (
        "F12",
        "a server that drops it",
        &[
            "tests/facts/classes.rs a_server_that_drops_its_conversion_is_suspended_and_not_converted",
        ],
    ),
    (
        "F13",
        "an Elixir supervisor",
        &["tests/facts/elixir.rs supervisors_servers_agents_and_tasks"],
    ),
    (
        "F14",
        "application and supervisor in one",
        &["tests/facts/classes.rs application_and_supervisor_in_one_module_is_a_supervisor"],
    ),
    (
        "F15",
        "a handler whose manager does not say dynamic",
        &[
            "tests/facts/classes.rs a_handler_is_found_in_its_manager_whatever_the_specification_says",
        ],
    ),
    (
        "F16",
        "a child started through a wrapper",
        &["tests/facts/processes.rs children_behind_a_wrapper_in_a_pool_and_outside_of_all_trees"],
    ),
    (
        "F17",
        "workers of a pool",
        &["tests/facts/processes.rs children_behind_a_wrapper_in_a_pool_and_outside_of_all_trees"],
    ),
    (
        "F18",
        "outside of all trees",
        &["tests/facts/processes.rs children_behind_a_wrapper_in_a_pool_and_outside_of_all_trees"],
    ),
    (
        "F19",
        "born between suspend and load",
        &["tests/agent/agent_tests.erl born_meanwhile"],
    ),
    (
        "F20",
        "children added and removed",
        &["tests/upgrade/children.rs started_and_stopped_on_request_of_the_plan"],
    ),
    (
        "F21",
        "calls through a variable",
        &["tests/upgrade/unusual.rs a_call_invisible_to_static_analysis"],
    ),
    (
        "F22",
        "inside a cycle everything switches at once",
        &["tests/agent/agent_tests.erl happy_cycle"],
    ),
    (
        "F23",
        "no mix of versions",
        &["tests/upgrade/corners.rs two_hundred_modules_at_one_instant"],
    ),
    (
        "F24",
        "servers that wait for each other",
        &[
            "tests/agent/agent_tests.erl calling_each_other",
            "tests/agent/agent_tests.erl chain_of_calls",
        ],
    ),
    (
        "F25",
        "processes are found in one pass",
        &[
            "tests/facts/processes.rs a_hundred_thousand_processes_are_found_soon_and_without_a_message",
        ],
    ),
    (
        "F26",
        "one conversion fails: nobody stays suspended",
        &[
            "tests/upgrade/conversion.rs every_way_to_fail",
            "tests/agent/agent_tests.erl fails_one_of_50",
        ],
    ),
    (
        "F27",
        "OldVsn is of the loaded code",
        &["tests/agent/agent_tests.erl vsn_values"],
    ),
    (
        "F28",
        "a busy process",
        &["tests/upgrade/suspend.rs a_busy_server_aborts_the_run"],
    ),
    (
        "F29",
        "a beam that the emulator refuses",
        &["tests/upgrade/conversion.rs beams_that_cannot_be_used"],
    ),
    (
        "F30",
        "a process in old code and a second upgrade",
        &["tests/agent/agent_tests.erl lingering_refused"],
    ),
    (
        "F31",
        "a module outside of all applications",
        &["tests/facts/changes.rs a_module_outside_of_every_application_takes_part"],
    ),
    (
        "F32",
        "a result that says what was done",
        &["tests/upgrade/shop.rs from_the_nodes_disk"],
    ),
];

/// Not shown, and why.
const OPEN: &[(&str, &str)] = &[];

#[test]
fn every_scenario_has_a_test_that_is_there() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut seen = BTreeSet::new();
    for (id, what, tests) in TABLE {
        assert!(seen.insert(*id), "{id} twice");
        assert!(!what.is_empty() && !tests.is_empty(), "{id}");
        for test in *tests {
            let (file, function) = test.split_once(' ').expect("file and function");
            let text = fs::read_to_string(root.join(file))
                .unwrap_or_else(|why| panic!("{id}: {file}: {why}"));
            let there = if file.ends_with(".erl") {
                text.contains(&format!("\n{function}() ->"))
                    && text.contains(&format!(" {function}"))
            } else {
                text.contains(&format!("#[test]\nfn {function}()"))
            };
            assert!(there, "{id}: no test {function} in {file}");
        }
    }
    for (id, why) in OPEN {
        assert!(
            !why.is_empty() && seen.insert(*id),
            "{id} is in both lists, or twice"
        );
    }
    let wanted = [("B", 14), ("C", 42), ("D", 8), ("F", 32)];
    let wanted: BTreeSet<String> = wanted
        .iter()
        .flat_map(|(list, last)| (1..=*last).map(move |n| format!("{list}{n}")))
        .collect();
    let seen: BTreeSet<String> = seen.into_iter().map(str::to_owned).collect();
    assert_eq!(seen, wanted);
    println!("{} shown, {} open", TABLE.len(), OPEN.len());
}
