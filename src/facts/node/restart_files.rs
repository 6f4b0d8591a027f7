//! The files of a node that a restart reads: boot files, their texts, application files; and the folders beside them in
//! which an interrupted run has left what it wrote.
//!
//! One question. Files are read as they will be when the next run with `persist` has put those folders in order
//! ([`stages`](super::stages)): it does that before it compares anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::stages::{self, StageFolders};
use crate::diag::{Code, Diagnostic, Result};
use crate::node::{Session, evaluate};
use crate::term::Term;

/// How long the question may take.
const QUESTION: Duration = Duration::from_secs(60);

/// Folders, the node's root, the variables of its boot file, the boot file that it was started with, boot files there and
/// beside it, and application files in folders; of a link, the file that it leads to. `FindStages` is bound before.
const FILES: &str = r#"
    Values = fun(Flag) -> case init:get_argument(Flag) of {ok, All} -> All; error -> [] end end,
    Names = fun(Dir) -> case file:list_dir(Dir) of {ok, L} -> lists:sort(L); _ -> [] end end,
    Root = code:root_dir(),
    Bin = filename:join(Root, "bin"),
    Started = [case filelib:is_regular(filename:absname(B) ++ ".boot") of
                   true -> filename:absname(B) ++ ".boot";
                   false -> filename:join(Bin, B) ++ ".boot"
               end || [B | _] <- lists:sublist(Values(boot), 1)],
    Homes = [filename:dirname(F) || F <- Started],
    Beside = [filename:join(Up, N) || H <- Homes, filename:basename(filename:dirname(H)) =:= "releases",
                                      Up <- [filename:dirname(H)], N <- Names(Up)],
    Next = fun(_, F) -> case file:read_link(F) of {ok, To} -> filename:join(filename:dirname(F), To); _ -> F end end,
    Real = fun(F) -> lists:foldl(Next, F, [1, 2, 3, 4]) end,
    Files = fun(Dirs, End) -> lists:append([[Real(filename:join(Dir, N)) || N <- Names(Dir), filename:extension(N) =:= End]
                                            || Dir <- Dirs]) end,
    BootDirs = lists:usort([Bin | Homes ++ Beside]),
    BootFiles = lists:usort(Files(BootDirs, ".boot")),
    AppFiles = Files(Folders, ".app"),
    Stages = FindStages(BootDirs ++ Folders ++ [filename:dirname(F) || F <- BootFiles ++ AppFiles]),
    Places = maps:from_list([{F, B} || {_, _, finish, _, First, _, Rest, _} <- Stages, {B, F} <- First ++ Rest]),
    Read = fun(F) -> file:read_file(maps:get(F, Places, F)) end,
    Contents = fun(All) -> [{F, Bytes} || F <- All, {ok, Bytes} <- [Read(F)]] end,
    Boots = Contents(BootFiles),
    {Root, [{V, D} || [V, D | _] <- Values(boot_var)], [Real(F) || F <- Started], Boots,
     Contents([filename:rootname(F) ++ ".script" || {F, _} <- Boots]), Contents(AppFiles), Stages}.
"#;

/// What the node has said.
#[derive(Clone, Debug, Default)]
pub struct RestartFiles {
    /// The variables of its boot file, and its root.
    pub variables: BTreeMap<String, String>,
    /// The boot file that it was started with, if it was said.
    pub started: Vec<String>,
    /// Boot files.
    pub boots: Vec<(String, Vec<u8>)>,
    /// Their texts.
    pub scripts: BTreeMap<String, Vec<u8>>,
    /// Application files.
    pub specs: Vec<(String, Vec<u8>)>,
    /// What interrupted runs have left in all of these folders.
    pub stages: StageFolders,
}

/// Reads them; application files in these folders.
///
/// # Errors
/// E5xx when the node does not answer.
pub fn read(session: &Session, folders: &BTreeSet<&str>) -> Result<RestartFiles> {
    let find = stages::TEXT.trim_end().trim_end_matches('.');
    let text = format!("FindStages = fun(Folders) ->\n{find}\nend,\n{FILES}");
    let folders = Term::list(folders.iter().map(|folder| Term::string(folder)));
    let answer = evaluate(session, &text, &[("Folders", folders)], QUESTION)
        .map_err(|error| error.diagnostic("reading boot files and application files"))?;
    let files = |term: &Term| -> Vec<(String, Vec<u8>)> {
        let pairs = term.as_list().unwrap_or_default().iter();
        let pairs = pairs.filter_map(|pair| match pair.as_tuple()? {
            [file, bytes] => Some((file.to_text()?, bytes.as_bytes()?.to_vec())),
            _ => None,
        });
        pairs.collect()
    };
    let texts = |term: &Term| -> Vec<String> {
        let all = term.as_list().unwrap_or_default().iter();
        all.filter_map(Term::to_text).collect()
    };
    let Some([root, variables, started, boots, scripts, specs, stages]) = answer.as_tuple() else {
        return Err(Box::new(Diagnostic::new(
            Code::E506,
            "the question for boot files has an answer of another form",
        )));
    };
    let pairs = variables.as_list().unwrap_or_default().iter();
    let pairs = pairs.filter_map(|pair| match pair.as_tuple()? {
        [name, value] => Some((name.to_text()?, value.to_text()?)),
        _ => None,
    });
    let mut variables: BTreeMap<String, String> = pairs.collect();
    variables.extend(root.to_text().map(|root| ("ROOT".to_owned(), root)));
    Ok(RestartFiles {
        variables,
        started: texts(started),
        boots: files(boots),
        scripts: files(scripts).into_iter().collect(),
        specs: files(specs),
        stages: StageFolders::read(stages),
    })
}
