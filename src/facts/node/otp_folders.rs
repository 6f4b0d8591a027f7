//! Which folders of beams belong to OTP itself.
//!
//! In a release with a run-time system of its own (the default of mix and rebar3) all applications lie below
//! `code:lib_dir()`, so that only their names distinguish OTP's from others.

use std::collections::BTreeSet;

use super::folders::folder_of;
use super::node_facts::{CodeOrigin, NodeFacts};
use crate::facts::app::versions::versioned;
use crate::name::Md5;

/// The applications that OTP 23 to 29 consist of, `erts` apart.
const OTP_APPS: [&str; 38] = [
    "asn1",
    "common_test",
    "compiler",
    "crypto",
    "debugger",
    "dialyzer",
    "diameter",
    "edoc",
    "eldap",
    "erl_docgen",
    "erl_interface",
    "et",
    "eunit",
    "ftp",
    "hipe",
    "inets",
    "jinterface",
    "kernel",
    "megaco",
    "mnesia",
    "observer",
    "odbc",
    "os_mon",
    "otp_mibs",
    "parsetools",
    "public_key",
    "reltool",
    "runtime_tools",
    "sasl",
    "snmp",
    "ssh",
    "ssl",
    "stdlib",
    "syntax_tools",
    "tftp",
    "tools",
    "wx",
    "xmerl",
];

impl NodeFacts {
    /// Whether a folder of beams is that of an application of OTP itself.
    pub fn is_otp(&self, folder: &str) -> bool {
        let (lib, folder) = (without_dots(&self.otp_lib), without_dots(folder));
        let inside = folder.strip_prefix(&lib);
        let inside = inside.and_then(|rest| rest.strip_prefix('/')?.strip_suffix("/ebin"));
        inside.is_some_and(|app| {
            let name = versioned(app).map_or(app, |(name, _)| name);
            OTP_APPS.contains(&name)
        })
    }

    /// Whether a file is in such a folder.
    pub fn is_otp_file(&self, file: &str) -> bool {
        folder_of(file).is_some_and(|folder| self.is_otp(folder))
    }

    /// The running versions of OTP's own modules.
    pub fn otp_versions(&self) -> BTreeSet<Md5> {
        let own = self.loaded.values().filter(|loaded| match &loaded.origin {
            CodeOrigin::File(file) => self.is_otp_file(file),
            _ => true,
        });
        own.map(|loaded| loaded.md5).collect()
    }
}

/// A path without `.`, `..` and doubled slashes: releases write `LIB/../releases/VSN/consolidated`. Fit to compare by,
/// not to open: behind a symbolic link `..` leads elsewhere.
fn without_dots(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_otp_are_those_of_its_applications() {
        let facts = |lib: &str| NodeFacts {
            otp_lib: lib.to_owned(),
            ..NodeFacts::default()
        };
        for (lib, folder, otp) in [
            ("/srv/lib", "/srv/lib/ssl-10.8.7/ebin", true),
            ("/srv/lib", "/srv/lib/kernel/ebin", true),
            ("/srv/lib", "/srv/lib/depot-0.1.0/ebin", false),
            ("/srv/lib", "/srv/lib/../releases/0.1.0/consolidated", false),
            ("/srv/lib", "/srv/library/ssl-10.8.7/ebin", false),
            ("/srv/lib", "/srv/lib/depot-0.1.0/priv/ssl-1/ebin", false),
            ("/srv/lib", "/home/anna/tools/ebin", false),
            ("/srv/lib", "/srv/lib/my_ssl-1/ebin", false),
            ("/srv/bin/../lib", "/srv/lib/ssl-10.8.7/ebin", true),
            ("/srv/lib", "/srv/bin/..//lib/ssl-10.8.7/ebin", true),
        ] {
            assert_eq!(facts(lib).is_otp(folder), otp, "{folder} below {lib}");
        }
    }
}
