//! One compiler for all tests of a program: an Erlang node that reads what to compile from its standard input, so that
//! a test pays for the compiler's work and not for starting `erlc`. It ends with the test program: its input is closed then.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use updo::term::Term;

/// Reads `{Out, Options, Files}.`, a line each; answers `ok` or the messages, and a line with a dot.
const SERVER: &str = r#"
    ok = io:setopts([{encoding, unicode}]),
    Say = fun(File, Messages) -> [io:format("~ts:~tp: ~ts~n", [File, Where, Module:format_error(What)])
                                  || {_, Each} <- Messages, {Where, Module, What} <- Each] end,
    Loop = fun Loop() ->
        case io:read('') of
            {ok, {Out, Options, Files}} ->
                All = [{outdir, Out}, return_errors | Options],
                [case compile:file(File, All) of
                     {error, Errors, _} -> Say(File, Errors);
                     error -> io:format("~ts: not compiled~n", [File]);
                     _ -> ok
                 end || File <- Files],
                io:format(".~n"),
                Loop();
            _ -> halt(0)
        end
    end,
    Loop().
"#;

struct Server {
    _child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

fn start() -> Server {
    let mut child = Command::new("erl")
        .args(["+fnu", "-noshell", "-eval", SERVER])
        .env("LC_ALL", "C.UTF-8")
        .env("ERL_CRASH_DUMP_SECONDS", "0")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("erl starts");
    let input = child.stdin.take().expect("a pipe");
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    Server {
        _child: child,
        input,
        output,
    }
}

/// Compiles sources into a folder, with the compiler's options as Erlang writes them: `debug_info`.
///
/// # Panics
/// With the compiler's messages.
pub fn compile(out: &Path, options: &[&str], sources: &[PathBuf]) {
    static SERVER: Mutex<Option<Server>> = Mutex::new(None);
    let text = |path: &Path| Term::string(path.to_str().expect("a name in UTF-8")).to_string();
    let files: Vec<String> = sources.iter().map(|file| text(file)).collect();
    let job = format!(
        "{{{}, [{}], [{}]}}.\n",
        text(out),
        options.join(", "),
        files.join(", ")
    );
    let mut server = SERVER.lock().unwrap_or_else(PoisonError::into_inner);
    let server = server.get_or_insert_with(start);
    server
        .input
        .write_all(job.as_bytes())
        .expect("the compiler listens");
    let mut printed = String::new();
    loop {
        let at = printed.len();
        let read = server.output.read_line(&mut printed).expect("it answers");
        assert!(read > 0, "the compiler ended: {printed}");
        if printed[at..] == *".\n" {
            printed.truncate(at);
            break;
        }
    }
    assert!(printed.is_empty(), "{printed}");
}
