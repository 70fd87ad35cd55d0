//! Renders a pairing link as a QR code.

use console::colors_enabled;
use qrcode::render::unicode::Dense1x2;
use qrcode::types::QrError;
use qrcode::{EcLevel, QrCode};

/// Dark on light regardless of the terminal's colors, as cameras expect.
pub(super) fn picture(link: &str) -> Result<String, QrError> {
    let code = QrCode::with_error_correction_level(link, EcLevel::L)?;
    let mut renderer = code.render::<Dense1x2>();
    if colors_enabled() {
        let plain = renderer.build();
        let painted = plain
            .lines()
            .map(|line| format!("\x1b[38;5;16;48;5;231m{line}\x1b[0m"));
        return Ok(painted.collect::<Vec<_>>().join("\n"));
    }
    // Without colors, the blocks are the light modules: correct on a dark terminal.
    Ok(renderer
        .dark_color(Dense1x2::Light)
        .light_color(Dense1x2::Dark)
        .build())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qr_code_fits_a_terminal() {
        let link = format!(
            "graceful-relay://pair?relay={}&id={}&secret={}",
            "x".repeat(40),
            "i",
            "s".repeat(44)
        );
        let picture = picture(&link).unwrap();
        let first = console::strip_ansi_codes(picture.lines().next().unwrap()).into_owned();
        assert!(
            first.chars().count() <= 78,
            "{} columns",
            first.chars().count()
        );
    }
}
