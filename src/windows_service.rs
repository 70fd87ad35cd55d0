//! The relay as a service of Windows: `graceful-relay serve --windows-service`, which only the system's service
//! manager starts. It hears there that it is to stop, and says when devices may come and when it has ended.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, OnceLock};
use std::time::Duration;

use anyhow::{Context, bail};
use tokio_util::sync::CancellationToken;
use windows_service::service::{
    ServiceAccess, ServiceAction, ServiceActionType, ServiceControl, ServiceControlAccept,
    ServiceExitCode, ServiceFailureActions, ServiceFailureResetPeriod, ServiceState, ServiceStatus,
    ServiceType,
};
use windows_service::service_control_handler::{
    self, ServiceControlHandlerResult, ServiceStatusHandle,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};
use windows_service::{define_windows_service, service_dispatcher};

use super::logging;
use super::serve::Serve;
use graceful_server::config::{Log, LogLevel, LogTo, program_data};

/// As the installer calls it, and `service install`.
pub(super) const NAME: &str = "graceful-relay";

/// The manager waits for so long before it takes a start or an end for failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// As the unit of systemd has it.
const RESTART_AFTER: Duration = Duration::from_secs(10);

/// Restarts are forgotten after so long.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Of the log of one that did not start.
const KEEP_DAYS: usize = 14;

static SERVE: Mutex<Option<Serve>> = Mutex::new(None);
static STATUS: OnceLock<ServiceStatusHandle> = OnceLock::new();
static STOP: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);

define_windows_service!(begin, main);

/// Hands this thread to the service manager until the relay has ended.
///
/// # Errors
/// Where no service manager started this.
pub(super) fn run(serve: Serve) -> anyhow::Result<()> {
    hand_over(serve).inspect_err(note)
}

fn hand_over(serve: Serve) -> anyhow::Result<()> {
    // Before its settings are read: anybody may put files beside them until then.
    if program_data().exists() {
        keep_to_itself(&program_data())?;
    }
    keep_to_itself(&serve.folder()?)?;
    *SERVE.lock().expect("nobody panics holding it") = Some(serve);
    service_dispatcher::start(NAME, begin).context(
        "--windows-service is for the service manager of Windows; without it, `serve` runs here",
    )
}

/// What the manager calls, on a thread of its own.
fn main(_arguments: Vec<OsString>) {
    let told = |control| match control {
        ServiceControl::Stop | ServiceControl::Shutdown => {
            STOP.cancel();
            ServiceControlHandlerResult::NoError
        }
        ServiceControl::Interrogate => ServiceControlHandlerResult::NoError,
        _ => ServiceControlHandlerResult::NotImplemented,
    };
    let Ok(status) = service_control_handler::register(NAME, told) else {
        return;
    };
    let _ = STATUS.set(status);
    say(ServiceState::StartPending, 0);
    if let Err(error) = restart_after_crashes() {
        tracing::warn!(
            "the service manager will not start the relay again after a crash: {error:#}"
        );
    }
    let serve = SERVE.lock().expect("nobody panics holding it").take();
    let code = serve.map_or(1, |serve| {
        match crate::cli::execute(crate::cli::Command::Serve(serve)) {
            Ok(()) => 0,
            Err(error) => {
                note(&error);
                1
            }
        }
    });
    say(ServiceState::Stopped, code);
}

/// A service has no standard error: what would go there goes to files beside its data.
pub(super) fn with_files(log: Log) -> Log {
    match log.to {
        LogTo::Stderr => Log {
            to: LogTo::File,
            folder: program_data().join("log"),
            ..log
        },
        _ => log,
    }
}

/// Says why it ends. Wrong settings say nothing of where that should go.
fn note(error: &anyhow::Error) {
    let log = Log {
        level: LogLevel::Error,
        to: LogTo::Stderr,
        json: false,
        folder: PathBuf::new(),
        keep_days: KEEP_DAYS,
    };
    // Where there is a log already, this adds none.
    if logging::start(&with_files(log)).is_ok() {
        tracing::error!("{error:#}");
    }
}

/// An installer cannot say this; the service can.
fn restart_after_crashes() -> windows_service::Result<()> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)?;
    // Who has it restarted must be allowed to start it.
    let service =
        manager.open_service(NAME, ServiceAccess::CHANGE_CONFIG | ServiceAccess::START)?;
    service.update_failure_actions(ServiceFailureActions {
        reset_period: ServiceFailureResetPeriod::After(FORGOTTEN_AFTER),
        reboot_msg: None,
        command: None,
        actions: Some(vec![ServiceAction {
            action_type: ServiceActionType::Restart,
            delay: RESTART_AFTER,
        }]),
    })
}

/// Folders below ProgramData can be read by every user of the machine, who may put files into them, too; and
/// these have settings and the relay's keys in them: only the system and administrators may see into them.
///
/// # Errors
/// The relay does not start where that cannot be had.
fn keep_to_itself(folder: &Path) -> anyhow::Result<()> {
    // Security identifiers that are the same in every language of Windows (MS-DTYP, section 2.4.2.4).
    const SYSTEM: &str = "*S-1-5-18:(OI)(CI)F";
    const ADMINISTRATORS: &str = "*S-1-5-32-544:(OI)(CI)F";
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut icacls = std::process::Command::new("icacls");
    icacls.arg(folder).args([
        "/inheritance:r",
        "/grant:r",
        SYSTEM,
        "/grant:r",
        ADMINISTRATORS,
        "/q",
    ]);
    let done = icacls
        .output()
        .context("cannot run icacls, which says who may see into a folder")?;
    if !done.status.success() {
        bail!(
            "cannot keep {} from other users: {}",
            folder.display(),
            String::from_utf8_lossy(&done.stderr)
        );
    }
    Ok(())
}

/// Waits until the manager wants an end.
pub(super) async fn stop_requested() {
    STOP.cancelled().await;
}

/// Devices may come.
pub(super) fn ready() {
    say(ServiceState::Running, 0);
}

/// They are sent away.
pub(super) fn stopping() {
    say(ServiceState::StopPending, 0);
}

fn say(state: ServiceState, code: u32) {
    let Some(status) = STATUS.get() else { return };
    let controls_accepted = match state {
        ServiceState::Running => ServiceControlAccept::STOP | ServiceControlAccept::SHUTDOWN,
        _ => ServiceControlAccept::empty(),
    };
    let _ = status.set_service_status(ServiceStatus {
        service_type: ServiceType::OWN_PROCESS,
        current_state: state,
        controls_accepted,
        exit_code: ServiceExitCode::Win32(code),
        checkpoint: 0,
        wait_hint: PATIENCE,
        process_id: None,
    });
}
