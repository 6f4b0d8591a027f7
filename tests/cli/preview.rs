//! `updo preview`: a screen, a term, a document; and nothing is changed.

use crate::waiting::{desk, untouched, waiting};

#[test]
fn the_screen_goes_to_standard_output() {
    let (deployed, desk) = (waiting(), desk());
    let ran = desk
        .on(&deployed.node, &["preview", "shop.updo"])
        .run()
        .exits(0);
    let ran = ran.prints(&[
        "Shop 2: taxes are rounded fairly",
        deployed.node.name(),
        "9 of ",
        "shop_round",
        "because \"the state of a cart grew a field in version 2\"",
        "undo     exact",
    ]);
    // Warnings may be given, on the other channel; an error there is none.
    assert!(!ran.stderr.contains("error["), "{ran}");
    assert!(!ran.stdout.contains("warning["), "{ran}");
    untouched(&deployed);
    desk.on(&deployed.node, &["p", "shop.updo", "--exit-code"])
        .run()
        .exits(3);
    untouched(&deployed);
}

/// In full: each piece of evidence, and what was compared and is the same.
#[test]
fn the_screen_in_full() {
    let (deployed, desk) = (waiting(), desk());
    let usual = desk.on(&deployed.node, &["preview", "shop.updo"]).run();
    let usual = usual.exits(0).prints(&[
        "· shop 1.0.0 → 2.0.0 ",
        "convert states with {advanced, {rounding,half_even}}  timeout 30s",
        "plain  1 process  purge wait 2s",
        "after shop_tax because \"the tax module is chosen at run time",
        "(within 10s)",
        "on fail  rollback automatic · deadline 30s",
    ]);
    let full = desk.on(&deployed.node, &["preview", "shop.updo", "--full"]);
    let full = full.run().exits(0).prints(&["  same     "]);
    // The second reason why shop_promo comes after shop_price.
    let second = "after shop_price: shop_promo:discount/2 (line 9) calls shop_price:threshold/1";
    assert!(full.stdout.contains(second), "{full}");
    assert!(!usual.stdout.contains(second), "{usual}");
    let (_, same) = full.stdout.split_once("  same     ").expect("a list");
    let names: Vec<&str> = same
        .split([',', ' ', '\n'])
        .filter(|n| !n.is_empty())
        .collect();
    for (module, is) in [
        ("shop_load", true),
        ("gen_server", true),
        ("shop_price", false),
    ] {
        assert_eq!(names.contains(&module), is, "{module}: {same}");
    }
    assert_eq!(
        names[0].parse::<usize>().ok(),
        Some(names.len() - 2),
        "{same}"
    );
    let args = ["--json", "preview", "shop.updo", "--full"];
    let document = desk.on(&deployed.node, &args).run().exits(0).json();
    let same = document["same"].as_array().expect("a list");
    assert_eq!(same.len(), names.len() - 2);
    untouched(&deployed);
}

#[test]
fn the_low_level_script_is_a_term() {
    let (deployed, desk) = (waiting(), desk());
    let ran = desk
        .on(&deployed.node, &["preview", "shop.updo", "--low"])
        .run()
        .exits(0);
    let file = desk.write("low", &ran.stdout);
    let words = format!(
        "{{ok, [Script]}} = file:consult({:?}), [case I of T when is_tuple(T) -> element(1, T); A -> A end || I <- Script]",
        file.display().to_string()
    );
    let load = ["load"; 9].join(",");
    assert_eq!(
        deployed.node.eval_text(&words),
        format!("[load_object_code,point_of_no_return,suspend,{load},code_change,resume]")
    );
    // OTP's own check of the instructions after the point of no return has nothing to say against it.
    let check = format!(
        "{{ok, [Script]}} = file:consult({:?}), release_handler_1:check_script(Script, [{{shop, \"2.0.0\", {:?}}}])",
        file.display().to_string(),
        deployed.ebin.parent().expect("ebin lies in a folder")
    );
    assert_eq!(deployed.node.eval_text(&check), "{ok,[]}");

    let ran = desk
        .on(&deployed.node, &["preview", "shop.updo", "--terms"])
        .run()
        .exits(0);
    let file = desk.write("terms", &ran.stdout);
    let words = format!(
        "{{ok, [Script]}} = file:consult({:?}), lists:sort([element(1, I) || I <- Script])",
        file.display().to_string()
    );
    assert_eq!(
        deployed.node.eval_text(&words),
        "[add_module,load_module,load_module,load_module,load_module,update,update,update,update]"
    );
}

#[test]
fn preview_as_a_json_document() {
    let (deployed, desk) = (waiting(), desk());
    let ran = desk
        .on(&deployed.node, &["preview", "shop.updo", "--json"])
        .run()
        .exits(0);
    let document = ran.json();
    assert_eq!(document["schema"], "updo.preview/1.0");
    assert_eq!(document["node"], deployed.node.name());
    let modules = document["modules"].as_array().expect("modules");
    assert_eq!(modules.len(), 9);
    let cart = modules
        .iter()
        .find(|m| m["module"] == "shop_cart_server")
        .expect("carts change");
    assert_eq!(
        (&cart["class"], &cart["processes"], &cart["undo"]),
        (&"server".into(), &12.into(), &"exact".into())
    );
    let plan = cart["why"]
        .as_array()
        .expect("reasons")
        .iter()
        .find(|why| why["kind"] == "plan")
        .expect("the plan's reason");
    assert!(
        plan["because"].as_str().is_some_and(
            |text| text.contains("grew a field") || text.contains("chosen at run time")
        ),
        "{plan}"
    );
    assert_eq!(document["suspended"], 18);
    untouched(&deployed);
}

#[test]
fn a_plan_that_changes_nothing_is_not_run() {
    let (deployed, desk) = (waiting(), desk());
    desk.write("none.updo", "plan \"Nothing\".\ncode on_disk.\nonly lib(\"nothing-*\") when vsn(shop) =:= \"9\".\nexclude app(shop) because \"not today\".\n");
    let ran = desk
        .on(&deployed.node, &["preview", "none.updo", "--exit-code"])
        .run()
        .exits(0);
    ran.prints(&["nothing to do"]);
    desk.on(&deployed.node, &["run", "none.updo", "--yes"])
        .run()
        .exits(0)
        .says(&["nothing to do"]);
    untouched(&deployed);
}
