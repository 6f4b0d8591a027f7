//! `via => ssh("…")`: through a real sshd, with the keys and the configuration of ssh, and every way in which that fails.

use std::time::{Duration, Instant};

use crate::sshd::{Sshd, processes};
use crate::support::apps::{Deployed, bank};
use crate::support::desk::{Desk, Updo};
use crate::support::{COOKIE, Options, PATIENCE, TestNode, free_port};

const VERSION: &str = "maps:get(version, bank_account:ask(3))";

/// updo with the bastion's configuration of ssh, and the node's epmd.
fn on<'d>(desk: &'d Desk, node: &TestNode, sshd: &Sshd, args: &[&str]) -> Updo<'d> {
    desk.updo(args)
        .env("UPDO_EPMD_PORT", &node.epmd_port().to_string())
        .env("UPDO_SSH", &sshd.ssh())
}

fn await_none(text: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let left = processes(text);
        if left.is_empty() {
            return;
        }
        assert!(Instant::now() < until, "{left:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_upgrade_through_a_bastion() {
    let sshd = Sshd::start();
    let start = "{ok, _} = application:ensure_all_started(bank)";
    let bank_node = Deployed::new(&bank().one, Options::default(), start);
    bank_node.replace(&bank().two);
    let desk = Desk::new();
    let name = bank_node.node.name();
    let text = format!(
        "plan \"Bank\".\ntarget banks #{{nodes => ['{name}'], via => ssh(\"bastion\")}}.\ncode on_disk.\nold from {:?}.\n",
        bank().one
    );
    desk.write("bank.updo", &text);
    let run = on(
        &desk,
        &bank_node.node,
        &sshd,
        &["run", "bank.updo", "--yes"],
    );
    run.run().exits(0);
    assert_eq!(bank_node.node.eval_text(VERSION), "2");
    let doctor = on(&desk, &bank_node.node, &sshd, &["doctor", "bank.updo"]);
    let doctor = doctor.run().exits(0);
    doctor.prints(&[
        "through ssh bastion (plan)",
        "asks epmd, on port",
        "behind bastion",
    ]);
    // Nothing of it is left.
    await_none(&sshd.path("ssh_config").display().to_string());
}

/// Several nodes of a rollout, each with its own address, one of them behind a port that leads nowhere.
#[test]
fn a_rollout_through_a_bastion() {
    let sshd = Sshd::start();
    let start = "{ok, _} = application:ensure_all_started(bank)";
    let node = |port: u16| {
        let options = Options {
            port: Some(port),
            ..Options::default()
        };
        let deployed = Deployed::new(&bank().one, options, start);
        deployed.replace(&bank().two);
        deployed
    };
    let ports = [free_port(), free_port()];
    let nodes = ports.map(node);
    let desk = Desk::new();
    let plan = |second: u16| {
        let [a, b] = [&nodes[0], &nodes[1]].map(|deployed| deployed.node.name());
        let text = format!(
            "plan \"Banks\".\ntarget banks #{{nodes => ['{a}', '{b}'], via => ssh(\"bastion\"),\n\
             address => #{{'{a}' => \"127.0.0.1:{}\", '{b}' => \"localhost:{second}\"}}}}.\n\
             code on_disk.\nold from {:?}.\n",
            ports[0],
            bank().one
        );
        desk.write("banks.updo", &text);
        on(
            &desk,
            &nodes[0].node,
            &sshd,
            &["run", "banks.updo", "--yes"],
        )
    };
    // All are looked at before one is changed.
    fails(
        plan(free_port()),
        &["E511", "bastion cannot reach localhost:"],
    );
    for deployed in &nodes {
        assert_eq!(deployed.node.eval_text(VERSION), "1");
    }
    plan(ports[1]).run().exits(0);
    for deployed in &nodes {
        assert_eq!(deployed.node.eval_text(VERSION), "2");
    }
}

/// The host is looked up where ssh goes, and the port may be a fixed one.
#[test]
fn a_port_behind_a_bastion() {
    let sshd = Sshd::start();
    let port = free_port();
    let node = Options {
        port: Some(port),
        ..Options::default()
    }
    .start();
    let desk = Desk::new();
    let eval = on(&desk, &node, &sshd, &["eval", node.name(), "node()"])
        .env("UPDO_VIA", "bastion")
        .env("UPDO_ADDRESS", &format!("127.0.0.1:{port}"));
    eval.run().exits(0).prints(&[node.name()]);
}

#[test]
fn tls_through_a_bastion() {
    let sshd = Sshd::start();
    let certs = crate::support::certs::Certs::new();
    let node = certs.node("node", "", certs.tls()).start();
    let desk = Desk::new();
    let path = |name: &str| certs.path(name).display().to_string();
    let eval = on(&desk, &node, &sshd, &["eval", node.name(), "node()"])
        .env("UPDO_VIA", "bastion")
        .env("UPDO_TLS_CA", &path("ca.pem"))
        .env("UPDO_TLS_CERT", &path("client.pem"))
        .env("UPDO_TLS_KEY", &path("client.key"));
    eval.run().exits(0).prints(&[node.name()]);
}

/// While a call takes its time: what runs, with which arguments, and in which environment.
#[test]
fn no_secret_is_in_a_command_line_and_nothing_outlives_updo() {
    let sshd = Sshd::start();
    let node = TestNode::start();
    let desk = Desk::new();
    let config = sshd.path("ssh_config").display().to_string();
    let sleep = "timer:sleep(60000)";
    for frozen in [false, true] {
        let mut running = on(&desk, &node, &sshd, &["eval", node.name(), sleep])
            .env("UPDO_VIA", "bastion")
            .env("UPDO_COOKIE_FILE", "")
            .env("UPDO_COOKIE", COOKIE)
            .start();
        // updo itself has its expression as an argument.
        let until = Instant::now() + PATIENCE;
        while !node
            .eval_text("length(nodes(hidden))")
            .parse::<u32>()
            .is_ok_and(|n| n >= 2)
        {
            assert!(Instant::now() < until, "{}", node.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let ssh = processes(&config);
        assert!(!ssh.is_empty());
        for (pid, line) in &ssh {
            assert!(!line.contains(COOKIE), "{line}");
            let environment = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            let found = environment
                .windows(COOKIE.len())
                .any(|part| part == COOKIE.as_bytes());
            assert!(!found, "the cookie is in the environment of {line}");
        }
        // A frozen node does not close its side, which ssh alone would wait for.
        if frozen {
            node.signal("-STOP");
        }
        running.kill();
        await_none(&config);
        if frozen {
            node.signal("-CONT");
        }
    }
}

/// Variables that the plan names for its cookie and its key are not passed on.
#[test]
fn secrets_that_the_plan_names_stay_with_updo() {
    let desk = Desk::new();
    desk.write(
        "p.updo",
        "plan \"x\".\ntarget t #{nodes => ['a@h'], port => 1, via => ssh(\"there\"), cookie => env(\"OUR_COOKIE\"),\n\
         tls => #{verify => verify_none, cert => env(\"OUR_CERT\")}}.\n",
    );
    let certs = crate::support::certs::Certs::new();
    let pem = ["client.pem", "client.key"]
        .map(|name| std::fs::read_to_string(certs.path(name)).expect("it is there"));
    let ssh = desk.write("ssh", "env >seen; exit 1\n");
    let ran = desk
        .updo(&["status", "p.updo"])
        .env("UPDO_COOKIE_FILE", "")
        .env("OUR_COOKIE", COOKIE)
        .env("OUR_CERT", &pem.concat())
        .env("OUR_SHOP", "open")
        .env("UPDO_SSH", &format!("sh {}", ssh.display()));
    ran.run().exits(10).says(&["E511"]);
    let seen = desk.read("seen");
    assert!(seen.contains("OUR_SHOP=open"), "{seen}");
    assert!(
        !seen.contains("OUR_C") && !seen.contains("PRIVATE KEY"),
        "{seen}"
    );
}

/// What a listing of a failure says.
#[track_caller]
fn fails(updo: Updo<'_>, says: &[&str]) {
    let began = Instant::now();
    updo.run().exits(10).says(says);
    assert!(began.elapsed() < Duration::from_secs(25), "{says:?}");
}

#[test]
fn bastions_that_lead_nowhere() {
    let mut sshd = Sshd::start();
    let node = TestNode::start();
    let desk = Desk::new();
    let eval =
        || on(&desk, &node, &sshd, &["eval", node.name(), "node()"]).env("UPDO_VIA", "bastion");
    // A key that it does not know.
    let stranger = eval().env("UPDO_SSH", &sshd.stranger());
    fails(
        stranger,
        &[
            "E511",
            "bastion does not let us in",
            "ssh-add",
            "Permission denied",
        ],
    );
    // A host that it cannot look up, and a port where nothing listens, there.
    let host = eval().env("UPDO_ADDRESS", "no-such-host.invalid");
    fails(
        host,
        &[
            "E511",
            "bastion cannot reach no-such-host.invalid:",
            "ssh: channel 0: open failed",
        ],
    );
    let closed = format!("127.0.0.1:{}", free_port());
    let port = eval().env("UPDO_ADDRESS", &closed);
    fails(
        port,
        &[
            "E511",
            &format!("bastion cannot reach {closed}"),
            "Connection refused",
        ],
    );
    // A name that ssh does not know, no ssh at all, and one that does nothing.
    let other = eval().env("UPDO_VIA", "no-such-bastion.invalid");
    fails(other, &["E511", "no way to", "Could not resolve hostname"]);
    let missing = eval().env("UPDO_SSH", "/no/such/ssh");
    fails(missing, &["E511", "ssh cannot be started", "UPDO_SSH"]);
    let idle = eval().env("UPDO_SSH", "sh -c 'sleep 300'");
    fails(idle, &["E511", "nothing came from", "in time"]);
    // The node behind it is not there, or wants another cookie: as without a bastion.
    let unknown = on(&desk, &node, &sshd, &["eval", "absent@localhost", "1"]);
    fails(
        unknown.env("UPDO_VIA", "bastion"),
        &["E501", "no node `absent`", node.short()],
    );
    let cookie = eval()
        .env("UPDO_COOKIE_FILE", "")
        .env("UPDO_COOKIE", "notthatone");
    fails(cookie, &["E502", "refused the cookie"]);
    // The doctor says which step it is.
    let doctor = on(&desk, &node, &sshd, &["doctor", node.name()]).env("UPDO_VIA", "bastion");
    let doctor = doctor.env("UPDO_SSH", &sshd.stranger()).run().exits(10);
    doctor.prints(&["epmd  ✗  E511"]);
    // The host key is another one.
    let known = std::fs::read_to_string(sshd.path("known")).expect("it is there");
    std::fs::write(sshd.path("known"), "").expect("it can be written");
    fails(
        eval(),
        &[
            "E511",
            "the host key of bastion is not trusted",
            "Host key verification failed",
        ],
    );
    std::fs::write(sshd.path("known"), known).expect("it can be written");
    fails(
        eval().env("UPDO_VIA", "-oProxyCommand=true"),
        &["E501", "UPDO_VIA"],
    );
    sshd.end();
    let eval = on(&desk, &node, &sshd, &["eval", node.name(), "node()"]);
    fails(
        eval.env("UPDO_VIA", "bastion"),
        &["E511", "no way to", "Connection refused"],
    );
}

#[test]
fn a_bastion_that_does_not_forward() {
    let sshd = Sshd::start_with("AllowTcpForwarding no");
    let node = TestNode::start();
    let desk = Desk::new();
    let eval = on(&desk, &node, &sshd, &["eval", node.name(), "node()"]);
    fails(
        eval.env("UPDO_VIA", "bastion"),
        &["E511", "does not forward", "AllowTcpForwarding"],
    );
}

/// A connection that is cut on the way says where.
#[test]
fn an_ssh_that_ends_under_a_session() {
    let sshd = Sshd::start();
    let node = TestNode::start();
    let desk = Desk::new();
    let sleep = "timer:sleep(60000)";
    let running = || {
        let running = on(&desk, &node, &sshd, &["eval", node.name(), sleep])
            .env("UPDO_VIA", "bastion")
            .start();
        node.await_true("length(nodes(hidden)) >= 2");
        running
    };
    let cut = running();
    sshd.cut();
    cut.wait().exits(10).says(&["E608", "ssh bastion ended"]);
    node.await_true("length(nodes(hidden)) < 2");
    let killed = running();
    for (pid, line) in processes(&sshd.path("ssh_config").display().to_string()) {
        if line.starts_with("ssh ") {
            let kill = std::process::Command::new("kill")
                .args(["-9", &pid])
                .status();
            assert!(kill.expect("kill starts").success());
        }
    }
    killed.wait().exits(10).says(&["E608", "ssh bastion ended"]);
}

#[test]
fn plans_whose_way_is_none() {
    let desk = Desk::new();
    for (via, says) in [
        ("\"bastion\"", "`via` wants `ssh(\"USER@HOST\")`"),
        ("ssh(\"-oProxyCommand=true\")", "`ssh` wants a destination"),
        ("ssh(\"a b\")", "`ssh` wants a destination"),
        ("ssh(7)", "`ssh` wants a destination"),
        ("ssh()", "`via` wants"),
    ] {
        let text = format!("plan \"x\".\ntarget t #{{nodes => ['a@h'], via => {via}}}.\n");
        desk.write("p.updo", &text);
        let ran = desk.updo(&["check", "p.updo"]).run().exits(1);
        ran.says(&["E205", says]);
    }
}
