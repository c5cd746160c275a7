//! `nydus-convert`: translates arguments into options once, runs the library, prints the report.

mod args;
mod check;
mod cli;
mod drop_in;
mod hints;
mod inspect;
mod layer;
mod logging;
mod look;
mod mount;
mod open;
mod overwriting;
mod print;
mod progress;
mod registries;
mod signals;
mod store;
mod store_verbs;
mod streams;
mod to_nydus;
mod to_oci;
mod usage;
mod values;

use std::panic;
use std::process::ExitCode;

use clap::builder::BoolishValueParser;
use clap::{CommandFactory, FromArgMatches};
use nydus_convert::layer_verbs::VerbError;
use nydus_convert::{Error, Kind};

use cli::Cli;

fn main() -> ExitCode {
    silence_index_panics();
    let done = if drop_in::is_called_so(std::env::args_os().next().as_deref()) {
        drop_in::run()
    } else {
        let cli = parse();
        cli.log.start();
        cli::run(cli.command)
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {}", one_line(&error));
            ExitCode::from(exit_code(&error))
        }
    }
}

/// The command line. A variable for a flag may say `1`, `yes` or `on`, and their opposites.
fn parse() -> Cli {
    fn lenient(command: clap::Command) -> clap::Command {
        let lenient_flag = |arg: clap::Arg| match arg.get_action() {
            clap::ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
            _ => arg,
        };
        command.mut_args(lenient_flag).mut_subcommands(lenient)
    }
    Cli::from_arg_matches(&lenient(Cli::command()).get_matches()).unwrap_or_else(|error| error.exit())
}

/// The database of the chunk store's index panics on some damage. That is caught, and told as an error: once is enough.
fn silence_index_panics() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if !info.location().is_some_and(|location| location.file().contains("/redb-")) {
            print(info);
        }
    }));
}

/// The error and its causes from outside in, without repeating what a cause already said.
fn one_line(error: &anyhow::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        if parts.last().is_none_or(|last| !last.ends_with(&text)) {
            parts.push(text);
        }
    }
    let hint = error.downcast_ref::<Error>().and_then(hints::hint);
    parts.join(": ") + &hint.map(|hint| format!(" ({hint})")).unwrap_or_default()
}

/// The exit codes of `docs/cli.md`.
fn exit_code(error: &anyhow::Error) -> u8 {
    if error.downcast_ref::<drop_in::Refusal>().is_some() {
        return 2;
    }
    if error.downcast_ref::<usage::UsageError>().is_some() {
        return 2;
    }
    if let Some(Error::Verb(VerbError::ProvenStream)) = error.downcast_ref::<Error>() {
        return 2;
    }
    if let Some(Error::Dedup(_)) = error.downcast_ref::<Error>() {
        return 2;
    }
    let kind = error.downcast_ref::<Error>().map_or(Kind::Failed, Error::kind);
    match kind {
        Kind::Failed => 1,
        Kind::NotFaithful => 3,
        Kind::Source => 4,
        Kind::Access => 5,
        Kind::Network => 6,
        Kind::Resources => 7,
        // What a shell reports for a process that a signal ended.
        Kind::Interrupted(signal) => u8::try_from(signal).map_or(1, |signal| signal.saturating_add(128)),
    }
}
