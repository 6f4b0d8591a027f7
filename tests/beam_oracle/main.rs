//! The beam reader against Erlang itself: every beam of this machine's OTP and Elixir.
//!
//! One `escript` process asks `beam_lib`, `beam_disasm` and `xref` and writes their answers as terms;
//! here they are compared with what updo reads from the same files, without exception.

mod oracle;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use oracle::{Answers, answers, number, other_root, roots, run};
use updo::facts::beam::chunk::Chunks;
use updo::facts::beam::debug::records;
use updo::facts::beam::digest::Digests;
use updo::facts::beam::{BeamFacts, Evidence, ReadExtent};
use updo::facts::local::edges::call_edges;
use updo::facts::local::files::facts_of;
use updo::term::{Atom, Term};

fn read_all(answers: &Answers) -> Vec<BeamFacts> {
    let paths: Vec<PathBuf> = answers.beams.iter().map(|beam| beam.path.clone()).collect();
    facts_of(&paths)
        .into_iter()
        .map(|facts| facts.unwrap_or_else(|error| panic!("{error}")))
        .collect()
}

#[test]
fn tables_of_every_beam_agree_with_beam_lib() {
    let answers = answers();
    assert!(
        answers.beams.len() > 400,
        "only {} beams found",
        answers.beams.len()
    );
    for (beam, facts) in answers.beams.iter().zip(read_all(answers)) {
        let at = beam.path.display();
        assert_eq!(facts.module.as_str(), beam.module, "{at}");
        assert_eq!(facts.md5.as_bytes()[..], beam.md5, "md5 of {at}");
        let exports = facts.exports.iter().map(|f| (f.name.clone(), f.arity));
        assert_eq!(
            exports.collect::<BTreeSet<_>>(),
            beam.exports,
            "exports of {at}"
        );
        assert_eq!(facts.imports, beam.imports, "imports of {at}");
        assert_eq!(facts.vsn(), beam.vsn, "version of {at}");
        // An attribute without a value (`-export_records([])`) is none to us.
        let mut attributes = beam.attributes.clone();
        attributes.retain(|_, values| !values.is_empty());
        assert_eq!(by_name(&facts.attributes), attributes, "attributes of {at}");
        let info: Vec<_> = facts
            .compile_info()
            .iter()
            .map(|(key, value)| Term::tuple([Term::Atom(key.clone()), value.clone()]))
            .collect();
        assert_eq!(
            Term::List(info),
            beam.compile_info,
            "compile information of {at}"
        );
    }
}

/// Beams that no compiler makes, on every OTP of this machine: chunks are missing, there twice, in another order, and of
/// releases that the node does not know.
#[test]
fn digests_of_made_beams_are_those_of_the_node() {
    let others = other_root().map_or_else(roots, |_| Vec::new());
    for root in [None].into_iter().chain(others.iter().map(Some)) {
        let (mut loadable, mut strange, mut native, mut release) = (0, 0, 0, 0);
        for answer in run("made.erl", root.map(|root| root.as_path())) {
            let Some([otp, beam, lib, node]) = answer.as_tuple() else {
                panic!("{answer:?}")
            };
            let (otp, beam) = (number(otp), beam.as_bytes().expect("a beam"));
            release = otp;
            let chunks = Chunks::parse(beam).expect("well-formed");
            let names: Vec<_> = chunks.names().collect();
            let reported = || {
                let names = names.iter().map(|id| id.escape_ascii().to_string());
                format!("OTP {otp}: {:?}", names.collect::<Vec<_>>())
            };
            let digest = Digests::of(&chunks).on(otp);
            if let Some(node) = node.as_bytes() {
                assert_eq!(digest.as_bytes(), node, "loader, {}", reported());
                loadable += 1;
            }
            // Of a chunk that is there twice `beam_lib` reads the first; the loader reads the last.
            let doubled = names.iter().collect::<BTreeSet<_>>().len() < names.len();
            if let (Some(lib), false) = (lib.as_bytes(), doubled || names.contains(&b"Atom")) {
                assert_eq!(digest.as_bytes(), lib, "beam_lib, {}", reported());
                strange += usize::from(names.iter().any(|id| [b"Recs", b"DbgB"].contains(id)));
            }
            // What OTP 29 compiles with a native record shows it as one.
            let of_records = BeamFacts::read(beam).is_ok_and(|facts| facts.module.as_str() == "r");
            if of_records && names.contains(&b"Dbgi") {
                let records = records(beam).expect("a beam").expect("its forms");
                let shown: Vec<_> = records
                    .iter()
                    .map(|r| (r.name.as_str(), &r.fields))
                    .collect();
                assert_eq!(shown, [("st", &vec![Atom::new("n")])], "{}", reported());
                native += 1;
            }
        }
        assert_eq!(native > 100, release >= 29, "{native}");
        assert!(loadable > 100, "{root:?}: only {loadable} can be loaded");
        assert!(strange > 40, "{root:?}: only {strange} have new chunks");
    }
}

/// Attributes as `beam_lib` shows them: values gathered by name.
fn by_name(attributes: &[(updo::term::Atom, Term)]) -> BTreeMap<String, Vec<Term>> {
    let mut gathered: BTreeMap<String, Vec<Term>> = BTreeMap::new();
    for (name, value) in attributes {
        gathered
            .entry(name.as_str().to_owned())
            .or_default()
            .push(value.clone());
    }
    gathered
}

#[test]
fn call_edges_are_those_of_xref() {
    let answers = answers();
    let facts = read_all(answers);
    let ours = call_edges(&facts.iter().collect::<Vec<_>>(), answers.otp);
    let ours: BTreeSet<_> = ours
        .iter()
        .map(|(a, b)| (a.as_str().to_owned(), b.as_str().to_owned()))
        .collect();
    let missing: Vec<_> = answers.edges.difference(&ours).collect();
    let extra: Vec<_> = ours.difference(&answers.edges).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "missing {missing:?}, extra {extra:?}"
    );
    assert!(ours.len() > 1000, "only {} edges", ours.len());
    println!("{} edges among {} modules", ours.len(), facts.len());
}

#[test]
fn code_of_every_beam_agrees_with_beam_disasm() {
    let answers = answers();
    for beam in &answers.beams {
        let at = beam.path.display();
        let bytes = std::fs::read(&beam.path).expect("readable");
        let facts = BeamFacts::read_whole(&bytes, &BTreeSet::new()).expect("a beam");
        assert_eq!(facts.code.walked, ReadExtent::Whole, "{at}");
        assert_eq!(
            facts.code.on_load.is_some(),
            beam.on_load,
            "on_load of {at}"
        );
        let sites: BTreeSet<_> = facts
            .code
            .call_sites
            .iter()
            .map(|site| ((site.from.name.clone(), site.from.arity), site.to.clone()))
            .collect();
        assert_eq!(sites, beam.call_sites, "call sites of {at}");
        // A call through a variable is dynamic, or its module turned out to be a constant.
        let constant = facts
            .code
            .hidden
            .iter()
            .filter(|h| h.evidence == Evidence::StartCall);
        let constant = constant.filter_map(|hidden| hidden.from.as_ref());
        let dynamic = facts.code.dynamic_calls.iter().map(|call| &call.from);
        let mut applies: BTreeMap<(Arc<str>, u32), usize> = BTreeMap::new();
        for from in constant.chain(dynamic) {
            *applies.entry((from.name.clone(), from.arity)).or_default() += 1;
        }
        for (function, count) in &beam.applies {
            let found = applies.get(function).copied().unwrap_or(0);
            assert!(
                found >= *count,
                "{at}: {function:?} has {count} applies, {found} found"
            );
        }
        let known: BTreeSet<_> = facts
            .code
            .atoms
            .iter()
            .map(|atom| atom.as_str().to_owned())
            .collect();
        let missing: Vec<_> = beam.atoms.difference(&known).collect();
        assert!(missing.is_empty(), "{at}: atoms {missing:?}");
    }
}

#[test]
fn fields_of_every_elixir_struct() {
    let mut structs = 0;
    for beam in &answers().beams {
        let Some(fields) = &beam.struct_fields else {
            continue;
        };
        let bytes = std::fs::read(&beam.path).expect("readable");
        let facts = BeamFacts::read_whole(&bytes, &BTreeSet::new()).expect("a beam");
        let ours: Option<BTreeSet<_>> = facts
            .code
            .struct_fields
            .map(|f| f.iter().map(|a| a.as_str().to_owned()).collect());
        assert_eq!(ours.as_ref(), Some(fields), "{}", beam.path.display());
        structs += 1;
    }
    let elixir = answers()
        .beams
        .iter()
        .any(|beam| beam.module == "Elixir.Enum");
    assert!(structs > 20 || !elixir, "only {structs} structs");
}
