//! What is made from the grammar of the command line: completions that complete, and manual pages that have every flag.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Output};

fn natsink(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_natsink")).args(args).output().expect("the command starts")
}

#[track_caller]
fn printed(args: &[&str]) -> String {
    let output = natsink(args);
    assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The flags that the help of a command names.
fn flags(words: &[&str]) -> BTreeSet<String> {
    let help = printed(&[words, &["--help"]].concat());
    let is_flag = |char: char| char.is_ascii_alphanumeric() || char == '-';
    let of = |line: &str| {
        let line = line.trim_start();
        let at = line.find("--").filter(|&at| line.starts_with('-') && at <= 4)?;
        Some(line[at..].split(|char| !is_flag(char)).next()?.to_owned())
    };
    help.lines().filter_map(of).collect()
}

/// Every command, and the words that lead to it.
fn commands() -> Vec<Vec<String>> {
    let mut found = vec![vec![]];
    let mut next = 0;
    while let Some(words) = found.get(next).cloned() {
        next += 1;
        let line: Vec<&str> = words.iter().map(String::as_str).chain(["--help"]).collect();
        let help = printed(&line);
        let Some((_, list)) = help.split_once("\nCommands:\n") else { continue };
        let names = list.lines().take_while(|line| !line.is_empty());
        let names = names.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
        let names = names.filter(|name| !name.is_empty() && *name != "help");
        found.extend(names.map(|name| [words.as_slice(), &[name.to_owned()]].concat()));
    }
    found
}

/// What bash offers for the last of these words.
#[track_caller]
fn completed(words: &[&str]) -> BTreeSet<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let script = folder.path().join("natsink");
    fs::write(&script, printed(&["completions", "bash"])).expect("the folder is ours");
    let ask = r#"source "$1"; shift
        [[ $(complete -p natsink) == *" -F "* ]] || exit 1
        function=$(complete -p natsink | sed 's/.* -F \([^ ]*\).*/\1/')
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}
        "$function" natsink "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}""#;
    let output = Command::new("bash").args(["--norc", "-c", ask, "bash"]).arg(&script).args(words).output();
    let output = output.expect("bash runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8").lines().map(String::from).collect()
}

#[test]
fn bash_completes_commands_and_flags() {
    let names = |words: &[&str]| completed(words).into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&["natsink", "ru"]), "run");
    assert_eq!(names(&["natsink", "run", "--check"]), "--checkpoint");
    assert_eq!(names(&["natsink", "run", "--url", "x", "--strict"]), "--strict-input");
    assert_eq!(names(&["natsink", "completions", "z"]), "zsh");
    for command in commands() {
        let words: Vec<&str> = ["natsink"].into_iter().chain(command.iter().map(String::as_str)).collect();
        let offered = completed(&[&words[..], &["--"]].concat());
        assert!(flags(&words[1..]).is_subset(&offered), "{words:?}: {offered:?}");
    }
}

#[test]
fn every_shell_has_every_flag() {
    let wanted = flags(&["run"]);
    assert!(wanted.len() > 30, "{wanted:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["completions", shell]);
        for flag in &wanted {
            // fish writes long flags without their hyphens.
            let written = if shell == "fish" { format!("-l {}", &flag[2..]) } else { flag.clone() };
            assert!(script.contains(&written), "{shell}: {flag}");
        }
    }
}

#[test]
fn manual_pages_have_every_command_and_flag() {
    let all = commands();
    assert!(all.len() > 5, "{all:?}");
    for command in &all {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let page = printed(&[&["man"], &words[..]].concat());
        let title = [&["natsink"], &words[..]].concat().join("-");
        assert!(page.contains(&format!(".TH {title} 1")), "{page}");
        let plain = page.replace("\\-", "-").replace("\\fB", "").replace("\\fR", "").replace("\\fI", "");
        for flag in flags(&words) {
            assert!(plain.contains(&flag), "{title}: {flag}\n{plain}");
        }
    }
    let top = printed(&["man"]);
    for command in all.iter().filter(|words| words.len() == 1) {
        assert!(top.replace("\\-", "-").contains(&format!("natsink-{}(1)", command[0])), "{command:?}\n{top}");
    }
}

#[test]
fn manual_pages_can_be_shown() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("natsink-run.1");
    fs::write(&page, printed(&["man", "run"])).expect("the folder is ours");
    let Ok(output) = Command::new("man").args(["--warnings", "-l"]).arg(&page).env("MANPAGER", "cat").output() else {
        return eprintln!("skipped: there is no man here");
    };
    let shown = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && !shown.is_empty() {
        assert!(shown.contains("--checkpoint") && output.stderr.is_empty(), "{output:?}");
    }
}

#[test]
fn what_is_no_command_has_no_page() {
    let output = natsink(&["man", "walk"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(64));
    assert!(told.contains("no command \"walk\"") && told.contains("run"), "{told}");
    assert_eq!(natsink(&["completions", "csh"]).status.code(), Some(64));
}
