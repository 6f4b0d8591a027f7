//! The same upgrade by OTP's release handler, on a second node: the end is the same.

use crate::shop::{CARTS, CHANGED, md5s_of, plan};
use crate::support::apps::{Deployed, shop};
use crate::support::desk::Desk;

#[test]
fn release_handler_comes_to_the_same_end() {
    let ours = Deployed::shop(CARTS);
    let theirs = Deployed::shop(CARTS);
    ours.replace(&shop().two);
    let desk = Desk::new();
    desk.write("shop.updo", &plan("code on_disk."));
    for shop_1 in [&ours, &theirs] {
        // Something to convert: carts with goods, a customer in the middle of a sale.
        shop_1.node.eval("[shop_cart_server:add(I, pear, I) || I <- lists:seq(1, 20)], {ok, _} = shop_checkout:scan(shop_till_2, 7)");
    }
    let low = desk
        .on(&ours.node, &["preview", "shop.updo", "--low"])
        .run()
        .exits(0);
    desk.write("low", &low.stdout);
    desk.on(&ours.node, &["run", "shop.updo", "--yes"])
        .run()
        .exits(0);

    let root = shop()
        .two
        .parent()
        .expect("ebin lies in a folder")
        .to_owned();
    let done = theirs.node.eval_text(&format!(
        "witness:eval_script({:?}, shop, {{\"2.0.0\", {root:?}}})",
        desk.path().join("low")
    ));
    assert!(done.starts_with("{ok,"), "{done}");

    let ends = |shop_2: &Deployed| {
        let node = &shop_2.node;
        assert_eq!(
            node.eval_text(&format!("witness:md5s({CHANGED})")),
            md5s_of(node, &shop().two)
        );
        assert_eq!(node.eval_text("witness:troubled()"), "[]");
        let states = node.eval("[S || {N, _} = S <- witness:states(\"shop_\"), N =/= shop_load, N =/= shop_sup, N =/= shop_cart_sup]");
        let specs = node.eval("[element(2, supervisor:get_childspec(shop_sup, C)) || C <- [shop_stock, shop_cart_sup, shop_till_1, shop_gate, shop_load]]");
        assert_eq!(states.as_list().map(<[_]>::len), Some(CARTS as usize + 5));
        (states, specs)
    };
    assert_eq!(ends(&ours), ends(&theirs));
}
