//! The table of the pause as a picture: pairs of bars on a logarithmic scale, as self-contained SVG.

use std::fmt::Write as _;

use super::Row;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 190.0;
const BAR: f64 = 15.0;
const ROW: f64 = 71.0;
const TOP: f64 = 78.0;

/// The picture. Both colours differ in brightness too, and every bar carries its number.
pub fn of(rows: &[Row]) -> String {
    let worst = rows
        .iter()
        .flat_map(|row| [row.otp.worst, row.updo.worst, row.live.worst])
        .max()
        .unwrap_or(1);
    let decades = (worst as f64 / 1000.0).log10().ceil().max(1.0);
    let scale = (WIDTH - LEFT - 90.0) / decades;
    // A millisecond and less is the left edge.
    let length = |us: i64| ((us as f64 / 1000.0).max(1.0).log10() * scale).max(1.0);
    let height = TOP + ROW * rows.len() as f64 + 34.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"system-ui, sans-serif\" font-size=\"13\" role=\"img\" aria-label=\"worst latency of a call during an upgrade\">\n\
         <style>text{{fill:#1b1f24}}.s{{fill:#57606a}}.o{{fill:#b8c0c8}}.u{{fill:#0a6cbd}}.l{{fill:#1a7f37}}.g{{stroke:#d0d7de}}.b{{fill:#fff}}\
         @media(prefers-color-scheme:dark){{text{{fill:#e6edf3}}.s{{fill:#9aa4ae}}.o{{fill:#596570}}.u{{fill:#58a6ff}}.l{{fill:#3fb950}}.g{{stroke:#30363d}}.b{{fill:#0d1117}}}}</style>\n\
         <rect class=\"b\" width=\"{WIDTH}\" height=\"{height}\"/>\n\
         <text x=\"20\" y=\"28\" font-size=\"16\" font-weight=\"600\">The longest that a caller waited during an upgrade</text>\n\
         <rect class=\"o\" x=\"20\" y=\"42\" width=\"11\" height=\"11\"/><text class=\"s\" x=\"37\" y=\"52\">release_handler_1:eval_script</text>\n\
         <rect class=\"u\" x=\"236\" y=\"42\" width=\"11\" height=\"11\"/><text class=\"s\" x=\"253\" y=\"52\">updo, all suspended</text>\n\
         <rect class=\"l\" x=\"400\" y=\"42\" width=\"11\" height=\"11\"/><text class=\"s\" x=\"417\" y=\"52\">updo, none suspended (live)</text>\n"
    );
    let bottom = TOP + ROW * rows.len() as f64;
    for decade in 0..=(decades as u32) {
        let x = LEFT + f64::from(decade) * scale;
        let ms = 10_u64.pow(decade);
        let text = if ms < 1000 {
            format!("{ms} ms")
        } else {
            format!("{} s", ms / 1000)
        };
        let _ = writeln!(
            svg,
            "<line class=\"g\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\"/>\
             <text class=\"s\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
            bottom + 20.0
        );
    }
    for (at, row) in rows.iter().enumerate() {
        let y = TOP + ROW * at as f64 + 8.0;
        let _ = writeln!(
            svg,
            "<text x=\"20\" y=\"{:.1}\">{} servers</text><text class=\"s\" x=\"20\" y=\"{:.1}\">{} modules changed</text>",
            y + 13.0,
            thousands(row.servers),
            y + 30.0,
            row.modules
        );
        for (class, felt, top) in [
            ("o", &row.otp, y),
            ("u", &row.updo, y + BAR + 4.0),
            ("l", &row.live, y + 2.0 * (BAR + 4.0)),
        ] {
            let width = length(felt.worst);
            let _ = writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
                LEFT + width + 6.0,
                top + 12.0,
                time(felt.worst)
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn thousands(number: usize) -> String {
    if number < 1000 {
        number.to_string()
    } else {
        format!("{},{:03}", number / 1000, number % 1000)
    }
}

fn time(us: i64) -> String {
    let ms = us as f64 / 1000.0;
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1000.0),
    }
}
