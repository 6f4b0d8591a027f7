//! `.appup` files (OTP: appup(4)): the script for one version.

use std::path::Path;
use std::sync::Arc;

use super::app::AppFile;
use super::consult::{TermFile, TermSpan, consult};
use super::error::{Refusal, ReleaseError};
use super::regexp;
use crate::script::translate::Mode;
use crate::term::Term;

/// A script and its place.
#[derive(Clone, Debug)]
pub struct AppupScript {
    /// The instructions; any term.
    pub term: Term,
    /// The file, where the script comes from one.
    pub source: Option<(Arc<TermFile>, TermSpan)>,
}

impl AppupScript {
    /// A script that was not written by hand.
    pub fn generated(instruction: Term) -> Self {
        Self {
            term: Term::List(vec![instruction]),
            source: None,
        }
    }
}

/// An appup as it was read.
#[derive(Clone, Debug)]
pub struct Appup {
    document: Arc<TermFile>,
}

impl Appup {
    /// Reads the appup beside an `.app` file.
    ///
    /// # Errors
    /// When it cannot be read or is no `{Vsn, Ups, Downs}`.
    pub fn of(app: &AppFile) -> Result<Self, Refusal> {
        Self::read(&app.folder.join(format!("{}.appup", app.name.as_str())))
    }

    /// Reads an appup.
    ///
    /// # Errors
    /// When it cannot be read or is no `{Vsn, Ups, Downs}`.
    pub fn read(file: &Path) -> Result<Self, Refusal> {
        let document = consult(file)
            .map_err(|failure| Refusal::from(ReleaseError::FileProblem(Box::new(failure))))?;
        let document = Arc::new(document);
        if document.term.as_tuple().is_some_and(|t| t.len() == 3) {
            return Ok(Self { document });
        }
        let error = ReleaseError::BadAppup(
            file.to_owned(),
            "an appup is `{Vsn, [{OldVsn, Up}], [{OldVsn, Down}]}`",
        );
        Err(error.at(&document, document.place.span))
    }

    /// The version it says it is for.
    pub fn vsn(&self) -> &Term {
        match self.document.term.as_tuple() {
            Some([vsn, ..]) => vsn,
            _ => &self.document.term,
        }
    }

    /// The script from (or to) another version: the first entry that is this string, or a regular
    /// expression whose first match is all of it.
    ///
    /// # Errors
    /// No entry, entries that are no list, an expression that is none.
    pub fn script(&self, mode: Mode, app: &AppFile, base: &Term) -> Result<AppupScript, Refusal> {
        let (list, place) = match self.document.term.as_tuple() {
            Some([_, up, _]) if mode == Mode::Up => (up, self.document.place.at(1)),
            Some([_, _, down]) => (down, self.document.place.at(2)),
            _ => (&self.document.term, &self.document.place),
        };
        let (entries, proper): (&[Term], bool) = match list {
            Term::List(entries) => (entries, true),
            Term::Improper(entries, _) => (entries, false),
            _ => (&[], false),
        };
        for (number, entry) in entries.iter().enumerate() {
            let Some([key, script]) = entry.as_tuple() else {
                continue;
            };
            let place = place.at(number);
            if self.fits(key, base, place)? {
                return Ok(AppupScript {
                    term: script.clone(),
                    source: Some((Arc::clone(&self.document), place.at(1).clone())),
                });
            }
        }
        let file = self.document.path.clone();
        if !proper {
            let error = ReleaseError::BadAppup(file, "the entries are no proper list");
            return Err(error.at(&self.document, place.span));
        }
        let error = ReleaseError::NoRelup {
            file,
            app: app.name.clone(),
            vsn: app.vsn.clone(),
            base: base.clone(),
        };
        Err(error.at(&self.document, place.span))
    }

    fn fits(&self, key: &Term, base: &Term, place: &TermSpan) -> Result<bool, Refusal> {
        if key == base {
            return Ok(true);
        }
        let (Term::Binary(pattern), Some(vsn)) = (key, base.to_text()) else {
            return Ok(false);
        };
        regexp::is_whole_match(pattern, &vsn).map_err(|why| {
            let pattern = String::from_utf8_lossy(pattern).into_owned();
            let why = why.lines().last().unwrap_or_default().to_owned();
            ReleaseError::BadRegexp(pattern, why).at(&self.document, place.at(0).span)
        })
    }
}
