//! Limits that a load meets: which one it was, and what to do.

use graceful_protocol::wire::{Greeting, Registration};
use graceful_protocol::{Code, Limits};
use graceful_raw_client::RawError;

use super::plan::{Mode, Plan};

/// For raising one.
const RAISE: &str = "raise it in the relay's settings while you measure";

/// What went wrong, which limit it is, and what to do.
pub fn explain(trouble: &RawError) -> String {
    let what_to_do = match trouble {
        RawError::HttpStatus { status: 429 } => format!(
            "it takes no more connections from one address ([admission] address_connections_max, \
             address_newcomers_max or address_arrivals_per_min); use fewer --accounts or --devices, or {RAISE}"
        ),
        RawError::HttpStatus { status: 503 } => format!(
            "it has as many connections as it takes ([limits] connections_max, or [admission] \
             newcomers_percent of it); use fewer --accounts or --devices, or {RAISE}"
        ),
        RawError::HttpStatus { status: 404 } => "is this a relay's address?".to_owned(),
        RawError::Refused(refusal) => of_code(refusal.code),
        RawError::HttpStatus { .. } | RawError::Broken(_) => String::new(),
    };
    match what_to_do.as_str() {
        "" => trouble.to_string(),
        advice => format!("{trouble}: {advice}"),
    }
}

fn of_code(code: Code) -> String {
    match code {
        Code::QuotaBytes => format!(
            "the account is full ([accounts] bytes_max). A device that is alone in its account keeps all \
             it pushed: use --mode deliver, more --accounts, less --duration, or {RAISE}"
        ),
        Code::QuotaEnvelopes => format!(
            "the account is full ([accounts] envelopes_max). A device that is alone in its account keeps \
             all it pushed: use --mode deliver, more --accounts, less --duration, or {RAISE}"
        ),
        Code::QuotaDevices => format!("[accounts] devices_max; use fewer --devices, or {RAISE}"),
        Code::Overloaded => format!(
            "perhaps [admission] address_accounts_per_h, accounts_per_h or account_connections_max; use \
             fewer --accounts or --devices, wait, or {RAISE}"
        ),
        Code::InviteRequired => {
            "give an invitation for each account with --invite or --invites; an invitation serves once"
                .to_owned()
        }
        Code::RegistrationClosed => {
            "nobody can found an account there ([accounts] registration is \"closed\")".to_owned()
        }
        Code::StorageFull => "its disk is nearly full ([storage] free_bytes_min); make room there".to_owned(),
        Code::EnvelopeTooLarge => "[limits] envelope_bytes_max; use a smaller --size".to_owned(),
        Code::TooManyEnvelopes => "[limits] push_envelopes_max; use a smaller --batch".to_owned(),
        _ => String::new(),
    }
}

/// Whether the relay would refuse this plan, by what it says of itself.
pub fn objection(plan: &Plan, envelope_bytes: u64, greeting: &Greeting) -> Option<String> {
    let limits = Limits::from(greeting.limits.as_ref()?);
    let invited = plan.invites.len();
    if greeting.registration() == Registration::Closed {
        return Some(of_code(Code::RegistrationClosed));
    }
    if greeting.registration() == Registration::Invite && invited < plan.accounts {
        return Some(format!(
            "this relay asks for an invitation for each account, and {} are to be founded with {invited}; make \
             them there with `graceful-relay invite create`, and give each with --invite, or all with --invites FILE",
            plan.accounts
        ));
    }
    if plan.devices as u64 > u64::from(limits.account_devices_max) {
        let most = limits.account_devices_max;
        return Some(format!(
            "this relay takes {most} devices in an account: {}",
            of_code(Code::QuotaDevices)
        ));
    }
    if plan.mode == Mode::Idle {
        return None;
    }
    if envelope_bytes > limits.envelope_bytes_max {
        let most = limits.envelope_bytes_max;
        return Some(format!(
            "this relay takes envelopes of {most} bytes: {}",
            of_code(Code::EnvelopeTooLarge)
        ));
    }
    if plan.batch > u64::from(limits.push_envelopes_max) {
        let most = limits.push_envelopes_max;
        return Some(format!(
            "this relay takes {most} changes in a frame: {}",
            of_code(Code::TooManyEnvelopes)
        ));
    }
    // What stands around an envelope in a frame is below a hundred bytes.
    if plan.batch * (envelope_bytes + 100) > limits.frame_bytes_max {
        return Some(format!(
            "a frame with {} changes of {envelope_bytes} bytes is larger than this relay takes ({} bytes, \
             [limits] frame_bytes_max); use a smaller --batch or --size",
            plan.batch, limits.frame_bytes_max
        ));
    }
    None
}

/// Rates above which a relay with the settings it comes with reads later, without a word.
const DEFAULT_RATES: [(&str, bool, bool, f64); 4] = [
    ("account_frames_per_s", true, false, 500.0),
    ("account_bytes_per_s", true, true, 8.0 * 1024.0 * 1024.0),
    ("address_frames_per_s", false, false, 1_000.0),
    ("address_bytes_per_s", false, true, 16.0 * 1024.0 * 1024.0),
];
/// Within this part of a rate it is probably what held the load back.
const NEAR: f64 = 0.1;

/// Which rate limit of another relay probably held the load back.
pub fn suspicion(plan: &Plan, envelope_bytes: u64, pushes_per_s: f64) -> Option<String> {
    let frames_per_s = pushes_per_s / plan.batch as f64;
    DEFAULT_RATES.iter().find_map(|(name, by_account, in_bytes, rate)| {
        let all = if *in_bytes { pushes_per_s * envelope_bytes as f64 } else { frames_per_s };
        let found = if *by_account { all / plan.accounts as f64 } else { all };
        let near = (found / rate - 1.0).abs() < NEAR;
        near.then(|| {
            format!(
                "this is the pace of [admission] {name} as a relay comes: it probably read later on purpose. To \
                 see what the machine can do, set that to 0 while you measure"
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
            (Code::QuotaBytes, "bytes_max"),
            (Code::QuotaEnvelopes, "envelopes_max"),
            (Code::QuotaDevices, "devices_max"),
            (Code::Overloaded, "address_accounts_per_h"),
            (Code::InviteRequired, "--invite"),
            (Code::StorageFull, "free_bytes_min"),
        ] {
            assert!(said(code).contains(name), "{}", said(code));
        }
        assert!(explain(&RawError::HttpStatus { status: 429 }).contains("address_connections_max"));
        assert!(explain(&RawError::HttpStatus { status: 503 }).contains("connections_max"));
        assert_eq!(explain(&RawError::Broken("gone".into())), "gone");
    }

    #[test]
    fn what_a_relay_would_refuse_is_not_tried() {
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
        assert!(said(&plan, 1_056, &greeting).contains("invitation for each"));
        assert_eq!(said(&plan, 1_056, &open), "");
        assert!(said(&plan, 2_000_000, &open).contains("envelope_bytes_max"));
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
        assert!(said(&Plan { batch: 900, ..plan }, 9_000, &open).contains("frame_bytes_max"));
    }

    #[test]
    fn a_pace_that_is_just_the_limit_is_suspected() {
        let plan = Plan {
            accounts: 4,
            batch: 1,
            ..Plan::default()
        };
        let said = |rate| suspicion(&plan, 1_056, rate).unwrap_or_default();
        assert!(said(1_990.0).contains("account_frames_per_s"));
        assert!(said(1_010.0).contains("address_frames_per_s"));
        assert_eq!(said(1_500.0), "");
    }
}
