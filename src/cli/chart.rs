//! Small pictures in text: a bar for a share, a sparkline for a distribution.

const EIGHTHS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar of at most `width` characters for `share` in 0..=1, an eighth of a character fine.
pub(super) fn bar(share: f32, width: usize) -> String {
    let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
    let eighths = (share * width as f32 * 8.0).round() as usize;
    let mut text = "█".repeat(eighths / 8);
    text.extend(EIGHTHS.get(eighths % 8).filter(|c| **c != ' '));
    text
}

/// How `values` in 0..=1 are distributed: one character for each of `bins` equal ranges, its height relative to the fullest; a dot for none.
pub(super) fn distribution(values: &[f32], bins: usize) -> String {
    let mut counts = vec![0usize; bins];
    for value in values.iter().filter(|value| !value.is_nan()) {
        let bin = (value.clamp(0.0, 1.0) * bins as f32) as usize;
        if let Some(count) = counts.get_mut(bin.min(bins.saturating_sub(1))) {
            *count += 1;
        }
    }
    let fullest = counts.iter().copied().max().unwrap_or(0).max(1);
    counts.iter().map(|count| if *count == 0 { '·' } else { level(*count as f32 / fullest as f32) }).collect()
}

/// `values` in 0..=1 one after the other, a character each.
pub(super) fn sparkline(values: &[f32]) -> String {
    values.iter().map(|value| level(*value)).collect()
}

fn level(share: f32) -> char {
    let share = if share.is_nan() { 0.0 } else { share.clamp(0.0, 1.0) };
    let at = (share * LEVELS.len() as f32).ceil() as usize;
    LEVELS.get(at.saturating_sub(1)).copied().unwrap_or(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_share() {
        assert_eq!(bar(1.0, 4), "████");
        assert_eq!(bar(0.53125, 4), "██▏");
        assert_eq!(bar(0.0, 4), "");
        assert_eq!((bar(f32::NAN, 4), bar(7.0, 2)), (String::new(), "██".to_owned()));
    }

    #[test]
    fn a_distribution_counts_values_by_range() {
        assert_eq!(distribution(&[0.0, 0.1, 0.6, 1.0, 1.0, 0.99, 0.8], 4), "▄·▂█");
        assert_eq!(distribution(&[f32::NAN], 2), "··");
        assert_eq!(distribution(&[0.5], 0), "");
    }

    #[test]
    fn a_sparkline_has_a_character_for_every_value() {
        assert_eq!(sparkline(&[0.0, 0.13, 0.5, 1.0, f32::NAN, 2.0]), "▁▂▄█▁█");
    }
}
