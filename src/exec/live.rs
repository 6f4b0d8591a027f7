//! The key `live` of a job: the shims of a live window, and what they know.
//!
//! Each module whose processes convert by themselves has two: of the new version, and of the old one for the way back
//! (`src/node/agent/26_live.erl`). Their names are those of the run.

use crate::facts::beam::BeamFacts;
use crate::facts::change::{ChangeSet, Changed};
use crate::name::Module;
use crate::rules::Ruleset;
use crate::term::Term;
use crate::twin::shim::{NoShim, ShimFor, shim};
use crate::twin::{Converters, excerpt, name};

/// `[#{name, shim, back, about, back_about}]`.
pub(super) fn term(run: &str, changes: &ChangeSet, rules: &Ruleset) -> Term {
    let all = rules.live.iter().filter_map(|(module, extra)| {
        let changed = changes.modules.get(module)?;
        let converters = &rules.precomputed.converters;
        // A module that has none is refused before (`script::live`).
        made(run, module, extra, changed, converters)?.ok()
    });
    Term::list(all)
}

/// The two shims of a module; `None` without both versions of it.
fn made(
    run: &str,
    module: &Module,
    extra: &Term,
    changed: &Changed,
    converters: &Converters,
) -> Option<Result<Term, NoShim>> {
    let (old, new) = (changed.old.as_ref()?, changed.new.as_ref()?);
    let (agent, up, down) = (
        format!("updo_agent_{run}"),
        format!("updo_live_{run}"),
        format!("updo_live_{run}_back"),
    );
    let vsn = vsn(&old.facts);
    let kind = match new.facts.exports("callback_mode", 0) {
        true => "statem",
        false => "server",
    };
    let about = |way: &str, key: &str, other: &str, vsn: Term, twin: Term| {
        let pairs = [
            ("way", Term::atom(way)),
            ("key", Term::atom(key)),
            ("other", Term::atom(other)),
            ("module", Term::atom(module.as_str())),
            ("vsn", vsn),
            ("extra", extra.clone()),
            ("twin", twin),
            ("kind", Term::atom(kind)),
        ];
        Term::map(pairs.map(|(key, value)| (Term::atom(key), value)))
    };
    let there = about("up", &up, &down, vsn.clone(), Term::atom("none"));
    let vsn = Term::tuple([Term::atom("down"), vsn]);
    let back = about("down", &down, &up, vsn, twin(module, converters));
    let of = |beam: &[u8], key: &str, about: &Term| {
        let what = ShimFor {
            agent: &agent,
            key,
            about: about.clone(),
        };
        shim(beam, &what)
    };
    let both = || {
        Ok(Term::map([
            (Term::atom("name"), Term::atom(module.as_str())),
            (
                Term::atom("shim"),
                Term::binary(of(&new.bytes, &up, &there)?),
            ),
            (
                Term::atom("back"),
                Term::binary(of(&old.bytes, &down, &back)?),
            ),
            (
                Term::atom("funs"),
                Term::boolean(old.facts.funs + new.facts.funs > 0),
            ),
            (Term::atom("about"), there.clone()),
            (Term::atom("back_about"), back.clone()),
        ]))
    };
    Some(both())
}

/// The version as the release handler gives it to `code_change`: the `vsn` attribute, which may be a string of one
/// character, or the MD5 as a number (the agent's `loaded_vsn/1`).
fn vsn(facts: &BeamFacts) -> Term {
    let values = facts.attributes.iter().filter(|(key, _)| key == "vsn");
    let values: Vec<Term> = values.map(|(_, value)| value.clone()).collect();
    let is_character = |value: &Term| value.as_i64().is_some_and(|c| (32..=255).contains(&c));
    match values.is_empty() || !values.iter().all(is_character) {
        true => facts.vsn(),
        false => Term::List(values),
    }
}

/// What converts towards the old version: the new one's conversion, beside what runs.
fn twin(module: &Module, converters: &Converters) -> Term {
    let entry = converters
        .excerpt
        .as_ref()
        .and_then(|excerpt| excerpt.entries.get(module));
    match entry {
        Some(entry) => Term::tuple([Term::atom(excerpt::NAME), Term::atom(entry.as_str())]),
        None => Term::atom(name(module).as_str()),
    }
}
