//! Every flag has a variable of the environment: `--no-verify` is UPDO_NO_VERIFY. The flag takes precedence.
//!
//! Only variables that are set are looked at, so that starting costs nothing for those that use none. Four flags have
//! their variables elsewhere: `--set` (UPDO_SET_NAME), `--name`, `--cookie-file`, `--no-pager` (UPDO_PAGER says more).

#![expect(
    clippy::disallowed_methods,
    reason = "flags are compared with the variables of the same meaning"
)]

use std::collections::BTreeMap;

use clap::builder::FalseyValueParser;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches};

use super::args::Args;

/// Flags whose variables are read by others.
const ELSEWHERE: [&str; 4] = ["set", "name", "cookie-file", "no-pager"];

/// The origin of each flag that was given: `flag`, or `env UPDO_…`; by the long name.
pub(super) type Given = BTreeMap<String, String>;

/// The variable that means the same as a flag.
fn env_variable(arg: &Arg) -> Option<String> {
    let long = arg
        .get_long()
        .or((arg.get_id() == "directory").then_some("directory"))?;
    let word = long.to_ascii_uppercase().replace('-', "_");
    (!ELSEWHERE.contains(&long)).then(|| format!("UPDO_{word}"))
}

/// Reads the command line, and what the environment adds to it.
pub(super) fn parse() -> Result<(Args, Given), Box<clap::Error>> {
    let words: Vec<String> = std::env::args_os()
        .skip(1)
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut without = Vec::new();
    let (matches, mut command) = loop {
        let mut command = with_env_variables(&without);
        match command.try_get_matches_from_mut(std::env::args_os()) {
            Ok(matches) => break (matches, command),
            Err(error) => match outdone(&error, &command, &words, &without) {
                Some(variable) => without.push(variable),
                None => return Err(Box::new(error)),
            },
        }
    };
    let mut given = Given::new();
    sources(&command, &matches, &mut given);
    let args = Args::from_arg_matches(&matches);
    Ok((args.map_err(|error| error.format(&mut command))?, given))
}

/// All commands; flags with a variable that is set take it, unless it is among `without`.
fn with_env_variables(without: &[String]) -> Command {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let any = std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with("UPDO_"));
    let command = Args::command();
    if !any {
        return command;
    }
    let each = |arg: Arg| match env_variable(&arg) {
        Some(name) if without.contains(&name) => arg.env(None::<&str>),
        Some(name) if arg.get_env().is_none() && set(&name) => {
            let flag = matches!(arg.get_action(), ArgAction::SetTrue);
            let arg = arg.env(name).hide_env(true);
            match flag {
                true => arg.value_parser(FalseyValueParser::new()),
                false => arg,
            }
        }
        _ => arg,
    };
    command
        .mut_args(each)
        .mut_subcommands(|command| command.mut_args(each))
}

/// The variable that has to stand back: a flag that was typed excludes it, or another one that it needs was not given.
fn outdone(
    error: &clap::Error,
    command: &Command,
    words: &[String],
    without: &[String],
) -> Option<String> {
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(name)) => vec![name.clone()],
        Some(ContextValue::Strings(names)) => names.clone(),
        _ => Vec::new(),
    };
    let both = [named(ContextKind::InvalidArg), named(ContextKind::PriorArg)].concat();
    let mut all = command
        .get_arguments()
        .chain(command.get_subcommands().flat_map(Command::get_arguments));
    match error.kind() {
        ErrorKind::ArgumentConflict => {
            let typed = |name: &str| {
                let long = name.split([' ', '=']).next().unwrap_or(name);
                let is = |arg: &&Arg| arg.get_long().is_some_and(|l| long == format!("--{l}"));
                let short = command
                    .get_subcommands()
                    .flat_map(Command::get_arguments)
                    .find(is)
                    .and_then(Arg::get_short);
                words.iter().any(|word| {
                    word == long
                        || word.starts_with(&format!("{long}="))
                        || short.is_some_and(|s| {
                            word.starts_with('-') && !word.starts_with("--") && word.contains(s)
                        })
                })
            };
            if !both.iter().any(|name| typed(name)) {
                return None;
            }
            let variable = |name: &String| {
                let long = name.split([' ', '=']).next()?.strip_prefix("--")?;
                Some(format!(
                    "UPDO_{}",
                    long.to_ascii_uppercase().replace('-', "_")
                ))
            };
            both.iter()
                .filter(|name| !typed(name))
                .filter_map(variable)
                .find(|name| std::env::var_os(name).is_some() && !without.contains(name))
        }
        ErrorKind::MissingRequiredArgument => {
            // What required it is not reported: the one without which all is well.
            let without_it = |name: &String| {
                let without = [without, std::slice::from_ref(name)].concat();
                let command = with_env_variables(&without);
                command.try_get_matches_from(std::env::args_os()).is_ok()
            };
            all.by_ref()
                .filter_map(env_variable)
                .filter(|name| std::env::var_os(name).is_some() && !without.contains(name))
                .find(without_it)
        }
        _ => None,
    }
}

fn sources(command: &Command, matches: &ArgMatches, given: &mut Given) {
    for arg in command.get_arguments() {
        let id = arg.get_id().as_str();
        let name = arg.get_long().unwrap_or(id).to_owned();
        let by = match matches.try_contains_id(id).is_ok_and(|known| known) {
            true => matches.value_source(id),
            false => None,
        };
        let by = match by {
            Some(ValueSource::CommandLine) => "flag".to_owned(),
            Some(ValueSource::EnvVariable) => {
                format!("env {}", env_variable(arg).unwrap_or_default())
            }
            _ => continue,
        };
        given.insert(name, by);
    }
    if let Some((name, matches)) = matches.subcommand()
        && let Some(command) = command.find_subcommand(name)
    {
        sources(command, matches, given);
        // Flags of every command are in the matches of the one that was named, too.
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every flag has one, and no two mean different things.
    #[test]
    fn every_flag_has_a_twin() {
        let command = Args::command();
        let all: Vec<&Arg> = command
            .get_arguments()
            .chain(command.get_subcommands().flat_map(Command::get_arguments))
            .filter(|arg| !arg.is_positional())
            .collect();
        assert!(all.len() > 40, "{}", all.len());
        for arg in all {
            let long = arg.get_long().unwrap_or_default();
            if ["help", "version"].contains(&long) || ELSEWHERE.contains(&long) {
                continue;
            }
            let name = env_variable(arg).unwrap_or_else(|| panic!("{arg:?}"));
            if let Some(own) = arg.get_env() {
                assert_eq!(own.to_string_lossy(), name);
            }
        }
    }
}
