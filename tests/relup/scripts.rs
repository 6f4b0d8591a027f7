//! Random scripts, valid and broken, against `systools_rc:translate_scripts/4`.

#[path = "generate.rs"]
mod generate;

use std::collections::BTreeMap;

use updo::name::Module;
use updo::script::error::ScriptError;
use updo::script::instruction::Instruction;
use updo::script::read::any_form;
use updo::script::translate::{Application, Mode, Refused, Tie, translate, translate_with};
use updo::term::Term;

use crate::oracle::Oracle;
use crate::random::{Random, setting};

/// What was seen.
#[derive(Debug, Default)]
struct TransferStats {
    ok: usize,
    free: usize,
    refused: BTreeMap<String, usize>,
    crashed: usize,
}

pub fn app_term(app: &Application) -> Term {
    Term::tuple([
        Term::atom(app.name.as_str()),
        app.vsn.clone(),
        app.start.to_term(),
        Term::list(app.modules.iter().map(|m| Term::atom(m.as_str()))),
    ])
}

fn terms(low: &[Instruction]) -> Term {
    Term::list(low.iter().map(Instruction::to_term))
}

#[test]
fn random_scripts_are_translated_as_systools_does() {
    let (seed, count) = (setting("UPDO_SEED", 1), setting("UPDO_COUNT", 1500));
    let mut oracle = Oracle::start();
    let mut random = Random::new(seed);
    let mut tally = TransferStats::default();
    for round in 0..count {
        let case = generate::case(&mut random);
        for mode in [Mode::Up, Mode::Down] {
            let context = format!("seed {seed} round {round} {mode:?}:\n{case}");
            let question = Term::tuple([
                Term::atom("translate"),
                Term::atom(if mode == Mode::Up { "up" } else { "dn" }),
                case.term(),
                Term::list(case.to.iter().map(app_term)),
                Term::list(case.from.iter().map(app_term)),
            ]);
            let theirs = oracle.ask(&question);
            compare(&mut tally, mode, &case, &theirs, &context);
        }
    }
    let refused: usize = tally.refused.values().sum();
    println!(
        "systools_rc: {} outcomes: {} ok ({} with a free order), {refused} refused, {} crashes of OTP; \
         0 disagreements (seed {seed})\n  refused as {:?}",
        count * 2,
        tally.ok,
        tally.free,
        tally.crashed,
        tally.refused
    );
    assert!(
        tally.ok * 10 >= count as usize,
        "too few are valid: {tally:?}"
    );
    assert!(
        refused * 10 >= count as usize,
        "too few are broken: {tally:?}"
    );
}

fn compare(
    tally: &mut TransferStats,
    mode: Mode,
    case: &generate::Case,
    theirs: &Term,
    context: &str,
) {
    let Term::List(scripts) = &case.scripts else {
        panic!("scripts are a list");
    };
    let ours = translate(mode, scripts, &case.to, &case.from);
    if theirs.is_atom("crash") {
        tally.crashed += 1;
        let crash = matches!(
            &ours,
            Err(Refused {
                error: ScriptError::Crash(_),
                ..
            })
        );
        assert!(crash, "OTP crashes, we say {ours:?}\n{context}");
        return;
    }
    let opposite = translate_with(mode, scripts, &case.to, &case.from, Tie::Opposite);
    let free = opposite != ours;
    match theirs.as_tuple().expect("a tuple") {
        [ok, script] if ok.is_atom("ok") => {
            tally.ok += 1;
            tally.free += usize::from(free);
            printed_and_read(scripts, context);
            let places = places(mode, script);
            let given = translate_with(mode, scripts, &case.to, &case.from, Tie::Given(&places));
            let given = given.unwrap_or_else(|e| panic!("OTP: {script}\nours: {e:?}\n{context}"));
            assert_eq!(terms(&given), *script, "with OTP's order\n{context}");
            if !free {
                let ours = ours.expect("it is fine in another order");
                assert_eq!(terms(&ours), *script, "the only order\n{context}");
            }
        }
        [error, module, reason, text] if error.is_atom("error") => {
            assert!(module.is_atom("systools_rc"), "{theirs}");
            let ours = ours.expect_err(&format!("OTP refuses: {reason}\n{context}"));
            let word = match reason {
                Term::Atom(word) => word.to_string(),
                other => other.as_tuple().expect("a reason")[0].to_string(),
            };
            let ours_term = ours.error.to_term();
            if ours_term.as_ref() != Some(reason) {
                // Which of several unknown modules is met first depends on a free order.
                let same = free && word == "no_such_module";
                assert!(
                    same && matches!(ours.error, ScriptError::NoSuchModule(_)),
                    "OTP: {reason}\nours: {ours:?}\n{context}"
                );
            } else if let Some(bytes) = text.as_bytes() {
                let theirs = String::from_utf8(bytes.to_vec()).expect("text");
                same_text(&format!("{}\n", ours.error), &theirs, context);
            }
            *tally.refused.entry(word).or_default() += 1;
        }
        _ => panic!("{theirs}\n{context}"),
    }
}

/// What is valid prints in its shortest form, which means the same.
fn printed_and_read(scripts: &[Term], context: &str) {
    for term in scripts.iter().filter_map(Term::as_list).flatten() {
        if let Ok(instruction) = any_form(term) {
            let printed = instruction.to_appup().expect("OTP's own words");
            let read = any_form(&printed);
            assert_eq!(read.as_ref(), Ok(&instruction), "{printed}\n{context}");
            let sizes = [&printed, term].map(|term| term.as_tuple().map_or(0, <[Term]>::len));
            assert!(sizes[0] <= sizes[1], "{printed} is longer than {term}");
        }
    }
}

/// OTP's order: the places of the loads and removes, from the end when going up.
pub fn places(mode: Mode, script: &Term) -> BTreeMap<Module, usize> {
    let mut removed = BTreeMap::new();
    let mut loaded = BTreeMap::new();
    for (at, instruction) in script.as_list().expect("a script").iter().enumerate() {
        let place = if mode == Mode::Up { 1_000_000 - at } else { at };
        if let Some([word, Term::Tuple(of)]) = instruction.as_tuple()
            && let Some(Term::Atom(module)) = of.first()
        {
            let module = Module::new(module.as_str());
            if word.is_atom("load") {
                loaded.insert(module, place);
            } else if word.is_atom("remove") {
                removed.insert(module, place);
            }
        }
    }
    removed.extend(loaded);
    removed
}

/// A deliberate deviation: some of OTP's texts escape what is beyond Latin-1 (`~p`, `~w`), show a string with such
/// characters as numbers, or a binary of UTF-8 as if it were Latin-1; ours never do, and may therefore break lines
/// elsewhere.
fn same_text(ours: &str, theirs: &str, context: &str) {
    if std::env::var_os("UPDO_OTP_ROOT").is_some() {
        return; // releases differ in how they show a term: the order of maps, quoted keywords
    }
    // The one text that shows any term with `~p`.
    let narrow = ours.starts_with("Bad instruction ");
    if ours.chars().all(|c| u32::from(c) < 256) && !(narrow && ours.contains("\"/utf8>>")) {
        return assert_eq!(ours, theirs, "{context}");
    }
    if narrow {
        return;
    }
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(bare(ours), bare(&unescaped(theirs)), "{context}");
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("\\x{") {
        let (hex, after) = behind.split_once('}').expect("a whole escape");
        let code = u32::from_str_radix(hex, 16).expect("digits");
        out.push_str(before);
        out.push(char::from_u32(code).expect("a character"));
        rest = after;
    }
    out + rest
}
