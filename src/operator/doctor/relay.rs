//! Checks of the running relay, or of a stopped relay's store.

use graceful_server::admin::{self, AdminError, AdminRequest, AdminResponse, StatusReport};
use graceful_server::config::Config;
use graceful_server::doctor::Finding;
use graceful_store::{CheckResult, check};

/// The findings, and the running relay's status.
pub(super) async fn relay(config: &Config) -> (Vec<Finding>, Option<StatusReport>) {
    match admin::request(&config.data_dir, &AdminRequest::Status {}).await {
        Ok(AdminResponse::Status(status)) => match serde_json::from_value::<StatusReport>(status) {
            Ok(status) => (running(&status), Some(status)),
            Err(_) => (vec![strange()], None),
        },
        Ok(AdminResponse::Error(text)) => {
            (vec![Finding::failure("relay", text, "See its log.")], None)
        }
        Ok(_) => (vec![strange()], None),
        Err(AdminError::NotRunning(_)) => (stopped(config).await, None),
        Err(error @ AdminError::Forbidden(_)) => (
            vec![Finding::warning(
                "relay",
                error.to_string(),
                "Run this with sudo.",
            )],
            None,
        ),
        Err(error) => {
            let next = "See its log, and restart it if it still does not answer.";
            (
                vec![Finding::failure("relay", error.to_string(), next)],
                None,
            )
        }
    }
}

fn strange() -> Finding {
    let text = "unexpected response; the relay may run another version";
    Finding::warning(
        "relay",
        text,
        "Restart the relay, so that both have the same version.",
    )
}

fn running(status: &StatusReport) -> Vec<Finding> {
    let version = &status.version;
    let mut findings = vec![match status.state.as_str() {
        "ready" => Finding::ok("relay", format!("ready (version {version})")),
        _ => {
            let text = format!(
                "not ready (version {version}): {}",
                status.not_ready_messages.join("; ")
            );
            Finding::failure("relay", text, "See `graceful-relay status`.")
        }
    }];
    if version != env!("CARGO_PKG_VERSION") {
        let text = format!(
            "{version} is running, this program is {}",
            env!("CARGO_PKG_VERSION")
        );
        findings.push(Finding::warning(
            "version",
            text,
            "Restart the relay to run the new version.",
        ));
    }
    // These have findings of their own.
    let elsewhere = ["disk", "certificate", "open_files", "clock"];
    let others = status
        .warnings
        .iter()
        .filter(|warning| !elsewhere.contains(&warning.name.as_str()));
    findings.extend(
        others.map(|warning| Finding::warning(&warning.name, &warning.text, &warning.next)),
    );
    if let Some(by_s) = status.clock_jumped_s {
        let text = format!("the system clock jumped by {by_s} s while the relay was running");
        findings.push(Finding::warning(
            "clock jump",
            text,
            "Enable time synchronization (NTP).",
        ));
    }
    findings
}

async fn stopped(config: &Config) -> Vec<Finding> {
    let next = "Start it: graceful-relay service start, or graceful-relay serve.";
    let mut findings = vec![Finding::warning(
        "relay",
        "not running on this data directory",
        next,
    )];
    let folder = config.data_dir.clone();
    let probed = tokio::task::spawn_blocking(move || check(&folder)).await;
    findings.push(match probed {
        Ok(Ok(CheckResult::Missing)) => {
            Finding::ok("store", "none yet; the first start creates it")
        }
        Ok(Ok(CheckResult::Clean)) => {
            Finding::ok("store", "opens, and its keys match its envelopes")
        }
        Ok(Ok(CheckResult::Unclean)) => {
            Finding::ok("store", "was not closed; the next start recovers it")
        }
        Ok(Err(error)) if error.to_string().contains("ermission denied") => Finding::warning(
            "store",
            error.to_string(),
            "Run this as the relay's user, or with sudo.",
        ),
        Ok(Err(error)) => Finding::failure(
            "store",
            error.to_string(),
            "Do not start the relay before this is solved.",
        ),
        Err(_) => Finding::failure(
            "store",
            "check task panicked",
            "Keep a copy of the data directory.",
        ),
    });
    findings
}
