//! The process that listens on a port, from `/proc/net/tcp` and `/proc/*/fd`, as far as this user
//! may read them.

use std::fs;

/// The process that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owner {
    /// None.
    Nobody,
    /// The process with this id and name.
    Process(u32, String),
    /// A process that this user may not see.
    Somebody,
    /// Unknown on this system.
    Unknown,
}

/// The state LISTEN in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// Returns which process listens on this port, on any address.
pub fn owner_of_port(port: u16) -> Owner {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).ok());
    if tables.iter().all(Option::is_none) {
        return Owner::Unknown;
    }
    let inodes: Vec<_> = tables
        .iter()
        .flatten()
        .flat_map(|table| listening_on(table, port))
        .collect();
    if inodes.is_empty() {
        return Owner::Nobody;
    }
    let sockets: Vec<_> = inodes
        .iter()
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    holder(&sockets).unwrap_or(Owner::Somebody)
}

/// Returns the inodes of sockets that listen on a port.
fn listening_on(table: &str, port: u16) -> Vec<u64> {
    let wanted = format!("{port:04X}");
    let rows = table.lines().skip(1).filter_map(|row| {
        let fields: Vec<_> = row.split_whitespace().collect();
        let (_, found) = fields.get(1)?.rsplit_once(':')?;
        let listens = *fields.get(3)? == LISTENS && found == wanted;
        listens.then(|| fields.get(9)?.parse().ok()).flatten()
    });
    rows.collect()
}

fn holder(sockets: &[String]) -> Option<Owner> {
    for entry in fs::read_dir("/proc").ok()?.filter_map(Result::ok) {
        let Some(process) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        let Ok(files) = fs::read_dir(entry.path().join("fd")) else {
            continue;
        };
        let holds = files
            .filter_map(Result::ok)
            .filter_map(|file| fs::read_link(file.path()).ok());
        let holds = holds.into_iter().any(|link| {
            sockets
                .iter()
                .any(|socket| link.as_os_str() == socket.as_str())
        });
        if holds {
            let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
            return Some(Owner::Process(process, name.trim().to_owned()));
        }
    }
    None
}

/// Returns whether this user may listen on this port; `None` if unknown.
pub fn may_bind(port: u16) -> Option<bool> {
    let first = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").ok()?;
    let first: u16 = first.trim().parse().ok()?;
    Some(port >= first || is_root())
}

#[cfg(unix)]
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(not(unix))]
fn is_root() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 41234 1 0 100 0 0 10 0\n\
             1: 0100007F:1F90 0100007F:A1B2 01 00000000:00000000 00:00000000 00000000  1000        0 41235 1 0 100 0 0 10 0\n\
             2: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 55 1 0 100 0 0 10 0\n";
        assert_eq!(listening_on(table, 8_080), [41_234]);
        assert_eq!(listening_on(table, 443), [55]);
        assert_eq!(listening_on(table, 80), [0; 0]);
        assert_eq!(listening_on("nonsense\nnonsense", 80), [0; 0]);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_of_this_very_process_is_found() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        assert!(matches!(owner_of_port(port), Owner::Process(id, _) if id == std::process::id()));
    }
}
