//! Class names: `labels.txt`, one name a line, in class order.

/// The names in `text`; a final line break ends the last name and begins no further one.
pub(super) fn parse(text: &str) -> Vec<String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.trim_end().lines().map(|line| line.trim().to_owned()).collect()
}

/// The names of classes that have none: `class_0`, `class_1` and so on.
pub(super) fn placeholders(classes: usize) -> Vec<String> {
    (0..classes).map(|index| format!("class_{index}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_one_name_a_line_whatever_the_line_ends() {
        assert_eq!(parse("tench, Tinca tinca\r\ngoldfish\r\n"), ["tench, Tinca tinca", "goldfish"]);
        assert_eq!(parse("\u{feff}cat\ndog"), ["cat", "dog"]);
        assert_eq!(parse("cat\n\ndog\n\n"), ["cat", "", "dog"], "an empty name keeps its place, trailing lines do not count");
        assert!(parse("\n").is_empty());
    }
}
