//! The plan language as a scripting engine: rules of a shop are Erlang expressions in a text that can be changed without
//! compiling anything; what they ask is answered from memory. No node, no network.
//!
//! ```text
//! cargo run --example script
//! cargo run --example script -- "discount(<<\"ada\">>, 200)"
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::process::ExitCode;
use std::time::Duration;

use updo::Term;
use updo::scripting::{Host, HostError, Interpreter, Limits, Program, ScriptErrorKind};

const RULES: &str = "
plan \"Discounts\".
param Most :: integer = 25.

% In percent, of what a customer has bought before and buys now.
discount(Customer, Total) ->
    case shop:history(Customer) of
        {ok, Orders} -> limited(length(Orders) + by_total(Total));
        {error, unknown} -> info(\"~ts is new\", [Customer]), 0
    end.

by_total(Total) when Total >= 100 -> 10;
by_total(_) -> 0.

limited(Percent) when Percent > Most -> Most;
limited(Percent) -> Percent.

require \"a customer is known\" -> {ok, [_ | _]} = shop:history(<<\"ada\">>).
";

/// The surroundings of the rules.
struct Shop {
    orders: BTreeMap<&'static str, Vec<i64>>,
}

impl Host for Shop {
    fn call(
        &mut self,
        module: &str,
        function: &str,
        args: &[Term],
        _: Duration,
    ) -> Result<Term, HostError> {
        match (module, function, args) {
            ("shop", "history", [customer]) => {
                let name = customer.to_text().ok_or(HostError::BadArgument)?;
                let orders = self.orders.get(name.as_str());
                Ok(match orders {
                    Some(orders) => Term::tuple([
                        Term::atom("ok"),
                        Term::list(orders.iter().copied().map(Term::Int)),
                    ]),
                    None => Term::tuple([Term::atom("error"), Term::atom("unknown")]),
                })
            }
            _ => Err(HostError::Undefined),
        }
    }

    fn info(&mut self, text: &str) {
        println!("rules: {text}");
    }
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let program = Program::parse_with(RULES, [("Most", "15")])?;
    let mut shop = Shop {
        orders: BTreeMap::from([("ada", vec![17, 18, 19]), ("bob", vec![21; 12])]),
    };
    let limits = Limits {
        steps: 10_000,
        body: Duration::from_millis(500),
        ..Limits::default()
    };
    let mut rules = Interpreter::new(&program, &mut shop).with_limits(limits);
    for name in program.checks() {
        rules.check(name)?;
        println!("{name}: holds");
    }
    if let Some(expression) = std::env::args().nth(1) {
        return Ok(match rules.eval(&expression) {
            Ok(value) => {
                println!("{value}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                match error.kind {
                    ScriptErrorKind::Limit => ExitCode::from(3),
                    _ => ExitCode::FAILURE,
                }
            }
        });
    }
    for (customer, total) in [("ada", 20), ("ada", 200), ("bob", 200), ("eve", 200)] {
        let percent = rules.call("discount", [Term::binary(customer), Term::Int(total)])?;
        println!("{customer} buys for {total}: {percent} %");
    }
    Ok(ExitCode::SUCCESS)
}
