//! The known word that somebody most likely meant.

/// The word of `known` with the fewest typing errors between it and `word`; the first of equals, nothing where `known` is empty.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known.into_iter().min_by_key(|candidate| strsim::osa_distance(word, candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_word_with_the_fewest_typing_errors() {
        assert_eq!(nearest("interpolatoin", ["color", "interpolation", "layout"]), Some("interpolation"));
        assert_eq!(nearest("x", []), None);
    }
}
