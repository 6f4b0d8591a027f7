//! What a node is asked: its files are read once, and where possible not by it at all.

use std::time::Duration;

use updo::facts::compare::{NewCode, OldBeamSources, compare_on};
use updo::facts::node::node_facts;
use updo::facts::node::node_files::Disk;
use updo::name::NodeName;
use updo::state::beams::Store;
use updo::state::file_cache::Seen;

use crate::world::{World, build};

#[test]
fn a_far_node_sends_each_file_once_and_a_near_one_none() {
    let world = World::new();
    world.have(&["fx_plain", "fx_lib"]);
    world
        .node
        .eval("[{module, M} = code:load_file(M) || M <- [fx_plain, fx_lib]]");
    // What was written in the last seconds is not remembered.
    std::thread::sleep(Duration::from_secs(4));
    let session = world.node.connected();
    let otp = node_facts::gather(&session).expect("facts").otp;
    let state = world.path("state");
    let name = NodeName::new(world.node.name());
    let files: Vec<String> = ["fx_plain", "fx_lib"]
        .iter()
        .map(|module| crate::world::text(&world.path(&format!("fx/ebin/{module}.beam"))))
        .collect();

    let mut seen = Seen::open(&state, &name);
    let mut near = Disk::new(&session, otp, &mut seen);
    let here = near.beams(&files).expect("an answer");
    assert_eq!((near.tally.here, near.tally.sent), (2, 0));
    seen.save().expect("can be written");
    // Read once, as a far node's are sent once.
    let mut seen = Seen::open(&state, &name);
    let mut near = Disk::new(&session, otp, &mut seen);
    assert_eq!(near.beams(&files).expect("an answer"), here);
    assert_eq!((near.tally.here, near.tally.known), (0, 2));

    let mut seen = Seen::nothing();
    let mut far = Disk::new(&session, otp, &mut seen);
    far.assume_remote();
    assert_eq!(far.beams(&files).expect("an answer"), here);
    assert_eq!((far.tally.sent, far.tally.known), (2, 0));
    std::fs::remove_dir_all(state.join("files")).expect("is there");
    let mut seen = Seen::open(&state, &name);
    let mut far = Disk::new(&session, otp, &mut seen);
    far.assume_remote();
    far.beams(&files).expect("an answer");
    seen.save().expect("can be written");

    let mut seen = Seen::open(&state, &name);
    let mut far = Disk::new(&session, otp, &mut seen);
    far.assume_remote();
    assert_eq!(far.beams(&files).expect("an answer"), here);
    assert_eq!((far.tally.sent, far.tally.known), (0, 2));

    // A change is seen, even with the same size.
    build("fx_plain", &["V2"], &world.path("fx/ebin"));
    let mut far = Disk::new(&session, otp, &mut seen);
    far.assume_remote();
    let changed = far.beams(&files).expect("an answer");
    assert_ne!(changed[0], here[0]);
    assert_eq!(changed[1], here[1]);
    assert_eq!((far.tally.sent, far.tally.known), (1, 1));
    let mut near = Disk::new(&session, otp, &mut seen);
    assert_eq!(near.beams(&files).expect("an answer"), changed);
    assert_eq!((near.tally.here, near.tally.known), (1, 1));
}

#[test]
fn a_far_node_gives_the_same_change_set() {
    let world = World::new();
    world.have(&["fx_lib", "fx_user", "fx_gone", "fx_plain"]);
    crate::world::spec(
        &world.path("fx/ebin"),
        "fx",
        "1",
        &["fx_lib", "fx_user", "fx_gone", "fx_plain"],
        "",
    );
    world.node.eval(
        "ok = application:start(fx), [{module, M} = code:load_file(M) || M <- [fx_lib, fx_user, fx_gone, fx_plain]]",
    );
    world.replace(&["fx_lib", "fx_new"]);
    std::fs::remove_file(world.path("fx/ebin/fx_gone.beam")).expect("is there");
    let session = world.node.connected();
    let facts = node_facts::gather(&session).expect("facts");
    let store = Store::new(world.path("state"));
    let look = |remote: bool| {
        let mut seen = Seen::nothing();
        let mut disk = Disk::new(&session, facts.otp, &mut seen);
        if remote {
            disk.assume_remote();
        }
        let old = OldBeamSources {
            patterns: &[],
            store: &store,
        };
        let set = compare_on(disk, &session, &facts, NewCode::OnDisk, old, &|_| {
            Default::default()
        })
        .expect("a change set");
        let modules: Vec<String> = set.modules.keys().map(ToString::to_string).collect();
        (modules, set.gone, set.notices, set.untouched, set.specs)
    };
    let near = look(false);
    assert_eq!(near.0, ["fx_lib", "fx_new"]);
    assert_eq!(near.1.len(), 1);
    assert_eq!(near.1[0].callers.len(), 2, "{:?}", near.1);
    assert_eq!(look(true), near);
}

/// Each `NAME.etf` is what the node's own parser makes of `NAME.erlexpr` beside it. `UPDO_BLESS=1` writes them.
#[test]
fn forms_are_what_the_node_would_parse() {
    let node = crate::support::TestNode::shared();
    // Constant arguments become variables with a value, so that the node need not build them from their forms.
    const MAKE: &str = r#"
        Constant = fun(A, F) ->
            try erl_parse:normalise(A) of
                Value when is_list(Value), Value =/= []; is_tuple(Value) ->
                    Name = list_to_atom("constant " ++ integer_to_list(length(get(constants)))),
                    put(constants, get(constants) ++ [{Name, Value}]),
                    {var, 0, Name};
                _ -> A
            catch _:_ -> F(A) end
        end,
        Make = fun F({call, _, Fun, Args}) -> {call, 0, F(Fun), [Constant(A, F) || A <- Args]};
                   F(T) when is_tuple(T) -> list_to_tuple(F(tuple_to_list(T)));
                   F([H | T]) -> [F(H) | F(T)];
                   F(X) -> X
        end,
        put(constants, []),
        {ok, Ts, _} = erl_scan:string(Source),
        {ok, Es} = erl_parse:parse_exprs(Ts),
        Forms = [Make(erl_parse:map_anno(fun(_) -> 0 end, E)) || E <- Es],
        {Forms, get(constants)}"#;
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for file in [
        "facts/node/disturbed",
        "facts/node/find_processes",
        "facts/node/old_code",
        "node/agent/load",
        "node/compiled",
    ] {
        let file = root.join(file);
        let text = std::fs::read_to_string(file.with_extension("erlexpr")).expect("is there");
        let source = format!("Source = {},", updo::term::Term::string(&text));
        let made = node.eval(&format!("{source} {MAKE}"));
        let file = file.with_extension("etf");
        if std::env::var_os("UPDO_BLESS").is_some() {
            std::fs::write(&file, updo::term::etf::encode(&made)).expect("can be written");
        }
        let kept = std::fs::read(&file).expect("is there");
        let kept = updo::term::etf::decode(&kept).expect("a term");
        assert!(
            kept == made,
            "{} is of another text: UPDO_BLESS=1",
            file.display()
        );
    }
}
