//! Elixir: behaviours of its own, processes that are not what they seem, consolidated protocols.

use std::fs;

use updo::diag::Code;
use updo::facts::beam::protocols::is_consolidated;
use updo::rules::Class;

use crate::support::Options;
use crate::world::{World, changed, class, elixir, names, one, printed, text};

fn world() -> World {
    let options = Options {
        elixir: true,
        ..Options::default()
    };
    World::with(options, &["fx/consolidated", "fx/ebin"])
}

#[test]
fn supervisors_servers_agents_and_tasks() {
    let world = world();
    let ebin = world.path("fx/ebin");
    elixir(&["fx_people.ex"], "1", &ebin, &[]);
    world
        .node
        .eval("{ok, P} = 'Elixir.Fx.Top':start_link([]), unlink(P)");
    elixir(&["fx_people.ex"], "2", &ebin, &[]);
    let upgrade = world.look();
    for (module, wanted, processes) in [
        ("Elixir.Fx.Top", Class::Supervisor, 1),
        ("Elixir.Fx.Dynamic", Class::Supervisor, 1),
        ("Elixir.Fx.Server", Class::Server, 1),
        ("Elixir.Fx.Stash", Class::Library, 0),
        ("Elixir.Fx.Job", Class::Library, 0),
    ] {
        let (found, converted, why) = class(&upgrade, module);
        assert_eq!(
            (found, converted),
            (wanted, processes > 0),
            "{module}: {why}"
        );
        assert_eq!(changed(&upgrade, module).processes, processes, "{module}");
    }
    // An agent's state is its own, and neither is a process of the module; a task stays in the old code, and that is worth a word.
    let reported = one(&upgrade, Code::W334);
    assert!(
        reported.starts_with("`Fx.Job` is taken as plain, yet its processes run"),
        "{reported}"
    );
    let strangers = printed(&upgrade, Code::A341);
    assert!(strangers.is_empty(), "{strangers:?}");
    // The supervisor was started by hand, and every other process has a specification.
    assert!(one(&upgrade, Code::W316).starts_with("1 process of `Fx.Top`"));
}

/// Writes the consolidated form of the fixture's protocol, knowing these implementations.
fn consolidate(world: &World, implementations: &str, folder: &str) {
    let folder = world.path(folder);
    fs::create_dir_all(&folder).expect("can be made");
    let ebin = text(&world.path("fx/ebin"));
    let new = text(&world.path("new"));
    let file = text(&folder.join("Elixir.Fx.Price.beam"));
    // Protocol.consolidate/2 looks for the beam in the code path, ebin first here.
    world.node.eval(&format!(
        "Path = code:get_path(), code:add_pathsa([{ebin:?}, {new:?}]), \
         {{ok, B}} = 'Elixir.Protocol':consolidate('Elixir.Fx.Price', [{implementations}]), \
         code:set_path(Path), ok = file:write_file({file:?}, B)"
    ));
}

#[test]
fn a_consolidated_protocol_is_never_replaced_by_its_unconsolidated_beam() {
    let world = world();
    let ebin = world.path("fx/ebin");
    elixir(&["fx_protocols.ex"], "1", &ebin, &[]);
    consolidate(&world, "'Elixir.Integer'", "fx/consolidated");
    let form = |file: &str| is_consolidated(&fs::read(world.path(file)).expect("is there"));
    assert_eq!(form("fx/ebin/Elixir.Fx.Price.beam"), Some(false));
    assert_eq!(form("fx/consolidated/Elixir.Fx.Price.beam"), Some(true));
    assert_eq!(form("fx/ebin/Elixir.Fx.Price.Integer.beam"), None);

    world.node.eval(
        "code:purge('Elixir.Fx.Price'), {module, _} = code:load_file('Elixir.Fx.Price'), \
         true = 'Elixir.Fx.Price':'__protocol__'('consolidated?'), {module, _} = code:load_file('Elixir.Fx.Price.Integer')",
    );
    // Nothing has changed, and two files of one protocol are as it should be.
    let upgrade = world.look();
    assert_eq!(names(&upgrade), Vec::<&str>::new());
    assert!(printed(&upgrade, Code::W320).is_empty());
    assert!(printed(&upgrade, Code::W333).is_empty());

    // The application's ebin alone would break it.
    let upgrade = world.push("fx/ebin");
    assert_eq!(names(&upgrade), Vec::<&str>::new());
    let reported = one(&upgrade, Code::W320);
    assert!(reported.starts_with("`Fx.Price` differs"), "{reported}");
    assert!(reported.contains("consolidated"), "{reported}");

    // A new implementation, without and with the new consolidated beam.
    elixir(&["fx_float.ex"], "1", &world.path("new"), &[&ebin]);
    let upgrade = world.push("new");
    assert_eq!(names(&upgrade), ["Elixir.Fx.Price.Float"]);
    assert!(
        one(&upgrade, Code::W337)
            .contains("`Fx.Price` will not find its new implementation `Fx.Price.Float`"),
        "{:?}",
        upgrade.diagnostics
    );
    consolidate(&world, "'Elixir.Integer', 'Elixir.Float'", "new2");
    // Consolidating has loaded it.
    world
        .node
        .eval("code:delete('Elixir.Fx.Price.Float'), code:purge('Elixir.Fx.Price.Float')");
    let plan = format!(
        "code push [{:?}, {:?}, {:?}].",
        text(&world.path("new")),
        text(&ebin),
        text(&world.path("new2"))
    );
    let upgrade = world.prepare(&plan).expect("facts");
    assert_eq!(
        names(&upgrade),
        ["Elixir.Fx.Price", "Elixir.Fx.Price.Float"]
    );
    assert!(printed(&upgrade, Code::W337).is_empty());
    let new = changed(&upgrade, "Elixir.Fx.Price").new.as_ref();
    let bytes = &new.expect("a beam").bytes;
    assert_eq!(is_consolidated(bytes), Some(true));
}
