//! The book as a whole: every page is in its table of contents, every link leads somewhere, every block is executed or
//! says why not.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use updo::diag::Code;

use crate::page::blocks;
use crate::support::desk::walk;
use crate::{PAGES, docs};

/// The table of contents.
const SUMMARY: &str = "SUMMARY.md";

/// Where the pages are that are executed; the others are references with tests of their own.
const EXECUTED: [&str; 2] = ["start/", "guides/"];

/// All Markdown files of the book, relative to it.
fn pages() -> BTreeSet<String> {
    let mut files = Vec::new();
    walk(&docs(), &mut files);
    let relative = files.iter().filter_map(|file| {
        let file = file.strip_prefix(docs()).expect("below").to_str()?;
        (file.ends_with(".md") && file != SUMMARY).then(|| file.to_owned())
    });
    relative.collect()
}

fn read(page: &str) -> String {
    fs::read_to_string(docs().join(page)).unwrap_or_else(|why| panic!("{page}: {why}"))
}

/// The targets of all links, and the anchors of all headings.
fn links_and_anchors(text: &str) -> (Vec<String>, BTreeSet<String>) {
    let (mut links, mut anchors) = (Vec::new(), BTreeSet::new());
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                links.push(dest_url.into_string());
            }
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::End(TagEnd::Heading(_)) => {
                anchors.extend(heading.take().map(|text| anchor(&text)))
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            _ => {}
        }
    }
    (links, anchors)
}

/// The anchor of a heading, as mdBook and GitHub make it.
fn anchor(text: &str) -> String {
    let kept = text.chars().filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

/// A path without `.` and `..`; none when it leaves the folder.
fn resolved(path: &Path) -> Option<PathBuf> {
    let mut found = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => found.pop().then_some(())?,
            Component::CurDir => {}
            other => found.push(other),
        }
    }
    Some(found)
}

/// The pages of the codes in the table of contents: an entry each, or mdBook would not make them.
#[test]
fn every_page_is_in_the_table_of_contents() {
    let (begin, end) = (
        "- [Diagnostic codes](codes/README.md)\n",
        "\n<!-- end of codes -->",
    );
    let mut summary = read(SUMMARY);
    let parts = summary
        .split_once(begin)
        .and_then(|(front, rest)| Some((front, rest.split_once(end)?.1)));
    let (front, back) = parts.unwrap_or_else(|| panic!("{SUMMARY} has no {begin:?} … {end:?}"));
    let mut codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
    codes.sort_by_key(|code| (&code[1..], &code[..1]));
    let expected: String = codes
        .iter()
        .map(|code| format!("  - [{code}](codes/{code}.md)\n"))
        .collect();
    let renewed = format!("{front}{begin}{expected}{end}{back}");
    if std::env::var_os("UPDO_BLESS").is_some() {
        fs::write(docs().join(SUMMARY), &renewed).expect("the table can be written");
        summary.clone_from(&renewed);
    }
    assert_eq!(
        summary, renewed,
        "renew it: UPDO_BLESS=1 cargo test --test book structure"
    );
    let (links, _) = links_and_anchors(&summary);
    let listed: BTreeSet<String> = links.iter().cloned().collect();
    assert_eq!(links.len(), listed.len(), "a page is listed twice");
    let pages = pages();
    let only =
        |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
    assert_eq!(
        (only(&pages, &listed), only(&listed, &pages)),
        (vec![], vec![]),
        "left: not in {SUMMARY}; right: there, but no file"
    );
    assert!(pages.len() > 200, "only {} pages", pages.len());
}

/// The plans of `plans/` as a page, so that the book, whose pages are below `docs/`, has them.
#[test]
fn the_example_plans_are_a_page() {
    let folder = docs().join("../plans");
    let mut files = Vec::new();
    walk(&folder, &mut files);
    files.sort();
    let mut page = "# Example plans\n\nWritten by `UPDO_BLESS=1 cargo test --test book structure` from `plans/`; \
        the table at the end of [the plan language](language.md#example-plans) says what each shows.\n"
        .to_owned();
    for file in files
        .iter()
        .filter(|file| file.extension().is_some_and(|end| end == "updo"))
    {
        let name = file.strip_prefix(&folder).expect("below").display();
        let text = fs::read_to_string(file).expect("readable");
        page += &format!("\n## {name}\n\n```updo\n{}\n```\n", text.trim_end());
    }
    if std::env::var_os("UPDO_BLESS").is_some() {
        fs::write(docs().join("example-plans.md"), &page).expect("the page can be written");
    }
    assert_eq!(
        read("example-plans.md"),
        page,
        "renew it: UPDO_BLESS=1 cargo test --test book structure"
    );
}

#[test]
fn every_link_leads_somewhere() {
    let all: BTreeMap<String, _> = pages()
        .into_iter()
        .chain([SUMMARY.to_owned()])
        .map(|page| {
            let found = links_and_anchors(&read(&page));
            (page, found)
        })
        .collect();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (page, (links, _)) in &all {
        for link in links {
            count += 1;
            if link.starts_with("https://") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let folder = Path::new(page).parent().expect("a folder");
            let target = if path.is_empty() {
                Some(PathBuf::from(page))
            } else {
                resolved(&folder.join(path))
            };
            let target = target.filter(|target| docs().join(target).is_file());
            let Some(target) = target.and_then(|target| target.to_str().map(str::to_owned)) else {
                wrong.push(format!("{page}: {link} is no file of the book"));
                continue;
            };
            let known = all
                .get(&target)
                .is_some_and(|(_, anchors)| anchors.contains(anchor));
            if !anchor.is_empty() && !known {
                wrong.push(format!("{page}: {target} has no heading `{anchor}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(count > 300, "only {count} links");
}

/// A transcript is typed by `play.rs`, a file is written there, a plan is read by `tests/docs.rs`. Everything else says
/// to the reader why it is not executed.
#[test]
fn every_block_is_executed_or_says_why_not() {
    let mut wrong = Vec::new();
    let mut executed = BTreeSet::new();
    for page in pages() {
        if !EXECUTED.iter().any(|folder| page.starts_with(folder)) {
            continue;
        }
        let text = read(&page);
        let fences = text
            .lines()
            .filter(|line| line.trim_start().starts_with("```"))
            .count();
        let found = blocks(&text);
        if fences != 2 * found.len() {
            wrong.push(format!("{page}: a block is indented"));
        }
        for block in &found {
            if block.language == "console" && block.not_run().is_none() {
                executed.insert(page.clone());
            } else if block.not_run().is_none()
                && block.file().is_none()
                && block.language != "updo"
            {
                wrong.push(format!(
                    "{page}:{}: not executed, and no reason",
                    block.at + 1
                ));
            }
        }
        let blocks: Vec<_> = found
            .iter()
            .map(|b| b.at..b.at + b.lines.len() + 2)
            .collect();
        let long = text.lines().enumerate().filter(|(at, line)| {
            let is_text = !line.starts_with('|') && !blocks.iter().any(|block| block.contains(at));
            is_text && line.chars().count() > 110
        });
        wrong.extend(long.map(|(at, _)| format!("{page}:{}: too long", at + 1)));
    }
    let listed: BTreeSet<String> = PAGES.iter().map(|page| (*page).to_owned()).collect();
    for page in executed.symmetric_difference(&listed) {
        wrong.push(format!(
            "{page}: in `pages!` of main.rs, or with transcripts, but not both"
        ));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn links_and_anchors_are_found() {
    let (links, anchors) = links_and_anchors("# Gaps and `l/1`: why\n\n[a](b.md#c), `[no](x)`\n");
    assert_eq!(links, ["b.md#c"]);
    assert_eq!(anchors, BTreeSet::from(["gaps-and-l1-why".to_owned()]));
    assert_eq!(
        resolved(Path::new("a/../b.md")),
        Some(PathBuf::from("b.md"))
    );
    assert_eq!(resolved(Path::new("../b.md")), None);
}
