//! The command line tool: the same core as the module, for people.

use std::io::{self, BufWriter, ErrorKind, Write};
use std::process::ExitCode;

use portcullis_cli::options::is_option;
use portcullis_cli::seal::{self, Direction};
use portcullis_cli::{check, convert, explain, replay, scan, schema, sign, token};

const USAGE: &str = "usage: portcullis COMMAND

  check FILE              every error of a configuration, with path and line of its field; exits 2 if there is one
  explain FILE --request 'METHOD URL' [--header 'NAME: VALUE']... [--body BODY_FILE] [--client ADDRESS]
          [--response BODY_FILE] [--status STATUS]
                          what each step says of one request, and of its response, and why; exits 1 if it is answered
                          before the upstream
  convert FILE            the configuration that says what Envoy's jwt_authn filters and Istio's policies in FILE do;
                          exits 1 if something could not be converted
  scan [--jsonl] < VALUES the injection filter's verdict on each value
  replay FILE --log ACCESS_LOG
                          what a configuration would have refused of the requests in an access log
  sign --service NAME --token-env VARIABLE --key-env VARIABLE [--signature v1|v2] [--request 'METHOD URL']
                          the headers of a signed request
  token [FILE --provider NAME] --key-env VARIABLE [--claims JSON]
                          a JSON Web Token made with a shared secret
  schema                  the JSON Schema of the configuration
  encrypt FILE --key VARIABLE
                          the Fernet token of a file (- for the standard input), with the key in an environment variable
  decrypt FILE --key VARIABLE [--key VARIABLE]... [--ttl SECONDS]
                          what the Fernet token in a file says; exits 1 if none of the keys made it, or too long ago

  --help, --version

FILE is YAML or JSON (- for the standard input): a bare configuration, or the Envoy, Istio or Envoy Gateway document that
carries one.";

/// The command line itself is wrong.
const MISUSED: u8 = 2;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let mut out = BufWriter::new(io::stdout().lock());
    let code = run(&args, &mut out);
    match (code, out.flush()) {
        (Ok(code), Ok(())) => code,
        // Whoever read the output has seen enough; what it comes to is known all the same.
        (Ok(code), Err(error)) if error.kind() == ErrorKind::BrokenPipe => code,
        (Err(error), _) if error.kind() == ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        (Err(error), _) | (Ok(_), Err(error)) => {
            let _ = writeln!(Errors, "portcullis: {error}");
            ExitCode::from(MISUSED)
        }
    }
}

/// The standard error. That nobody reads it is no error: the exit code says it too.
struct Errors;

impl Write for Errors {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn run(args: &[String], out: &mut dyn Write) -> io::Result<ExitCode> {
    let rest = args.get(1..).unwrap_or_default();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        ["--help" | "-h" | "help"] => writeln!(out, "{USAGE}").map(|()| ExitCode::SUCCESS),
        ["--version" | "-V"] => writeln!(out, "portcullis {}", env!("CARGO_PKG_VERSION")).map(|()| ExitCode::SUCCESS),
        ["check" | "schema", "--help" | "-h"] => writeln!(out, "{USAGE}").map(|()| ExitCode::SUCCESS),
        ["check", file] if !is_option(file) => check::run(file, out, &mut Errors).map(ExitCode::from),
        ["schema"] => schema::run(out).map(ExitCode::from),
        ["convert", ..] => convert::run(rest, out, &mut Errors).map(ExitCode::from),
        ["explain", ..] => explain::run(rest, out, &mut Errors).map(ExitCode::from),
        ["replay", ..] => replay::run(rest, out, &mut Errors).map(ExitCode::from),
        ["sign", ..] => sign::run(rest, out, &mut Errors).map(ExitCode::from),
        ["token", ..] => token::run(rest, out, &mut Errors).map(ExitCode::from),
        ["encrypt", ..] => seal::run(Direction::Encrypt, rest, out, &mut Errors).map(ExitCode::from),
        ["decrypt", ..] => seal::run(Direction::Decrypt, rest, out, &mut Errors).map(ExitCode::from),
        ["scan", ..] => scan::run(rest, io::stdin().lock(), out, &mut Errors).map(ExitCode::from),
        [] => misused("a command is missing"),
        ["check", option] => misused(&format!("check has no option {option}")),
        ["check", ..] => misused("check takes one file"),
        ["schema", ..] => misused("schema takes nothing"),
        [command, ..] => misused(&format!("there is no command {command}")),
    }
}

fn misused(problem: &str) -> io::Result<ExitCode> {
    writeln!(Errors, "portcullis: {problem}\n\n{USAGE}")?;
    Ok(ExitCode::from(MISUSED))
}
