//! The pieces that pictures are made of: page, legend, lines, colours, names as text.
//!
//! Everything that comes from outside goes through [`escaped`] before it is written.

use std::fmt::Write;

use crate::name::Module;

pub(super) const MARGIN: f64 = 28.0;
const CHARACTER: f64 = 7.25;

/// The start of a picture.
pub(super) fn open(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height:.0}\" \
         viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\"><style>{}</style>\
         <rect width=\"100%\" height=\"100%\" style=\"fill:var(--page)\"/>",
        include_str!("style.css").replace('\n', " ")
    )
}

/// The two lines at the top.
pub(super) fn heading(out: &mut String, title: &str, how: &str) {
    let _ = write!(
        out,
        "<title>{0}</title><text class=\"h\" x=\"{MARGIN}\" y=\"30\">{0}</text>\
         <text class=\"k\" x=\"{MARGIN}\" y=\"48\">{1}</text>",
        escaped(title),
        escaped(how)
    );
}

/// The line that explains colours and lines; what does not fit is left out.
pub(super) struct Legend<'a> {
    out: &'a mut String,
    x: f64,
    width: f64,
}

impl<'a> Legend<'a> {
    /// Starts below the heading.
    pub(super) fn new(out: &'a mut String, width: f64) -> Self {
        Self {
            out,
            x: MARGIN,
            width,
        }
    }

    fn entry(&mut self, sign: &str, room: f64, text: &str) {
        let wide = room + text.chars().count() as f64 * 6.6 + 18.0;
        if self.x + wide > self.width {
            return;
        }
        let _ = write!(
            self.out,
            "<g transform=\"translate({:.1} 66)\">{sign}<text class=\"k\" x=\"{room}\">{}</text></g>",
            self.x,
            escaped(text)
        );
        self.x += wide;
    }

    /// A kind of line.
    pub(super) fn line(&mut self, class: &str, text: &str) {
        let sign = format!("<path class=\"e{class}\" d=\"M0 -4h22\"/>");
        self.entry(&sign, 28.0, text);
    }

    /// A colour.
    pub(super) fn square(&mut self, fill: &str, text: &str) {
        let sign = format!("<rect y=\"-9\" width=\"10\" height=\"10\" rx=\"2\" fill=\"{fill}\"/>");
        self.entry(&sign, 15.0, text);
    }
}

/// A curve between two points; the title is text that is escaped already.
pub(super) fn curve(class: &str, from: (f64, f64), to: (f64, f64), title: &str) -> String {
    thick_curve(class, from, to, title, "")
}

/// The same with attributes of its own.
pub(super) fn thick_curve(
    class: &str,
    (x, y): (f64, f64),
    (x2, y2): (f64, f64),
    title: &str,
    attributes: &str,
) -> String {
    let middle = f64::midpoint(x, x2);
    let shape = if (y - y2).abs() < 0.05 {
        format!("M{x:.1} {y:.1}H{x2:.1}")
    } else {
        format!("M{x:.1} {y:.1}C{middle:.1} {y:.1} {middle:.1} {y2:.1} {x2:.1} {y2:.1}")
    };
    format!("<path class=\"{class}\" d=\"{shape}\"{attributes}><title>{title}</title></path>")
}

/// An arrow head with its point at a place; `way` is -1 when it points left.
pub(super) fn arrow(class: &str, (x, y): (f64, f64), way: f64) -> String {
    format!(
        "<path class=\"a{class}\" d=\"M{x:.1} {y:.1}l{:.1} -3.6v7.2z\"/>",
        -7.0 * way
    )
}

/// `1 module`, `3 modules`, `no cycles`.
pub(super) fn counted(number: usize, one: &str, many: &str) -> String {
    match number {
        0 => format!("no {many}"),
        1 => format!("1 {one}"),
        more => format!("{more} {many}"),
    }
}

/// Colours that are far apart for neighbours in the list.
pub(super) fn colour(at: usize, of: usize) -> String {
    let turn = if of <= 12 {
        360.0 / of.max(1) as f64
    } else {
        137.5
    };
    format!("hsl({:.0} 62% 52%)", (at as f64 * turn + 205.0) % 360.0)
}

/// A module's name, the middle of long ones left out.
pub(super) fn label(module: &Module) -> String {
    const MOST: usize = 40;
    let name = module.to_string();
    let count = name.chars().count();
    if count <= MOST {
        return name;
    }
    let start: String = name.chars().take(MOST / 2 - 2).collect();
    let end: String = name.chars().skip(count - MOST / 2 - 1).collect();
    format!("{start}…{end}")
}

pub(super) fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * CHARACTER
}

/// Text for XML; what XML cannot hold becomes a replacement character.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() || matches!(c, '\u{FFFE}' | '\u{FFFF}') => out.push('\u{FFFD}'),
            c => out.push(c),
        }
    }
    out
}
