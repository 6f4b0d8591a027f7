//! `systools:make_relup/4`: the relup between one release and others, up and down.
//!
//! Reads what it needs through a [`SearchPath`], collects the scripts in OTP's order (additions, appups in the order
//! of the new release's applications, removals) and has them translated. It writes nothing.

use std::fmt;

use super::app::AppFile;
use super::appup::{Appup, AppupScript};
use super::error::{Refusal, ReleaseError};
use super::order::Complete;
use super::path::SearchPath;
use super::rel::{Member, Release};
use crate::diag::{Code, Diagnostic};
use crate::name::App;
use crate::script::instruction::Instruction;
use crate::script::removed;
use crate::script::translate::{Application, Mode, Tie, translate_with};
use crate::term::Term;

/// A relup.
#[derive(Clone, Debug, PartialEq)]
pub struct Relup {
    /// The version of the new release.
    pub vsn: Term,
    /// From each other version, the last given first.
    pub up: Vec<(Term, Vec<Instruction>)>,
    /// To each other version, the last given first.
    pub down: Vec<(Term, Vec<Instruction>)>,
    /// What is noteworthy, the last found first.
    pub warnings: Vec<Warning>,
}

/// Something noteworthy; the text is OTP's.
#[derive(Clone, Debug, PartialEq)]
pub enum Warning {
    /// Another run-time system: name and version of both releases.
    ErtsChanged([(Term, Term); 2]),
    /// An appup is for another version than its `.app` file.
    BadVsn(Term, Term),
    /// An application is stopped while another one that needs it, and is stopped later, runs.
    RemovedEarly(App, App),
    /// From a release before R15, the emulator is restarted last.
    PreR15,
}

/// What to make a relup of.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// The new release.
    pub new: &'a str,
    /// The others, to come from.
    pub up: &'a [String],
    /// The others, to go to.
    pub down: &'a [String],
    /// Restart the emulator in the end.
    pub restart_emulator: bool,
}

/// Makes a relup with the author's order where OTP's is open.
///
/// # Errors
/// What `systools` would refuse.
pub fn make(request: &Request<'_>, path: &SearchPath) -> Result<Relup, Refusal> {
    make_with(request, path, &|_, _| Tie::Author)
}

/// Makes a relup; `tie` decides, for each direction and number of a release, where OTP's order is open.
///
/// # Errors
/// What `systools` would refuse.
pub fn make_with<'t>(
    request: &Request<'_>,
    path: &SearchPath,
    tie: &dyn Fn(Mode, usize) -> Tie<'t>,
) -> Result<Relup, Refusal> {
    let top = Complete::read(request.new, path)?;
    let mut maker = Maker {
        path,
        restart: request.restart_emulator,
        top: &top,
        warnings: Vec::new(),
    };
    let mut up = Vec::new();
    for (number, base) in request.up.iter().enumerate() {
        up.push(maker.script(Mode::Up, base, tie(Mode::Up, number))?);
    }
    let mut down = Vec::new();
    for (number, base) in request.down.iter().enumerate() {
        down.push(maker.script(Mode::Down, base, tie(Mode::Down, number))?);
    }
    up.reverse();
    down.reverse();
    maker.warnings.reverse();
    Ok(Relup {
        vsn: top.release.vsn.clone(),
        up,
        down,
        warnings: maker.warnings,
    })
}

struct Maker<'a> {
    path: &'a SearchPath,
    restart: bool,
    top: &'a Complete,
    warnings: Vec<Warning>,
}

impl Maker<'_> {
    fn script(
        &mut self,
        mode: Mode,
        base: &str,
        tie: Tie<'_>,
    ) -> Result<(Term, Vec<Instruction>), Refusal> {
        let base = Complete::read(base, self.path)?;
        let (from, to) = match mode {
            Mode::Up => (&base, self.top),
            Mode::Down => (self.top, &base),
        };
        let mut scripts: Vec<AppupScript> = only_in(&to.release, &from.release)
            .map(|added| {
                let name = Term::atom(added.name.as_str());
                let word = Term::atom("add_application");
                AppupScript::generated(Term::tuple([word, name, added.start.to_term()]))
            })
            .collect();
        for app in &self.top.apps {
            scripts.extend(self.appup(mode, app, &base.release)?);
        }
        scripts.extend(only_in(&from.release, &to.release).map(|removed| {
            let name = Term::atom(removed.name.as_str());
            AppupScript::generated(Term::tuple([Term::atom("remove_application"), name]))
        }));
        let releases = [&self.top.release, &base.release];
        if releases[0].erts != releases[1].erts {
            scripts.insert(
                0,
                AppupScript::generated(Term::atom("restart_new_emulator")),
            );
            let both = releases.map(|release| (release.name.clone(), release.erts.clone()));
            self.warnings.push(Warning::ErtsChanged(both));
        }
        if self.restart {
            scripts.push(AppupScript::generated(Term::atom("restart_emulator")));
        }
        let low = translated(mode, scripts, to, from, tie)?;
        self.removed_early(&low, from);
        let low = match mode {
            Mode::Up => self.before_r15(low, &base.release),
            Mode::Down => low,
        };
        Ok((base.release.vsn, low))
    }

    /// The script of an application that is in both releases with different versions.
    fn appup(
        &mut self,
        mode: Mode,
        app: &AppFile,
        base: &Release,
    ) -> Result<Option<AppupScript>, Refusal> {
        let Some(member) = base.member(&app.name) else {
            return Ok(None);
        };
        if member.vsn == app.vsn {
            return Ok(None);
        }
        let appup = Appup::of(app)?;
        let script = appup.script(mode, app, &member.vsn)?;
        if *appup.vsn() != app.vsn {
            let warning = Warning::BadVsn(appup.vsn().clone(), app.vsn.clone());
            self.warnings.push(warning);
        }
        Ok(Some(script))
    }

    /// OTP removes applications in the order of the release file, whatever needs them.
    fn removed_early(&mut self, low: &[Instruction], from: &Complete) {
        let stopped: Vec<App> = low
            .iter()
            .filter_map(|instruction| match instruction {
                Instruction::Apply(call) => call.stopped(),
                _ => None,
            })
            .collect();
        let needs = |app: &App| {
            let file = from.apps.iter().find(|file| file.name == *app);
            file.map_or_else(Vec::new, |file| file.uses.clone())
        };
        for (needed, needing) in removed::misordered(&stopped, &needs) {
            let warning = Warning::RemovedEarly(needed, needing);
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }

    /// A release handler older than R15 cannot restart the emulator first.
    fn before_r15(&mut self, mut low: Vec<Instruction>, base: &Release) -> Vec<Instruction> {
        let old = base
            .member(&App::new("sasl"))
            .is_some_and(|sasl| sasl.vsn < Term::string("2.2"));
        if old && low.first() == Some(&Instruction::RestartNewEmulator) {
            low.remove(0);
            let last = |i: &Instruction| *i == Instruction::RestartEmulator;
            if let Some(at) = low.iter().position(last) {
                low.remove(at);
            }
            low.push(Instruction::RestartNewEmulator);
            self.warnings.push(Warning::PreR15);
        }
        low
    }
}

/// The applications of one release that another does not have.
fn only_in<'a>(one: &'a Release, other: &'a Release) -> impl Iterator<Item = &'a Member> {
    one.members
        .iter()
        .filter(|member| other.member(&member.name).is_none())
}

fn translated(
    mode: Mode,
    scripts: Vec<AppupScript>,
    to: &Complete,
    from: &Complete,
    tie: Tie<'_>,
) -> Result<Vec<Instruction>, Refusal> {
    let applications = |side: &Complete| -> Vec<Application> {
        side.apps.iter().map(AppFile::application).collect()
    };
    let terms: Vec<Term> = scripts.iter().map(|script| script.term.clone()).collect();
    translate_with(mode, &terms, &applications(to), &applications(from), tie).map_err(|refused| {
        let error = ReleaseError::Script(refused.error);
        let source = refused
            .at
            .and_then(|at| Some((scripts.get(at.script)?.source.as_ref()?, at.element)));
        match source {
            Some(((document, place), element)) => error.at(document, place.at(element).span),
            None => match scripts.iter().find_map(|script| script.source.as_ref()) {
                // At least the file: a script that is no list, for one.
                Some((document, place)) if scripts.len() == 1 => error.at(document, place.span),
                _ => error.into(),
            },
        }
    })
}

impl Relup {
    /// The term of a relup file.
    pub fn to_term(&self) -> Term {
        let side = |scripts: &[(Term, Vec<Instruction>)]| {
            Term::list(scripts.iter().map(|(vsn, low)| {
                let low = Term::list(low.iter().map(Instruction::to_term));
                Term::tuple([vsn.clone(), Term::List(Vec::new()), low])
            }))
        };
        Term::tuple([self.vsn.clone(), side(&self.up), side(&self.down)])
    }
}

impl fmt::Display for Warning {
    /// As `systools_relup:format_warning/1` has it, without prefix and newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ErtsChanged([new, old]) => {
                let pair = |(name, vsn): &(Term, Term)| Term::tuple([name.clone(), vsn.clone()]);
                let (new, old) = (pair(new), pair(old));
                write!(f, "The ERTS version changed between {new} and {old}")
            }
            Self::BadVsn(appup, app) => {
                write!(f, "{{bad_vsn,{}}}", Term::tuple([appup.clone(), app.clone()]))
            }
            Self::RemovedEarly(needed, needing) => {
                write!(f, "{needed} is stopped before {needing}, which needs it")
            }
            Self::PreR15 => f.write_str(
                "Upgrade from an OTP version earlier than R15. New code should be compiled with the old emulator.",
            ),
        }
    }
}

impl Warning {
    /// The diagnostic.
    pub fn diagnostic(&self) -> Diagnostic {
        match self {
            Self::ErtsChanged([(_, new), (_, old)]) => Diagnostic::new(
                Code::W416,
                format!(
                    "the run-time system changes from {old} to {new}: the emulator is restarted first of all"
                ),
            ),
            Self::BadVsn(appup, app) => Diagnostic::new(
                Code::W416,
                format!("the appup is for version {appup}, its .app file says {app}"),
            ),
            Self::RemovedEarly(needed, needing) => removed::too_early(needed, needing)
                .note("OTP removes applications in the order in which the old release lists them")
                .help(format!("list `{needing}` before `{needed}` in the old .rel file, or stop them by `apply` in an appup")),
            Self::PreR15 => Diagnostic::new(Code::W416, self.to_string()),
        }
    }
}
