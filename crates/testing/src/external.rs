//! Third-party programs used by tests.

use std::net::TcpListener;

/// Returns whether a program is installed; if not, reports that its checks are skipped.
pub fn is_installed(program: &str, package: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<_> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    let installed = folders.iter().any(|folder| folder.join(program).is_file());
    if !installed {
        println!("NOT CHECKED: {program} is not installed (apt-get install {package})");
    }
    installed
}

/// Returns a port that was free a moment ago, for programs that cannot bind port 0.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port()
}
