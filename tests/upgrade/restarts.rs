//! Releases, as relx and mix make them, are upgraded with `persist`, stopped and started again: in embedded mode a node
//! loads what its boot file lists, so that what is new has to be in there. Whenever the node goes down, it starts with
//! all of one version.

use std::fs;
use std::process::Command;

use crate::bank::{Is, Plan, is, look, nothing_left, pids_of};
use crate::installed::{Installed, differing};
use crate::support::TestNode;
use crate::support::apps::{bank, copy_whole, ferry};
use crate::support::desk::Desk;

fn persisting(more: &str) -> Plan {
    let mut plan = Plan::up("fine").with(more);
    plan.code = plan.code.replacen("].", "] #{persist => true}.", 1);
    plan
}

const FEE: &str = "erlang:module_loaded(bank_fee)";

#[test]
fn a_release_of_relx_keeps_the_upgrade_and_the_way_back() {
    let Some(mut srv) = Installed::bank() else {
        return;
    };
    // Another release of the same application version, and a boot file that is none.
    copy_whole(&srv.root.join("releases/1"), &{
        let other = srv.root.join("releases/other");
        fs::create_dir(&other).expect("a folder");
        other
    });
    let broken = srv.root.join("releases/other/start_clean.boot");
    fs::write(broken, "no boot file").expect("a file can be written");
    let before = srv.files();
    let node = srv.start();
    let (desk, pids) = (Desk::new(), pids_of(&node));
    let path = persisting("verify \"two\" -> 2 = bank_rate:rate().").on(&desk);
    desk.on(&node, &["preview", &path]).run().exits(0).prints(&[
        "persist  in ",
        "lib/bank-1.0.0/ebin",
        "persist  lists of modules in ",
        "releases/1/start.boot",
    ]);
    let document = desk.on(&node, &["preview", &path, "--json"]).run().json();
    let lists: Vec<&str> = document["persist"]["lists"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|file| file.as_str())
        .collect();
    let ran = desk.on(&node, &["run", &path, "--yes"]).run().exits(0);
    let run = ran.name();
    ran.says(&["persist", "3 beams written"]);
    is(&node, Is::New, &pids);
    let ebin = "lib/bank-1.0.0/ebin";
    let after = srv.files();
    assert_eq!(
        differing(&before, &after),
        [
            format!("{ebin}/bank.app"),
            format!("{ebin}/bank_account.beam"),
            format!("{ebin}/bank_fee.beam"),
            format!("{ebin}/bank_rate.beam"),
            "releases/1/start.boot".to_owned(),
            "releases/1/start.script".to_owned(),
            // It loads the same modules, and starts no application.
            "releases/1/start_clean.boot".to_owned(),
            "releases/other/start.boot".to_owned(),
            "releases/other/start.script".to_owned(),
        ]
    );
    // What was announced, for machines as well, is what was written.
    let written = differing(&before, &after);
    let written = written.iter().filter(|name| !name.ends_with(".beam"));
    for (announced, written) in lists.iter().zip(written.clone()) {
        assert!(
            lists.iter().any(|file| file.ends_with(written)),
            "{written} is not in {lists:?}"
        );
        assert!(announced.starts_with(&srv.root.display().to_string()));
    }
    assert_eq!(lists.len(), written.count());
    // What sasl makes of the text is what is in the boot file.
    assert_eq!(
        node.eval_text(&format!(
            "{{ok, [S]}} = file:consult({:?}), {{ok, B}} = file:read_file({:?}), S =:= binary_to_term(B)",
            srv.root.join("releases/1/start.script"),
            srv.root.join("releases/1/start.boot"),
        )),
        "true"
    );

    node.kill();
    let node = srv.start();
    // Loaded by the boot file, not by a call: there are no such loads in embedded mode.
    assert_eq!(node.eval_text(FEE), "true");
    assert_eq!(look(&node), Is::New);
    let listed =
        node.eval_text("{ok, L} = application:get_key(bank, modules), lists:member(bank_fee, L)");
    assert_eq!(listed, "true");
    let pids = pids_of(&node);

    let back = desk.on(&node, &["rollback", &run, "--yes"]).run().exits(0);
    // The way back says it before it asks, and names every file.
    let question = back.stderr.find("switched back").expect("the numbers");
    let shown = &back.stderr[..question];
    assert!(shown.contains("persist  in "), "{back}");
    assert!(
        shown.contains("persist  the file of bank_fee will be deleted"),
        "{back}"
    );
    for file in lists {
        assert!(shown.contains(file), "{file} is not in {back}");
    }
    is(&node, Is::Old, &pids);
    assert_eq!(differing(&before, &srv.files()), Vec::<String>::new());
    node.kill();
    let node = srv.start();
    assert_eq!(node.eval_text(FEE), "false");
    assert_eq!(look(&node), Is::Old);
    nothing_left(&node);
}

/// The same with an Elixir release: a protocol that changes and one that is new are consolidated in a folder of their own,
/// into which all applications look.
#[test]
fn a_release_of_mix_keeps_the_upgrade_and_the_way_back() {
    let mut srv = Installed::new(&ferry().one);
    let before = srv.files();
    let node = srv.start();
    let desk = Desk::rehearsing();
    let lib = ferry().two.join("lib");
    let plan = format!(
        "plan \"Ferry\".\ncode push [\"{0}/ferry-0.2.0/ebin\", \"{0}/rope-0.2.0/ebin\", \"{1}/consolidated\"] #{{persist => true}}.\n",
        lib.display(),
        ferry().two.join("releases/0.2.0").display()
    );
    desk.write("ferry.updo", &plan);
    let run = desk
        .on(&node, &["run", "ferry.updo", "--yes"])
        .run()
        .exits(0)
        .name();
    let version = |node: &TestNode| {
        node.eval_text(
            "{element(1, gen_server:call('Elixir.Ferry.Deck', version)), 'Elixir.Rope':vsn(),
              catch 'Elixir.Ferry.Weight':'of'(x), catch 'Elixir.Ferry.Length':'of'(7)}",
        )
    };
    let new = r#"{<<"0.2.0">>,<<"0.2.0">>,light,{long,7}}"#;
    assert_eq!(version(&node), new);
    let ebin = "lib/ferry-0.1.0/ebin";
    let after = srv.files();
    let differ = differing(&before, &after);
    println!("written: {differ:#?}");
    for name in [
        format!("{ebin}/ferry.app"),
        format!("{ebin}/Elixir.Ferry.Weight.Atom.beam"),
        "releases/0.1.0/consolidated/Elixir.Ferry.Length.beam".to_owned(),
        "releases/0.1.0/start.boot".to_owned(),
        "releases/0.1.0/start.script".to_owned(),
        // It loads the same modules, and starts no application with them.
        "releases/0.1.0/start_clean.boot".to_owned(),
    ] {
        assert!(differ.contains(&name), "{name} is as before");
    }
    for name in ["sys.config", "runtime.exs", "start_erl.data", ".rel"] {
        assert!(
            !differ.iter().any(|file| file.ends_with(name)),
            "{name} was written"
        );
    }

    node.kill();
    let node = srv.start();
    assert_eq!(version(&node), new);
    let which = node.eval_text("code:which('Elixir.Ferry.Length')");
    assert!(which.contains("/consolidated/"), "{which}");
    desk.on(&node, &["rollback", &run, "--yes"]).run().exits(0);
    let old = version(&node);
    assert!(
        old.starts_with(r#"{<<"0.1.0">>,<<"0.1.0">>,{'EXIT'"#),
        "{old}"
    );
    assert_eq!(differing(&before, &srv.files()), Vec::<String>::new());
    node.kill();
    let node = srv.start();
    let old = version(&node);
    assert!(
        old.starts_with(r#"{<<"0.1.0">>,<<"0.1.0">>,{'EXIT'"#),
        "{old}"
    );
}

/// Between two renamings a restart finds all of one version, and the next run puts everything right.
#[test]
fn whenever_the_node_goes_down_it_starts_with_all_of_one_version() {
    let Some(mut probe) = Installed::bank() else {
        return;
    };
    let before = probe.files();
    drop(probe.start());
    let mut seen = Vec::new();
    for number in 1.. {
        let mut srv = Installed::bank().expect("as before");
        let node = srv.start();
        let desk = Desk::new();
        let path = persisting("").on(&desk);
        node.eval(&format!("witness:halt_at_rename({number})"));
        let ran = desk.on(&node, &["run", &path, "--yes"]).run();
        assert!(matches!(ran.code, Some(0 | 23)), "{number}: {ran}");
        let through = ran.code == Some(0);
        node.kill();
        let again = srv.start();
        // Fails for a mixture.
        let found = look(&again);
        let fee = again.eval_text(FEE);
        assert_eq!(fee, (found == Is::New).to_string(), "{number}: bank_fee");
        seen.push(found);
        if through {
            break;
        }
        // All was written, and the journal says so, or nothing has happened.
        let ran = desk.on(&again, &["run", &path, "--yes"]).run().exits(0);
        let interrupted = ran.stderr.contains("W344");
        assert!(interrupted || found == Is::Old, "{number}: {ran}");
        assert_eq!(look(&again), Is::New);
        let differ = differing(&before, &srv.files());
        assert_eq!(differ.len(), 7, "{number}: {differ:?}");
        again.kill();
        assert_eq!(look(&srv.start()), Is::New, "{number}");
    }
    println!("what starts after a crash at each renaming: {seen:?}");
    // On a loaded machine a node goes down a renaming or two later than it should: what counts is that each is one version,
    // that the first are the old one, and that the renamings behind are seen as well.
    let news = seen.iter().filter(|is| **is == Is::New).count();
    assert!(
        news < seen.len() && seen.last() == Some(&Is::New),
        "{seen:?}"
    );
    assert!(news > 5, "{seen:?}");
}

/// The same on the way back.
#[test]
fn whenever_the_node_goes_down_on_its_way_back_it_starts_with_all_of_one_version() {
    let Some(first) = Installed::bank() else {
        return;
    };
    let before = first.files();
    let mut seen = Vec::new();
    for number in 1..=16 {
        let mut srv = Installed::bank().expect("as before");
        let node = srv.start();
        let desk = Desk::new();
        let path = persisting("").on(&desk);
        let run = desk
            .on(&node, &["run", &path, "--yes"])
            .run()
            .exits(0)
            .name();
        let new = srv.files();
        node.eval(&format!("witness:halt_at_rename({number})"));
        let ran = desk.on(&node, &["rollback", &run, "--yes"]).run();
        assert!(matches!(ran.code, Some(0 | 23)), "{number}: {ran}");
        node.kill();
        let again = srv.start();
        let found = look(&again);
        let fee = again.eval_text(FEE);
        assert_eq!(fee, (found == Is::New).to_string(), "{number}: bank_fee");
        seen.push(found);
        if ran.code == Some(0) {
            assert_eq!(differing(&before, &srv.files()), Vec::<String>::new());
        }
        // The next upgrade finishes it first.
        let ran = desk.on(&again, &["run", &path, "--yes"]).run().exits(0);
        assert_eq!(look(&again), Is::New, "{number}");
        let differ = differing(&new, &srv.files());
        assert_eq!(differ, Vec::<String>::new(), "{number}");
        again.kill();
        let again = srv.start();
        assert_eq!(look(&again), Is::New, "{number}");
        if found == Is::Old && number % 4 == 0 {
            let run = ran.name();
            desk.on(&again, &["rollback", &run, "--yes"]).run().exits(0);
            assert_eq!(
                differing(&before, &srv.files()),
                Vec::<String>::new(),
                "{number}"
            );
        }
    }
    println!("what starts after a crash of the way back: {seen:?}");
    assert_eq!(seen.first(), Some(&Is::New));
    assert_eq!(seen.last(), Some(&Is::Old));
    let olds = seen.iter().filter(|is| **is == Is::Old).count();
    assert!(olds > 5 && olds < seen.len(), "{seen:?}");
}

/// What cannot be written is found before the node is touched.
#[test]
fn no_room_no_right_no_boot_file() {
    let Some(mut srv) = Installed::bank() else {
        return;
    };
    let before = srv.files();
    // Too large a file is an error, not the end of the node.
    let deaf = ["sh", "-c", "trap '' XFSZ; exec \"$@\"", "sh"];
    // Not even root may write where it has no right to.
    let weak = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout == b"0\n");
    srv.options.wrapper = deaf.map(str::to_owned).to_vec();
    if root {
        srv.options.wrapper.extend(weak.map(str::to_owned));
    }
    let node = srv.start();
    let (desk, pids) = (Desk::new(), pids_of(&node));
    let path = persisting("").on(&desk);
    let refused = |code: i32, says: &[&str]| {
        desk.on(&node, &["run", &path, "--yes"])
            .run()
            .exits(code)
            .says(says);
        is(&node, Is::Old, &pids);
    };
    let limit = |size: &str| {
        let pid = node.os_pid().to_string();
        let done = Command::new("prlimit")
            .args(["--pid", &pid, &format!("--fsize={size}")])
            .status();
        assert!(done.is_ok_and(|done| done.success()), "prlimit");
    };
    limit("2000:");
    refused(
        14,
        &["E614", "lib/bank-1.0.0/ebin: efbig", "nothing was changed"],
    );
    limit("unlimited:");
    assert_eq!(differing(&before, &srv.files()), Vec::<String>::new());

    let releases = srv.root.join("releases/1");
    let rights = |mode: &str| {
        let done = Command::new("chmod").arg(mode).arg(&releases).status();
        assert!(done.is_ok_and(|done| done.success()), "chmod");
    };
    rights("555");
    refused(14, &["E614", "releases/1: eacces", "nothing was changed"]);
    rights("755");

    let boot = releases.join("start.boot");
    let good = fs::read(&boot).expect("a boot file");
    fs::write(&boot, &good[..good.len() / 2]).expect("a file can be written");
    refused(
        1,
        &["E640", "start.boot cannot be read", "nothing was changed"],
    );
    fs::write(&boot, &good).expect("a file can be written");

    let app = srv.root.join("lib/bank-1.0.0/ebin/bank.app");
    let text = fs::read(&app).expect("an application file");
    fs::write(&app, "{application,bank,[{modules,[{bank_app,1}]}]}.\n")
        .expect("a file can be written");
    refused(
        1,
        &[
            "E640",
            "bank.app: its list of modules has more than names in it",
        ],
    );
    fs::write(&app, &text).expect("a file can be written");
    assert_eq!(differing(&before, &srv.files()), Vec::<String>::new());

    // Nothing of that was in the way of what runs alone.
    let unsaved = Plan::up("fine").on(&desk);
    desk.on(&node, &["run", &unsaved, "--yes"]).run().exits(0);
    is(&node, Is::New, &pids);
    assert_eq!(differing(&before, &srv.files()), Vec::<String>::new());
    // Later all of it is written, lists too.
    let path = persisting("").on(&desk);
    desk.on(&node, &["status", &path])
        .run()
        .exits(0)
        .says(&["W344", "a restart would lose it"]);
    desk.on(&node, &["run", &path, "--yes"])
        .run()
        .exits(0)
        .says(&["3 beams written"]);
    assert_eq!(differing(&before, &srv.files()).len(), 7);
    // The lists alone.
    fs::write(&boot, &good).expect("a file can be written");
    desk.on(&node, &["status", &path]).run().exits(0).says(&[
        "W344",
        "its files do not list",
        "start.boot",
    ]);
    desk.on(&node, &["run", &path, "--yes"]).run().exits(0);
    let ran = desk.on(&node, &["run", &path, "--yes"]).run().exits(0);
    assert!(!ran.stderr.contains("W344"), "{ran}");
    srv.options.wrapper.clear();
    node.kill();
    assert_eq!(look(&srv.start()), Is::New);
}

/// A file that cannot be replaced although its folder can be written: all others get back what they held.
#[test]
fn what_cannot_be_finished_is_put_back() {
    let Some(mut srv) = Installed::bank() else {
        return;
    };
    let before = srv.files();
    let node = srv.start();
    let (desk, pids) = (Desk::new(), pids_of(&node));
    let path = persisting("").on(&desk);
    // One that is there, one that is new.
    for name in [
        "lib/bank-1.0.0/ebin/bank_rate.beam",
        "lib/bank-1.0.0/ebin/bank_fee.beam",
    ] {
        let file = srv.root.join(name);
        let _ = fs::remove_file(&file);
        fs::create_dir(&file).expect("a folder in its place");
        fs::write(file.join("x"), "x").expect("not empty");
        desk.on(&node, &["run", &path, "--yes"])
            .run()
            .exits(21)
            .says(&["E614", name]);
        is(&node, Is::New, &pids);
        fs::remove_dir_all(&file).expect("removed");
        if let Some(bytes) = before.get(name) {
            fs::write(&file, bytes).expect("a file can be written");
        }
        assert_eq!(
            differing(&before, &srv.files()),
            Vec::<String>::new(),
            "{name}"
        );
        desk.on(&node, &["rollback", "--yes"]).run().exits(0);
        is(&node, Is::Old, &pids);
    }
    node.kill();
    assert_eq!(look(&srv.start()), Is::Old);
}

/// A folder of the code path from which no boot file loads: a new module in there would not be loaded.
#[test]
fn a_new_module_that_no_boot_file_would_load_is_refused() {
    let Some(mut srv) = Installed::bank() else {
        return;
    };
    let patches = srv.root.join("patches");
    fs::create_dir(&patches).expect("a folder");
    for module in ["bank_rate", "bank_account"] {
        let name = format!("{module}.beam");
        fs::copy(bank().one.join(&name), patches.join(&name)).expect("a beam can be copied");
    }
    srv.options.paths.push(patches.clone());
    let node = srv.start();
    let pids = pids_of(&node);
    let from = node.eval_text("code:which(bank_rate)");
    assert!(from.contains("/patches/"), "{from}");
    let desk = Desk::new();
    let new = desk.path().join("new");
    fs::create_dir(&new).expect("a folder");
    for module in ["bank_rate", "bank_account", "bank_fee"] {
        let name = format!("{module}.beam");
        fs::copy(bank().two.join(&name), new.join(&name)).expect("a beam can be copied");
    }
    let mut plan = Plan::push(&new, &bank().one, "fine");
    plan.code = plan.code.replacen("].", "] #{persist => true}.", 1);
    let path = plan.on(&desk);
    desk.on(&node, &["run", &path, "--yes"])
        .run()
        .exits(1)
        .says(&[
            "E640",
            "`bank_fee`: no boot file of the node loads from",
            "patches",
            "embedded mode",
        ]);
    is(&node, Is::Old, &pids);
}

/// A module that a plan takes away: a boot file that still listed it would keep the node from starting.
#[test]
fn a_removed_module_leaves_the_lists_as_well() {
    let Some(mut srv) = Installed::bank() else {
        return;
    };
    let node = srv.start();
    let desk = Desk::new();
    let path = persisting("").on(&desk);
    desk.on(&node, &["run", &path, "--yes"]).run().exits(0);
    node.kill();
    let node = srv.start();
    let with_fee = srv.files();
    desk.write(
        "less.updo",
        &format!(
            "plan \"Less\".\ncode push [{:?}] #{{persist => true}}. old from {:?}.\nmodule bank_fee #{{remove => true}} because \"no fees\".\n",
            bank().two, bank().two
        ),
    );
    let run = desk
        .on(&node, &["run", "less.updo", "--yes"])
        .run()
        .exits(0)
        .name();
    node.kill();
    let node = srv.start();
    assert_eq!(node.eval_text(FEE), "false");
    assert_eq!(node.eval_text("bank_rate:rate()"), "2");
    desk.on(&node, &["rollback", &run, "--yes"]).run().exits(0);
    assert_eq!(differing(&with_fee, &srv.files()), Vec::<String>::new());
    node.kill();
    assert_eq!(look(&srv.start()), Is::New);
}

/// The configuration of the new version: a restart finds it as well, and the old one after a rollback.
#[test]
fn the_environment_of_the_new_version_survives() {
    let Some(mut srv) = Installed::bank() else {
        return;
    };
    // The boot file is a link: it stays one.
    let boot = srv.root.join("releases/1/start.boot");
    fs::rename(&boot, boot.with_file_name("main.boot")).expect("renamed");
    std::os::unix::fs::symlink("main.boot", &boot).expect("a link");
    let before = srv.files();
    let node = srv.start();
    let desk = Desk::new();
    let new = desk.path().join("new");
    fs::create_dir(&new).expect("a folder");
    for entry in fs::read_dir(&bank().two).expect("beams") {
        let file = entry.expect("an entry").path();
        fs::copy(&file, new.join(file.file_name().expect("a name"))).expect("copied");
    }
    let text = fs::read_to_string(new.join("bank.app")).expect("an application file");
    let text = text.replace("{env, [", "{env, [{fees, [\"grün\", <<1>>, 2.5]}, ");
    fs::write(new.join("bank.app"), text).expect("a file can be written");
    let mut plan = Plan::push(&new, &bank().one, "fine");
    plan.code = plan
        .code
        .replacen("].", "] #{persist => true, env => true}.", 1);
    let path = plan.on(&desk);
    let run = desk
        .on(&node, &["run", &path, "--yes"])
        .run()
        .exits(0)
        .name();
    let fees = |node: &TestNode| node.eval_text("application:get_env(bank, fees)");
    let set = r#"{ok,["grün",<<1>>,2.5]}"#;
    assert_eq!(fees(&node), set);
    node.kill();
    let node = srv.start();
    assert_eq!(fees(&node), set);
    // The file says the same: an application that is loaded again finds it there.
    let again = "application:stop(bank), application:unload(bank), application:load(bank), application:get_env(bank, fees)";
    assert_eq!(node.eval_text(again), set);
    node.eval("{ok, _} = application:ensure_all_started(bank)");
    assert_eq!(look(&node), Is::New);
    desk.on(&node, &["rollback", &run, "--yes"]).run().exits(0);
    assert_eq!(differing(&before, &srv.files()), Vec::<String>::new());
    assert!(boot.is_symlink(), "the link was replaced");
    node.kill();
    assert_eq!(fees(&srv.start()), "undefined");
}

/// Beams that were copied onto the disk: the run loads what is new, and says that a restart would not.
#[test]
fn new_modules_on_the_disk_that_no_boot_file_lists_are_reported() {
    let Some(mut srv) = Installed::bank() else {
        return;
    };
    let node = srv.start();
    let ebin = srv.root.join("lib/bank-1.0.0/ebin");
    for entry in fs::read_dir(&bank().two).expect("beams") {
        let file = entry.expect("an entry").path();
        fs::copy(&file, ebin.join(file.file_name().expect("a name"))).expect("copied");
    }
    let desk = Desk::new();
    let path = Plan::on_disk("fine").on(&desk);
    let says = [
        "W642",
        "would lack new modules",
        "`bank_fee`",
        "releases/1/start.boot",
    ];
    desk.on(&node, &["preview", &path])
        .run()
        .exits(0)
        .says(&says);
    let boot = srv.root.join("releases/1/start.boot");
    node.eval(&format!(
        "{{ok, B}} = file:read_file({boot:?}),
         Add = fun({{primLoad, L}}) -> case lists:member(bank_app, L) of true -> {{primLoad, L ++ [bank_fee]}}; false -> {{primLoad, L}} end; (C) -> C end,
         {{script, Id, Cs}} = binary_to_term(B),
         ok = file:write_file({boot:?}, term_to_binary({{script, Id, lists:map(Add, Cs)}}))"
    ));
    let ran = desk.on(&node, &["run", &path, "--yes"]).run().exits(0);
    assert!(!ran.stderr.contains("W642"), "{ran}");
    node.kill();
    assert_eq!(look(&srv.start()), Is::New);
}

/// A release that loads code on demand looks into the same folders: it too finds all of one version.
#[test]
fn a_release_in_interactive_mode_starts_with_all_of_one_version() {
    if Installed::bank().is_none() {
        return;
    }
    let mut seen = Vec::new();
    for number in [1, 2, 4, 5, 6, 8] {
        let mut srv = Installed::bank().expect("as before");
        srv.options.wrapper = vec!["env".to_owned(), "CODE_LOADING_MODE=interactive".to_owned()];
        srv.mode = "interactive";
        let node = srv.start();
        node.eval("[code:ensure_loaded(M) || M <- [bank_rate, bank_account]]");
        let desk = Desk::new();
        let path = persisting("").on(&desk);
        node.eval(&format!("witness:halt_at_rename({number})"));
        let ran = desk.on(&node, &["run", &path, "--yes"]).run();
        assert!(matches!(ran.code, Some(0 | 23)), "{number}: {ran}");
        node.kill();
        let again = srv.start();
        again.eval("[code:ensure_loaded(M) || M <- [bank_rate, bank_account]]");
        seen.push(look(&again));
        desk.on(&again, &["run", &path, "--yes"]).run().exits(0);
        assert_eq!(look(&again), Is::New);
        again.kill();
        let again = srv.start();
        again.eval("[code:ensure_loaded(M) || M <- [bank_rate, bank_account]]");
        assert_eq!(look(&again), Is::New);
    }
    println!("what starts in interactive mode: {seen:?}");
    assert!(
        seen.contains(&Is::Old) && seen.contains(&Is::New),
        "{seen:?}"
    );
}
