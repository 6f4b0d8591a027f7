//! The same commands with a plan, on a real node that runs the old version.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::support::{COOKIE, Options, TestNode};
use super::{compile, err, out, temporary, well_formed};

const CART_OLD: &str = "-module(nd_cart). -export([new/0, price/1]).
-record(item, {sku, price}).
new() -> #item{sku = a, price = nd_tax:rate(1)}.
price(#item{price = P}) -> P.
";

const CART_NEW: &str = "-module(nd_cart). -export([new/0, price/1, qty/1]).
-record(item, {sku, qty = 1, price}).
new() -> #item{sku = a, price = nd_tax:rate(1, eur)}.
price(#item{price = P}) -> P.
qty(#item{qty = Q}) -> Q.
";

const TAX_OLD: &str = "-module(nd_tax). -export([rate/1, item/1]).
-record(item, {sku, price}).
rate(P) -> P. item(I) -> I#item.price.
";

const TAX_NEW: &str = "-module(nd_tax). -export([rate/2, item/1]).
-record(item, {sku, qty = 1, price}).
rate(P, _) -> P. item(I) -> I#item.price.
";

struct World {
    node: TestNode,
    folder: std::path::PathBuf,
    _keep: tempfile::TempDir,
}

fn world(rule: &str) -> World {
    let (keep, folder) = temporary();
    let version = |name: &str, cart: &str, tax: &str| {
        let sources = [("nd_cart.erl", cart), ("nd_tax.erl", tax)];
        compile(&folder.join(name), &["+debug_info"], &sources)
    };
    let old = version("old", CART_OLD, TAX_OLD);
    version("new", CART_NEW, TAX_NEW);
    let node = Options::default().path(old).start();
    node.eval(
        "{module, nd_cart} = code:load_file(nd_cart), {module, nd_tax} = code:load_file(nd_tax)",
    );
    fs::write(folder.join("cookie"), COOKIE).expect("writable");
    let restricted = std::os::unix::fs::PermissionsExt::from_mode(0o400);
    fs::set_permissions(folder.join("cookie"), restricted).expect("is ours");
    let plan = format!(
        "plan \"t\".\ntarget t #{{nodes => ['{}'], cookie => file(\"cookie\")}}.\ncode push [\"new\"].\n\
         old from \"old\".\n{rule}\n",
        node.name()
    );
    fs::write(folder.join("plan.updo"), plan).expect("writable");
    World {
        node,
        folder,
        _keep: keep,
    }
}

impl World {
    fn updo(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_updo"))
            .args(["--color", "never", "--no-unicode", "--width", "160"])
            .args(arguments)
            .env("UPDO_EPMD_PORT", self.node.epmd_port().to_string())
            .env("UPDO_STATE_DIR", self.folder.join("state"))
            .current_dir(Path::new(&self.folder))
            .output()
            .expect("updo starts")
    }
}

#[test]
fn diff_and_graph_of_what_runs_and_what_is_new() {
    let world = world("");
    let diff = world.updo(&["diff", "plan.updo"]);
    assert_eq!(diff.status.code(), Some(0), "{}", err(&diff));
    let text = out(&diff);
    for line in [
        "  exports     +qty/1",
        "  exports     -rate/1  +rate/2",
        "  record      #item{}  +qty",
        "2 modules: 2 changed, 0 new, 0 deleted, 0 with other line numbers only",
    ] {
        assert!(
            text.lines().any(|l| l == line),
            "missing {line:?} in\n{text}"
        );
    }
    let one = out(&world.updo(&["diff", "plan.updo", "nd_tax"]));
    assert!(
        one.starts_with("nd_tax  changed") && !one.contains("nd_cart"),
        "{one}"
    );
    let json = out(&world.updo(&["diff", "plan.updo", "--json"]));
    let document: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(document["modules"].as_array().map(Vec::len), Some(2));

    let svg = out(&world.updo(&["graph", "plan.updo", "--format", "svg"]));
    well_formed(&svg);
    // The cart needs what only the new tax module has: that line has to be obeyed.
    assert!(svg.contains("class=\"e hard"), "{svg}");

    let preview = world.updo(&["preview", "plan.updo"]);
    let reported = err(&preview);
    assert!(
        reported.contains("W321")
            && reported.contains("`item`")
            && reported.contains("nd_cart, nd_tax"),
        "{reported}"
    );
    assert!(reported.contains("added qty"), "{reported}");
}

#[test]
fn a_rule_of_the_plan_answers_for_a_shared_record() {
    let world = world("nd_tax depends on nd_cart because \"items are converted by the cart\".");
    let preview = world.updo(&["preview", "plan.updo"]);
    assert!(!err(&preview).contains("W321"), "{}", err(&preview));
    // nd_cart waits for nd_tax because of `rate/2`, and the plan says the other way round: a ring.
    let svg = out(&world.updo(&["graph", "plan.updo", "--format", "svg"]));
    well_formed(&svg);
    assert!(
        svg.contains("cycle of 2") && svg.contains("class=\"e plan"),
        "{svg}"
    );
}
