//! The recovery phrase, laid out for writing down.

use graceful_client::mnemonic::WORDS;

/// Words are numbered down the columns.
const COLUMNS: usize = 3;

/// Formats the sheet for a terminal of 80 columns.
pub(super) fn recovery_sheet(words: &[&str; WORDS]) -> String {
    let rows = WORDS / COLUMNS;
    let mut text = "RECOVERY PHRASE: write these 12 words on paper, in this order.\n\n".to_owned();
    for row in 0..rows {
        let cells = (0..COLUMNS).map(|column| {
            let place = column * rows + row;
            format!("{:6}. {:12}", place + 1, words[place])
        });
        text.push_str(cells.collect::<String>().trim_end());
        text.push('\n');
    }
    text + "\nIf every device is lost, they recover the account (graceful-relay client\n\
            recover). Anyone with these words owns the account: keep them private. They\n\
            are stored on no device and NOT SHOWN AGAIN.\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_client::RecoveryKey;

    #[test]
    fn recovery_sheet_fits_80_columns() {
        let words = RecoveryKey::from_entropy([0x7f; 16]).words();
        let text = recovery_sheet(&words);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        assert!(
            text.contains("     1. legal            5. wave             9. legal\n"),
            "{text}"
        );
        assert!(
            text.contains("     4. year             8. useful          12. yellow\n"),
            "{text}"
        );
        let columns = text.lines().filter(|line| line.starts_with("  ")).count();
        assert_eq!(columns, 4);
    }
}
