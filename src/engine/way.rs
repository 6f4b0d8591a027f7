//! The way to a node: its host, its port, and the machine in between, each with where that was said.
//!
//! Takes settings and a target, gives a [`Way`]. The environment of updo counts more than the plan, and both more than what
//! names the port of a node for OTP's own programs: `ERL_DIST_PORT`, which the scripts of releases set, and
//! `-erl_epmd_port` in `ERL_AFLAGS`, `ERL_FLAGS` or `ERL_ZFLAGS`. Those two do not count where a port of epmd is given.

use super::Engine;
use super::environment::variable;
use crate::diag::{Code, Diagnostic, Result};
use crate::name::NodeName;
use crate::node::tls::Pem;
use crate::node::{Address, Connect, Dial, DialAddress, Via, epmd};
use crate::plan::{CookieFrom, Target};

/// A setting with its origin: `plan`, `env NAME` or `default`.
pub type Chosen<T> = (T, String);

/// How a node is reached.
#[derive(Clone, Debug)]
pub struct Way {
    /// In place of the host of its name.
    pub address: Option<Chosen<DialAddress>>,
    /// The port of the node; without it epmd is asked.
    pub port: Option<Chosen<u16>>,
    /// epmd's port.
    pub epmd_port: Chosen<u16>,
    /// The machine that connects for us.
    pub via: Option<Chosen<Via>>,
}

impl Way {
    /// The steps of this way.
    pub fn dial(&self, node: Address) -> Dial {
        Dial {
            node,
            address: self.address.as_ref().map(|(address, _)| address.clone()),
            port: self.port.as_ref().map(|(port, _)| *port),
            epmd_port: Some(self.epmd_port.0),
            via: self.via.as_ref().map(|(via, _)| via.clone()),
        }
    }

    /// Makes connections go this way.
    pub fn apply(self, connect: &mut Connect) {
        connect.address = self.address.map(|(address, _)| address);
        connect.port = self.port.map(|(port, _)| port);
        connect.epmd_port = Some(self.epmd_port.0);
        connect.via = self.via.map(|(via, _)| via);
    }
}

impl Engine {
    /// The way to a node, by the settings and its target.
    pub(crate) fn way(&self, node: &NodeName) -> Result<Way> {
        let target = self.target_of(node);
        let mut way = way(&self.settings, target, node)?;
        if let Some(place) = target.and_then(|target| self.place(target, node)) {
            place.apply(&mut way);
        }
        Ok(way)
    }
}

/// The way to a node.
///
/// # Errors
/// E501 when a variable of the environment is no port, no address or no destination.
pub fn way(settings: &super::Settings, target: Option<&Target>, node: &NodeName) -> Result<Way> {
    let env = |name: &str| variable(name).filter(|value| !value.is_empty());
    let plan = || "plan".to_owned();
    let no = |name: &str, value: &str, what: &str, help: &str| {
        let title = format!(
            "env {name} is `{}`, which is no {what}",
            value.escape_debug()
        );
        Box::new(
            Diagnostic::new(Code::E501, title).help(format!("unset {name}, or set it to {help}")),
        )
    };
    let given_address = match &settings.address {
        None => None,
        Some(text) => {
            let address = DialAddress::parse(text).ok_or_else(|| {
                no(
                    "UPDO_ADDRESS",
                    text,
                    "address",
                    "HOST, HOST:PORT or [::1]:PORT",
                )
            })?;
            Some((address, "env UPDO_ADDRESS".to_owned()))
        }
    };
    let planned = target.and_then(|target| target.addresses.of(node));
    let address = given_address.or_else(|| Some((planned?.clone(), plan())));
    let given_port = match settings.port {
        None => None,
        Some(0) => {
            let value = env("UPDO_PORT").unwrap_or_else(|| "0".to_owned());
            return Err(no(
                "UPDO_PORT",
                &value,
                "port",
                "the port that the node listens on",
            ));
        }
        Some(port) => Some((port, "env UPDO_PORT".to_owned())),
    };
    let in_address = |by_env: bool| {
        let (at, by) = address
            .as_ref()
            .filter(|(_, by)| (by != "plan") == by_env)?;
        Some((at.port?, by.clone()))
    };
    let planned_epmd = target.and_then(|target| target.epmd_port);
    let epmd_port = match (settings.epmd_port, planned_epmd) {
        (Some(port), _) => (port, "env UPDO_EPMD_PORT".to_owned()),
        (None, Some(port)) => (port, plan()),
        (None, None) => {
            let by = match env("ERL_EPMD_PORT") {
                Some(_) => "env ERL_EPMD_PORT",
                None => "default",
            };
            (epmd::port_from_env(&env)?, by.to_owned())
        }
    };
    let asks_epmd = settings.epmd_port.or(planned_epmd).is_some();
    let port = in_address(true)
        .or(given_port)
        .or_else(|| in_address(false))
        .or_else(|| Some((target?.port?, plan())));
    let port = match port {
        None if !asks_epmd => of_otp(&env).map_err(|(name, value)| {
            no(&name, &value, "port", "the port that the node listens on")
        })?,
        other => other,
    };
    let given_via = match &settings.via {
        None => None,
        Some(text) => {
            let via = Via::ssh(text)
                .ok_or_else(|| no("UPDO_VIA", text, "destination of ssh", "USER@HOST"))?;
            Some((via, "env UPDO_VIA".to_owned()))
        }
    };
    let via = given_via.or_else(|| Some((target?.via.clone()?, plan())));
    let secrets = secrets(target);
    let without = |via: Via| secrets.iter().fold(via, |via, name| via.without(name));
    Ok(Way {
        address,
        port,
        epmd_port,
        via: via.map(|(via, by)| (without(via.command(settings.ssh.clone())), by)),
    })
}

/// The variables that a target names for its cookie and its key: no program gets them.
fn secrets(target: Option<&Target>) -> Vec<&str> {
    let cookie = target.and_then(|target| match &target.cookie {
        Some(CookieFrom::Env(name)) => Some(name.as_str()),
        _ => None,
    });
    let tls = target.and_then(|target| target.tls.as_ref());
    // The key may be in the text of the certificate.
    let pems = tls.into_iter().flat_map(|tls| [&tls.cert, &tls.key]);
    let pems = pems.filter_map(|pem| match pem {
        Some(Pem::Env(name)) => Some(name.as_str()),
        _ => None,
    });
    cookie.into_iter().chain(pems).collect()
}

/// The port by what OTP and the scripts of releases obey; the error is a variable that is no port, with its value.
fn of_otp(
    env: &dyn Fn(&str) -> Option<String>,
) -> std::result::Result<Option<Chosen<u16>>, (String, String)> {
    let port = |name: &str, text: &str| match text.trim().parse() {
        Ok(0) if name != "ERL_DIST_PORT" => Ok(None),
        Ok(port) if port > 0 => Ok(Some((port, format!("env {name}")))),
        _ => Err((name.to_owned(), text.to_owned())),
    };
    if let Some(text) = env("ERL_DIST_PORT") {
        return port("ERL_DIST_PORT", &text);
    }
    for name in ["ERL_AFLAGS", "ERL_FLAGS", "ERL_ZFLAGS"] {
        let text = env(name).unwrap_or_default();
        let mut words = text.split_whitespace();
        if words.any(|word| word == "-erl_epmd_port")
            && let Some(value) = words.next()
        {
            return port(name, value);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Settings;

    #[test]
    fn what_otp_itself_obeys() {
        let with = |name: &'static str, value: &'static str| {
            of_otp(&move |asked| (asked == name).then(|| value.to_owned()))
        };
        let found = |name, value| with(name, value).expect("a port");
        assert_eq!(
            found("ERL_DIST_PORT", "9100"),
            Some((9100, "env ERL_DIST_PORT".to_owned()))
        );
        assert_eq!(
            found("ERL_ZFLAGS", "+K true -erl_epmd_port 9101 -x"),
            Some((9101, "env ERL_ZFLAGS".to_owned()))
        );
        // OTP's own value for "ask epmd".
        assert_eq!(found("ERL_FLAGS", "-erl_epmd_port 0"), None);
        assert_eq!(found("ERL_FLAGS", "-sname x"), None);
        for bad in ["0", "65536", "x"] {
            assert!(with("ERL_DIST_PORT", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn settings_that_are_none_are_refused_with_their_name() {
        let node = NodeName::new("shop@web1");
        let refused = |settings: Settings| way(&settings, None, &node).expect_err("refused");
        let port = refused(Settings {
            port: Some(0),
            ..Settings::default()
        });
        assert!(port.title.contains("UPDO_PORT"), "{port:?}");
        let address = refused(Settings {
            address: Some("web1:".to_owned()),
            ..Settings::default()
        });
        assert!(address.title.contains("UPDO_ADDRESS"), "{address:?}");
        let via = refused(Settings {
            via: Some("-oProxyCommand=x".to_owned()),
            ..Settings::default()
        });
        assert!(via.title.contains("UPDO_VIA"), "{via:?}");
        for refused in [port, address, via] {
            assert_eq!(refused.code, Code::E501);
        }
    }

    #[test]
    fn an_address_with_a_port_counts_more_than_a_port() {
        let node = NodeName::new("shop@web1");
        let settings = Settings {
            port: Some(1),
            address: Some("there:2".to_owned()),
            ..Settings::default()
        };
        let way = way(&settings, None, &node).expect("a way");
        assert_eq!(way.port, Some((2, "env UPDO_ADDRESS".to_owned())));
    }
}
