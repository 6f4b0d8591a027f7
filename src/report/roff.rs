//! A manual page from Markdown, for pages that are documentation first and manual second.
//!
//! Knows what our reference pages use: headings, paragraphs, lists, tables (each row an item: the first cell, then
//! the others), code blocks, emphasis. Reading is pulldown-cmark's work, escaping the roff crate's.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};
use roff::{Inline, Roff, bold, italic, roman};

/// A page; the first heading of the text gives way to the page's own title.
pub fn page(name: &str, section: u8, what: &str, markdown: &str) -> String {
    let mut page = Page::default();
    let section = section.to_string();
    let source = format!("updo {}", env!("CARGO_PKG_VERSION"));
    page.out.control(
        "TH",
        [name.to_uppercase().as_str(), &section, "", &source, ""],
    );
    page.out.control("SH", ["NAME"]);
    page.out.text([roman(format!("{name} - {what}"))]);
    page.out.control("SH", ["DESCRIPTION"]);
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        page.take(event);
    }
    page.out.render()
}

#[derive(Default)]
struct Page {
    out: Roff,
    /// Text of the paragraph, heading or cell at hand.
    line: Vec<Inline>,
    style: Style,
    heading: Option<HeadingLevel>,
    in_code: bool,
    in_head: bool,
    /// Cells of the table's row at hand.
    cells: Vec<Vec<Inline>>,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Style {
    #[default]
    Plain,
    Bold,
    Italic,
}

impl Page {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(&tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) if self.in_code => {
                for line in text.lines() {
                    self.out.text([roman(line.to_owned())]);
                }
            }
            Event::Text(text) => self.line.push(match self.style {
                Style::Plain => roman(text.into_string()),
                Style::Bold => bold(text.into_string()),
                Style::Italic => italic(text.into_string()),
            }),
            Event::Code(text) => self.line.push(bold(text.into_string())),
            Event::SoftBreak | Event::HardBreak => self.line.push(roman(" ")),
            _ => {}
        }
    }

    fn start(&mut self, tag: &Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => self.heading = Some(*level),
            Tag::Paragraph if self.cells.is_empty() => self.control("PP", &[]),
            Tag::CodeBlock(_) => {
                self.in_code = true;
                self.control("PP", &[]);
                self.control("RS", &["4"]);
                self.control("nf", &[]);
            }
            Tag::Item => self.control("IP", &["\\(bu", "2"]),
            Tag::TableHead => self.in_head = true,
            Tag::TableRow => self.cells.clear(),
            Tag::Strong => self.style = Style::Bold,
            Tag::Emphasis => self.style = Style::Italic,
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Heading(level) => {
                let text = plain(&std::mem::take(&mut self.line));
                self.heading = None;
                match level {
                    // The page has its title already.
                    HeadingLevel::H1 => {}
                    HeadingLevel::H2 => self.control("SH", &[&text.to_uppercase()]),
                    _ => self.control("SS", &[&text]),
                }
            }
            TagEnd::CodeBlock => {
                self.in_code = false;
                self.control("fi", &[]);
                self.control("RE", &[]);
            }
            TagEnd::TableCell => self.cells.push(std::mem::take(&mut self.line)),
            TagEnd::TableHead => {
                self.in_head = false;
                self.cells.clear();
            }
            TagEnd::TableRow => self.row(),
            TagEnd::Strong | TagEnd::Emphasis => self.style = Style::Plain,
            TagEnd::Paragraph | TagEnd::Item => self.flush(),
            _ => {}
        }
    }

    /// One row as an item of a list.
    fn row(&mut self) {
        let mut cells = std::mem::take(&mut self.cells).into_iter();
        self.control("TP", &[]);
        self.out.text(cells.next().unwrap_or_default());
        let mut rest = Vec::new();
        for cell in cells {
            if !rest.is_empty() {
                rest.push(roman(" - "));
            }
            rest.extend(cell);
        }
        self.out.text(rest);
    }

    fn flush(&mut self) {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() {
            self.out.text(line);
        }
    }

    fn control(&mut self, name: &str, args: &[&str]) {
        self.flush();
        self.out.control(name, args.iter().copied());
    }
}

fn plain(line: &[Inline]) -> String {
    line.iter()
        .map(|part| match part {
            Inline::Roman(text) | Inline::Italic(text) | Inline::Bold(text) => text.as_str(),
            _ => " ",
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::page;

    #[test]
    fn headings_tables_and_code() {
        let text = "# Title\n\nA *word* and `code`.\n\n## Part\n\n| a | b |\n|---|---|\n| `x` | says **y** |\n\n```\n.dot\n```\n- one\n";
        let page = page("updo-plan", 5, "the plan language", text);
        assert!(page.contains(".TH UPDO-PLAN 5"), "{page}");
        assert!(page.contains("updo\\-plan \\- the plan language"), "{page}");
        assert!(page.contains("A \\fIword\\fR and \\fBcode\\fR."), "{page}");
        assert!(page.contains(".SH PART"), "{page}");
        assert!(page.contains(".TP\n\\fBx\\fR\nsays \\fBy\\fR"), "{page}");
        // A line that begins with a dot is text, not a request.
        assert!(page.contains("\\&.dot"), "{page}");
        assert!(!page.contains("Title"), "{page}");
    }
}
