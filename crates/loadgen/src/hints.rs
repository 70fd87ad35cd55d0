//! Explanations of the limit that a load exceeds, and the next step.

use graceful_protocol::wire::{Greeting, Registration};
use graceful_protocol::{Code, Limits};
use graceful_raw_client::RawError;

use super::plan::{Mode, Plan};

const RAISE: &str = "raise it in the relay's configuration for the measurement";

/// The error, the limit and the next step.
pub fn explain(trouble: &RawError) -> String {
    let what_to_do = match trouble {
        RawError::HttpStatus { status: 429 } => format!(
            "too many connections from one address ([rate_limits] per_ip_connections_max, \
             per_ip_unauthenticated_max or per_ip_connections); use fewer --accounts or --devices, or {RAISE}"
        ),
        RawError::HttpStatus { status: 503 } => format!(
            "too many connections ([limits] connections_max, or [rate_limits] unauthenticated_max of it); \
             use fewer --accounts or --devices, or {RAISE}"
        ),
        RawError::HttpStatus { status: 404 } => "is this the URL of a relay?".to_owned(),
        RawError::Refused(refusal) => hint_for(refusal.code),
        RawError::HttpStatus { .. } | RawError::Broken(_) => String::new(),
    };
    match what_to_do.as_str() {
        "" => trouble.to_string(),
        advice => format!("{trouble}: {advice}"),
    }
}

fn hint_for(code: Code) -> String {
    match code {
        Code::QuotaBytes => format!(
            "the account is full ([accounts] quota). Envelopes of an account with one device stay \
             stored: use --mode deliver, more --accounts, less --duration, or {RAISE}"
        ),
        Code::QuotaEnvelopes => format!(
            "the account is full ([accounts] envelopes_max). Envelopes of an account with one device stay \
             stored: use --mode deliver, more --accounts, less --duration, or {RAISE}"
        ),
        Code::QuotaDevices => format!("[accounts] devices_max; use fewer --devices, or {RAISE}"),
        Code::Overloaded => format!(
            "perhaps [rate_limits] per_ip_new_accounts, new_accounts or per_account_connections_max; \
             use fewer --accounts or --devices, wait, or {RAISE}"
        ),
        Code::InviteRequired => {
            "each account needs an invitation of its own; use --invite or --invites".to_owned()
        }
        Code::RegistrationClosed => {
            "the relay accepts no new accounts ([accounts] registration is \"closed\")".to_owned()
        }
        Code::StorageFull => {
            "its disk space is low ([storage] min_free_space); free some".to_owned()
        }
        Code::EnvelopeTooLarge => "[limits] envelope_size_max; use a smaller --size".to_owned(),
        Code::TooManyEnvelopes => "[limits] push_envelopes_max; use a smaller --batch".to_owned(),
        _ => String::new(),
    }
}

/// The reason why the relay would refuse this plan, by its greeting.
pub fn objection(plan: &Plan, envelope_bytes: u64, greeting: &Greeting) -> Option<String> {
    let limits = Limits::from(greeting.limits.as_ref()?);
    let invited = plan.invites.len();
    if greeting.registration() == Registration::Closed {
        return Some(hint_for(Code::RegistrationClosed));
    }
    if greeting.registration() == Registration::Invite && invited < plan.accounts {
        return Some(format!(
            "the relay needs an invitation for each of {} accounts, and there are {invited}; create them with \
             `graceful-relay invite create`, and use --invite for each, or --invites FILE for all",
            plan.accounts
        ));
    }
    if plan.devices as u64 > u64::from(limits.account_devices_max) {
        let most = limits.account_devices_max;
        return Some(format!(
            "the relay allows {most} devices in an account: {}",
            hint_for(Code::QuotaDevices)
        ));
    }
    if plan.mode == Mode::Idle {
        return None;
    }
    if envelope_bytes > limits.envelope_bytes_max {
        let most = limits.envelope_bytes_max;
        return Some(format!(
            "the relay allows envelopes of {most} bytes: {}",
            hint_for(Code::EnvelopeTooLarge)
        ));
    }
    if plan.batch > u64::from(limits.push_envelopes_max) {
        let most = limits.push_envelopes_max;
        return Some(format!(
            "the relay allows {most} changes in a frame: {}",
            hint_for(Code::TooManyEnvelopes)
        ));
    }
    // A frame adds less than 100 bytes to an envelope.
    if plan.batch * (envelope_bytes + 100) > limits.frame_bytes_max {
        return Some(format!(
            "a frame with {} changes of {envelope_bytes} bytes exceeds the relay's limit ({} bytes, [limits] \
             frame_size_max); use a smaller --batch or --size",
            plan.batch, limits.frame_bytes_max
        ));
    }
    None
}

/// Default rate limits, above which a relay delays reading.
const DEFAULT_RATES: [(&str, bool, bool, f64); 4] = [
    ("per_account_frames", true, false, 500.0),
    ("per_account_bandwidth", true, true, 8.0 * 1024.0 * 1024.0),
    ("per_ip_frames", false, false, 1_000.0),
    ("per_ip_bandwidth", false, true, 16.0 * 1024.0 * 1024.0),
];
/// A load within this fraction of a rate is probably limited by it.
const NEAR: f64 = 0.1;

/// The default rate limit that probably limited the load.
pub fn suspicion(plan: &Plan, envelope_bytes: u64, pushes_per_s: f64) -> Option<String> {
    let frames_per_s = pushes_per_s / plan.batch as f64;
    DEFAULT_RATES.iter().find_map(|(name, by_account, in_bytes, rate)| {
        let all = if *in_bytes { pushes_per_s * envelope_bytes as f64 } else { frames_per_s };
        let found = if *by_account { all / plan.accounts as f64 } else { all };
        let near = (found / rate - 1.0).abs() < NEAR;
        near.then(|| {
            format!(
                "this is the default rate of [rate_limits] {name}, which probably limited the load; set it to \
                 \"unlimited\" for the measurement"
            )
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use graceful_protocol::Refusal;

    #[test]
    fn each_limit_is_named() {
        let said = |code| explain(&RawError::Refused(Refusal::new(code, "no")));
        for (code, name) in [
            (Code::QuotaBytes, "quota"),
            (Code::QuotaEnvelopes, "envelopes_max"),
            (Code::QuotaDevices, "devices_max"),
            (Code::Overloaded, "per_ip_new_accounts"),
            (Code::InviteRequired, "--invite"),
            (Code::StorageFull, "min_free_space"),
        ] {
            assert!(said(code).contains(name), "{}", said(code));
        }
        assert!(explain(&RawError::HttpStatus { status: 429 }).contains("per_ip_connections_max"));
        assert!(explain(&RawError::HttpStatus { status: 503 }).contains("connections_max"));
        assert_eq!(explain(&RawError::Broken("gone".into())), "gone");
    }

    #[test]
    fn refused_plans_are_detected() {
        let greeting = Greeting {
            limits: Some((&Limits::default()).into()),
            registration: Registration::Invite.into(),
            ..Greeting::default()
        };
        let open = Greeting {
            registration: Registration::Open.into(),
            ..greeting.clone()
        };
        let plan = Plan {
            accounts: 2,
            devices: 1,
            batch: 1,
            ..Plan::default()
        };
        let said =
            |plan: &Plan, bytes, greeting| objection(plan, bytes, greeting).unwrap_or_default();
        assert!(said(&plan, 1_056, &greeting).contains("an invitation for each"));
        assert_eq!(said(&plan, 1_056, &open), "");
        assert!(said(&plan, 2_000_000, &open).contains("envelope_size_max"));
        assert!(
            said(
                &Plan {
                    devices: 99,
                    ..plan.clone()
                },
                1_056,
                &open
            )
            .contains("devices_max")
        );
        assert!(
            said(
                &Plan {
                    batch: 5_000,
                    ..plan.clone()
                },
                400,
                &open
            )
            .contains("push_envelopes_max")
        );
        assert!(said(&Plan { batch: 900, ..plan }, 9_000, &open).contains("frame_size_max"));
    }

    #[test]
    fn load_at_a_default_rate_is_explained() {
        let plan = Plan {
            accounts: 4,
            batch: 1,
            ..Plan::default()
        };
        let said = |rate| suspicion(&plan, 1_056, rate).unwrap_or_default();
        assert!(said(1_990.0).contains("per_account_frames"));
        assert!(said(1_010.0).contains("per_ip_frames"));
        assert_eq!(said(1_500.0), "");
    }
}
