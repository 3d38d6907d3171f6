//! How much of a text that came from outside is repeated: its beginning, so that nobody makes the service keep, log or send more.

/// Most characters of it.
pub(crate) const MAX_CHARS: usize = 64;

/// Most characters of a reason that somebody else's program or file gives.
pub(crate) const MOST_WORDS: usize = 500;

/// The first [`MAX_CHARS`] characters of `text`, and an ellipsis where there are more.
///
/// It still is what somebody sent: quote it (`{:?}`), which escapes control characters.
pub(crate) fn excerpt(text: &str) -> String {
    cut(text, MAX_CHARS)
}

/// The first `most` characters of `text`, and an ellipsis where there are more.
pub(crate) fn cut(text: &str, most: usize) -> String {
    let mut rest = text.chars();
    let mut beginning: String = rest.by_ref().take(most).collect();
    if rest.next().is_some() {
        beginning.push('…');
    }
    beginning
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_of_64_characters_is_whole_and_a_longer_one_is_cut() {
        let most = "é".repeat(MAX_CHARS);
        assert_eq!(excerpt(&most), most);
        assert_eq!(excerpt(&format!("{most}é")), format!("{most}…"));
        assert_eq!(excerpt(""), "");
    }
}
