//! What interrupted runs with `persist` have left in folders of a node, and what files will hold when the next run has put
//! that in order.
//!
//! The folders are found on the node (`stages.erlexpr`), together with other files that a restart reads; the agent
//! evaluates the same text, and refuses a run that does not know what it finds there. Values only.

use std::collections::{BTreeMap, BTreeSet};

use crate::term::{Atom, Term};

/// The expressions that find them, for the agent.
pub const TEXT: &str = include_str!("stages.erlexpr");

/// What becomes of such a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Its files are put in their places.
    Finished,
    /// It is taken away.
    Removed,
    /// It cannot be read: every run is refused.
    Unreadable,
}

/// What is left of interrupted runs.
#[derive(Clone, Debug, Default)]
pub struct StageFolders {
    /// As the node has said it.
    found: Vec<Term>,
    /// The folders.
    folders: Vec<(String, Fate)>,
    /// The files that will be others, and where each of them is now; `None` for those that will be gone.
    places: BTreeMap<String, Option<String>>,
    /// All files of the runs that are finished, in their places or not.
    written: BTreeSet<String>,
}

impl StageFolders {
    /// Reads the answer of the node, a list of `{Stage, Md5, What, Stages, Boots, Gone, Rest, Done}`. What has another form
    /// is passed over: the agent compares the whole.
    pub fn read(answer: &Term) -> Self {
        let found = answer.as_list().unwrap_or_default().to_vec();
        let (mut folders, mut places) = (Vec::new(), BTreeMap::new());
        let (mut written, mut fates) = (BTreeSet::new(), BTreeMap::new());
        // In the order in which the agent does it.
        for stage in &found {
            let Some([folder, journal, what, _, boots, gone, rest, done]) = stage.as_tuple() else {
                continue;
            };
            let fate = match what.as_atom().map(Atom::as_str) {
                Some("finish") => Fate::Finished,
                // Its journal is that of a folder before.
                Some("part") => fates.get(journal).copied().unwrap_or(Fate::Removed),
                Some(_) => Fate::Removed,
                None => Fate::Unreadable,
            };
            fates.insert(journal, fate);
            folders.extend(folder.to_text().map(|folder| (folder, fate)));
            places.extend(renamed(boots));
            let gone = gone.as_list().unwrap_or_default().iter();
            places.extend(gone.filter_map(|file| Some((file.to_text()?, None))));
            places.extend(renamed(rest));
            let done = done.as_list().unwrap_or_default().iter();
            written.extend(done.filter_map(Term::to_text));
        }
        let left = places.iter().filter(|(_, place)| place.is_some());
        written.extend(left.map(|(file, _)| file.clone()));
        Self {
            found,
            folders,
            places,
            written,
        }
    }

    /// As the node has said it: what the agent has to find.
    pub fn term(&self) -> Term {
        Term::list(self.found.iter().cloned())
    }

    /// The folders, in the order of the node.
    pub fn folders(&self) -> &[(String, Fate)] {
        &self.folders
    }

    /// Whether a run is finished.
    pub fn finishes(&self) -> bool {
        !self.written.is_empty() || !self.places.is_empty()
    }

    /// Whether a file will be another one, or gone.
    pub fn concerns(&self, file: &str) -> bool {
        self.places.contains_key(file)
    }

    /// Where that is now which a file will hold; `None` when it will be gone.
    pub fn place_of<'f>(&'f self, file: &'f str) -> Option<&'f str> {
        match self.places.get(file) {
            Some(place) => place.as_deref(),
            None => Some(file),
        }
    }

    /// The files of the runs that are finished, in their places by now or not.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(String::as_str)
    }
}

/// `[{Beside, File}]`.
fn renamed(pairs: &Term) -> impl Iterator<Item = (String, Option<String>)> {
    let pairs = pairs.as_list().unwrap_or_default().iter();
    pairs.filter_map(|pair| match pair.as_tuple()? {
        [beside, file] => Some((file.to_text()?, Some(beside.to_text()?))),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syntax::parse_term;

    #[test]
    fn what_is_put_in_its_place_is_read_where_it_is_now() {
        let answer = parse_term(
            "[{\"/a/.updo-0001\",<<1>>,finish,[\"/a/.updo-0001\",\"/b/.updo-0001\"],\
               [{\"/a/.updo-0001/s.boot.meanwhile\",\"/a/s.boot\"}],[\"/a/gone.beam\",\"/a/back.beam\"],\
               [{\"/a/.updo-0001/m.beam\",\"/a/m.beam\"},{\"/a/.updo-0001/s.boot\",\"/a/s.boot\"},x],[\"/a/done.beam\"]},\
              {\"/a/.updo-0004\",<<3>>,drop,[\"/a/.updo-0004\",\"/b/.updo-0004\"],[],[],[],[]},\
              {\"/b/.updo-0001\",<<1>>,part,[],[],[],[],[]},\
              {\"/b/.updo-0002\",<<2>>,finish,[],[],[],[{\"/b/.updo-0002/back.beam\",\"/a/back.beam\"}],[]},\
              {\"/b/.updo-0003\",none,none,[],[],[],[],[]},\
              {\"/b/.updo-0004\",<<3>>,part,[],[],[],[],[]},\
              {\"/b/.updo-0005\",none,{unreadable,eacces},[],[],[],[],[]},\
              other].",
        )
        .expect("a term");
        let found = StageFolders::read(&answer);
        assert_eq!(found.term(), answer);
        assert_eq!(found.place_of("/a/m.beam"), Some("/a/.updo-0001/m.beam"));
        // A boot file is renamed twice.
        assert_eq!(found.place_of("/a/s.boot"), Some("/a/.updo-0001/s.boot"));
        assert_eq!(found.place_of("/a/gone.beam"), None);
        assert_eq!(
            found.place_of("/a/back.beam"),
            Some("/b/.updo-0002/back.beam")
        );
        assert_eq!(found.place_of("/a/other.beam"), Some("/a/other.beam"));
        assert!(found.concerns("/a/gone.beam") && !found.concerns("/a/other.beam"));
        let written: Vec<&str> = found.written().collect();
        assert_eq!(
            written,
            ["/a/back.beam", "/a/done.beam", "/a/m.beam", "/a/s.boot"]
        );
        let fates: Vec<Fate> = found.folders().iter().map(|(_, fate)| *fate).collect();
        use Fate::{Finished, Removed, Unreadable};
        assert_eq!(
            fates,
            [
                Finished, Removed, Finished, Finished, Removed, Removed, Unreadable
            ]
        );
        assert!(!StageFolders::read(&Term::atom("x")).finishes());
    }
}
