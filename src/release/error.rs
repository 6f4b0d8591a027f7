//! Why no relup can be made, in the words of `systools_make`, `systools_relup` and `systools_rc`.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::consult::{ConsultError, ConsultErrorKind, TermFile};
use crate::diag::{Code, Diagnostic, SourceMap, Span};
use crate::name::{App, Module};
use crate::script::error::ScriptError;
use crate::term::{Atom, Term, pretty_from, write};

/// What is wrong with one application of a release.
#[derive(Clone, Debug)]
pub enum AppError {
    /// No `.app` file on the path.
    NotFound,
    /// Only other versions on the path: the first one's file and version.
    NoValidVersion(PathBuf, Term),
    /// The first `.app` file found is no term.
    Parse(Box<ConsultError>),
    /// The term is not `{application, Name, [...]}`.
    BadlyFormatted,
    /// A key has a value of the wrong type.
    BadParam(&'static str),
    /// A key is missing, or its tuple has the wrong size.
    MissingParam(&'static str),
    /// The `.rel` file includes what the `.app` file does not.
    OverrideInclude(Vec<App>),
    /// The file is about another application.
    OtherName(Atom, String),
}

/// Two owners of what may have only one: the thing, and both applications.
pub type DuplicateOwners<T> = Vec<(T, App, App)>;

/// An error of `make_relup`.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "named as OTP names them; the texts are below")]
pub enum ReleaseError {
    /// A path that is no pattern.
    BadPath(String, String),
    /// A folder or `.app` file that an appup cannot be made of.
    BadFolder(PathBuf, String),
    NotFound(String),
    File(Box<ConsultError>),
    BadlyFormattedRelease,
    IllegalName(Term),
    IllegalForm(Term),
    IllegalApplications(Vec<Term>),
    MissingMandatoryApp(&'static str),
    MandatoryApp(&'static str, Term),
    /// With the version that is asked for.
    Applications(Vec<(App, Term, AppError)>),
    UndefinedApplications(Vec<App>),
    DuplicateRegister(DuplicateOwners<Atom>),
    DuplicateInclude(DuplicateOwners<App>),
    DuplicateModules(DuplicateOwners<Module>),
    CircularDependencies(Vec<(App, Term)>),
    /// Name and version of the release.
    MissingSasl(Term, Term),
    FileProblem(Box<ConsultError>),
    /// The term of an appup is not `{Vsn, [..], [..]}`.
    BadAppup(PathBuf, &'static str),
    NoRelup {
        file: PathBuf,
        app: App,
        vsn: Term,
        base: Term,
    },
    /// A regular expression that PCRE refuses, or that updo cannot follow.
    BadRegexp(String, String),
    Script(ScriptError),
}

/// An error with its place, if it has one.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What.
    pub error: Box<ReleaseError>,
    /// Where.
    pub place: Option<(Arc<TermFile>, Span)>,
}

impl From<ReleaseError> for Refusal {
    fn from(error: ReleaseError) -> Self {
        Self {
            error: Box::new(error),
            place: None,
        }
    }
}

impl ReleaseError {
    /// The error with its place.
    pub(super) fn at(self, document: &Arc<TermFile>, span: Span) -> Refusal {
        let place = Some((Arc::clone(document), span));
        Refusal {
            error: Box::new(self),
            place,
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::BadPath(..) => Code::E801,
            Self::NotFound(_)
            | Self::File(_)
            | Self::FileProblem(_)
            | Self::BadAppup(..)
            | Self::BadFolder(..) => Code::E411,
            Self::NoRelup { .. } => Code::E413,
            Self::BadRegexp(..) => Code::E415,
            Self::Script(error) => match error {
                ScriptError::SuspendedNotResumed(_)
                | ScriptError::ResumedNotSuspended(_)
                | ScriptError::StartNotStop(_)
                | ScriptError::StopNotStart(_) => Code::E402,
                ScriptError::BadOpBeforePointOfNoReturn(_) => Code::E404,
                ScriptError::TooManyPointOfNoReturn
                | ScriptError::NoObjectCode(_)
                | ScriptError::NoSuchApplication(_)
                | ScriptError::RemovedApplicationPresent(_)
                | ScriptError::MuldefModule(_)
                | ScriptError::UndefModule(_)
                | ScriptError::NoSuchModule(_)
                | ScriptError::ConflictingVersions(..) => Code::E414,
                _ => Code::E401,
            },
            _ => Code::E412,
        }
    }

    fn help(&self) -> Option<String> {
        Some(match self {
            Self::NotFound(file) => {
                format!("give the folder of {file} with `--path`, or the file with its folder")
            }
            Self::Applications(list)
                if list
                    .iter()
                    .any(|(_, _, why)| matches!(why, AppError::NotFound)) =>
            {
                "add folders with `--path`; OTP's own applications are in \
                 `--path \"$(erl -noshell -eval 'io:put_chars(code:lib_dir()),halt().')/*/ebin\"`"
                    .to_owned()
            }
            Self::Applications(list)
                if list
                    .iter()
                    .any(|(.., why)| matches!(why, AppError::NoValidVersion(..))) =>
            {
                "add the folder of the other version with `--path`".to_owned()
            }
            Self::MissingSasl(..) => {
                "add sasl to the .rel file: release_handler is part of it".to_owned()
            }
            Self::NoRelup { base, .. } => format!(
                "add an entry `{{{base}, [...]}}` to the appup, or make one with `updo appup`"
            ),
            Self::Script(ScriptError::UndefModule(module)) => format!(
                "give `{module}` an instruction in one of the appups, or take it out of the dependencies"
            ),
            Self::Script(ScriptError::NoSuchModule(module)) => {
                format!("add `{module}` to `modules` of its .app file")
            }
            _ => return None,
        })
    }

    /// The file that could not be read, with its text.
    fn failure(&self) -> Option<&ConsultError> {
        match self {
            Self::File(failure) | Self::FileProblem(failure) => Some(failure),
            Self::Applications(list) => list.iter().find_map(|(_, _, why)| match why {
                AppError::Parse(failure) => Some(&**failure),
                _ => None,
            }),
            _ => None,
        }
    }
}

impl Refusal {
    /// The same with a place, if it has none yet.
    #[must_use]
    pub(super) fn or_at(mut self, document: &Arc<TermFile>, span: Span) -> Self {
        self.place
            .get_or_insert_with(|| (Arc::clone(document), span));
        self
    }

    /// The diagnostic; texts it points into are added to `sources`.
    pub fn diagnostic(&self, sources: &mut SourceMap) -> Diagnostic {
        let text = self.error.to_string();
        let mut lines = text.trim_end().lines();
        let mut diagnostic = Diagnostic::new(
            self.error.code(),
            lines.next().unwrap_or_default().trim_end(),
        );
        for line in lines.filter(|line| !line.trim().is_empty()) {
            diagnostic = diagnostic.note(line.trim());
        }
        if let Some(failure) = self.error.failure() {
            match &failure.text {
                Some(text) => {
                    let base = sources.add(failure.path.display().to_string(), text);
                    let span = shifted(failure.span, base);
                    diagnostic = diagnostic.label(span, failure.what.clone());
                }
                None => {
                    let note = format!("{}: {}", failure.path.display(), failure.what);
                    diagnostic = diagnostic.note(note);
                }
            }
        }
        if let Some((document, span)) = &self.place {
            let base = sources.add(document.path.display().to_string(), &document.text);
            diagnostic = diagnostic.label(shifted(*span, base), "here");
        }
        if let Some(help) = self.error.help() {
            diagnostic = diagnostic.help(help);
        }
        diagnostic
    }
}

fn shifted(span: Span, base: usize) -> Span {
    Span::new(span.start + base, span.end + base)
}

/// A version as OTP prints it with `~ts`.
fn plain(term: &Term) -> String {
    term.to_text().unwrap_or_else(|| term.to_string())
}

fn atom(app: &App) -> Term {
    Term::atom(app.as_str())
}

/// `Text: ~p`, broken into lines as OTP does.
fn listed(f: &mut fmt::Formatter<'_>, before: &str, terms: Vec<Term>) -> fmt::Result {
    let shown = pretty_from(&Term::List(terms), 80, before.chars().count());
    write!(f, "{before}{shown}")
}

impl fmt::Display for AppError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound | Self::NoValidVersion(..) => Ok(()), // need the name, see below
            Self::Parse(failure) => write!(
                f,
                "Parse error in file: \"{}\".  Line: {}  Error: {}; ",
                failure.path.display(),
                line(failure),
                failure.what
            ),
            Self::BadlyFormatted => f.write_str("Syntax error in .app file"),
            Self::BadParam(key) => write!(f, "Bad parameter in .app file: {key}"),
            Self::MissingParam(key) => write!(f, "Missing parameter in .app file: {key}"),
            Self::OverrideInclude(apps) => {
                let before = "Tried to include not (in .app file) specified applications: ";
                listed(f, before, apps.iter().map(atom).collect())
            }
            Self::OtherName(..) => Ok(()),
        }
    }
}

/// The line of a failure, from 1.
fn line(failure: &ConsultError) -> usize {
    let text = failure.text.as_deref().unwrap_or_default();
    let before = text.get(..failure.span.start).unwrap_or_default();
    before.matches('\n').count() + 1
}

fn one_app(f: &mut fmt::Formatter<'_>, app: &App, vsn: &Term, why: &AppError) -> fmt::Result {
    let name = atom(app);
    match why {
        AppError::NotFound => {
            let file = Term::string(&format!("{}.app", app.as_str()));
            writeln!(f, "{name}: File not found: {file}")
        }
        AppError::NoValidVersion(file, found) => {
            let file = Term::string(&file.display().to_string());
            writeln!(
                f,
                "{name}: No valid version ({vsn}) of .app file found. Found file {file} with version {found}"
            )
        }
        AppError::OtherName(other, other_vsn) => {
            let found = Term::tuple([Term::Atom(other.clone()), Term::string(other_vsn)]);
            writeln!(f, "{name}: Mismatched application id: {found}")
        }
        why => writeln!(f, "{name}: {why}"),
    }
}

impl fmt::Display for ReleaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadPath(pattern, why) => write!(f, "\"{pattern}\" is no pattern: {why}"),
            Self::BadFolder(path, why) => write!(f, "{} {why}", path.display()),
            Self::NotFound(file) => write!(f, "File not found: {}", Term::string(file)),
            Self::File(failure) => match failure.kind {
                ConsultErrorKind::Open => write!(f, "Cannot open \"{}\"", failure.path.display()),
                ConsultErrorKind::Read => write!(f, "Cannot read \"{}\"", failure.path.display()),
                ConsultErrorKind::Parse => write!(
                    f,
                    "{}:{}: {}",
                    failure.path.display(),
                    line(failure),
                    failure.what
                ),
            },
            Self::BadlyFormattedRelease => f.write_str("Syntax error in the release file"),
            Self::IllegalName(name) => write!(f, "Illegal name ({name}) in the release file"),
            Self::IllegalForm(form) => write!(f, "Illegal tag in the release file: {form}"),
            Self::IllegalApplications(apps) => listed(
                f,
                "Illegal applications in the release file: ",
                apps.clone(),
            ),
            Self::MissingMandatoryApp(app) => write!(
                f,
                "Mandatory application {app} must be specified in the release file"
            ),
            Self::MandatoryApp(app, start) => write!(
                f,
                "Mandatory application {app} must be of type 'permanent' in the release file. Is '{start}'."
            ),
            Self::Applications(apps) => apps
                .iter()
                .try_for_each(|(app, vsn, why)| one_app(f, app, vsn, why)),
            Self::UndefinedApplications(apps) => {
                let apps = apps.iter().map(atom).collect();
                listed(f, "Undefined applications: ", apps)
            }
            Self::DuplicateRegister(twice) => {
                writeln!(f, "Duplicated register names: ")?;
                twice.iter().try_for_each(|(name, a, b)| {
                    writeln!(f, "\t{name} registered in {} and {}", atom(a), atom(b))
                })
            }
            Self::DuplicateInclude(twice) => {
                writeln!(f, "Duplicated application included: ")?;
                twice.iter().try_for_each(|(name, a, b)| {
                    let name = atom(name);
                    writeln!(f, "\t{name} included in {} and {}", atom(a), atom(b))
                })
            }
            Self::DuplicateModules(twice) => {
                writeln!(f, "Duplicated modules: ")?;
                twice.iter().try_for_each(|(module, a, b)| {
                    let module = Term::atom(module.as_str());
                    writeln!(f, "\t{module} specified in {} and {}", atom(a), atom(b))
                })
            }
            Self::CircularDependencies(apps) => {
                let pair = |(app, vsn): &(App, Term)| Term::tuple([atom(app), vsn.clone()]);
                let before = "Circular dependencies among applications: ";
                listed(f, before, apps.iter().map(pair).collect())
            }
            Self::MissingSasl(name, vsn) => write!(
                f,
                "No sasl application in release {}, {}. Can not be upgraded.",
                plain(name),
                plain(vsn)
            ),
            Self::FileProblem(failure) => {
                let what = match failure.kind {
                    ConsultErrorKind::Open => "open",
                    ConsultErrorKind::Read => "read",
                    ConsultErrorKind::Parse => "parse",
                };
                write!(f, "Could not {what} file {}", failure.path.display())
            }
            Self::BadAppup(file, what) => write!(f, "{}: {what}", file.display()),
            Self::NoRelup {
                file,
                app,
                vsn,
                base,
            } => {
                let app = write(&atom(app));
                write!(
                    f,
                    "No release upgrade script entry for {app}-{} to {app}-{} in file {}",
                    plain(vsn),
                    plain(base),
                    file.display()
                )
            }
            Self::BadRegexp(pattern, why) => {
                write!(
                    f,
                    "the regular expression \"{pattern}\" cannot be used: {why}"
                )
            }
            Self::Script(error) => error.fmt(f),
        }
    }
}
