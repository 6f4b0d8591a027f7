//! `updo log`: the recorded runs.

use serde_json::{Value, json};

use super::args::Log;
use super::{Context, Exit};
use crate::report::paint;
use crate::report::record::{Records, Summary};

pub(super) fn run(context: &Context<'_>, args: &Log) -> Exit {
    let all = Records::new(&context.settings().state_dir).all();
    let skipped = args.last.map_or(0, |last| all.len().saturating_sub(last));
    let shown = &all[skipped..];
    if context.ui.json {
        let lines: Vec<Value> = shown.iter().map(document).collect();
        context.ui.data(&format!("{:#}\n", Value::Array(lines)));
        return Exit::Done;
    }
    if shown.is_empty() {
        context.ui.status("no recorded runs");
    }
    let style = context.ui.out_style;
    for run in shown {
        let state = format!("{:<8}", run.state);
        let state = match run.state.as_str() {
            "new" => paint::good(style, &state),
            "mixed" => paint::bad(style, &state),
            _ => paint::look(style, &state),
        };
        let line = format!(
            "{}  {}  {state}  {}  {}  {}\n",
            run.run,
            time(run.began),
            run.node,
            run.title,
            run.owner
        );
        context.ui.data(&line);
    }
    Exit::Done
}

fn document(run: &Summary) -> Value {
    json!({
        "run": run.run,
        "node": run.node.as_str(),
        "title": run.title,
        "plan": run.plan.display().to_string(),
        "owner": run.owner,
        "began": run.began,
        "state": run.state,
    })
}

/// Seconds since 1970 as `2026-11-22 13:40 UTC` (days to civil date: Howard Hinnant's algorithm).
pub(super) fn time(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02} UTC",
        rest / 3_600,
        rest % 3_600 / 60
    )
}

#[cfg(test)]
mod tests {
    use super::time;

    #[test]
    fn times_are_dates() {
        assert_eq!(time(0), "1970-01-01 00:00 UTC");
        assert_eq!(time(951_782_400), "2000-02-29 00:00 UTC");
        assert_eq!(time(1_795_354_800), "2026-11-22 13:40 UTC");
    }
}
