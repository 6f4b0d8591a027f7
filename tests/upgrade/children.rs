//! Supervisors whose new version specifies other children: shown, started and stopped when the plan says so, for
//! supervisors without a name too, and undone with the rest.

use crate::support::TestNode;
use crate::support::apps::{Deployed, post};
use crate::support::desk::Desk;

const ALL: &str = "module post_floor #{children => #{start => [parcels], stop => [fax]}} because \"nobody sends faxes\".";

fn office() -> Deployed {
    let start = "{ok, _} = application:ensure_all_started(post)";
    let office = Deployed::new(&post().one, crate::support::Options::default(), start);
    office.replace(&post().two);
    office
}

fn plan(desk: &Desk, more: &str) -> String {
    let text = format!(
        "plan \"Parcels\".\ncode on_disk.\nold from {:?}.\n{more}\n",
        post().one
    );
    desk.write("post.updo", &text).display().to_string()
}

/// Per floor: its children with what they answer themselves, and the intensity that its supervisor knows.
fn floors(node: &TestNode) -> String {
    node.eval_text(
        "Ask = fun(P) when is_pid(P) -> gen_server:call(P, kind); (Other) -> Other end,
         [{Floor, lists:sort([{Id, Ask(P)} || {Id, P, _, _} <- supervisor:which_children(Sup)])}
          || {Floor, Sup, _, _} <- lists:sort(supervisor:which_children(post_sup))]",
    )
}

const OLD: &str = "[{ground,[{fax,fax},{letters,letters}]},{upper,[{fax,fax},{letters,letters}]}]";
const NEW: &str = "[{ground,[{letters,letters},{parcels,parcels}]},{upper,[{letters,letters},{parcels,parcels}]}]";

fn letters(node: &TestNode) -> String {
    node.eval_text(
        "[P || {_, Sup, _, _} <- supervisor:which_children(post_sup), {letters, P, _, _} <- supervisor:which_children(Sup)]",
    )
}

#[test]
fn started_and_stopped_on_request_of_the_plan() {
    let office = office();
    let (node, desk) = (&office.node, Desk::new());
    let stays = letters(node);
    // Shown, with what is left out.
    let path = plan(
        &desk,
        "module post_floor #{children => #{start => [other], stop => none}} because \"x\".",
    );
    desk.on(node, &["preview", &path])
        .run()
        .exits(0)
        .says(&["W343", "not be started: parcels"]);

    let path = plan(&desk, ALL);
    let ran = desk.on(node, &["preview", &path]).run().exits(0);
    assert!(!ran.stderr.contains("W343"), "{ran}");
    ran.prints(&["stop child fax", "start child parcels"]);
    assert_eq!(floors(node), OLD);

    let ran = desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    let run = ran.name();
    assert_eq!(floors(node), NEW);
    assert_eq!(letters(node), stays, "who stays is the same process");
    assert_eq!(node.eval_text("witness:troubled()"), "[]");

    // And back again, later.
    desk.on(node, &["rollback", &run, "--yes"]).run().exits(0);
    assert_eq!(floors(node), OLD);
    assert_eq!(letters(node), stays);
    assert_eq!(node.eval_text("witness:left_to(3000)"), "[]");
}

#[test]
fn undone_with_the_rest() {
    let office = office();
    let (node, desk) = (&office.node, Desk::new());
    let stays = letters(node);
    let path = plan(&desk, &format!("{ALL}\nverify \"no\" -> 1 = 2."));
    desk.on(node, &["run", &path, "--yes"])
        .run()
        .exits(20)
        .says(&["E606", "is as before"]);
    assert_eq!(floors(node), OLD);

    // One that does not start: the whole upgrade is taken back.
    node.eval("application:set_env(post, closed, parcels)");
    let path = plan(&desk, ALL);
    desk.on(node, &["run", &path, "--yes"])
        .run()
        .exits(20)
        .says(&["E610", "parcels of post_floor", "no_staff", "is as before"]);
    assert_eq!(floors(node), OLD);
    assert_eq!(letters(node), stays);

    // Or not, if the plan says so.
    let path = plan(&desk, &format!("{ALL}\nrollback never."));
    desk.on(node, &["run", &path, "--yes"])
        .run()
        .exits(21)
        .says(&["E610"]);
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
    assert_eq!(node.eval_text("witness:left_to(3000)"), "[]");
}

/// `none` in the plan, and it is as OTP does it: the new one is specified and down, the old one runs.
#[test]
fn without_consent_no_child_is_touched() {
    let office = office();
    let (node, desk) = (&office.node, Desk::new());
    let none = "module post_floor #{children => #{start => none, stop => none}} because \"x\".";
    let path = plan(&desk, none);
    desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    let floor = "[{fax,fax},{letters,letters},{parcels,undefined}]";
    assert_eq!(
        floors(node),
        format!("[{{ground,{floor}}},{{upper,{floor}}}]")
    );
}

/// Without a word in the plan it is as a restart would have it, in every process of the supervisor.
#[test]
fn without_a_statement_it_is_inferred() {
    let office = office();
    let (node, desk) = (&office.node, Desk::new());
    let stays = letters(node);
    let path = plan(&desk, "");
    desk.on(node, &["run", &path, "--yes"]).run().exits(0);
    assert_eq!(floors(node), NEW);
    assert_eq!(letters(node), stays, "who stays is the same process");
    assert_eq!(node.eval_text("witness:troubled()"), "[]");
    desk.on(node, &["rollback", "--yes"]).run().exits(0);
    assert_eq!(floors(node), OLD);
    assert_eq!(letters(node), stays);
}

#[test]
fn only_for_supervisors() {
    let office = office();
    let (node, desk) = (&office.node, Desk::new());
    for (more, text) in [
        (
            "module post_floor #{class => plain, children => #{start => [parcels]}} because \"x\".",
            "is for supervisors",
        ),
        (
            "module post_floor #{children => [parcels]} because \"x\".",
            "`#{start => [Id] or none, stop => [Id] or none}`",
        ),
    ] {
        let path = plan(&desk, more);
        desk.on(node, &["run", &path, "--yes"])
            .run()
            .exits(1)
            .says(&["E205", text]);
    }
    assert_eq!(floors(node), OLD);
}
