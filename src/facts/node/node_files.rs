//! The beam files of a node: what each is, at the least cost for the node.
//!
//! Takes paths on the node, gives what is inside ([`OnDisk`]) or the bytes. When updo runs on the same machine and sees
//! the same folder, it looks at the files itself; otherwise the node is asked for size and times of all files in one
//! call. A file that is as it was seen before is known; what is left is read, or transferred once, and analysed here.
//! The node computes no digest: `beam_lib:md5/1` of one file of stdlib costs as many reductions as looking at
//! thousands. Only documented functions; nothing is written.

#![expect(
    clippy::disallowed_methods,
    reason = "files of a node on this machine are read without asking it"
)]

use std::collections::{BTreeMap, BTreeSet};

use std::path::Path;

use super::ask::{Ask, TIMEOUT, call_failed, function, unexpected_reply};
use super::folders::folder_of;
use crate::diag::Result;
use crate::facts::beam::BeamFacts;
use crate::facts::beam::chunk::MAX_BEAM;
use crate::facts::local::files::{FileLook, is_code, look_at};
use crate::name::Md5;
use crate::node::{Session, evaluate};
use crate::regular_file;
use crate::state::beams::Store;
use crate::state::file_cache::{CachedBeam, Seen, Stat};
use crate::term::Term;

/// Files in flight at a time.
const AT_ONCE: usize = 16;

/// What the file of a module is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OnDisk {
    /// A beam.
    Beam(CachedBeam),
    /// There is no file.
    Missing,
    /// There is a file, and it is no beam; the text says why.
    Broken(String),
}

/// How many files were looked at in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransferStats {
    /// Read from this machine's own disk.
    pub here: usize,
    /// Known, because size and times are what they were.
    pub known: usize,
    /// Transferred from the node.
    pub sent: usize,
    /// Bytes of those.
    pub bytes: usize,
}

/// The disk of a node.
#[derive(Debug)]
pub struct Disk<'a> {
    session: &'a Session,
    /// The OTP release of the node.
    otp: u32,
    /// What was seen before.
    pub seen: &'a mut Seen,
    /// Folders that are the same on this machine and on the node, as far as was asked.
    same: BTreeMap<String, bool>,
    /// Whether the node runs on this machine's kernel; asked once.
    neighbour: Option<bool>,
    now: i64,
    /// Where beams that were transferred are kept, and the versions that need not be.
    kept: Option<(&'a Store, BTreeSet<Md5>)>,
    /// The MD5 of files that were looked at.
    inspected: BTreeMap<String, Md5>,
    /// What it has cost so far.
    pub tally: TransferStats,
}

impl<'a> Disk<'a> {
    /// The disk of a node of an OTP release. Asks nothing yet.
    pub fn new(session: &'a Session, otp: u32, seen: &'a mut Seen) -> Self {
        seen.on(otp);
        Self {
            session,
            otp,
            seen,
            same: BTreeMap::new(),
            neighbour: None,
            now: 0,
            kept: None,
            inspected: BTreeMap::new(),
            tally: TransferStats::default(),
        }
    }

    /// Forgets that the node may be on this machine: everything goes over the connection.
    pub fn assume_remote(&mut self) {
        self.neighbour = Some(false);
    }

    /// Keeps what a far node sends, so that it sends it once; but nothing of `without`.
    pub fn keep(&mut self, store: &'a Store, without: BTreeSet<Md5>) {
        self.kept = Some((store, without));
    }

    /// Whether bytes are this version of a module, as a node of an OTP release counts it.
    pub fn is_version(content: &[u8], otp: u32, md5: &Md5) -> bool {
        matches!(known(content, otp), OnDisk::Beam(known) if known.md5 == *md5)
    }

    /// What beam files are, in the order of the paths.
    ///
    /// # Errors
    /// When the node does not answer (E508) or answers what OTP does not (E506).
    pub fn beams(&mut self, files: &[String]) -> Result<Vec<OnDisk>> {
        let mut found: Vec<Option<OnDisk>> = vec![None; files.len()];
        self.ask_folders(files)?;
        let mut far = Vec::new();
        for (at, file) in files.iter().enumerate() {
            if self.is_here(file) {
                found[at] = Some(self.local(file));
            } else {
                far.push(at);
            }
        }
        let mut unknown = Vec::new();
        let names: Vec<String> = far.iter().map(|at| files[*at].clone()).collect();
        if !names.is_empty() {
            self.ask_time()?;
        }
        for (at, stat) in far.into_iter().zip(self.stats(&names)?) {
            match stat {
                FileInfo::Missing => found[at] = Some(OnDisk::Missing),
                FileInfo::Failed(why) => found[at] = Some(OnDisk::Broken(why)),
                FileInfo::Archive => unknown.push((at, None)),
                FileInfo::At(stat) => match self.seen.get(&files[at], &stat) {
                    Some(known) => {
                        self.tally.known += 1;
                        found[at] = Some(OnDisk::Beam(known.clone()));
                    }
                    None => unknown.push((at, Some(stat))),
                },
            }
        }
        let names: Vec<String> = unknown.iter().map(|(at, _)| files[*at].clone()).collect();
        let (seen, now, kept, otp) = (&mut *self.seen, self.now, &self.kept, self.otp);
        let mut at_once = unknown.into_iter();
        self.tally.sent += names.len();
        let bytes = &mut self.tally.bytes;
        transfer(self.session, &names, &mut |answer| {
            let Some((at, stat)) = at_once.next() else {
                return;
            };
            *bytes += answer.as_ref().map_or(0, Vec::len);
            let what = match answer {
                None if stat.is_none() => OnDisk::Missing,
                None => OnDisk::Broken("the file cannot be read".to_owned()),
                Some(content) => {
                    let what = known(&content, otp);
                    if let (OnDisk::Beam(known), Some((store, without))) = (&what, kept)
                        && !without.contains(&known.md5)
                    {
                        // A store that cannot be written means that it is sent again.
                        let _ = store.put(&known.md5, &content);
                    }
                    what
                }
            };
            if let (OnDisk::Beam(known), Some(stat)) = (&what, stat) {
                seen.put(&files[at], stat, known.clone(), now);
            }
            found[at] = Some(what);
        })?;
        let found = found
            .into_iter()
            .map(|what| what.unwrap_or(OnDisk::Missing));
        let found: Vec<OnDisk> = found.collect();
        for (file, what) in files.iter().zip(&found) {
            if let OnDisk::Beam(known) = what {
                self.inspected.insert(file.clone(), known.md5);
            }
        }
        Ok(found)
    }

    /// Reads files, in order; `None` for one that cannot be read.
    ///
    /// # Errors
    /// As [`Disk::beams`].
    pub fn read(&mut self, files: &[String]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut contents: Vec<Option<Vec<u8>>> = vec![None; files.len()];
        self.ask_folders(files)?;
        let mut far = Vec::new();
        for (at, file) in files.iter().enumerate() {
            if self.is_here(file) {
                self.tally.here += 1;
                contents[at] = read_local(file);
            } else if let Some(copy) = self.copy(file) {
                self.tally.known += 1;
                contents[at] = Some(copy);
            } else {
                far.push(at);
            }
        }
        let names: Vec<String> = far.iter().map(|at| files[*at].clone()).collect();
        let mut at_once = far.into_iter();
        self.tally.sent += names.len();
        let bytes = &mut self.tally.bytes;
        transfer(self.session, &names, &mut |answer| {
            *bytes += answer.as_ref().map_or(0, Vec::len);
            if let Some(at) = at_once.next() {
                contents[at] = answer;
            }
        })?;
        Ok(contents)
    }

    /// The names in folders of the node; a folder that cannot be read has none.
    ///
    /// # Errors
    /// As [`Disk::beams`].
    pub fn list(&mut self, folders: &[String]) -> Result<Vec<Vec<String>>> {
        let inside: Vec<String> = folders.iter().map(|folder| format!("{folder}/.")).collect();
        self.ask_folders(&inside)?;
        let far: Vec<&String> = folders
            .iter()
            .filter(|folder| !self.same.get(*folder).copied().unwrap_or(false))
            .collect();
        let mut answers = Vec::new();
        if !far.is_empty() {
            let names = Term::list(far.iter().map(|folder| path_term(folder)));
            let answer = self.call("lists", "map", vec![function("file", "list_dir", 1), names])?;
            let all = answer
                .as_list()
                .ok_or_else(|| unexpected_reply("file:list_dir/1", &answer))?;
            answers = all.iter().map(names_of).collect();
        }
        let mut answers = answers.into_iter();
        let list = |folder: &String| {
            if self.same.get(folder).copied().unwrap_or(false) {
                local_names(folder)
            } else {
                answers.next().unwrap_or_default()
            }
        };
        Ok(folders.iter().map(list).collect())
    }

    /// Sizes and times of the beams and specifications in folders of the node, by their names.
    ///
    /// # Errors
    /// As [`Disk::beams`].
    pub fn looks(&mut self, folders: &[String]) -> Result<BTreeMap<String, FileLook>> {
        let names = self.list(folders)?;
        let inside = folders.iter().zip(names).flat_map(|(folder, names)| {
            let names = names.into_iter().filter(|name| is_code(name));
            names.map(move |name| format!("{folder}/{name}"))
        });
        let (here, far): (Vec<String>, Vec<String>) = inside.partition(|file| self.is_here(file));
        let here = here.into_iter().filter_map(|file| {
            let look = look_at(file.as_ref())?;
            Some((file, look))
        });
        let mut looks: BTreeMap<String, FileLook> = here.collect();
        let stats = self.stats(&far)?;
        for (file, info) in far.into_iter().zip(stats) {
            if let FileInfo::At(stat) = info {
                looks.insert(file, FileLook::of(&stat));
            }
        }
        Ok(looks)
    }

    /// Whether some of these folders can be seen by the node only, as far as was asked.
    pub fn is_far(&self, folders: &[String]) -> bool {
        let mut folders = folders.iter();
        folders.any(|folder| !self.same.get(folder).copied().unwrap_or(false))
    }

    /// Forgets whether a folder is the same here and there: it may have come into being meanwhile.
    pub fn forget(&mut self, folder: &str) {
        self.same.remove(folder);
    }

    /// Which of these files may contain one of these names: their positions. A compressed file always may.
    ///
    /// # Errors
    /// As [`Disk::beams`].
    pub fn naming(&mut self, files: &[String], names: &[&str]) -> Result<Vec<usize>> {
        const WHICH: &str = "Any = binary:compile_pattern(Names),
            [case file:read_file(F) of
                {ok, <<31, 139, _/binary>>} -> true;
                {ok, B} -> binary:match(B, Any) =/= nomatch;
                _ -> false
             end || F <- Files].";
        self.ask_folders(files)?;
        let (here, far): (Vec<usize>, Vec<usize>) =
            (0..files.len()).partition(|at| self.is_here(&files[*at]));
        let mut found: Vec<usize> = here
            .into_iter()
            .filter(|at| {
                read_local(&files[*at]).is_some_and(|content| {
                    content.starts_with(&[31, 139])
                        || names.iter().any(|name| contains(&content, name.as_bytes()))
                })
            })
            .collect();
        if !far.is_empty() && !names.is_empty() {
            let bindings = [
                (
                    "Names",
                    Term::list(names.iter().map(|n| Term::binary(n.as_bytes()))),
                ),
                (
                    "Files",
                    Term::list(far.iter().map(|at| path_term(&files[*at]))),
                ),
            ];
            let answer = evaluate(self.session, WHICH, &bindings, TIMEOUT)
                .map_err(|error| call_failed("looking for callers", error))?;
            let answers = answer.as_list().unwrap_or_default();
            let named = far.iter().zip(answers).filter(|(_, a)| a.is_atom("true"));
            found.extend(named.map(|(at, _)| *at));
        }
        found.sort_unstable();
        Ok(found)
    }

    /// The copy of a file as it was looked at.
    fn copy(&self, file: &str) -> Option<Vec<u8>> {
        let (store, _) = self.kept.as_ref()?;
        let md5 = self.inspected.get(file)?;
        let content = store.get(md5)?;
        Self::is_version(&content, self.otp, md5).then_some(content)
    }

    /// Finds out which folders of these files are the same here and there.
    fn ask_folders(&mut self, files: &[String]) -> Result<()> {
        if !self.is_neighbour()? {
            return Ok(());
        }
        let unknown: BTreeSet<&str> = files
            .iter()
            .filter(|file| !is_in_archive(file))
            .filter_map(|file| folder_of(file))
            .filter(|folder| !self.same.contains_key(*folder))
            .collect();
        let folders: Vec<String> = unknown.into_iter().map(str::to_owned).collect();
        for (folder, info) in folders.iter().zip(self.stats(&folders)?) {
            let same = matches!(info, FileInfo::At(there) if local_stat(folder) == Some(there));
            self.same.insert(folder.clone(), same);
        }
        Ok(())
    }

    fn is_here(&self, file: &str) -> bool {
        !is_in_archive(file)
            && folder_of(file).is_some_and(|f| self.same.get(f).copied().unwrap_or(false))
    }

    /// Whether the node runs under the same kernel, by the random number that Linux makes at each boot.
    fn is_neighbour(&mut self) -> Result<bool> {
        const BOOT: &str = "/proc/sys/kernel/random/boot_id";
        if let Some(known) = self.neighbour {
            return Ok(known);
        }
        let answer = match std::fs::read(BOOT) {
            Ok(ours) => {
                let answer = self.call("file", "read_file", vec![Term::string(BOOT)])?;
                let theirs = answer.as_tuple().and_then(|pair| pair.get(1)?.as_bytes());
                theirs == Some(&ours[..])
            }
            Err(_) => false,
        };
        self.neighbour = Some(answer);
        Ok(answer)
    }

    /// Known, when it is as it was seen; else it is read.
    fn local(&mut self, file: &str) -> OnDisk {
        let stat = local_stat(file);
        if let Some(known) = stat.and_then(|stat| self.seen.get(file, &stat)) {
            self.tally.known += 1;
            return OnDisk::Beam(known.clone());
        }
        // What changes while it is read has changed after this.
        let now = local_time();
        let what = self.read_beam(file);
        if let (OnDisk::Beam(known), Some(stat)) = (&what, stat) {
            self.seen.put(file, stat, known.clone(), now);
        }
        what
    }

    fn read_beam(&mut self, file: &str) -> OnDisk {
        self.tally.here += 1;
        match std::fs::symlink_metadata(file) {
            Err(why) if why.kind() == std::io::ErrorKind::NotFound => return OnDisk::Missing,
            Err(why) => return OnDisk::Broken(why.to_string()),
            Ok(_) => {}
        }
        match read_local(file) {
            Some(content) => known(&content, self.otp),
            None => OnDisk::Broken("the file cannot be read".to_owned()),
        }
    }

    /// Size and times of files, in one call.
    fn stats(&self, files: &[String]) -> Result<Vec<FileInfo>> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        let options = Term::list([
            Term::atom("raw"),
            Term::tuple([Term::atom("time"), Term::atom("posix")]),
        ]);
        let args = vec![
            function("file", "read_file_info", 2),
            Term::list(files.iter().map(|file| path_term(file))),
            Term::List(vec![options; files.len()]),
        ];
        let answer = self.call("lists", "zipwith", args)?;
        let answers = answer
            .as_list()
            .filter(|answers| answers.len() == files.len())
            .ok_or_else(|| unexpected_reply("file:read_file_info/2", &answer))?;
        Ok(answers.iter().map(file_info).collect())
    }

    fn ask_time(&mut self) -> Result<()> {
        if self.now == 0 {
            let now = self.call("os", "system_time", vec![Term::atom("second")])?;
            self.now = now
                .as_i64()
                .ok_or_else(|| unexpected_reply("os:system_time/1", &now))?;
        }
        Ok(())
    }

    fn call(&self, module: &str, function: &str, args: Vec<Term>) -> Result<Term> {
        let session = self.session;
        Ask { session }.call(module, function, args)
    }
}

/// What looking at a file of the node gives.
enum FileInfo {
    At(Stat),
    Missing,
    /// Inside of an archive, where `file` cannot look.
    Archive,
    Failed(String),
}

/// `#file_info{}` as file.hrl defines it: size, type, access, atime, mtime, ctime, mode, links, device, …, inode.
fn file_info(answer: &Term) -> FileInfo {
    let info = match answer.as_tuple() {
        Some([ok, info]) if ok.is_atom("ok") => info.as_tuple().unwrap_or_default(),
        // A part of the path is a file: an archive, `app.ez` or an escript such as rebar3.
        Some([_, why]) if why.is_atom("enotdir") => return FileInfo::Archive,
        Some([_, why]) if why.is_atom("enoent") => return FileInfo::Missing,
        _ => return FileInfo::Failed(answer.to_string()),
    };
    let number = |at: usize| info.get(at).and_then(Term::as_i64).unwrap_or(-1);
    FileInfo::At(Stat {
        size: number(1),
        mtime: number(5),
        ctime: number(6),
        device: number(9),
        inode: number(11),
    })
}

/// The same of a file on this machine.
fn local_stat(path: &str) -> Option<Stat> {
    use std::os::unix::fs::MetadataExt;
    let meta = std::fs::metadata(path).ok()?;
    Some(Stat {
        device: i64::try_from(meta.dev()).ok()?,
        inode: i64::try_from(meta.ino()).ok()?,
        size: i64::try_from(meta.size()).ok()?,
        mtime: meta.mtime(),
        ctime: meta.ctime(),
    })
}

/// This machine's clock, which is also that of a node on it.
fn local_time() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(0))
}

/// A regular file, at most one byte more than a beam may have (so that its reader sees that it is too big).
fn read_local(path: &str) -> Option<Vec<u8>> {
    use std::io::Read;
    let (file, known) = regular_file::open(Path::new(path)).ok()?;
    // One byte more than it has: then its end is seen without another buffer.
    let size = usize::try_from(known.len().min(MAX_BEAM) + 1).unwrap_or_default();
    let mut content = Vec::with_capacity(size);
    file.take(MAX_BEAM + 1).read_to_end(&mut content).ok()?;
    Some(content)
}

fn local_names(folder: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn names_of(answer: &Term) -> Vec<String> {
    match answer.as_tuple() {
        Some([ok, names]) if ok.is_atom("ok") => {
            let names = names.as_list().unwrap_or_default();
            names.iter().filter_map(Term::to_text).collect()
        }
        _ => Vec::new(),
    }
}

/// What a file's bytes are to a node of an OTP release.
fn known(content: &[u8], otp: u32) -> OnDisk {
    match BeamFacts::read(content) {
        Ok(facts) => OnDisk::Beam(CachedBeam {
            module: facts.module,
            md5: facts.digests.on(otp),
            lines: facts.line_md5,
        }),
        Err(why) => OnDisk::Broken(why.to_string()),
    }
}

/// Files of the node, some at a time, given in order.
fn transfer(
    session: &Session,
    files: &[String],
    take: &mut dyn FnMut(Option<Vec<u8>>),
) -> Result<()> {
    for some in files.chunks(AT_ONCE) {
        let pending: Vec<_> = some
            .iter()
            .map(|file| {
                // Only the loader of code can look into archives.
                let module = if is_in_archive(file) {
                    ("erl_prim_loader", "get_file")
                } else {
                    ("file", "read_file")
                };
                session.start_call(module.0, module.1, vec![Term::string(file)])
            })
            .collect();
        for (file, call) in some.iter().zip(pending) {
            let mut answer = call
                .and_then(|call| call.wait(TIMEOUT))
                .map_err(|e| call_failed("file:read_file/1", e))?;
            // An escript is an archive whose name does not say so.
            if matches!(answer.as_tuple(), Some([_, why]) if why.is_atom("enotdir")) {
                answer = Ask { session }.call(
                    "erl_prim_loader",
                    "get_file",
                    vec![Term::string(file)],
                )?;
            }
            take(match answer.as_tuple() {
                Some([ok, bytes, ..]) if ok.is_atom("ok") => bytes.as_bytes().map(<[u8]>::to_vec),
                _ => None,
            });
        }
    }
    Ok(())
}

/// Whether `name` occurs anywhere in `content`.
fn contains(content: &[u8], name: &[u8]) -> bool {
    !name.is_empty() && content.windows(name.len()).any(|part| part == name)
}

/// Whether a path leads into a code archive (`app.ez/app/ebin/m.beam`).
fn is_in_archive(file: &str) -> bool {
    file.contains(".ez/")
}

/// A path as an argument: a binary costs the node least, and means the same when it is plain ASCII.
fn path_term(path: &str) -> Term {
    if path.is_ascii() {
        Term::binary(path)
    } else {
        Term::string(path)
    }
}
