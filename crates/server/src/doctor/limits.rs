//! The check of the limit of open file descriptors: each connection needs one.

use super::Finding;
use crate::observe::process;
use crate::observe::process::RESERVED_FILES;

const CHECK: &str = "open files";

/// Checks the limit of the running relay, or of this process if it does not run.
pub fn open_files(connections_max: u64, running: Option<u64>) -> Finding {
    judge(connections_max, running, process::open_files_max())
}

fn judge(connections_max: u64, running: Option<u64>, own: Option<u64>) -> Finding {
    let wanted = connections_max + RESERVED_FILES;
    let (who, may) = match (running, own) {
        (Some(may), _) => ("the relay", may),
        (None, Some(may)) => ("this shell (a service has its own limit)", may),
        (None, None) => return Finding::ok(CHECK, "unknown on this system"),
    };
    let text = match may {
        u64::MAX => format!("{who} has no limit"),
        may => format!("{who} may open {may}; limits.connections_max needs {wanted}"),
    };
    if may >= wanted {
        return Finding::ok(CHECK, text);
    }
    let next = format!(
        "Set LimitNOFILE={} in the service, or lower the limit.",
        wanted.next_power_of_two()
    );
    Finding::warning(CHECK, text, next)
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn the_relays_own_limit_counts_where_there_is_one() {
        assert_eq!(
            judge(2_000, Some(1_024), Some(1 << 20)).level,
            Level::Warning
        );
        assert_eq!(judge(2_000, Some(4_096), Some(16)).level, Level::Ok);
        assert_eq!(judge(2_000, None, Some(1_024)).level, Level::Warning);
        assert_eq!(judge(2_000, None, None).level, Level::Ok);
    }
}
