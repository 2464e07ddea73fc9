//! The command line tool: the same core as the module, for people.

use std::process::ExitCode;

fn main() -> std::io::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((command, rest)) if command == "scan" => {
            portcullis::cli::scan::run(rest, std::io::stdin().lock(), std::io::BufWriter::new(std::io::stdout().lock()))
        }
        _ => {
            eprintln!("{}", portcullis::cli::scan::USAGE);
            Ok(ExitCode::from(2))
        }
    }
}
