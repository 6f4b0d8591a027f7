//! A page as its blocks.

/// A fenced block.
pub struct Block {
    /// The line of the page, counted from 0, with the opening fence.
    pub at: usize,
    /// The language behind the opening fence.
    pub language: String,
    /// What is between the fences.
    pub lines: Vec<String>,
    /// The last line with text before it.
    pub before: String,
}

/// A line that is typed, and the lines of the page that show what came of it.
pub struct Typed {
    /// What a shell shows before it: `$`, `1>`, `iex(1)>`; nothing in front of what a program writes later.
    pub prompt: String,
    pub text: String,
    /// The lines of the page, counted from 0, with its output.
    pub output: std::ops::Range<usize>,
}

/// All blocks of a page. One that is indented, in a list for instance, is not found, and a test refuses it.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    let mut before = String::new();
    for (at, line) in text.lines().enumerate() {
        match &mut open {
            None if line.starts_with("```") => {
                open = Some(Block {
                    at,
                    language: line.trim_start_matches('`').trim().to_owned(),
                    lines: Vec::new(),
                    before: std::mem::take(&mut before),
                });
            }
            None if line.trim().is_empty() => {}
            None => line.clone_into(&mut before),
            Some(_) if line == "```" => found.extend(open.take()),
            Some(block) => block.lines.push(line.to_owned()),
        }
    }
    assert!(open.is_none(), "a block is not closed");
    found
}

impl Block {
    /// The file that it is, when its first line is a comment with a path.
    pub fn file(&self) -> Option<&str> {
        let first = self.lines.first()?;
        let comment = ["%%%", "%%", "%", "#", "//"];
        let path = comment
            .iter()
            .find_map(|mark| first.strip_prefix(mark)?.strip_prefix(' '))?;
        let is_path = |c: char| c.is_ascii_alphanumeric() || "._-/@".contains(c);
        (path.contains('.') && path.chars().all(is_path)).then_some(path)
    }

    /// Why it is not executed, as the reader sees it.
    pub fn not_run(&self) -> Option<&str> {
        let reason = self.before.strip_prefix("*Not run by the tests: ")?;
        (reason.len() > 10).then_some(reason)
    }

    /// What is typed. The first has no prompt when the block begins with output of a program that is still running.
    pub fn typed(&self) -> Vec<Typed> {
        let first = self.at + 1;
        let mut found: Vec<Typed> = Vec::new();
        let mut lines = self.lines.iter().enumerate().peekable();
        while let Some((at, line)) = lines.next() {
            let Some((prompt, text)) = prompted(line) else {
                match found.last_mut() {
                    Some(typed) => typed.output.end = first + at + 1,
                    None => found.push(Typed {
                        prompt: String::new(),
                        text: String::new(),
                        output: first + at..first + at + 1,
                    }),
                }
                continue;
            };
            let mut text = text.to_owned();
            let mut end = first + at + 1;
            // A command of the shell may have several lines.
            while prompt == "$" && text.ends_with('\\') {
                let Some((at, more)) = lines.next() else {
                    break;
                };
                text += "\n";
                text += more;
                end = first + at + 1;
            }
            found.push(Typed {
                prompt: prompt.to_owned(),
                text,
                output: end..end,
            });
        }
        found
    }
}

/// The prompt of a line, and what is typed behind it.
pub fn prompted(line: &str) -> Option<(&str, &str)> {
    if let Some(text) = line.strip_prefix("$ ") {
        return Some(("$", text));
    }
    let (prompt, text) = line.split_once("> ")?;
    is_prompt(prompt).then(|| (&line[..=prompt.len()], text))
}

/// `1`, `(shop@localhost)1`, `iex(1)`, `iex(shop@localhost)1`: a prompt without its `>`.
pub fn is_prompt(text: &str) -> bool {
    let text = text.strip_prefix("iex").unwrap_or(text);
    let inner = match text.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((inner, "")) => return inner.bytes().all(|b| b.is_ascii_digit()),
        Some((name, rest)) if name.contains('@') => rest,
        Some(_) => return false,
        None => text,
    };
    !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_digit())
}
