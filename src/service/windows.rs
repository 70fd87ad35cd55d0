//! On Windows: what the msi sets up, for the program alone.

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

/// A start or an end that takes longer has failed, for who waits for it here.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(100);

/// Of the rule in the firewall.
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
        .context("cannot make the folder for its data")?;
    let info = info(&program);
    let Some(service) = there else {
        let service = manager
            .create_service(&info, ServiceAccess::CHANGE_CONFIG)
            .map_err(denied)?;
        service.set_description("Keeps sealed changes until every device has them")?;
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
        "{} is this version now. Where the service ran, it was restarted.",
        program.display()
    ))
}

pub(super) fn start() -> anyhow::Result<String> {
    start_it(&open()?)?;
    Ok(format!("The service runs. How it does: {NAME} status"))
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
    // One that somebody took away is as it is to be.
    let _ = have(
        &of_windows("netsh")?,
        &["advfirewall", "firewall", "delete", "rule", RULE],
    );
    let left = match remove(&program) {
        Ok(()) => String::new(),
        // Windows keeps the file of a program that runs, which this one may be.
        Err(_) => format!("{}, ", program.display()),
    };
    Ok(format!(
        "The service is gone. What stays, to be deleted by hand: {left}{}.",
        program_data().display()
    ))
}

fn start_it(service: &Service) -> anyhow::Result<()> {
    if service.query_status()?.current_state == ServiceState::Stopped {
        service.start::<OsString>(&[]).map_err(denied)?;
    }
    let failed = || {
        format!("the service does not start; `{NAME} config check` may tell why, and its log does")
    };
    wait_for(service, ServiceState::Running).with_context(failed)
}

/// Gives whether it ran.
fn stop_it(service: &Service) -> anyhow::Result<bool> {
    if service.query_status()?.current_state == ServiceState::Stopped {
        return Ok(false);
    }
    service.stop().map_err(denied)?;
    wait_for(service, ServiceState::Stopped)?;
    Ok(true)
}

/// The manager has no way to be told.
fn wait_for(service: &Service, state: ServiceState) -> anyhow::Result<()> {
    let begun = Instant::now();
    loop {
        let now = service.query_status()?.current_state;
        if now == state {
            return Ok(());
        }
        if now == ServiceState::Stopped {
            bail!("it ended");
        }
        if begun.elapsed() > PATIENCE {
            bail!("it is {now:?} for {} seconds", PATIENCE.as_secs());
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

/// Whatever it listens on, once its settings let others reach it.
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
                anyhow::anyhow!("there is no service {NAME}; `{NAME} service install` makes one")
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
            anyhow::anyhow!(
                "only administrators may do this; open the terminal with \"Run as administrator\""
            )
        }
        _ => anyhow::Error::new(error).context("the service manager of Windows refuses it"),
    }
}

fn program() -> anyhow::Result<PathBuf> {
    let programs =
        std::env::var_os("ProgramFiles").context("the folder of programs is not known")?;
    Ok(PathBuf::from(programs)
        .join("Graceful Relay")
        .join("graceful-relay.exe"))
}

/// A program of the system itself, and not one of that name that lies beside this one.
fn of_windows(name: &str) -> anyhow::Result<String> {
    let root = std::env::var_os("SystemRoot").context("the folder of Windows is not known")?;
    Ok(PathBuf::from(root)
        .join("System32")
        .join(name)
        .with_extension("exe")
        .display()
        .to_string())
}

/// What the installer brought is for it to change.
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
                "the installer brought the relay and its service; upgrade it with a newer one, and remove it \
                 in the settings of Windows"
            )
        }
        _ => Ok(()),
    }
}
