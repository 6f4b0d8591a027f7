//! A manual page as text, for a terminal: what `man` makes of it, for the few requests that updo's own pages use.
//!
//! Takes roff, gives lines. It is no roff: the pages come from `roff` and from the command line's own description.

use unicode_width::UnicodeWidthStr;

/// Columns of the text below a heading.
const BODY: usize = 7;

/// The page in lines of at most `width` columns; with `bold`, words in bold are so.
pub fn text(roff: &str, width: usize, bold: bool) -> String {
    let mut page = Page {
        out: String::new(),
        paragraph: String::new(),
        indent: BODY,
        hanging: None,
        width: width.clamp(40, 100),
        bold,
        headed: false,
    };
    let (mut as_is, mut tag) = (false, false);
    let mut outer = Vec::new();
    for line in roff.lines() {
        let (request, rest) = match line.strip_prefix('.') {
            Some(request) if !as_is || line == ".fi" => {
                request.split_once(' ').unwrap_or((request, ""))
            }
            _ => ("", line),
        };
        let heading = || rest.trim().trim_matches('"');
        match request {
            "" if as_is => page.line(&page.shown(rest)),
            "" if tag => {
                page.hang(rest);
                tag = false;
            }
            "" => page.add(rest),
            "SH" | "SS" => {
                page.end(true);
                page.indent = if request == "SH" { 0 } else { 3 };
                page.line(&page.shown(&format!("\\fB{}\\fR", heading())));
                page.headed = true;
                page.indent = BODY;
                outer.clear();
            }
            "TP" => {
                page.end(true);
                if outer.is_empty() {
                    page.indent = BODY;
                }
                tag = true;
            }
            "IP" => {
                page.end(false);
                page.hang(rest.split_whitespace().next().unwrap_or_default());
            }
            "PP" => {
                page.end(true);
                if outer.is_empty() {
                    page.indent = BODY;
                }
            }
            "br" => page.end(false),
            "RS" => {
                page.end(false);
                outer.push(page.indent);
                page.indent += 4;
            }
            "RE" => {
                page.end(false);
                page.indent = outer.pop().unwrap_or(BODY);
            }
            "nf" => {
                page.end(false);
                as_is = true;
            }
            "fi" => as_is = false,
            // The title, and what defines a quote.
            _ => {}
        }
    }
    page.end(false);
    page.out
}

struct Page {
    out: String,
    paragraph: String,
    indent: usize,
    /// What is in front of the first line of the paragraph.
    hanging: Option<String>,
    width: usize,
    bold: bool,
    /// The last line is a heading.
    headed: bool,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.headed = false;
        let blank = if text.is_empty() { 0 } else { self.indent };
        self.out.push_str(&" ".repeat(blank));
        self.out.push_str(text);
        self.out.push('\n');
    }

    fn add(&mut self, text: &str) {
        if !self.paragraph.is_empty() {
            self.paragraph.push(' ');
        }
        self.paragraph.push_str(text);
    }

    /// A tag, and the paragraph that follows it further in.
    fn hang(&mut self, tag: &str) {
        self.hanging = Some(self.shown(tag));
    }

    /// Ends the paragraph; a blank line follows where one is wanted and there is none.
    fn end(&mut self, blank: bool) {
        let words = std::mem::take(&mut self.paragraph);
        let words = self.shown(&words);
        let mut step = 0;
        if let Some(tag) = self.hanging.take() {
            step = if tag == "•" { 2 } else { 4 };
            if step == 2 {
                self.fill(&format!("• {words}"), 2);
                return self.gap(blank);
            }
            self.line(&tag);
        }
        self.indent += step;
        self.fill(&words, 0);
        self.indent -= step;
        self.gap(blank);
    }

    fn gap(&mut self, blank: bool) {
        if blank && !self.headed && !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    /// Words in lines; the second and later ones are `more` columns further in.
    fn fill(&mut self, words: &str, more: usize) {
        let mut line = String::new();
        let mut columns = 0;
        let (room, mut inner) = (self.width.saturating_sub(self.indent), 0);
        for word in words.split(' ').filter(|word| !word.is_empty()) {
            let width = anstream::adapter::strip_str(word).to_string().width();
            if columns > 0 && inner + columns + 1 + width > room {
                self.line(&format!("{}{line}", " ".repeat(inner)));
                line.clear();
                (columns, inner) = (0, more);
            }
            if columns > 0 {
                line.push(' ');
                columns += 1;
            }
            line.push_str(word);
            columns += width;
        }
        if columns > 0 {
            self.line(&format!("{}{line}", " ".repeat(inner)));
        }
    }

    /// Text with its escapes resolved.
    fn shown(&self, text: &str) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some((before, escape)) = rest.split_once('\\') {
            out.push_str(before);
            let (sign, length) = match escape {
                _ if escape.starts_with("fB") => (if self.bold { "\x1b[1m" } else { "" }, 2),
                _ if escape.starts_with("fI") => (if self.bold { "\x1b[4m" } else { "" }, 2),
                _ if escape.starts_with('f') => (if self.bold { "\x1b[0m" } else { "" }, 2),
                _ if escape.starts_with("*(Aq") || escape.starts_with("(aq") => {
                    ("'", if escape.starts_with('*') { 4 } else { 3 })
                }
                _ if escape.starts_with("(bu") => ("•", 3),
                _ if escape.starts_with('&') => ("", 1),
                _ if escape.starts_with('e') => ("\\", 1),
                _ => ("", 0),
            };
            out.push_str(sign);
            rest = escape.get(length..).unwrap_or_default();
            // `\-` and `\\` are the sign itself.
            if length == 0
                && let Some(sign) = rest.chars().next()
            {
                out.push(sign);
                rest = &rest[sign.len_utf8()..];
            }
        }
        out + rest
    }
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn requests_become_lines() {
        let roff = ".TH X 1\n.SH NAME\nupdo\\-x \\- does it\n.SH OPTIONS\n.TP\n\\fB\\-y\\fR, \\fB\\-\\-yes\\fR\n\
                    Do not ask\n.br\n\n.br\n\\fIPossible values:\\fR\n.RS 14\n.IP \\(bu 2\nauto: it\\*(Aqs so\n.RE\n\
                    .PP\n.RS 4\n.nf\na  \\e b.\n.x\n.fi\n.RE\n";
        let expected = "NAME\n       updo-x - does it\n\nOPTIONS\n       -y, --yes\n           Do not ask\n       \
                        Possible values:\n           • auto: it's so\n\n           a  \\ b.\n           .x\n";
        assert_eq!(text(roff, 80, false), expected);
        assert!(text(roff, 80, true).contains("\x1b[1mNAME\x1b[0m"));
    }

    #[test]
    fn lines_are_not_longer_than_the_screen() {
        let roff = format!(
            ".SH A\n{}\n.IP \\(bu 2\n{}",
            "word ".repeat(100),
            "\\fBbold\\fR ".repeat(60)
        );
        for line in text(&roff, 60, false).lines() {
            assert!(line.chars().count() <= 60, "{line}");
        }
    }
}
