//! The identity of an input: what tells the same offset of two inputs apart.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use super::escape::Escape;

const NAME: Escape = Escape::of(b"|:#");

/// The identity of an input. It stands in the id of every event that has no position of its own, so it must be the same
/// whenever the same bytes are read again, and another one for other bytes.
///
/// ```
/// use natsink::sink::Input;
///
/// assert_eq!(Input::file(0xfeed).to_string(), "000000000000feed");
/// assert_eq!(Input::file(0xfeed).with_generation(2).to_string(), "000000000000feed#2");
/// assert_eq!(Input::named("orders:eu").to_string(), "orders%3Aeu");
/// ```
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Input {
    name: Box<str>,
    generation: u32,
}

impl Input {
    /// A file, by a hash of what makes it this file.
    pub fn file(hash: u64) -> Self {
        Self { name: hex(hash), generation: 0 }
    }

    /// A pipe whose bytes will not come again, by a random number.
    pub fn run(random: u64) -> Self {
        Self { name: hex(random), generation: 0 }
    }

    /// An input that its user names, because its bytes will come again.
    pub fn named(name: &str) -> Self {
        let mut escaped = String::new();
        NAME.append(name, &mut escaped);
        Self { name: escaped.into(), generation: 0 }
    }

    /// The identity that [`name`](Self::name) and [`generation`](Self::generation) told of; `None` when no identity has
    /// such a name.
    pub fn restore(name: &str, generation: u32) -> Option<Self> {
        let legal = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && !b"|:#".contains(&byte));
        legal.then(|| Self { name: name.into(), generation })
    }

    /// The same with another generation: it grows whenever a file is truncated or replaced.
    pub fn with_generation(mut self, generation: u32) -> Self {
        self.generation = generation;
        self
    }

    /// The identity without its generation, as it stands in ids.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often a file was truncated or replaced.
    pub const fn generation(&self) -> u32 {
        self.generation
    }
}

fn hex(number: u64) -> Box<str> {
    alloc::format!("{number:016x}").into()
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.generation > 0 {
            write!(f, "#{}", self.generation)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_can_be_kept_and_restored() {
        for input in [Input::file(7), Input::run(u64::MAX).with_generation(3), Input::named("a|b:c#d e")] {
            assert_eq!(Input::restore(input.name(), input.generation()), Some(input));
        }
        for name in ["", "a|b", "a:1", "a#1", "a b", "ü"] {
            assert_eq!(Input::restore(name, 0), None);
        }
    }
}
