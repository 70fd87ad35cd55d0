//! The relay itself: it answers its operator, or its store would open.

use graceful_server::admin::{self, AdminError, AdminRequest, AdminResponse, StatusReport};
use graceful_server::config::Config;
use graceful_server::doctor::Finding;
use graceful_store::{CheckResult, check};

/// What was found, and what a running relay says of itself.
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
            let next = "See its log, and restart it if it does not answer again.";
            (
                vec![Finding::failure("relay", error.to_string(), next)],
                None,
            )
        }
    }
}

fn strange() -> Finding {
    let text = "the running relay answers as another version does";
    Finding::warning(
        "relay",
        text,
        "Restart the relay, so that both are of one version.",
    )
}

fn running(status: &StatusReport) -> Vec<Finding> {
    let version = &status.version;
    let mut findings = vec![match status.state.as_str() {
        "ready" => Finding::ok("relay", format!("runs (version {version}) and is ready")),
        _ => {
            let text = format!(
                "runs (version {version}), but {}",
                status.not_ready_messages.join("; ")
            );
            Finding::failure("relay", text, "`graceful-relay status` says more.")
        }
    }];
    if version != env!("CARGO_PKG_VERSION") {
        let text = format!(
            "{version} runs, and this program is {}",
            env!("CARGO_PKG_VERSION")
        );
        findings.push(Finding::warning(
            "version",
            text,
            "Restart the relay to run the new one.",
        ));
    }
    // What has a line of its own is told there.
    let elsewhere = ["disk", "certificate", "open_files", "clock"];
    let others = status
        .warnings
        .iter()
        .filter(|warning| !elsewhere.contains(&warning.name.as_str()));
    findings.extend(
        others.map(|warning| Finding::warning(&warning.name, &warning.text, &warning.next)),
    );
    if let Some(by_s) = status.clock_jumped_s {
        let text = format!("the machine's clock was set by {by_s} s while the relay ran");
        findings.push(Finding::warning(
            "clock jump",
            text,
            "See that something keeps it right.",
        ));
    }
    findings
}

async fn stopped(config: &Config) -> Vec<Finding> {
    let next = "Start it: graceful-relay service start, or graceful-relay serve.";
    let mut findings = vec![Finding::warning(
        "relay",
        "no relay runs on the data folder",
        next,
    )];
    let folder = config.data_dir.clone();
    let probed = tokio::task::spawn_blocking(move || check(&folder)).await;
    findings.push(match probed {
        Ok(Ok(CheckResult::Missing)) => {
            Finding::ok("store", "there is none yet; the first start makes it")
        }
        Ok(Ok(CheckResult::Clean)) => {
            Finding::ok("store", "opens, and its keys are those of its envelopes")
        }
        Ok(Ok(CheckResult::Unclean)) => Finding::ok(
            "store",
            "was not closed in an orderly way; the next start mends it",
        ),
        Ok(Err(error)) if error.to_string().contains("ermission denied") => Finding::warning(
            "store",
            error.to_string(),
            "Run this as the relay's user, or with sudo.",
        ),
        Ok(Err(error)) => Finding::failure(
            "store",
            error.to_string(),
            "Do not start the relay on it before that is done.",
        ),
        Err(_) => Finding::failure(
            "store",
            "looking at it ended badly",
            "Keep a copy of the data folder.",
        ),
    });
    findings
}
