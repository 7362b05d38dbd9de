//! Configurations that nobody would write, by chance: each is a plan that makes sense or one complaint.

use natsink::config::properties::{check_any, read};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// The annotated example: every key.
const EXAMPLE: &str = include_str!("../docs/natsink.example.yaml");

/// Words that mean something to somebody who reads YAML or configuration.
const WORDS: [&str; 34] = [
    "",
    "~",
    "null",
    "true",
    "false",
    "0",
    "1",
    "-1",
    "1e999",
    "99999999999999999999",
    "\"",
    "'",
    "{",
    "}",
    "[",
    "]",
    "*a",
    "&a",
    "!!int",
    "---",
    "- ",
    ": ",
    "#",
    "|",
    ">",
    "${A}",
    "${B:-x}",
    "${UNSET}",
    "${a.b}",
    "${",
    "\t",
    "\u{feff}",
    "\0",
    "<<",
];

/// A change of one line.
#[derive(Clone, Debug)]
enum Edit {
    Drop,
    Repeat,
    Swap(Index),
    Indent(usize),
    Value(&'static str),
    Insert(Index, &'static str),
    Uncomment,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        Just(Edit::Drop),
        Just(Edit::Repeat),
        any::<Index>().prop_map(Edit::Swap),
        (0usize..12).prop_map(Edit::Indent),
        select(&WORDS[..]).prop_map(Edit::Value),
        (any::<Index>(), select(&WORDS[..])).prop_map(|(at, word)| Edit::Insert(at, word)),
        Just(Edit::Uncomment),
    ]
}

fn edited(edits: &[(Index, Edit)]) -> String {
    let mut lines: Vec<String> =
        EXAMPLE.lines().filter(|line| !line.trim_start().starts_with("# ")).map(Into::into).collect();
    for (at, edit) in edits {
        let at = at.index(lines.len());
        let line = lines[at].clone();
        match edit {
            Edit::Drop if lines.len() > 1 => drop(lines.remove(at)),
            Edit::Drop => {}
            Edit::Repeat => lines.insert(at, line),
            Edit::Swap(other) => {
                let other = other.index(lines.len());
                lines.swap(at, other);
            }
            Edit::Indent(spaces) => lines[at] = format!("{}{}", " ".repeat(*spaces), line.trim_start()),
            Edit::Value(word) => {
                let key = line.split_once(':').map_or(line.as_str(), |(key, _)| key);
                lines[at] = format!("{key}: {word}");
            }
            Edit::Insert(place, word) => {
                let starts: Vec<usize> = line.char_indices().map(|(at, _)| at).chain([line.len()]).collect();
                lines[at].insert_str(starts[place.index(starts.len())], word);
            }
            Edit::Uncomment => lines[at] = line.replacen('#', "", 1),
        }
    }
    lines.join("\n")
}

proptest! {
    #[test]
    fn an_edited_example_is_a_plan_or_a_complaint(edits in prop::collection::vec((any::<Index>(), edit()), 0..6)) {
        check_any(edited(&edits).as_bytes());
    }

    #[test]
    fn any_text_is_a_plan_or_a_complaint(text in "\\PC{0,200}") {
        check_any(text.as_bytes());
    }

    #[test]
    fn any_words_are_a_plan_or_a_complaint(words in prop::collection::vec(select(&WORDS[..]), 0..40)) {
        check_any(words.concat().as_bytes());
    }
}

#[test]
fn many_edits_leave_it_a_plan() {
    // Otherwise the first property would look at complaints only.
    assert!(read(EXAMPLE).is_ok());
    let dropped = (0..EXAMPLE.lines().count()).filter(|at| {
        let rest: Vec<&str> =
            EXAMPLE.lines().enumerate().filter(|(line, _)| line != at).map(|(_, line)| line).collect();
        read(&rest.join("\n")).is_ok()
    });
    assert!(dropped.count() > 60);
}

#[test]
fn what_is_nested_or_repeated_without_end_is_refused_soon() {
    for text in
        ["[".repeat(500_000), "{a: ".repeat(200_000), "- ".repeat(400_000), "!x ".repeat(300_000), "? ".repeat(400_000)]
    {
        let began = std::time::Instant::now();
        check_any(text.as_bytes());
        assert!(began.elapsed().as_secs() < 20, "{:?} took {:?}", &text[..4], began.elapsed());
    }
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb += &format!("a{level}: &a{level} [{aliases}]\n");
    }
    check_any(bomb.as_bytes());
    check_any(format!("{bomb}sinks: *a11\n").as_bytes());
}
