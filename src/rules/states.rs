//! W635, E635: states that the callbacks of the new version cannot take.
//!
//! Takes both versions of a module and the shapes of states, gives what does not fit and the conversion that mends
//! it. Which states there are says a rehearsal; before one, the `init/1` of the running version says how states
//! begin.

use std::collections::BTreeSet;

use super::{Change, Class, ModuleRules};
use crate::diag::{Code, Diagnostic};
use crate::facts::beam::BeamFacts;
use crate::facts::beam::code::symbolic::Wanted;
use crate::facts::beam::debug::RecordDefinition;
use crate::facts::beam::states::{Callbacks, Held, Misfit, StateShape, Version, misfit};
use crate::facts::change::{ChangeSet, Changed};
use crate::name::Module;
use crate::term::Atom;

/// How many of what is wanted are named.
const NAMED: usize = 3;

/// Where a shape was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// So many live processes have it.
    Live(u64),
    /// The running version's `init/1` makes it.
    Made,
}

/// A state that the new version of a module cannot take.
#[derive(Clone, Debug, PartialEq)]
pub struct Fit {
    /// The module.
    pub module: Module,
    /// Where.
    pub seen: Seen,
    /// Whether the new version's conversion made it; otherwise it stays as it is.
    pub converted: bool,
    /// What a process has.
    pub before: Held,
    /// What it would have.
    pub after: Held,
    /// What does not fit.
    pub misfit: Misfit,
    /// Fields of the record that the new version has and the running one has not, and the other way round.
    pub fields: (Vec<Atom>, Vec<Atom>),
    /// A conversion to put into the new version: a clause of `code_change`, as its source has it.
    pub paste: Option<String>,
}

impl Fit {
    /// Whether the next event fails for certain.
    pub fn is_certain(&self) -> bool {
        self.misfit.certain && matches!(self.seen, Seen::Live(_))
    }

    /// As a diagnostic.
    pub fn diagnostic(&self) -> Diagnostic {
        let module = &self.module;
        let callbacks: Vec<String> = self
            .misfit
            .callbacks
            .iter()
            .map(|f| format!("`{}/{}`", f.name, f.arity))
            .collect();
        let callbacks = callbacks.join(", ");
        let states = match self.seen {
            Seen::Live(1) => "1 state".to_owned(),
            Seen::Live(number) => format!("{number} states"),
            Seen::Made => "the state".to_owned(),
        };
        let title = match self.misfit.certain {
            true => {
                format!("the new `{module}` cannot take {states}: every event of {callbacks} fails")
            }
            false => format!(
                "the new `{module}` cannot always take {states}: events of {callbacks} may fail"
            ),
        };
        let code = if self.is_certain() {
            Code::E635
        } else {
            Code::W635
        };
        let origin = match (self.converted && self.before != self.after, self.seen) {
            (true, _) => "what its conversion makes of the state",
            (false, Seen::Made) => "as the running `init/1` makes it",
            (false, Seen::Live(_)) => "as it is",
        };
        let mut diagnostic =
            Diagnostic::new(code, title).note(format!("the state, {origin}: {}", self.after.shape));
        let wanted: Vec<String> = self.wanted().take(NAMED).collect();
        if let (Some(lost), Some(name)) = (&self.misfit.lost, &self.after.name) {
            let note = format!(
                "it would be in the state `{name}`, for which the new version has no function `{}/{}`",
                lost.name, lost.arity
            );
            let help = format!(
                "let `code_change` of the new `{module}` return the name of one of its states"
            );
            return diagnostic.note(note).help(help);
        }
        for (place, part) in self.after.parts.iter().take(NAMED) {
            diagnostic = diagnostic.note(format!("{place} of it: {part}"));
        }
        if !wanted.is_empty() {
            diagnostic = diagnostic.note(format!("its code wants {}", wanted.join(", or ")));
        }
        let list = |fields: &[Atom]| {
            let fields: Vec<String> = fields.iter().map(|f| format!("`{f}`")).collect();
            fields.join(", ")
        };
        if !self.fields.0.is_empty() {
            let fields = list(&self.fields.0);
            diagnostic = diagnostic.note(format!("fields that the record has gained: {fields}"));
        }
        if !self.fields.1.is_empty() {
            let fields = list(&self.fields.1);
            diagnostic = diagnostic.note(format!("fields that the record has lost: {fields}"));
        }
        match &self.paste {
            Some(paste) => diagnostic.help(format!(
                "give the new `{module}` a conversion: `{paste}`"
            )),
            None if self.before != self.after => diagnostic.help(format!(
                "mend the conversion of the new `{module}`: it returns something else than its callbacks take"
            )),
            None => diagnostic.help(format!(
                "give the new `{module}` a `code_change` that makes such a state of it"
            )),
        }
    }

    /// What the code wants, the closest to what there is first.
    fn wanted(&self) -> impl Iterator<Item = String> {
        let tag = match &self.after.shape {
            StateShape::Tuple(_, Some(tag)) => Some(tag.clone()),
            _ => None,
        };
        let is_close = |wanted: &&Wanted| match wanted {
            Wanted::Tuple(Some(wanted), _) => tag.as_ref() == Some(wanted),
            Wanted::Key(_) => true,
            _ => false,
        };
        let all: Vec<&Wanted> = self.misfit.wanted.iter().collect();
        let close: Vec<&Wanted> = all.iter().copied().filter(|w| is_close(w)).collect();
        let shown = if close.is_empty() { all } else { close };
        let struct_ = matches!(self.after.shape, StateShape::Map(_, _, Some(_)));
        let words: Vec<String> = shown
            .into_iter()
            .map(|wanted| match wanted {
                Wanted::Key(key) if struct_ => format!("a struct with the key `{key}`"),
                wanted => wanted.to_string(),
            })
            .collect();
        words.into_iter()
    }
}

/// Both versions of a module, ready to be asked about states.
pub struct Versions<'c> {
    changes: &'c ChangeSet,
    module: Module,
    callbacks: Callbacks,
    new: Version,
    old: Option<Version>,
    records: (Vec<RecordDefinition>, Vec<RecordDefinition>),
}

impl<'c> Versions<'c> {
    /// `None` for a module whose processes are of no known kind, or whose code cannot be read.
    pub fn of(changes: &'c ChangeSet, module: &Module) -> Option<Self> {
        let changed = changes.modules.get(module)?;
        let new = changed.new.as_ref()?;
        let callbacks = callbacks(&new.facts)?;
        let old = changed.old.as_ref();
        Some(Self {
            changes,
            module: module.clone(),
            callbacks,
            new: Version::read(module, &new.bytes)?,
            old: old.and_then(|old| Version::read(module, &old.bytes)),
            records: (
                old.map(|old| old.records().to_vec()).unwrap_or_default(),
                new.records().to_vec(),
            ),
        })
    }

    /// What does not fit of a state.
    pub fn fit(&mut self, seen: Seen, converted: bool, before: &Held, after: &Held) -> Option<Fit> {
        let found = misfit(
            &mut self.new,
            self.old.as_mut(),
            self.callbacks,
            before,
            after,
        )?;
        let (gained, lost) = self.fields(&after.shape);
        Some(Fit {
            module: self.module.clone(),
            seen,
            converted,
            before: before.clone(),
            after: after.clone(),
            // A clause that mends what is inside of a map is not known here.
            paste: match before == after && (after.parts.is_empty() || is_tuple(&after.shape)) {
                true => self.paste(&after.shape, &found.wanted),
                false => None,
            },
            misfit: found,
            fields: (gained, lost),
        })
    }

    /// What the running version could not take of a state that the new one has converted back: `before` is what it had.
    pub fn back(&mut self, before: &Held, after: &Held) -> Option<Misfit> {
        let old = self.old.as_mut()?;
        misfit(old, Some(&mut self.new), self.callbacks, before, after)
    }

    /// Names of the fields that a record has gained and lost.
    fn fields(&self, shape: &StateShape) -> (Vec<Atom>, Vec<Atom>) {
        let StateShape::Tuple(size, Some(tag)) = shape else {
            return (Vec::new(), Vec::new());
        };
        let of = |all: &[RecordDefinition]| {
            let found = all.iter().find(|record| record.name == *tag);
            found.map(|record| record.fields.clone())
        };
        let (Some(old), Some(new)) = (of(&self.records.0), of(&self.records.1)) else {
            return (Vec::new(), Vec::new());
        };
        if old.len() + 1 != *size as usize {
            return (Vec::new(), Vec::new());
        }
        let without = |all: &[Atom], other: &[Atom]| {
            let rest = all.iter().filter(|field| !other.contains(field));
            rest.cloned().collect::<Vec<Atom>>()
        };
        (without(&new, &old), without(&old, &new))
    }

    /// A conversion to put into the new version.
    fn paste(&self, shape: &StateShape, wanted: &BTreeSet<Wanted>) -> Option<String> {
        let is_elixir = self.module.as_str().starts_with("Elixir.");
        let (state, converted) = match shape {
            StateShape::Map(_, _, Some(name)) => {
                let changed = self.changes.modules.get(name.as_str())?;
                changed
                    .new
                    .as_ref()?
                    .facts
                    .code
                    .struct_fields
                    .as_ref()
                    .filter(|_| is_elixir)?;
                let name = name.as_str();
                let name = name.strip_prefix("Elixir.").unwrap_or(name);
                let state = "state".to_owned();
                (state, format!("Map.merge(%{name}{{}}, state)"))
            }
            StateShape::Map(..) => {
                let value = |key: &Atom| match is_elixir {
                    true => format!("{}: nil", key.as_str()),
                    false => format!("{key} => undefined"),
                };
                let keys = wanted.iter().filter_map(|wanted| match wanted {
                    Wanted::Key(key) => Some(value(key)),
                    _ => None,
                });
                let keys: Vec<String> = keys.collect();
                let keys = Some(keys.join(", ")).filter(|keys| !keys.is_empty())?;
                match is_elixir {
                    true => ("state".to_owned(), format!("Map.merge(%{{{keys}}}, state)")),
                    false => ("S".to_owned(), format!("maps:merge(#{{{keys}}}, S)")),
                }
            }
            StateShape::Tuple(size, Some(tag)) if !is_elixir => self.of_record(*size, tag)?,
            _ => return None,
        };
        Some(match (self.callbacks, is_elixir) {
            (Callbacks::StateMachine, true) => {
                format!("def code_change(_, name, {state}, _), do: {{:ok, name, {converted}}}")
            }
            (_, true) => format!("def code_change(_, {state}, _), do: {{:ok, {converted}}}"),
            (Callbacks::StateMachine, _) => {
                format!("code_change(_, Name, {state}, _) -> {{ok, Name, {converted}}}.")
            }
            (Callbacks::Special, _) => {
                format!("system_code_change({state}, _, _, _) -> {{ok, {converted}}}.")
            }
            _ => format!("code_change(_, {state}, _) -> {{ok, {converted}}}."),
        })
    }

    /// The tuple of the former record, and the new record with its fields: new fields get their defaults.
    fn of_record(&self, size: u32, tag: &Atom) -> Option<(String, String)> {
        let of = |all: &[RecordDefinition]| {
            let found = all.iter().find(|record| record.name == *tag);
            found.map(|record| record.fields.clone())
        };
        let (old, new) = (of(&self.records.0)?, of(&self.records.1)?);
        if old.len() + 1 != size as usize {
            return None;
        }
        let variable = |at: usize, field: &Atom| {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            match field.as_str().chars().next() {
                Some(first) if first.is_ascii_lowercase() && field.as_str().chars().all(plain) => {
                    format!("{}{}", first.to_ascii_uppercase(), &field.as_str()[1..])
                }
                _ => format!("Field{at}"),
            }
        };
        let parts = old
            .iter()
            .enumerate()
            .map(|(at, field)| match new.contains(field) {
                true => variable(at, field),
                false => "_".to_owned(),
            });
        let parts: Vec<String> = std::iter::once(tag.to_string()).chain(parts).collect();
        let set = old
            .iter()
            .enumerate()
            .filter(|(_, field)| new.contains(field))
            .map(|(at, field)| format!("{field} = {}", variable(at, field)));
        let set: Vec<String> = set.collect();
        Some((
            format!("{{{}}}", parts.join(", ")),
            format!("#{tag}{{{}}}", set.join(", ")),
        ))
    }
}

fn is_tuple(shape: &StateShape) -> bool {
    matches!(shape, StateShape::Tuple(..))
}

/// What takes the states of a module's processes.
pub fn callbacks(facts: &BeamFacts) -> Option<Callbacks> {
    let is = |name: &str| facts.behaviours.iter().any(|b| b.as_str() == name);
    if is("gen_statem") {
        return Some(Callbacks::StateMachine);
    }
    if is("gen_event") {
        return Some(Callbacks::Handler);
    }
    if is("gen_server") || is("Elixir.GenServer") || facts.exports("handle_call", 3) {
        return Some(Callbacks::Server);
    }
    (facts.exports("system_continue", 3) && !facts.exports("system_replace_state", 2))
        .then_some(Callbacks::Special)
}

/// W635 for a state as the running version's `init/1` makes it, when there are processes.
pub(super) fn advice(
    changes: &ChangeSet,
    module: &Module,
    changed: &Changed,
    decided: &ModuleRules,
    diagnostics: &mut Vec<Diagnostic>,
) {
    let is_converted_elsewhere = matches!(decided.change.value, Change::Convert { .. });
    if changed.processes == 0
        || changed.old.is_none()
        || decided.class.value != Class::Server
        || changed.module_processes.wrapped_in.is_some()
        || is_converted_elsewhere
    {
        return;
    }
    let Some(mut versions) = Versions::of(changes, module) else {
        return;
    };
    let (Some(old), Some(facts)) = (versions.old.as_mut(), changed.old_facts()) else {
        return;
    };
    let vsn = facts.vsn();
    let mut found: Vec<Fit> = Vec::new();
    for before in old.initial(versions.callbacks) {
        let after = match &decided.change.value {
            Change::Advanced(extra) => {
                versions
                    .new
                    .converted(versions.callbacks, &before, &vsn, extra)
            }
            _ => None,
        };
        let converted = after.is_some();
        let after = after.unwrap_or_else(|| vec![before.clone()]);
        let fits: Option<Vec<Fit>> = after
            .iter()
            .map(|after| {
                let fit = versions.fit(Seen::Made, converted, &before, after);
                // What may fail is for live states to say.
                fit.filter(|fit| fit.misfit.certain)
            })
            .collect();
        // One of the ways through a conversion may be for other states than this.
        found.extend(fits.unwrap_or_default());
    }
    diagnostics.extend(found.first().map(Fit::diagnostic));
}
