//! `.app` files (OTP: app(4)), with the checks of `systools_make`.

use std::path::PathBuf;

use super::consult::{ConsultErrorKind, TermFile, consult};
use super::error::AppError;
use super::path::SearchPath;
use super::rel::{Member, apps, is_string};
use crate::name::{App, Module};
use crate::script::instruction::StartType;
use crate::script::translate::Application;
use crate::term::{Atom, Term};

/// What a release must know of an application.
#[derive(Clone, Debug)]
pub struct AppFile {
    /// Its name.
    pub name: App,
    /// Its version, a string.
    pub vsn: Term,
    /// How the release starts it.
    pub start: StartType,
    /// Its modules.
    pub modules: Vec<Module>,
    /// Names of its processes.
    pub registered: Vec<Atom>,
    /// Applications that must be started before.
    pub uses: Vec<App>,
    /// Those of them that may be missing.
    pub optional: Vec<App>,
    /// Applications it includes.
    pub includes: Vec<App>,
    /// The folder of the file.
    pub folder: PathBuf,
}

impl AppFile {
    /// Looks for the version that a release names, through the whole path.
    ///
    /// # Errors
    /// What `systools_make` would say; the first fault counts when nothing fits.
    pub fn find(member: &Member, path: &SearchPath) -> Result<Self, AppError> {
        let mut first: Option<AppError> = None;
        for folder in path.folders() {
            let file = folder.join(format!("{}.app", member.name.as_str()));
            let document = match consult(&file) {
                Ok(document) => document,
                Err(failure) if failure.kind == ConsultErrorKind::Parse => {
                    first.get_or_insert(AppError::Parse(Box::new(failure)));
                    continue;
                }
                Err(_) => continue, // to OTP as good as not there
            };
            let found = Self::parse(&document, member)?;
            if found.vsn == member.vsn {
                return found.named(member);
            }
            first.get_or_insert(AppError::NoValidVersion(file, found.vsn));
        }
        Err(first.unwrap_or(AppError::NotFound))
    }

    fn named(self, member: &Member) -> Result<Self, AppError> {
        if self.name == member.name {
            return Ok(self);
        }
        let vsn = self.vsn.to_text().unwrap_or_default();
        Err(AppError::OtherName(Atom::new(self.name.as_str()), vsn))
    }

    fn parse(document: &TermFile, member: &Member) -> Result<Self, AppError> {
        let (name, keys) = match document.term.as_tuple() {
            Some([tag, Term::Atom(name), Term::List(keys)]) if tag.is_atom("application") => {
                (name, keys)
            }
            _ => return Err(AppError::BadlyFormatted),
        };
        let keys = Keys(keys);
        let vsn = keys.must("vsn", |value| is_string(value).then(|| value.clone()))?;
        keys.may("id", |value| is_string(value).then_some(()))?;
        keys.must("description", |value| is_string(value).then_some(()))?;
        let modules = keys.must("modules", atoms)?;
        let registered = keys.must("registered", atoms)?;
        let uses = keys.must("applications", apps)?;
        let optional = keys.may("optional_applications", apps)?.unwrap_or_default();
        let includes = keys.may("included_applications", apps)?.unwrap_or_default();
        keys.module()?;
        keys.may("start_phases", |value| {
            (value.is_atom("undefined") || is_pairs(value)).then_some(())
        })?;
        keys.may("env", |value| is_pairs(value).then_some(()))?;
        for key in ["maxT", "maxP"] {
            keys.may(key, |value| {
                let positive = match value {
                    Term::Int(value) => *value > 0,
                    Term::Big(value) => **value > 0.into(),
                    other => other.is_atom("infinity"),
                };
                positive.then_some(())
            })?;
        }
        let folder = document.path.parent().map(PathBuf::from);
        let mut found = Self {
            name: App::new(name.as_str()),
            vsn,
            start: member.start,
            modules: modules.iter().map(|m| Module::new(m.as_str())).collect(),
            registered,
            uses,
            optional,
            includes,
            folder: folder.unwrap_or_default(),
        };
        // OTP looks at the version first.
        if let Some(includes) = &member.includes
            && found.vsn == member.vsn
            && found.name == member.name
        {
            let more: Vec<App> = includes
                .iter()
                .filter(|app| !found.includes.contains(app))
                .cloned()
                .collect();
            if !more.is_empty() {
                return Err(AppError::OverrideInclude(more));
            }
            found.includes.clone_from(includes);
        }
        Ok(found)
    }

    /// What the translation must know.
    pub fn application(&self) -> Application {
        Application {
            name: self.name.clone(),
            vsn: self.vsn.clone(),
            start: self.start,
            modules: self.modules.clone(),
        }
    }
}

/// The keys of an application: `[{Key, Value}]`, the first of each counts.
struct Keys<'a>(&'a [Term]);

impl Keys<'_> {
    /// The value under a key: `None` without the key.
    fn value(&self, key: &'static str) -> Result<Option<&Term>, AppError> {
        let has = |term: &&Term| {
            let first = term.as_tuple().and_then(<[Term]>::first);
            first.is_some_and(|first| first.is_atom(key))
        };
        match self.0.iter().find(has).and_then(Term::as_tuple) {
            None => Ok(None),
            Some([_, value]) => Ok(Some(value)),
            Some(_) => Err(AppError::MissingParam(key)),
        }
    }

    fn may<T>(
        &self,
        key: &'static str,
        read: impl Fn(&Term) -> Option<T>,
    ) -> Result<Option<T>, AppError> {
        match self.value(key)? {
            None => Ok(None),
            Some(value) => match read(value) {
                Some(read) => Ok(Some(read)),
                None => Err(AppError::BadParam(key)),
            },
        }
    }

    fn must<T>(&self, key: &'static str, read: impl Fn(&Term) -> Option<T>) -> Result<T, AppError> {
        self.may(key, read)?.ok_or(AppError::MissingParam(key))
    }

    /// `mod` is `{Module, Args}` or `[]`; OTP calls anything else a missing parameter.
    fn module(&self) -> Result<(), AppError> {
        match self.value("mod")? {
            None => Ok(()),
            Some(Term::List(none)) if none.is_empty() => Ok(()),
            Some(Term::Tuple(pair)) if pair.len() == 2 && pair[0].as_atom().is_some() => Ok(()),
            Some(_) => Err(AppError::MissingParam("mod")),
        }
    }
}

fn atoms(term: &Term) -> Option<Vec<Atom>> {
    term.as_list()?
        .iter()
        .map(|atom| atom.as_atom().cloned())
        .collect()
}

/// A list of pairs that start with an atom.
fn is_pairs(term: &Term) -> bool {
    term.as_list().is_some_and(|pairs| {
        pairs
            .iter()
            .all(|pair| matches!(pair.as_tuple(), Some([key, _]) if key.as_atom().is_some()))
    })
}
