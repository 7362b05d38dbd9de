//! The table of all cases: `docs/hostile-peers.md` itself, which says of each where it is played.

/// The page.
pub(crate) const PAGE: &str = include_str!("../../docs/hostile-peers.md");

/// How many cases each group has.
pub(crate) const GROUPS: [(char, u32); 7] =
    [('F', 32), ('I', 20), ('T', 10), ('A', 8), ('P', 10), ('K', 22), ('R', 10)];

/// A row of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Row {
    /// `F01` and so on.
    pub(crate) number: &'static str,
    /// By hand, on virtual time, in many chunkings.
    pub(crate) memory: bool,
    /// Over a socket, in clear.
    pub(crate) socket: bool,
    /// Over a socket, under TLS.
    pub(crate) tls: bool,
}

/// All rows, in the order of the page.
pub(crate) fn rows() -> Vec<Row> {
    PAGE.lines().filter_map(row_of).collect()
}

/// The row of this case.
pub(crate) fn row(number: &str) -> Row {
    rows().into_iter().find(|row| row.number == number).unwrap_or_else(|| panic!("{number} has no row in the table"))
}

fn row_of(line: &'static str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").map(str::trim).collect();
    let [number, played, what, does] = cells[..] else { panic!("a row has four cells: {line}") };
    if number.len() != 3 || !number[1..].bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    assert!(!what.is_empty() && !does.is_empty(), "{number} is not told");
    let (mut memory, mut socket, mut tls) = (false, false, false);
    for place in played.split(", ") {
        match place {
            "memory" => memory = true,
            "socket" => socket = true,
            "TLS" => tls = true,
            // Checked by itself: no peer stands in it.
            "alone" => {}
            other => panic!("{number} is played nowhere: {other:?}"),
        }
    }
    Some(Row { number, memory, socket, tls })
}
