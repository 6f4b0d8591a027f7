//! Beams that a node is too old for, releases made with newer tools.

use std::fs;

use updo::diag::Code;

use crate::support::Options;
use crate::world::{World, build, names, one, printed, spec, text};

/// The same beam, claiming to use an instruction: the third number of the `Code` chunk.
fn with_instruction(beam: &[u8], instruction: u32) -> Vec<u8> {
    let mut beam = beam.to_vec();
    let code = beam
        .windows(4)
        .position(|id| id == b"Code")
        .expect("a Code chunk");
    beam[code + 16..code + 20].copy_from_slice(&instruction.to_be_bytes());
    beam
}

#[test]
fn a_beam_of_a_newer_otp_is_reported_before_anything_is_sent() {
    let world = World::new();
    world.have(&["fx_plain", "fx_lib"]);
    world
        .node
        .eval("[{module, _} = code:load_file(M) || M <- [fx_plain, fx_lib]]");
    let otp: u32 = world
        .node
        .eval_text("list_to_integer(erlang:system_info(otp_release))")
        .parse()
        .expect("a number");
    build("fx_plain", &["V2"], &world.path("new"));
    build("fx_lib", &["V2"], &world.path("new"));
    let file = world.path("new/fx_plain.beam");
    let beam = fs::read(&file).expect("is there");
    // The last instruction of the release after the node's, and the node's own word for it.
    let next = [
        (23, 176),
        (24, 180),
        (25, 182),
        (26, 183),
        (27, 184),
        (28, 191),
    ];
    let next = next.iter().find(|(release, _)| *release == otp);
    let (instruction, oldest) = next.map_or((250, None), |(_, instruction)| {
        (*instruction, Some(otp + 1))
    });
    fs::write(&file, with_instruction(&beam, instruction)).expect("can be written");
    let refused = world.node.eval_text(&format!(
        "{{ok, B}} = file:read_file({:?}), code:prepare_loading([{{fx_plain, \"x\", B}}])",
        text(&file)
    ));
    assert!(
        refused.starts_with("{error,"),
        "the node refuses it: {refused}"
    );
    let upgrade = world.push("new");
    assert!(upgrade.is_refused());
    let diagnostic = one(&upgrade, Code::E327);
    let expected = match oldest {
        Some(oldest) => format!("`fx_plain` needs OTP {oldest}, and the node runs OTP {otp}"),
        None => format!("`fx_plain` needs a newer OTP than {otp}"),
    };
    assert!(diagnostic.starts_with(&expected), "{diagnostic}");
    assert!(
        diagnostic.contains(&format!(
            "uses the instruction {instruction}, compiled by compiler "
        )),
        "{diagnostic}"
    );
    assert!(!diagnostic.contains("fx_lib"), "{diagnostic}");
    // What the plan leaves out is no obstacle.
    let plan = format!(
        "code push [{:?}]. exclude fx_plain because \"x\".",
        text(&world.path("new"))
    );
    let upgrade = world.prepare(&plan).expect("facts");
    assert!(
        printed(&upgrade, Code::E327).is_empty(),
        "{:?}",
        upgrade.diagnostics
    );
    // As it was compiled, the node takes it.
    fs::write(&file, beam).expect("can be written");
    let upgrade = world.push("new");
    assert!(!upgrade.is_refused(), "{:?}", upgrade.diagnostics);
    assert_eq!(names(&upgrade), ["fx_lib", "fx_plain"]);
}

#[test]
fn a_release_made_with_newer_tools_is_reported() {
    let world = World::with(Options::default(), &["rel/lib/fx-1/ebin"]);
    let old = world.path("rel/lib/fx-1/ebin");
    build("fx_plain", &[], &old);
    spec(&old, "fx", "1", &["fx_plain"], "");
    world
        .node
        .eval("ok = application:start(fx), {module, _} = code:load_file(fx_plain)");
    let new = world.path("rel/lib/fx-2/ebin");
    build("fx_plain", &["V2"], &new);
    spec(&new, "fx", "2", &["fx_plain"], "");
    let release = |erts: &str| {
        let folder = world.path("rel/releases/2");
        fs::create_dir_all(&folder).expect("can be made");
        fs::write(world.path("rel/releases/start_erl.data"), "13.1 2\n").expect("written");
        let rel = format!("{{release, {{\"fx\", \"2\"}}, {{erts, {erts:?}}}, [{{fx, \"2\"}}]}}.\n");
        fs::write(folder.join("fx.rel"), rel).expect("written");
        let plan = "code on_disk #{newest => all}.";
        printed(&world.prepare(plan).expect("facts"), Code::W328)
    };
    let same = world.node.eval("erlang:system_info(version)");
    assert!(release(&same.to_text().expect("text")).is_empty());
    assert!(release("5.10").is_empty(), "an older one");
    let diagnostic = release("99.1").join("\n");
    assert!(
        diagnostic
            .starts_with("the release 2 was made with ERTS 99.1, newer than what the node runs"),
        "{diagnostic}"
    );
}
