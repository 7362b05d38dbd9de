//! Completions for shells and manual pages, both made from the grammar of the command line.

use std::io::{self, Write as _};

use clap::Command;
use clap_complete::Shell;

use super::exit::{Code, Failure};

/// The completions for a shell, as its script.
pub(crate) fn completions(mut grammar: Command, shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut grammar, "natsink", &mut script);
    script
}

/// The manual page of natsink, or of the command that these words name, such as `run` or `dlq replay`.
///
/// # Errors
/// When there is no such command.
pub(crate) fn man(grammar: Command, words: &[String]) -> Result<Vec<u8>, Failure> {
    let mut grammar = grammar.disable_help_subcommand(true);
    // Names the commands below as `natsink-run`.
    grammar.build();
    let mut page = &grammar;
    for word in words {
        page = page.find_subcommand(word).ok_or_else(|| {
            let names: Vec<&str> = page.get_subcommands().map(Command::get_name).collect();
            let help = format!("there is no command {word:?}; there are: {}", names.join(", "));
            Failure::new(Code::Usage, "usage", help)
        })?;
    }
    let name = page.get_display_name().unwrap_or_else(|| page.get_name()).to_owned();
    let mut text = Vec::new();
    clap_mangen::Man::new(page.clone()).title(name).render(&mut text).expect("memory takes it");
    Ok(text)
}

/// Prints what was made. A reader that has gone away, as `head` does, is no failure.
pub(crate) fn print(text: &[u8]) {
    let mut stdout = io::stdout().lock();
    let _ = stdout.write_all(text).and_then(|()| stdout.flush());
}
