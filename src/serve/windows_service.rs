//! The relay as a Windows service: `graceful-relay serve --windows-service`, started by the service manager.

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

use super::Serve;
use super::logging;
use graceful_server::config::{Log, LogLevel, LogOutput, program_data};

/// The service name, as in the installer and in `service install`.
pub(crate) const NAME: &str = "graceful-relay";

/// After this the manager takes a start or stop for failed.
const PATIENCE: Duration = Duration::from_secs(120);

/// As in the systemd unit.
const RESTART_AFTER: Duration = Duration::from_secs(10);

/// After this the manager resets its restart counter.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// Log files of a relay that did not start.
const LOG_FILES_MAX: usize = 14;

/// Runs the relay until it ends.
type Execute = fn(Serve) -> anyhow::Result<()>;

static SERVE: Mutex<Option<(Serve, Execute)>> = Mutex::new(None);
static STATUS: OnceLock<ServiceStatusHandle> = OnceLock::new();
static STOP: LazyLock<CancellationToken> = LazyLock::new(CancellationToken::new);

define_windows_service!(begin, main);

/// Runs the service dispatcher on this thread until the relay ends.
///
/// # Errors
/// Without a service manager.
pub(crate) fn run(serve: Serve, execute: Execute) -> anyhow::Result<()> {
    hand_over(serve, execute).inspect_err(note)
}

fn hand_over(serve: Serve, execute: Execute) -> anyhow::Result<()> {
    // Before the configuration is read: until then every user may add files to its directory.
    if program_data().exists() {
        keep_to_itself(&program_data())?;
    }
    keep_to_itself(&serve.data_dir()?)?;
    *SERVE.lock().expect("mutex poisoned") = Some((serve, execute));
    service_dispatcher::start(NAME, begin).context(
        "--windows-service works under the Windows service manager only; run `serve` without it",
    )
}

/// The service's main function, on a thread of the manager.
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
        tracing::warn!("the service manager will not restart the relay after a crash: {error:#}");
    }
    let serve = SERVE.lock().expect("mutex poisoned").take();
    let code = serve.map_or(1, |(serve, execute)| match execute(serve) {
        Ok(()) => 0,
        Err(error) => {
            note(&error);
            1
        }
    });
    say(ServiceState::Stopped, code);
}

/// Replaces standard error, which a service lacks, by files beside the data.
pub(crate) fn with_files(log: Log) -> Log {
    match log.output {
        LogOutput::Stderr => Log {
            output: LogOutput::File,
            dir: program_data().join("log"),
            ..log
        },
        _ => log,
    }
}

/// Logs why the service ends; a wrong configuration has no log destination.
fn note(error: &anyhow::Error) {
    let log = Log {
        level: LogLevel::Error,
        output: LogOutput::Stderr,
        json: false,
        dir: PathBuf::new(),
        files_max: LOG_FILES_MAX,
    };
    // Has no effect when there is a logger already.
    if logging::start(&with_files(log)).is_ok() {
        tracing::error!("{error:#}");
    }
}

/// Sets restart actions, which an installer cannot.
fn restart_after_crashes() -> windows_service::Result<()> {
    let manager = ServiceManager::local_computer(None::<&str>, ServiceManagerAccess::CONNECT)?;
    // Restart actions need the right to start the service.
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

/// Restricts a directory to the system and administrators. Below ProgramData every user can read and add
/// files, and these directories hold keys and the configuration.
///
/// # Errors
/// When the access rights cannot be set; the relay does not start then.
fn restrict(folder: &Path) -> anyhow::Result<()> {
    // Security identifiers, independent of the language of Windows (MS-DTYP, section 2.4.2.4).
    const SYSTEM: &str = "*S-1-5-18:(OI)(CI)F";
    const ADMINISTRATORS: &str = "*S-1-5-32-544:(OI)(CI)F";
    std::fs::create_dir_all(folder)
        .with_context(|| format!("cannot create {}", folder.display()))?;
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
        .context("cannot run icacls to restrict a directory")?;
    if !done.status.success() {
        bail!(
            "cannot restrict {}: {}",
            folder.display(),
            String::from_utf8_lossy(&done.stderr)
        );
    }
    Ok(())
}

/// Waits for the manager's stop request.
pub(crate) async fn stop_requested() {
    STOP.cancelled().await;
}

/// Reports running.
pub(crate) fn ready() {
    say(ServiceState::Running, 0);
}

/// Reports stopping.
pub(crate) fn stopping() {
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
