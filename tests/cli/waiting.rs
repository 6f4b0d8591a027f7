//! A shop with version 2 in place on its disk that is never upgraded, for tests that only read.

use std::sync::{Arc, Mutex, Weak};

use crate::support::apps::{Deployed, shop};
use crate::support::desk::Desk;

/// A node that is waiting to be upgraded, started when no test has it.
pub fn waiting() -> Arc<Deployed> {
    static WAITING: Mutex<Weak<Deployed>> = Mutex::new(Weak::new());
    let mut shared = WAITING
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    shared.upgrade().unwrap_or_else(|| {
        let deployed = Deployed::shop(12);
        deployed.replace(&shop().two);
        let deployed = Arc::new(deployed);
        *shared = Arc::downgrade(&deployed);
        deployed
    })
}

/// A desk with the plan of the demonstration, as `shop.updo`.
pub fn desk() -> Desk {
    let text = include_str!("../../plans/demo.updo");
    let (head, tail) = text
        .split_once("target demo #{")
        .expect("the plan has a target");
    let (_, tail) = tail
        .split_once("old from \"../shop-1/ebin\".")
        .expect("the plan keeps version 1");
    let desk = Desk::new();
    desk.write(
        "shop.updo",
        &format!("{head}code on_disk. old from {:?}.{tail}", shop().one),
    );
    desk
}

/// The node has not been touched.
#[track_caller]
pub fn untouched(deployed: &Deployed) {
    let node = &deployed.node;
    assert_eq!(
        node.eval_text(
            "{shop_price:version(), shop_sup:version(), erlang:module_loaded(shop_round)}"
        ),
        "{1,1,false}"
    );
    // Other tests ask this node as well, and what a question is compiled to is there for that moment.
    assert_eq!(node.eval_text("witness:left_to(5000)"), "[]");
}
