//! When to renew a certificate. Pure: the time is an argument.

use super::super::certificate::Certificate;

/// The start of 2026. A clock before it was never set: boards without a battery boot in 1970.
const CLOCK_MIN_S: i64 = 1_767_225_600;

pub(super) fn is_clock_set(wall_s: i64) -> bool {
    wall_s >= CLOCK_MIN_S
}

/// In the last third of the lifetime: a month for most, hours for short-lived ones.
pub(super) fn is_due(certificate: &Certificate, wall_s: i64) -> bool {
    is_due_at(certificate.not_before_s, certificate.not_after_s, wall_s)
}

fn is_due_at(not_before_s: i64, not_after_s: i64, wall_s: i64) -> bool {
    wall_s >= not_after_s - (not_after_s - not_before_s) / 3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_renewed_in_its_last_third_and_after_a_jump_past_its_end() {
        let (from, until) = (CLOCK_MIN_S, CLOCK_MIN_S + 90 * 86_400);
        let due = |day: i64| is_due_at(from, until, CLOCK_MIN_S + day * 86_400);
        assert!(!due(0) && !due(59) && due(60) && due(89) && due(91) && due(4_000));
        // A clock that is behind says nothing about expiry.
        assert!(!due(-10));
    }

    #[test]
    fn a_clock_in_1970_decides_nothing() {
        assert!(!is_clock_set(0) && !is_clock_set(CLOCK_MIN_S - 1) && is_clock_set(CLOCK_MIN_S));
    }
}
