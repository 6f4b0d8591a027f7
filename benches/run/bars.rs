//! Columns of a table as a picture.

use std::fs;
use std::path::Path;

/// With `UPDO_BLESS=1`: columns of a table as bars, a group for each row, longer ones on a logarithmic scale, in
/// docs/performance/NAME.svg.
pub fn bars(name: &str, titles: &[&str], rows: &[Vec<String>], columns: &[usize]) {
    const COLOURS: [&str; 3] = ["#8a8f98", "#d08c3f", "#2f7d5b"];
    const LEFT: f64 = 120.0;
    const WIDE: f64 = 480.0;
    const BAR: f64 = 16.0;
    let value = |row: &[String], column: usize| row[column].parse::<f64>().unwrap_or(1.0).max(1.0);
    let values = rows
        .iter()
        .flat_map(|row| columns.iter().map(|column| value(row, *column)));
    let most = values.fold(10.0, f64::max).log10();
    let (mut y, mut drawn) = (28.0, String::new());
    for (at, column) in columns.iter().enumerate() {
        let x = LEFT + 160.0 * at as f64;
        drawn += &format!(
            "<rect x=\"{x}\" y=\"6\" width=\"10\" height=\"10\" fill=\"{}\"/>\n",
            COLOURS[at % 3]
        );
        drawn += &format!(
            "<text x=\"{}\" y=\"15\">{}</text>\n",
            x + 14.0,
            titles[*column]
        );
    }
    for row in rows {
        drawn += &format!(
            "<text x=\"4\" y=\"{}\">{}</text>\n",
            y + 2.0 * BAR - 4.0,
            row[0]
        );
        for (at, column) in columns.iter().enumerate() {
            let long = value(row, *column).log10() / most * WIDE;
            drawn += &format!(
                "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{long:.0}\" height=\"{}\" fill=\"{}\"/>\n",
                BAR - 3.0,
                COLOURS[at % 3]
            );
            drawn += &format!(
                "<text x=\"{:.0}\" y=\"{}\">{}</text>\n",
                LEFT + long + 5.0,
                y + BAR - 5.0,
                row[*column]
            );
            y += BAR;
        }
        y += 12.0;
    }
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/performance");
    if crate::page::blesses() {
        fs::create_dir_all(&page).expect("docs/performance can be made");
        let svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"680\" height=\"{y}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"680\" height=\"{y}\" fill=\"#ffffff\"/>\n{drawn}</svg>\n"
        );
        fs::write(page.join(format!("{name}.svg")), svg).expect("docs/performance can be written");
    }
}
