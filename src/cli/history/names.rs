//! Names that clients chose, as a terminal and a spreadsheet may get them.

use unicode_width::UnicodeWidthStr;

/// Stands where a name was cut.
const CUT: char = '…';

/// How many columns of a terminal the text takes.
pub(super) fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Nothing in a name may move the cursor or turn the line around.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let hides = matches!(
            c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        );
        if c.is_control() || hides {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// The text in at most so many columns; a longer one is cut and marked.
pub(super) fn fit(text: &str, columns: usize) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut kept = 0;
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        // Of the whole beginning: some characters change how wide the one before them is.
        if text.get(..end).map_or(0, width) >= columns {
            break;
        }
        kept = end;
    }
    let mut cut = text.get(..kept).unwrap_or_default().to_owned();
    if columns > 0 {
        cut.push(CUT);
    }
    cut
}

/// The text as a spreadsheet may get it: without control characters, and never a formula.
pub(super) fn plain(text: &str) -> String {
    let shown = visible(text);
    // Those of full width are taken for the others by some.
    let is_formula = shown.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if is_formula { format!("'{shown}") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn fits(text: &str, columns: usize, expected: &str) {
        let cut = fit(text, columns);
        assert_eq!(cut, expected);
        assert!(width(&cut) <= columns, "{cut}");
    }

    #[test]
    fn a_long_name_is_cut_and_marked() {
        fits("sensor-1", 8, "sensor-1");
        fits("sensor-12", 8, "sensor-…");
        fits("sensor-12", 1, "…");
        fits("sensor-12", 0, "");
        fits("", 3, "");
    }

    #[test]
    fn a_wide_character_takes_two_columns() {
        fits("温度传感器", 10, "温度传感器");
        fits("温度传感器", 9, "温度传感…");
        fits("温度传感器", 8, "温度传…");
        // A letter with an accent of its own takes one.
        fits("e\u{301}e\u{301}e\u{301}", 3, "e\u{301}e\u{301}e\u{301}");
    }

    #[test]
    fn nothing_in_a_name_moves_the_cursor() {
        assert_eq!(visible("a\u{1b}[2J\n\u{9b}\u{202e}b\u{ad}"), "a\\u{1b}[2J\\n\\u{9b}\\u{202e}b\\u{ad}");
    }

    #[test]
    fn a_formula_is_a_text_for_a_spreadsheet() {
        for begin in ['=', '+', '-', '@', '＝'] {
            assert_eq!(plain(&format!("{begin}cmd|' /C calc'!A0")), format!("'{begin}cmd|' /C calc'!A0"));
        }
        assert_eq!(plain("\t=1"), "\\t=1");
        assert_eq!(plain("\r\n"), "\\r\\n");
        assert_eq!(plain("dev-1 = x"), "dev-1 = x");
    }
}
