//! Programs of others that tests run against.

use std::net::TcpListener;

/// Whether it is there. Says so where it is not: what needs it is not checked then.
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

/// Free a moment ago: for programs that cannot be given any port.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a port")
        .port()
}
