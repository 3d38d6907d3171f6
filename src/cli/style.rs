//! Colours, for terminals alone.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal};

use clap::builder::styling::{AnsiColor, Style};

/// How text for people looks; without any colour where standard output is no terminal or `NO_COLOR` is set.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Theme {
    /// Titles and answers.
    pub strong: Style,
    /// What matters less.
    pub faint: Style,
    /// Bars and sparklines.
    pub graph: Style,
    /// Warnings and errors.
    pub alert: Style,
}

impl Theme {
    /// For what goes to standard output.
    pub(super) fn of_stdout() -> Self {
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) || env::var_os("TERM").is_some_and(|term| term == "dumb");
        if io::stdout().is_terminal() && !plain { Self::coloured() } else { Self::default() }
    }

    fn coloured() -> Self {
        Self { strong: Style::new().bold(), faint: Style::new().dimmed(), graph: AnsiColor::Cyan.on_default(), alert: AnsiColor::Yellow.on_default() }
    }
}

/// `text` in `style`.
pub(super) fn paint(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_a_terminal_has_no_escape_sequences() {
        assert_eq!(paint(Theme::default().strong, "cat"), "cat");
        assert_eq!(paint(Theme::coloured().strong, "cat"), "\u{1b}[1mcat\u{1b}[0m");
    }
}
