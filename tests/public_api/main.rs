//! The public interface is docs/api.txt: what `lib.rs` hands out, item by item. `UPDO_BLESS=1` writes it anew; the diff then
//! shows what a change means for other programs.
//!
//! The listing is read off the sources with `syn`, as `cargo public-api` and rustdoc's JSON would need a nightly compiler.
//! What it does not understand (a glob, a macro) ends it, so that it cannot leave something out.

mod listing;
mod macros;
mod source;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use listing::{Listing, listing};
use source::Sources;
use updo::scripting::{Interpreter, NoHost, Program, ScriptError};
use updo::{Code, Diagnostic, Diagnostics};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The crate's own, made once: it takes seconds.
fn own() -> &'static Listing {
    static OWN: OnceLock<Listing> = OnceLock::new();
    OWN.get_or_init(|| listing(&Sources::read(&root())))
}

#[test]
fn the_listing_is_what_the_sources_hand_out() {
    let file = root().join("docs/api.txt");
    let found = own();
    let mut text = format!(
        "{} items are handed out, {} names by the root. `UPDO_BLESS=1 cargo test --test public_api` writes this.\n\n",
        found.items,
        found.root.len()
    );
    for line in &found.lines {
        text.push_str(line);
        text.push('\n');
    }
    if std::env::var_os("UPDO_BLESS").is_some() {
        std::fs::write(&file, &text).expect("docs/api.txt can be written");
    }
    let listed = std::fs::read_to_string(&file).unwrap_or_default();
    let only = |one: &str, other: &str, mark: &str| -> Vec<String> {
        let other: Vec<&str> = other.lines().collect();
        let lines = one.lines().filter(|line| !other.contains(line));
        lines.map(|line| format!("{mark} {line}")).collect()
    };
    let differing = [only(&listed, &text, "-"), only(&text, &listed, "+")].concat();
    assert!(
        listed == text,
        "docs/api.txt is not what lib.rs hands out (UPDO_BLESS=1 writes it):\n{}",
        differing.join("\n")
    );
}

#[test]
fn what_is_handed_out_is_whole_documented_and_can_grow() {
    let found = own();
    assert!(found.leaks.is_empty(), "not handed out: {:#?}", found.leaks);
    assert!(
        found.undocumented.is_empty(),
        "no real documentation: {:#?}",
        found.undocumented
    );
    // Erlang has three classes of exceptions, and will not get a fourth.
    assert_eq!(found.exhaustive, ["updo::scripting::ExceptionClass"]);
}

/// The lister sees what is to be seen: one item of every kind, through aliases and macros, and nothing that is hidden.
#[test]
fn the_lister_follows_aliases_macros_and_impls_elsewhere() {
    let found = own();
    for line in [
        "struct updo::BusyProcess #[non_exhaustive]",
        "field updo::BusyProcess::took: Duration",
        "variant updo::Code::E101",
        "fn updo::NodeName::as_str(&self) -> &str",
        "impl Display for updo::Module",
        "impl FromStr for updo::Term",
        "impl Error for updo::Diagnostic",
        "field updo::EventKind::Check::tries: u32",
        "fn updo::render(diagnostic: &Diagnostic, sources: &SourceMap, style: Style) -> String",
        "fn updo::scripting::Host::info(&mut self, text: &str) (provided)",
        "const updo::Code::ALL: &[Code]",
        "impl Host for F where F: FnMut(&str, &str, &[Term]) -> Result<Term, HostError>",
        "use updo::terms::BigInt = num_bigint::BigInt",
    ] {
        assert!(found.lines.contains(line), "{line} is not listed");
    }
    for hidden in [
        "updo::facts",
        "updo::Engine::plan",
        "updo::Upgrade::rules",
        "open_over",
    ] {
        let seen: Vec<&String> = found.lines.iter().filter(|l| l.contains(hidden)).collect();
        assert!(seen.is_empty(), "{seen:?} is hidden");
    }
}

/// A crate of which is known what it hands out.
#[test]
fn what_the_lister_does_not_understand_ends_it() {
    let crate_of = |text: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let source = folder.path().join("src");
        std::fs::create_dir(&source).expect("a folder in it");
        std::fs::write(source.join("lib.rs"), text).expect("a file in it");
        let path: &Path = folder.path();
        listing(&Sources::read(path))
    };
    let text = "
        mod inner {
            /// Two words.
            pub struct Shown { /** One. */ pub field: Secret, private: u8 }
            pub struct Secret;
            impl Shown { /// No more than this.
                pub fn get(&self) -> u8 { 0 }
                fn none(&self) {}
                #[doc(hidden)] pub fn unseen(&self) {}
            }
        }
        pub use self::inner::Shown as Renamed;
        /// An enum of one.
        pub enum Open { /// The one.
            One(u8) }
        #[doc(hidden)] pub fn unseen() {}
    ";
    let found = crate_of(text);
    let lines: Vec<&str> = found.lines.iter().map(String::as_str).collect();
    assert_eq!(
        lines,
        [
            "enum updo::Open",
            "field updo::Open::One::0: u8",
            "field updo::Renamed::field: Secret",
            "fn updo::Renamed::get(&self) -> u8",
            "struct updo::Renamed",
            "variant updo::Open::One",
        ]
    );
    assert_eq!(found.items, 6);
    assert_eq!(found.exhaustive, ["updo::Open"]);
    assert_eq!(found.undocumented, ["field updo::Renamed::field: Secret"]);
    let leaks: Vec<&String> = found.leaks.iter().collect();
    assert_eq!(
        leaks,
        ["inner::Secret in field updo::Renamed::field: Secret"]
    );
    for text in ["pub use std::fmt::*;", "unknown! { pub struct S; }"] {
        let ended = std::panic::catch_unwind(|| crate_of(text).items);
        assert!(ended.is_err(), "{text}: {ended:?}");
    }
}

/// `?` and boxed errors take what goes wrong, also from another thread.
#[test]
fn what_goes_wrong_is_an_error_like_any_other() {
    fn is_error<E: std::error::Error + Send + Sync + 'static>() {}
    is_error::<Diagnostic>();
    is_error::<Box<Diagnostic>>();
    is_error::<Diagnostics>();
    is_error::<ScriptError>();
    fn ends(boxed: bool) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let diagnostic = Diagnostic::new(Code::E211, "the plan has no \u{1b}target")
            .note("one\ntwo")
            .help("add one");
        match boxed {
            true => Err(Box::new(diagnostic).into()),
            false => Err(diagnostic.into()),
        }
    }
    for boxed in [true, false] {
        let error = ends(boxed).expect_err("it ends so");
        assert_eq!(error.to_string(), "E211: the plan has no \\etarget");
        assert_eq!(
            format!("{error:#}"),
            "E211: the plan has no \\etarget\nnote: one\ntwo\nhelp: add one"
        );
    }
    let error: Box<dyn std::error::Error> =
        Program::parse("X = Y.").expect_err("Y is nothing").into();
    assert!(error.to_string().contains("program:1:5"), "{error}");
}

/// A program is shared between threads, and so is what it is evaluated with.
#[test]
fn programs_are_shared_between_threads() {
    let program = Program::parse("double(X) -> 2 * X.").expect("a program");
    let double = |number: i64| {
        let mut host = NoHost;
        let mut interpreter = Interpreter::new(&program, &mut host);
        interpreter
            .call("double", [updo::Term::Int(number)])
            .expect("a number")
    };
    let sum: i64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|n| scope.spawn(move || double(n))).collect();
        let values = threads
            .into_iter()
            .map(|thread| thread.join().expect("it ends"));
        values.filter_map(|value| value.as_i64()).sum()
    });
    assert_eq!(sum, 12);
}
