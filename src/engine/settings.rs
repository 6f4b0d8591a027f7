//! What comes from outside of the plan: flags and environment.
//!
//! Flags win over the environment, which wins over the plan. Nothing here is checked against a plan, and no secret
//! is among it: a cookie is named by its file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::environment::{temporary_state, variable, variables};
use crate::exec::Interrupt;
use crate::node::tls::{self, ExpectedName, Pem};
use crate::plan::{ENVIRONMENT, Plan};
use crate::state::runs::RunRecords;

/// What comes from outside of the plan; it counts more than the plan, where both say something.
///
/// `Settings { strict: true, ..Settings::from_env() }` takes the rest from the environment, as the command line does. An
/// explicit [`Settings::default`] has neither state folder nor cookie.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Values of the plan's parameters, as text: `3`, `"shop"`, `[a, b]`, `30s`; text that is no term is taken as a
    /// string where the parameter's type is one. A name may begin with `UPDO_SET_`: then a plan without that parameter
    /// does not mind it.
    pub sets: BTreeMap<String, String>,
    /// Patterns of beam files, for a node that is named in place of a plan: they are the new code, not what lies on the
    /// node's disk. Relative ones are relative to the current folder. Plans say for themselves where new code is.
    pub push: Vec<String>,
    /// A file with the cookie; it counts more than `UPDO_COOKIE_FILE`, `UPDO_COOKIE` and the plan.
    pub cookie_file: Option<PathBuf>,
    /// A file with the cookie for when neither flag nor environment nor plan say it. Without it too:
    /// `RELEASE_COOKIE`, then `~/.erlang.cookie`.
    pub cookie_default: Option<PathBuf>,
    /// How many recorded runs are kept, at least 1; `None` for the usual number, 200.
    pub runs: Option<usize>,
    /// The local node name, `name@host`; by default a name that no other node has.
    pub local_name: Option<String>,
    /// The port of epmd; by default `ERL_EPMD_PORT`, else 4369.
    pub epmd_port: Option<u16>,
    /// The port that nodes listen on: epmd is not asked. 0 is refused (E501) when connecting.
    pub port: Option<u16>,
    /// Where the node is dialled, when that is not the host of its name: `HOST`, `HOST:PORT`, `[::1]:PORT`.
    pub address: Option<String>,
    /// The machine that connects for us, as ssh names it: `USER@HOST`.
    pub via: Option<String>,
    /// What is run in place of `ssh`; a shell takes it apart.
    pub ssh: Option<String>,
    /// Where the PEM texts of TLS are; what is not given here comes from the plan. TLS is used when either has something.
    pub tls: tls::TlsOptions,
    /// The folder where runs and copies of beams are kept. It is made when it is not there; others than its owner must
    /// not be able to write in it (E803).
    pub state_dir: PathBuf,
    /// Whether an override without a reason (A311) and a cycle that no plan declares (W307) are errors.
    pub strict: bool,
    /// Whether rules of included files that do nothing are reported too (W310).
    pub warn_unused_everywhere: bool,
    /// Whether every `verify` is left out.
    pub no_verify: bool,
    /// Whether runs of the command line do not try conversions on copies of live states first.
    pub no_rehearsal: bool,
    /// Whether every conversion is after the switch, also one that could be computed before it.
    pub convert_after_switch: bool,
    /// Whether nothing is built for `old from git`: what was built before is still used.
    pub no_builds: bool,
    /// Whether a node is left to itself as soon as it has taken the job. The outcome is [`NodeState::Unknown`] then.
    ///
    /// [`NodeState::Unknown`]: crate::exec::NodeState::Unknown
    pub detach: bool,
    /// The requester of a run, or its reason: kept with its record.
    pub message: Option<String>,
    /// How long to wait for another run to end; zero: not at all.
    pub lock_timeout: Duration,
    /// What may ask for the end of a run. Clones share it: keep one, and press it from another thread or from the
    /// function that gets the events.
    pub interrupt: Interrupt,
    /// How long connecting may take; zero: ten seconds.
    pub connect_timeout: Duration,
    #[doc(hidden)]
    /// What is called with a line before something that may take minutes.
    pub announce: Option<fn(&str)>,
}

impl Settings {
    #[doc(hidden)]
    /// The recorded runs.
    pub fn records(&self) -> RunRecords {
        RunRecords::new(&self.state_dir).keeping(self.runs)
    }

    #[doc(hidden)]
    /// The parameters that a plan has; others in the environment may be meant for other plans, and are ignored.
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

    /// The environment's settings: `UPDO_STATE_DIR` (else `XDG_STATE_HOME/updo`, `~/.local/state/updo`, without a home `updo-UID` in the temporary folder), `UPDO_EPMD_PORT`,
    /// `UPDO_PORT`, `UPDO_ADDRESS`, `UPDO_VIA`, `UPDO_SSH`, `UPDO_NAME`, `UPDO_CONVERT_AFTER_SWITCH`, `UPDO_TLS_CA`, `UPDO_TLS_CERT`, `UPDO_TLS_KEY`, `UPDO_TLS_SERVER_NAME`,
    /// `UPDO_TLS_OPTFILE`, `UPDO_SET_…`. Connecting may take ten seconds. A variable that is not UTF-8, or no port, counts as not set.
    pub fn from_env() -> Self {
        let text = |name: &str| variable(name).filter(|value| !value.is_empty());
        let sets = variables()
            .filter(|(name, _)| name.starts_with(ENVIRONMENT))
            .collect();
        let pem = |name: &str| text(name).map(|_| Pem::Env(name.to_owned()));
        let server_name = text("UPDO_TLS_SERVER_NAME");
        let state = text("UPDO_STATE_DIR")
            .map(PathBuf::from)
            .unwrap_or_else(|| {
                let base = text("XDG_STATE_HOME").map(PathBuf::from);
                let base = base.or_else(|| Some(PathBuf::from(text("HOME")?).join(".local/state")));
                base.map_or_else(temporary_state, |base| base.join("updo"))
            });
        Self {
            sets,
            local_name: text("UPDO_NAME"),
            convert_after_switch: text("UPDO_CONVERT_AFTER_SWITCH").is_some_and(|set| set != "0"),
            epmd_port: text("UPDO_EPMD_PORT").and_then(|port| port.parse().ok()),
            // What is no port is reported when it is used.
            port: text("UPDO_PORT").map(|port| port.trim().parse().unwrap_or(0)),
            address: text("UPDO_ADDRESS"),
            via: text("UPDO_VIA"),
            ssh: text("UPDO_SSH"),
            tls: tls::TlsOptions {
                ca: pem("UPDO_TLS_CA"),
                cert: pem("UPDO_TLS_CERT"),
                key: pem("UPDO_TLS_KEY"),
                name: match server_name {
                    None => ExpectedName::Host,
                    Some(name) if name == "disable" => ExpectedName::Any,
                    Some(name) => ExpectedName::Other(name),
                },
                optfile: text("UPDO_TLS_OPTFILE").map(|path| tls::OptFile {
                    path: path.into(),
                    checked: true,
                }),
            },
            state_dir: state,
            connect_timeout: Duration::from_secs(10),
            ..Self::default()
        }
    }
}
