//! What comes from outside of the plan: flags and environment.
//!
//! Flags win over the environment, which wins over the plan. Nothing here is checked against a plan, and no secret
//! is among it: a cookie is named by its file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::environment::{variable, variables};
use crate::exec::Interrupt;
use crate::node::tls::{self, ExpectedName, Pem};
use crate::plan::{ENVIRONMENT, Plan};
use crate::state::runs::RunRecords;

/// What comes from outside of the plan. Flags win over the environment, which wins over the plan.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Parameters: `ExpectedName` for `--set ExpectedName=value`, `UPDO_SET_NAME` for those of the environment, which may be meant
    /// for other plans.
    pub sets: BTreeMap<String, String>,
    /// `--cookie-file`.
    pub cookie_file: Option<PathBuf>,
    /// Where the cookie is when neither flag nor environment nor plan say it; a person's own setting.
    pub cookie_default: Option<PathBuf>,
    /// How many recorded runs are kept; `None` for the usual number.
    pub runs: Option<usize>,
    /// `--name`: the local node name.
    pub local_name: Option<String>,
    /// epmd's port.
    pub epmd_port: Option<u16>,
    /// Where the PEM texts of TLS are; what is not given here comes from the plan.
    pub tls: tls::TlsOptions,
    /// Where runs and copies of beams are kept.
    pub state_dir: PathBuf,
    /// Whether advice is an error and undeclared cycles are.
    pub strict: bool,
    /// Whether rules of included files that do nothing are reported too (W310).
    pub warn_unused_everywhere: bool,
    /// Whether `verify` is skipped.
    pub no_verify: bool,
    /// Runs do not try conversions on copies of live states first.
    pub no_rehearsal: bool,
    /// Whether a node is left to itself as soon as it has taken the job.
    pub detach: bool,
    /// Who wants a run, or why: kept with its record.
    pub message: Option<String>,
    /// How long to wait for another run to end.
    pub lock_timeout: Duration,
    /// Who may ask for the end of a run.
    pub interrupt: Interrupt,
    /// How long connecting may take.
    pub connect_timeout: Duration,
}

impl Settings {
    /// The recorded runs.
    pub fn records(&self) -> RunRecords {
        RunRecords::new(&self.state_dir).keeping(self.runs)
    }

    /// The parameters that a plan has; others in the environment may be meant for other plans, and are nobody's
    /// business.
    pub fn sets_of(&self, plan: &Plan) -> BTreeMap<String, String> {
        let of = |name: &str| {
            let name = name.strip_prefix(ENVIRONMENT).unwrap_or(name);
            plan.constants
                .iter()
                .any(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        let mut sets = self.sets.clone();
        sets.retain(|name, _| of(name));
        sets
    }

    /// The environment's settings: `UPDO_STATE_DIR`, `UPDO_EPMD_PORT`, `UPDO_NAME`, `UPDO_TLS_CA`, `UPDO_TLS_CERT`,
    /// `UPDO_TLS_KEY`, `UPDO_TLS_SERVER_NAME`, `UPDO_SET_…`.
    pub fn from_env() -> Self {
        let text = |name: &str| variable(name).filter(|value| !value.is_empty());
        let sets = variables()
            .filter(|(name, _)| name.starts_with(ENVIRONMENT))
            .collect();
        let pem = |name: &str| text(name).map(|_| Pem::Env(name.to_owned()));
        let server_name = text("UPDO_TLS_SERVER_NAME");
        let home = text("HOME").map(PathBuf::from).unwrap_or_default();
        let state = text("UPDO_STATE_DIR")
            .map(PathBuf::from)
            .unwrap_or_else(|| {
                let base = text("XDG_STATE_HOME").map(PathBuf::from);
                base.unwrap_or_else(|| home.join(".local/state"))
                    .join("updo")
            });
        Self {
            sets,
            local_name: text("UPDO_NAME"),
            epmd_port: text("UPDO_EPMD_PORT").and_then(|port| port.parse().ok()),
            tls: tls::TlsOptions {
                ca: pem("UPDO_TLS_CA"),
                cert: pem("UPDO_TLS_CERT"),
                key: pem("UPDO_TLS_KEY"),
                name: match server_name {
                    None => ExpectedName::Host,
                    Some(name) if name == "disable" => ExpectedName::Any,
                    Some(name) => ExpectedName::Other(name),
                },
            },
            state_dir: state,
            connect_timeout: Duration::from_secs(10),
            ..Self::default()
        }
    }
}
