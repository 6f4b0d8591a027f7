//! `.rel` files (OTP: rel(4)), with the checks of `systools_make`.

use std::sync::Arc;

use super::consult::{ConsultErrorKind, TermFile, consult};
use super::error::{Refusal, ReleaseError};
use super::path::SearchPath;
use crate::name::App;
use crate::script::instruction::StartType;
use crate::term::Term;

/// An application as a release names it.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Its name.
    pub name: App,
    /// Its version, a string.
    pub vsn: Term,
    /// How it is started.
    pub start: StartType,
    /// What it includes, if the release says so.
    pub includes: Option<Vec<App>>,
}

/// What a `.rel` file says.
#[derive(Clone, Debug)]
pub struct Release {
    /// Its name, a string.
    pub name: Term,
    /// Its version, a string.
    pub vsn: Term,
    /// The version of the run-time system, a string.
    pub erts: Term,
    /// Its applications, in order.
    pub members: Vec<Member>,
    /// The file.
    pub document: Arc<TermFile>,
}

impl Release {
    /// The application of this name.
    pub fn member(&self, name: &App) -> Option<&Member> {
        self.members.iter().find(|member| member.name == *name)
    }

    /// Reads `name`, which may end in `.rel`; the current folder is looked into before the path.
    ///
    /// # Errors
    /// When it cannot be found, read, or does not say what it must. Release handling needs sasl.
    pub fn read(name: &str, path: &SearchPath) -> Result<Self, Refusal> {
        let file = format!("{}.rel", name.strip_suffix(".rel").unwrap_or(name));
        let found = path
            .find_from_here(&file)
            .ok_or_else(|| ReleaseError::NotFound(file.clone()))?;
        let document = consult(&found).map_err(|failure| {
            Refusal::from(if failure.kind == ConsultErrorKind::Open {
                ReleaseError::NotFound(file)
            } else {
                ReleaseError::File(Box::new(failure))
            })
        })?;
        Self::parse(Arc::new(document))
    }

    fn parse(document: Arc<TermFile>) -> Result<Self, Refusal> {
        let place = document.place.clone();
        let whole = |error: ReleaseError| error.at(&document, place.span);
        let Some([tag, id, erts, Term::List(list)]) = document.term.as_tuple() else {
            return Err(whole(ReleaseError::BadlyFormattedRelease));
        };
        let (Some([name, vsn]), Some([word, erts])) = (id.as_tuple(), erts.as_tuple()) else {
            return Err(whole(ReleaseError::BadlyFormattedRelease));
        };
        if !tag.is_atom("release") || !word.is_atom("erts") {
            return Err(whole(ReleaseError::BadlyFormattedRelease));
        }
        let at = |i: usize, j: usize| place.at(i).at(j).span;
        if !is_string(name) {
            return Err(ReleaseError::IllegalName(name.clone()).at(&document, at(1, 0)));
        }
        if !is_string(vsn) {
            return Err(ReleaseError::IllegalForm(vsn.clone()).at(&document, at(1, 1)));
        }
        if !is_string(erts) {
            let form = Term::tuple([Term::atom("erts"), erts.clone()]);
            return Err(ReleaseError::IllegalForm(form).at(&document, at(2, 1)));
        }
        let members: Vec<Option<Member>> = list.iter().map(member).collect();
        if let Some(first) = members.iter().position(Option::is_none) {
            let illegal = list.iter().zip(&members).filter(|(_, m)| m.is_none());
            let illegal = illegal.map(|(term, _)| term.clone()).collect();
            return Err(ReleaseError::IllegalApplications(illegal).at(&document, at(3, first)));
        }
        let release = Self {
            name: name.clone(),
            vsn: vsn.clone(),
            erts: erts.clone(),
            members: members.into_iter().flatten().collect(),
            document: Arc::clone(&document),
        };
        for mandatory in ["kernel", "stdlib"] {
            let error = match release.member(&App::new(mandatory)) {
                None => ReleaseError::MissingMandatoryApp(mandatory),
                Some(member) if member.start != StartType::Permanent => {
                    ReleaseError::MandatoryApp(mandatory, member.start.to_term())
                }
                Some(_) => continue,
            };
            return Err(error.at(&document, place.at(3).span));
        }
        Ok(release)
    }

    /// Refuses a release without sasl.
    pub(super) fn with_sasl(self) -> Result<Self, Refusal> {
        if self.member(&App::new("sasl")).is_some() {
            return Ok(self);
        }
        let error = ReleaseError::MissingSasl(self.name.clone(), self.vsn.clone());
        Err(error.at(&self.document, self.document.place.at(3).span))
    }
}

/// `{App, Vsn}`, `{App, Vsn, Type}`, `{App, Vsn, Includes}`, `{App, Vsn, Type, Includes}`.
fn member(term: &Term) -> Option<Member> {
    let (name, vsn, start, includes) = match term.as_tuple()? {
        [name, vsn] => (name, vsn, None, None),
        [name, vsn, list @ (Term::List(_) | Term::Improper(..))] => (name, vsn, None, Some(list)),
        [name, vsn, start] => (name, vsn, Some(start), None),
        [name, vsn, start, list] => (name, vsn, Some(start), Some(list)),
        _ => return None,
    };
    let start = match start {
        None => StartType::Permanent,
        Some(start) => StartType::parse(start.as_atom()?.as_str())?,
    };
    Some(Member {
        name: App::new(name.as_atom()?.as_str()),
        vsn: is_string(vsn).then(|| vsn.clone())?,
        start,
        includes: match includes {
            None => None,
            Some(list) => Some(apps(list)?),
        },
    })
}

/// A list of atoms, as applications.
pub(super) fn apps(term: &Term) -> Option<Vec<App>> {
    let names = term.as_list()?.iter();
    names
        .map(|name| Some(App::new(name.as_atom()?.as_str())))
        .collect()
}

/// Whether a term is a flat list of characters.
pub(super) fn is_string(term: &Term) -> bool {
    matches!(term, Term::List(_)) && term.to_text().is_some()
}
