//! Documents that know where they may be broken, and how they come out in lines of a given width.
//!
//! After Wadler, "A prettier printer": a group is set on one line when it fits, else all its lines break. The
//! printer keeps its own stack, so no document is too deep for it, and looks ahead at most one line.

/// A piece of a document.
#[derive(Debug)]
pub(super) enum Doc {
    /// Text; line feeds in it (strings over several lines) are kept.
    Text(String),
    /// A blank, or a new line where the group breaks.
    Line,
    /// Nothing, or a new line where the group breaks.
    Soft,
    /// A new line.
    Hard,
    /// Text that only appears where the group breaks.
    IfBroken(String),
    /// Four columns more, for the new lines within.
    Indent(Vec<Doc>),
    /// On one line, or broken everywhere; `true`: broken in any case.
    Group(Vec<Doc>, bool),
    /// A comment, on a line of its own or behind something; what follows begins a new line.
    Comment(String, bool),
    /// A new line, but a blank behind a line that is nothing but closing brackets.
    Tail,
}

/// One blank or new line that breaks only when what follows it does not fit.
pub(super) fn fill() -> Doc {
    Doc::Group(vec![Doc::Line], false)
}

impl Doc {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Whether this cannot stand on one line.
    fn is_tall(&self) -> bool {
        match self {
            Self::Hard | Self::Comment(..) | Self::Tail | Self::Group(_, true) => true,
            Self::Text(text) => text.contains('\n'),
            Self::Indent(parts) | Self::Group(parts, false) => parts.iter().any(Self::is_tall),
            _ => false,
        }
    }
}

/// A group that is broken if it has to be, or if anything in it is.
pub(super) fn group(parts: Vec<Doc>, broken: bool) -> Doc {
    let broken = broken || parts.iter().any(Doc::is_tall);
    Doc::Group(parts, broken)
}

#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Flat,
    Broken,
}

/// The lines of a document.
pub(super) struct Printer {
    out: String,
    width: usize,
    /// Columns used on this line.
    column: usize,
    /// A comment ended the line, which is known only to what comes next.
    ended: bool,
}

type Pending<'d> = Vec<(usize, Mode, &'d Doc)>;

impl Printer {
    pub fn new(width: usize) -> Self {
        Self {
            out: String::new(),
            width,
            column: 0,
            ended: false,
        }
    }

    /// Everything printed.
    pub fn finish(self) -> String {
        self.out
    }

    /// Ends the line, if there is something on it.
    pub fn end_line(&mut self) {
        if !self.out.is_empty() && !self.out.ends_with('\n') {
            self.out.push('\n');
        }
        (self.column, self.ended) = (0, false);
    }

    /// An empty line.
    pub fn blank(&mut self) {
        self.end_line();
        if !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    pub fn print(&mut self, docs: &[Doc]) {
        let mut stack: Pending<'_> = docs
            .iter()
            .rev()
            .map(|doc| (0, Mode::Broken, doc))
            .collect();
        while let Some((indent, mode, doc)) = stack.pop() {
            match doc {
                Doc::Text(text) => self.text(text, indent),
                Doc::Line if mode == Mode::Flat => self.text(" ", indent),
                Doc::Soft if mode == Mode::Flat => {}
                Doc::Line | Doc::Soft | Doc::Hard => self.new_line(indent),
                Doc::Tail => {
                    let line = self.out.rsplit('\n').next().unwrap_or_default().trim();
                    if !line.is_empty() && line.chars().all(|c| "}])>".contains(c)) {
                        self.text(" ", indent);
                    } else {
                        self.new_line(indent);
                    }
                }
                Doc::IfBroken(text) if mode == Mode::Broken => self.text(text, indent),
                Doc::IfBroken(_) => {}
                Doc::Indent(parts) => push(&mut stack, parts, indent + 4, mode),
                Doc::Group(parts, broken) => {
                    let flat = !broken && !self.ended && self.fits(parts, &stack);
                    let mode = if flat { Mode::Flat } else { Mode::Broken };
                    push(&mut stack, parts, indent, mode);
                }
                Doc::Comment(text, own) => {
                    let line = self.out.rsplit('\n').next().unwrap_or_default();
                    let empty = line.trim().is_empty();
                    if self.ended || *own && !empty {
                        self.new_line(indent);
                    } else if !empty {
                        self.text("  ", indent);
                    }
                    self.text(text, indent);
                    self.ended = true;
                }
            }
        }
    }

    fn new_line(&mut self, indent: usize) {
        while self.out.ends_with(' ') {
            self.out.pop();
        }
        self.out.push('\n');
        self.out.extend(std::iter::repeat_n(' ', indent));
        (self.column, self.ended) = (indent, false);
    }

    fn text(&mut self, text: &str, indent: usize) {
        if self.ended {
            self.new_line(indent);
            if text.trim().is_empty() {
                return;
            }
        }
        self.out.push_str(text);
        self.column = match text.rsplit_once('\n') {
            Some((_, last)) => last.chars().count(),
            None => self.column + text.chars().count(),
        };
    }

    /// Whether a group fits on this line, together with what follows it up to the next possible break.
    fn fits(&self, parts: &[Doc], rest: &Pending<'_>) -> bool {
        let Some(mut left) = self.width.checked_sub(self.column) else {
            return false;
        };
        let is_fill = |parts: &[Doc]| matches!(parts, [Doc::Line]);
        // A lone blank looks as far as the next one: brackets are rather kept whole.
        let far = is_fill(parts);
        let mut behind = rest.iter().rev();
        let mut stack: Vec<(Mode, &Doc)> =
            parts.iter().rev().map(|doc| (Mode::Flat, doc)).collect();
        loop {
            let (mode, doc) = match stack.pop() {
                Some(next) => next,
                None => match behind.next() {
                    Some((_, mode, doc)) => (*mode, *doc),
                    None => return true,
                },
            };
            match doc {
                Doc::Text(text) => {
                    let first = text.split('\n').next().unwrap_or_default();
                    let Some(now) = left.checked_sub(first.chars().count()) else {
                        return false;
                    };
                    left = now;
                    if first.len() < text.len() {
                        return true;
                    }
                }
                Doc::Line | Doc::Soft if mode == Mode::Broken => return true,
                Doc::Line => match left.checked_sub(1) {
                    Some(now) => left = now,
                    None => return false,
                },
                Doc::Soft | Doc::IfBroken(_) => {}
                Doc::Hard | Doc::Comment(..) | Doc::Tail => return true,
                Doc::Indent(parts) => stack.extend(parts.iter().rev().map(|doc| (mode, doc))),
                Doc::Group(parts, broken) => {
                    if far && mode == Mode::Broken && is_fill(parts) {
                        return true;
                    }
                    let mode = match mode {
                        _ if *broken => Mode::Broken,
                        Mode::Broken if far => Mode::Flat,
                        mode => mode,
                    };
                    stack.extend(parts.iter().rev().map(|doc| (mode, doc)));
                }
            }
        }
    }
}

fn push<'d>(stack: &mut Pending<'d>, parts: &'d [Doc], indent: usize, mode: Mode) {
    stack.extend(parts.iter().rev().map(|doc| (indent, mode, doc)));
}
