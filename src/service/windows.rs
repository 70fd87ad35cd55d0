//! Windows: the same service as the MSI installer's.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use windows_service::service::{
    Service, ServiceAccess, ServiceErrorControl, ServiceInfo, ServiceStartType, ServiceState,
    ServiceType,
};
use windows_service::service_manager::{ServiceManager, ServiceManagerAccess};

use super::place::{accepts_settings, have, installed, put_program, put_settings, remove};
use crate::serve::windows_service::NAME;
use graceful_server::config::{config_file, program_data};

/// Timeout of a start or stop.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);

/// Name of the firewall rule.
const RULE: &str = "name=Graceful Relay";

pub(super) fn install() -> anyhow::Result<String> {
    not_over_an_installer()?;
    let program = program()?;
    let manager = manager(ServiceManagerAccess::CONNECT | ServiceManagerAccess::CREATE_SERVICE)?;
    accepts_settings()?;
    let there = manager.open_service(NAME, ServiceAccess::all()).ok();
    let ran = there
        .as_ref()
        .is_some_and(|service| stop_it(service).is_ok_and(|ran| ran));
    put_program(&program)?;
    put_settings(&config_file())?;
    std::fs::create_dir_all(program_data().join("data"))
        .context("cannot create the data directory")?;
    let info = info(&program);
    let Some(service) = there else {
        let service = manager
            .create_service(&info, ServiceAccess::CHANGE_CONFIG)
            .map_err(denied)?;
        service.set_description("End-to-end encrypted sync server")?;
        open_firewall(&program)?;
        return Ok(installed(
            &program,
            "service",
            &format!("{NAME} service start"),
        ));
    };
    service.change_config(&info)?;
    if ran {
        start_it(&service)?;
    }
    Ok(format!(
        "Upgraded {}. A running service was restarted.",
        program.display()
    ))
}

pub(super) fn start() -> anyhow::Result<String> {
    start_it(&open()?)?;
    Ok(format!("The service is running. See: {NAME} status"))
}

pub(super) fn stop() -> anyhow::Result<String> {
    stop_it(&open()?)?;
    Ok("The service is stopped.".to_owned())
}

pub(super) fn uninstall() -> anyhow::Result<String> {
    not_over_an_installer()?;
    let (service, program) = (open()?, program()?);
    stop_it(&service)?;
    service.delete()?;
    // Fails if the rule is gone, which is fine.
    let _ = have(
        &of_windows("netsh")?,
        &["advfirewall", "firewall", "delete", "rule", RULE],
    );
    let left = match remove(&program) {
        Ok(()) => String::new(),
        // Windows locks the file of a running program, which this one may be.
        Err(_) => format!("{}, ", program.display()),
    };
    Ok(format!(
        "Removed the service. Kept, to be deleted by hand: {left}{}.",
        program_data().display()
    ))
}

fn start_it(service: &Service) -> anyhow::Result<()> {
    if service.query_status()?.current_state == ServiceState::Stopped {
        service.start::<OsString>(&[]).map_err(denied)?;
    }
    let failed = || format!("the service does not start; see its log and `{NAME} config check`");
    wait_for(service, ServiceState::Running).with_context(failed)
}

/// Returns whether it was running.
fn stop_it(service: &Service) -> anyhow::Result<bool> {
    if service.query_status()?.current_state == ServiceState::Stopped {
        return Ok(false);
    }
    service.stop().map_err(denied)?;
    wait_for(service, ServiceState::Stopped)?;
    Ok(true)
}

/// The service manager has no notification.
fn wait_for(service: &Service, state: ServiceState) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let now = service.query_status()?.current_state;
        if now == state {
            return Ok(());
        }
        if now == ServiceState::Stopped {
            bail!("the service stopped");
        }
        if started.elapsed() > PATIENCE {
            bail!(
                "timeout: still {now:?} after {} seconds",
                PATIENCE.as_secs()
            );
        }
        std::thread::sleep(PAUSE);
    }
}

fn info(program: &Path) -> ServiceInfo {
    ServiceInfo {
        name: NAME.into(),
        display_name: "Graceful Relay".into(),
        service_type: ServiceType::OWN_PROCESS,
        start_type: ServiceStartType::AutoStart,
        error_control: ServiceErrorControl::Normal,
        executable_path: program.to_owned(),
        launch_arguments: vec![
            "serve".into(),
            "--windows-service".into(),
            "--config".into(),
            config_file().into(),
            "--data-dir".into(),
            program_data().join("data").into(),
        ],
        dependencies: Vec::new(),
        account_name: None,
        account_password: None,
    }
}

/// Allows incoming connections to the program, on any port.
fn open_firewall(program: &Path) -> anyhow::Result<()> {
    let program = format!("program={}", program.display());
    let rule = [
        "advfirewall",
        "firewall",
        "add",
        "rule",
        RULE,
        "dir=in",
        "action=allow",
        "protocol=TCP",
        &program,
    ];
    have(&of_windows("netsh")?, &rule)?;
    Ok(())
}

fn open() -> anyhow::Result<Service> {
    let manager = manager(ServiceManagerAccess::CONNECT)?;
    manager
        .open_service(NAME, ServiceAccess::all())
        .map_err(|error| match code(&error) {
            Some(NO_SUCH_SERVICE) => {
                anyhow::anyhow!("no service {NAME}; install it with `{NAME} service install`")
            }
            _ => denied(error),
        })
}

fn manager(access: ServiceManagerAccess) -> anyhow::Result<ServiceManager> {
    ServiceManager::local_computer(None::<&str>, access).map_err(denied)
}

/// ERROR_ACCESS_DENIED and ERROR_SERVICE_DOES_NOT_EXIST (MS-ERREF, section 2.2).
const ACCESS_DENIED: i32 = 5;
const NO_SUCH_SERVICE: i32 = 1060;

fn code(error: &windows_service::Error) -> Option<i32> {
    match error {
        windows_service::Error::Winapi(error) => error.raw_os_error(),
        _ => None,
    }
}

fn denied(error: windows_service::Error) -> anyhow::Error {
    match code(&error) {
        Some(ACCESS_DENIED) => {
            anyhow::anyhow!("permission denied; open the terminal with \"Run as administrator\"")
        }
        _ => anyhow::Error::new(error).context("the Windows service manager refused the request"),
    }
}

fn program() -> anyhow::Result<PathBuf> {
    let programs = std::env::var_os("ProgramFiles").context("ProgramFiles is not set")?;
    Ok(PathBuf::from(programs)
        .join("Graceful Relay")
        .join("graceful-relay.exe"))
}

/// The path of a system program, not of one with its name beside this program.
fn of_windows(name: &str) -> anyhow::Result<String> {
    let root = std::env::var_os("SystemRoot").context("SystemRoot is not set")?;
    Ok(PathBuf::from(root)
        .join("System32")
        .join(name)
        .with_extension("exe")
        .display()
        .to_string())
}

/// Refuses to change an installation of the MSI.
fn not_over_an_installer() -> anyhow::Result<()> {
    const LIST: &str = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Uninstall";
    match have(
        &of_windows("reg")?,
        &["query", LIST, "/s", "/v", "DisplayName"],
    ) {
        Ok(found)
            if found
                .lines()
                .any(|line| line.trim_end().ends_with("    Graceful Relay")) =>
        {
            bail!(
                "the MSI installed the relay and its service; upgrade it with a newer MSI, or remove it in the \
                 Windows settings"
            )
        }
        _ => Ok(()),
    }
}
